"""What devices can be asked for by: the profiles, models, places and tags that there are, the most frequent first."""

from typing import Final

import msgspec

from fleet.limits import TARGET_CHOICES_MAX
from fleet.storage.database import Connection
from fleet.storage.profile_versions import profiles


class Choice(msgspec.Struct, frozen=True):
    """devices: how many have it; of departments and installers, how many sites."""

    value: str
    label_fr: str
    label_en: str
    devices: int


class TargetChoices(msgspec.Struct, frozen=True):
    """At most TARGET_CHOICES_MAX of each."""

    profiles: list[Choice]
    models: list[Choice]
    firmwares: list[Choice]
    departments: list[Choice]
    installers: list[Choice]
    tags: list[Choice]


_OF_SITES: Final = """
SELECT department, department, count(*) FROM registry.site
WHERE department IS NOT NULL GROUP BY 1 ORDER BY 1 LIMIT $1
"""
_INSTALLERS: Final = """
SELECT o.id, o.name, count(*) FROM registry.site s JOIN accounts.organisation o ON o.id = s.installer_organisation_id
GROUP BY 1, 2 ORDER BY 3 DESC, 2 LIMIT $1
"""
_TAGS: Final = "SELECT tag, tag, count(*) FROM registry.device_tag GROUP BY 1 ORDER BY 3 DESC, 1 LIMIT $1"


async def choices(connection: Connection) -> TargetChoices:
    in_use = sorted((row for row in await profiles(connection) if row.devices), key=lambda row: -row.devices)
    return TargetChoices(
        profiles=[
            Choice(row.id, row.definition.label_fr, row.definition.label_en, row.devices)
            for row in in_use[:TARGET_CHOICES_MAX]
        ],
        models=await _said(connection, "model"),
        firmwares=await _said(connection, "firmware"),
        departments=await _listed(connection, _OF_SITES),
        installers=await _listed(connection, _INSTALLERS),
        tags=await _listed(connection, _TAGS),
    )


async def _said(connection: Connection, key: str) -> list[Choice]:
    """What devices say of themselves in their state."""
    rows = await connection.fetch(
        "SELECT info ->> $1, count(*) FROM telemetry.device_latest WHERE info ->> $1 <> ''"
        " GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT $2",
        key,
        TARGET_CHOICES_MAX,
    )
    return [Choice(value, value, value, devices) for value, devices in rows]


async def _listed(connection: Connection, statement: str) -> list[Choice]:
    rows = await connection.fetch(statement, TARGET_CHOICES_MAX)
    return [Choice(value, label, label, number) for value, label, number in rows]

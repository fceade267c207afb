"""What devices can be asked for by: the profiles, models, places and tags that there are, the most frequent first."""

from typing import Final

import msgspec

from fleet.limits import TARGET_CHOICES_MAX
from fleet.storage.database import Connection


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


_PROFILES: Final = """
SELECT p.id, p.definition ->> 'label_fr', p.definition ->> 'label_en', d.devices
FROM (SELECT profile_id, count(*)::int AS devices FROM registry.device WHERE retired_at IS NULL GROUP BY 1) d
JOIN registry.profile p ON p.id = d.profile_id ORDER BY d.devices DESC, p.id LIMIT $1
"""
# What devices say of themselves in their state; one look at them for both.
_SAID: Final = """
SELECT model, firmware, devices FROM (
    SELECT info ->> 'model' AS model, info ->> 'firmware' AS firmware, count(*)::int AS devices
    FROM telemetry.device_latest GROUP BY GROUPING SETS ((1), (2))
) s WHERE coalesce(model, firmware, '') <> '' ORDER BY devices DESC, model, firmware
"""
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
    profiles = await connection.fetch(_PROFILES, TARGET_CHOICES_MAX)
    said = await connection.fetch(_SAID)
    return TargetChoices(
        profiles=[Choice(*row.values()) for row in profiles],
        models=[_said(row["model"], row["devices"]) for row in said if row["model"]][:TARGET_CHOICES_MAX],
        firmwares=[_said(row["firmware"], row["devices"]) for row in said if row["firmware"]][:TARGET_CHOICES_MAX],
        departments=await _listed(connection, _OF_SITES),
        installers=await _listed(connection, _INSTALLERS),
        tags=await _listed(connection, _TAGS),
    )


def _said(value: str, devices: int) -> Choice:
    return Choice(value, value, value, devices)


async def _listed(connection: Connection, statement: str) -> list[Choice]:
    rows = await connection.fetch(statement, TARGET_CHOICES_MAX)
    return [Choice(value, label, label, number) for value, label, number in rows]

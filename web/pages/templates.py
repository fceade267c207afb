"""Templates for operations: what devices of a profile run by default, and what each group's rollouts have made of it."""

from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from fleet.configuration import settings_of
from fleet.device_setting import Setting
from fleet.order_messages import ConfigValue
from fleet.storage import groups, profile_versions, targets
from fleet.storage.database import Connection
from fleet.storage.groups import GroupRow
from fleet.storage.profile_versions import ProfileRow
from web.pages.rendering import page
from web.visits import Visit, operators

Chosen = Annotated[str | None, QueryParameter(name="profile", max_length=40)]


class GroupColumn(msgspec.Struct, frozen=True):
    """devices: how many of the profile the group means now."""

    group: GroupRow
    devices: int


class TemplateLine(msgspec.Struct, frozen=True):
    """values: of each group in turn; None where it leaves the profile's."""

    setting: Setting
    default: ConfigValue | None
    values: list[ConfigValue | None]


@get("/ops/templates", guards=[operators], include_in_schema=False)
async def templates_page(
    request: Request[Any, Any, Any], visit: NamedDependency[Visit], chosen: Chosen = None
) -> Response[str]:
    """Of the profile that most devices have, unless one is chosen."""
    async with visit.enter() as connection:
        rows = [row for row in await profile_versions.profiles(connection) if settings_of(row.definition)]
        rows.sort(key=lambda row: -row.devices)
        row = next((each for each in rows if each.id == chosen), rows[0] if rows else None)
        columns = await _columns(connection, row) if row is not None else []
    return page(
        request,
        "templates.html",
        person=visit.person,
        profiles=[each for each in rows if each.devices or each is row],
        row=row,
        columns=columns,
        lines=_lines(row, columns) if row is not None else [],
    )


async def _columns(connection: Connection, row: ProfileRow) -> list[GroupColumn]:
    """The groups whose template bears upon devices of this profile."""
    keys = {setting.key for setting in settings_of(row.definition)}
    found = []
    for group in await groups.groups(connection):
        if not keys.intersection(group.values) or (group.query.profiles and row.id not in group.query.profiles):
            continue
        of_profile = msgspec.structs.replace(group.query, profiles=(row.id,))
        devices = await targets.count(connection, of_profile)
        if devices:
            found.append(GroupColumn(group, devices))
    return found


def _lines(row: ProfileRow, columns: list[GroupColumn]) -> list[TemplateLine]:
    return [
        TemplateLine(setting, setting.default, [column.group.values.get(setting.key) for column in columns])
        for setting in settings_of(row.definition)
    ]

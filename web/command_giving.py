"""Giving commands to a device and taking them back: what the API and the pages' forms both do."""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Annotated, Any, Final

import msgspec

from fleet import command_catalog, commands
from fleet.command_catalog import CommandSpec, commands_of
from fleet.errors import Conflict, NotFound
from fleet.ids import DeviceId, SiteId
from fleet.limits import COMMAND_EXPIRES_MAX_S, COMMAND_EXPIRES_MIN_S, COMMAND_EXPIRES_S
from fleet.orders import CommandWish
from fleet.storage import audit, registry
from fleet.storage import commands as stored
from fleet.storage.commands import Addressee, CommandRow
from fleet.storage.database import Connection
from fleet.telemetry import UnixMs
from web.errors import Elsewhere, Forbidden
from web.services import Services
from web.visits import MAKERS, Visit

OPERATORS: Final = ("ops", "admin")

CommandName = Annotated[str, msgspec.Meta(min_length=1, max_length=40)]
ExpiresIn = Annotated[float, msgspec.Meta(ge=COMMAND_EXPIRES_MIN_S, le=COMMAND_EXPIRES_MAX_S)]


class NewCommand(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """expires_in_s: the device does not begin it after that. args: those left out have their defaults."""

    name: CommandName
    args: dict[str, Any] = {}
    expires_in_s: ExpiresIn = COMMAND_EXPIRES_S


def new_id(now: UnixMs) -> str:
    """Of a command or a bulk command; sorts by time."""
    return f"{now:012x}{secrets.token_hex(6)}"


def parse_command(text: str) -> str:
    """Raises NotFound: what cannot be an id names no command."""
    if not (text.isascii() and text.replace("-", "").isalnum() and len(text) <= 40):
        raise NotFound("unknown_command_id", "no such command")
    return text


async def give(
    services: Services,
    visit: Visit,
    device: DeviceId,
    new: NewCommand,
    key: str | None,
    address: str,
    follow: Callable[[str], Awaitable[CommandRow]] | None = None,
) -> CommandRow:
    """Stored when this returns, and sent if the device is there. The same key with the same command is that command again.

    follow: looks at the command, or waits for its end, while the audit is written.
    Raises NotFound (unknown_device), Forbidden (not_allowed), BadInput (behind_gateway, unknown_command), RefusedValues
    (bad_args), Conflict (device_revoked, key_reused, too_many_open_commands), Unavailable.
    """
    now = time.time_ns() // 1_000_000
    async with visit.enter() as connection:
        addressee = await stored.addressee(connection, device)
        keeps = await may_give_something(connection, visit, addressee.site)
        if not keeps:
            raise Forbidden("not_allowed", "commands are given by operations, and some by the installer who keeps the site")
        must_hear(addressee)
        spec, args = command_catalog.checked(addressee.profile, new.name, new.args)
        _must_be_allowed(visit, spec)
    wish = CommandWish(
        new_id(now),
        addressee.site,
        device,
        spec.name,
        dict(args),
        expires_at=now + round(new.expires_in_s * 1000),
        run_s=spec.run_s,
        person_id=visit.person.id,
        idempotency_key=key,
    )
    (answer,) = await services.door.twins().issue_commands([wish])
    if answer.problem is not None:
        raise answer.problem.error()
    detail = {"site": addressee.site, "device": device, "name": spec.name, "args": args}
    noting = _nothing() if answer.repeated else _note(visit, "command.give", answer.id, detail, address)
    row, _ = await asyncio.gather((follow or partial(look_at, visit))(answer.id), noting)  # the device is at it already
    return row


async def cancel(services: Services, visit: Visit, command_id: str, address: str) -> CommandRow:
    """Only while nothing was sent: the device may have begun otherwise. Whoever may give it may take it back.

    Raises NotFound (unknown_command_id), Forbidden (not_allowed), Conflict (illegal_move), Unavailable.
    """
    async with visit.enter() as connection:
        row = await stored.command(connection, command_id)
        await _must_be_givers(connection, visit, row)
    commands.move(row.state, "cancel")  # what is stored has happened; what the shard knows beyond that, it says itself
    try:
        await services.door.twins().cancel_command(row.site, row.device, row.id, visit.person.id)
    except NotFound:
        raise Conflict("illegal_move", "the command has ended already") from None
    async with visit.enter() as connection:
        detail = {"site": row.site, "device": row.device, "name": row.name}
        await _audit(connection, visit, "command.cancel", row.id, detail, address)
        return await stored.command(connection, row.id)


async def may_give_something(connection: Connection, visit: Visit, site: SiteId) -> bool:
    """Operations any command; the installer's people who keep the site those that are for keepers."""
    role = visit.person.role
    return role in OPERATORS or (role in MAKERS and await registry.keeps(connection, site))


def may_give(visit: Visit, spec: CommandSpec) -> bool:
    """Of those who may give something at all."""
    return spec.keepers or visit.person.role in OPERATORS


def must_hear(addressee: Addressee) -> None:
    """Raises BadInput (behind_gateway), Conflict (device_revoked)."""
    if addressee.gateway is not None:
        raise Elsewhere(
            "behind_gateway", f"this device does not listen itself: tell its gateway, {addressee.gateway}", addressee.gateway
        )
    if addressee.revoked:
        raise Conflict("device_revoked", "this device was revoked: nothing reaches it")


def spec_of(addressee: Addressee, name: str) -> CommandSpec | None:
    return next((spec for spec in commands_of(addressee.profile) if spec.name == name), None)


def _must_be_allowed(visit: Visit, spec: CommandSpec) -> None:
    if not may_give(visit, spec):
        raise Forbidden("not_allowed", f"{spec.name} is for operations; your role is {visit.person.role}")


async def _must_be_givers(connection: Connection, visit: Visit, row: CommandRow) -> None:
    spec = command_catalog.CATALOG.get(row.name)
    keeper = spec is not None and spec.keepers and await may_give_something(connection, visit, row.site)
    if not (keeper or visit.person.role in OPERATORS):
        raise Forbidden("not_allowed", "a command is taken back by those who may give it")


async def look_at(visit: Visit, command_id: str) -> CommandRow:
    """Raises NotFound (unknown_command_id)."""
    async with visit.enter() as connection:
        return await stored.command(connection, command_id)


async def _note(visit: Visit, action: str, subject: str, detail: Mapping[str, Any], address: str) -> None:
    async with visit.enter() as connection:
        await _audit(connection, visit, action, subject, detail, address)


async def _nothing() -> None:
    """In place of a note."""


async def _audit(
    connection: Connection, visit: Visit, action: str, subject: str, detail: Mapping[str, Any], address: str
) -> None:
    await audit.record(connection, action, person_id=visit.person.id, subject=subject, detail=dict(detail), address=address)

"""Changing a device's configuration: values of its own, back to an earlier version, accepting or overwriting a drift."""

import time
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, Router, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from fleet.config_diff import ValueChange, preview
from fleet.config_wishes import plan
from fleet.configuration import Change, ChangeKind, ConfigState, Origin, Values
from fleet.errors import Conflict
from fleet.ids import DeviceId
from fleet.order_messages import ConfigValue
from fleet.orders import ConfigAnswer, ConfigWish
from fleet.storage import audit, configs, notices, orders, registry
from fleet.storage.configs import DeviceConfig
from fleet.storage.database import Connection
from fleet.storage.registry import DeviceRow
from fleet.telemetry import UnixMs
from web.config_views import ConfigView, OriginView, config_view, current, origin_view
from web.device_ids import parse_device
from web.errors import Elsewhere, FieldError, Stale
from web.if_match import IfMatch, etag, seen_version
from web.language import language_of
from web.new_sites import LINE
from web.services import Services
from web.setting_texts import setting_message
from web.visits import Visit, client_address

WHY_CHARS_MAX = 300
_LOOKS = 5  # for what somebody else's change, that came first, has made
_LOOK_AGAIN_S = 0.2  # unless the shard says so earlier
Why = Annotated[str, msgspec.Meta(max_length=WHY_CHARS_MAX, pattern=LINE)]
_STALE = frozenset(("stale_version", "stale_report"))
_ACTIONS: dict[ChangeKind, str] = {"set": "config.change"}


class NewValues(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """values: the device's own, all of them. One that equals what it would inherit is inherited."""

    values: Values
    why: Why = ""


class Proposed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    values: Values


class Return(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: Annotated[int, msgspec.Meta(ge=1, lt=2**53)]
    why: Why = ""


class Acceptance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """reported_at: the `reported.at` of the values that were seen."""

    reported_at: Annotated[UnixMs, msgspec.Meta(ge=0, lt=2**53)]
    why: Why = ""


class Reason(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    why: Why = ""


class ProposedChange(msgspec.Struct, frozen=True):
    """One value that would change, or whose origin would. reported: what the device runs now."""

    key: str
    before: ConfigValue | None
    after: ConfigValue | None
    reported: ConfigValue | None
    origin_before: OriginView | None
    origin_after: OriginView | None


def proposed(state: ConfigState, changes: list[ValueChange]) -> list[ProposedChange]:
    def told(origin: Origin | None) -> OriginView | None:
        return None if origin is None else origin_view(origin, state)

    return [
        ProposedChange(each.key, each.before, each.after, each.reported, told(each.origin_before), told(each.origin_after))
        for each in changes
    ]


class Preview(msgspec.Struct, frozen=True):
    """version: the one that the values were compared with. problems: why they would be refused."""

    version: int
    changes: list[ProposedChange]
    problems: list[FieldError]


def must_listen(row: DeviceRow) -> None:
    """Raises Elsewhere (behind_gateway), Conflict (device_revoked)."""
    if row.gateway is not None:
        raise Elsewhere("behind_gateway", f"{row.id} does not listen itself: turn to its gateway {row.gateway}", row.gateway)
    if row.revoked_at is not None:
        raise Conflict("device_revoked", f"{row.id} is shut out: it is not told anything any more")


async def change_config(
    services: Services, visit: Visit, device: str, if_match: str | None, change: Change, address: str
) -> tuple[DeviceConfig, ConfigAnswer]:
    """Stored, and on its way if the device is there, when this returns. change: without who wishes it and what they saw.

    Raises NotFound (unknown_device), Forbidden (not_allowed), BadInput (version_needed), Elsewhere (behind_gateway),
    Conflict (device_revoked, not_drifted, unknown_version), Stale (stale_version, stale_report), RefusedValues (bad_config),
    Unavailable.
    """
    async with visit.enter() as connection:
        row = await registry.device(connection, parse_device(device))
        visit.must_be("ops", "admin")
        must_listen(row)
        wish = msgspec.structs.replace(change, expected=seen_version(if_match), person_id=visit.person.id)
        await _check(connection, wish, await configs.config_of(connection, row.id))
    (answer,) = await services.door.twins().change_configs([ConfigWish(row.site, row.id, wish)])
    if answer.problem is not None:
        if answer.problem.code not in _STALE:
            raise answer.problem.error()
        found = await _stored(services, visit, row.id, wish, answer.problem.version or 0)
        raise _stale(answer.problem.code, found, wish)
    async with visit.enter() as connection:
        after = await configs.config_of(connection, row.id)
        if answer.changed:
            await audit.record(
                connection,
                _ACTIONS.get(change.kind, f"config.{change.kind}"),
                person_id=visit.person.id,
                subject=row.id,
                detail={"site": row.site, "version": answer.version, "why": change.why},
                address=address,
            )
    return after, answer


async def _check(connection: Connection, wish: Change, found: DeviceConfig) -> None:
    """What the twin would refuse is refused without asking it."""
    code = _staleness(found, wish)
    if code is not None:
        raise _stale(code, found, wish)
    earlier = None
    if wish.version is not None:
        earlier = await orders.change(connection, found.site, found.device, wish.version)
    plan(found.state, wish, found.settings, earlier, time.time_ns() // 1_000_000)


async def _stored(services: Services, visit: Visit, device: DeviceId, wish: Change, version: int) -> DeviceConfig:
    """With what makes the wish stale, at this version or a newer one. A shard refuses by what it holds, a moment before that
    is stored.
    """
    with services.news.watch(notices.ORDER, device) as bell:
        for _ in range(_LOOKS):
            async with visit.enter() as connection:
                found = await configs.config_of(connection, device)
            if found.state.version >= version and _staleness(found, wish) is not None:
                break
            await bell.heard(_LOOK_AGAIN_S, settle_s=0.0)
    return found


def _staleness(found: DeviceConfig, wish: Change) -> str | None:
    """A code for what is newer than whoever wishes has seen."""
    said = found.state.reported
    if wish.expected != found.state.version:
        return "stale_version"
    return "stale_report" if said is not None and wish.reported_at not in (None, said.at) else None


def _stale(code: str, found: DeviceConfig, wish: Change) -> Stale:
    if code == "stale_report":
        detail = "the device has reported other values since: look at them, then accept those"
    else:
        detail = f"the configuration is at version {found.state.version}, not {wish.expected}: look at it, then try again"
    return Stale(code, detail, found.state.version, current(found))


async def preview_config(visit: Visit, device: str, values: Values, request: Request[Any, Any, Any]) -> Preview:
    """Raises NotFound (unknown_device), Forbidden (not_allowed), Elsewhere (behind_gateway), Conflict (device_revoked)."""
    async with visit.enter() as connection:
        row = await registry.device(connection, parse_device(device))
        visit.must_be("ops", "admin")
        must_listen(row)
        found = await configs.config_of(connection, row.id)
    changes, problems = preview(found.state, found.settings, values)
    language = language_of(request)
    return Preview(
        found.state.version,
        proposed(found.state, changes),
        [FieldError(each.key, setting_message(each, language)) for each in problems],
    )


@put("/devices/{device:str}/config", operation_id="changeConfig", summary="What a device shall run")
async def put_config(
    device: FromPath[str],
    data: JSONBody[NewValues],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
    if_match: IfMatch = None,
) -> Response[ConfigView]:
    """For operations. Putting back what was read changes nothing. A device that is away gets it when it returns."""
    change = Change("set", data.why, own=data.values)
    return await _changed(services, visit, device, if_match, change, request)


@post(
    "/devices/{device:str}/config/return",
    status_code=200,
    operation_id="returnConfig",
    summary="Back to what an earlier version was",
)
async def return_config(
    device: FromPath[str],
    data: JSONBody[Return],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
    if_match: IfMatch = None,
) -> Response[ConfigView]:
    """A new version with the earlier one's values; the history only grows."""
    change = Change("return", data.why, version=data.version)
    return await _changed(services, visit, device, if_match, change, request)


@post(
    "/devices/{device:str}/config/accept-drift",
    status_code=200,
    operation_id="acceptDrift",
    summary="Wish what the device runs",
)
async def accept_drift(
    device: FromPath[str],
    data: JSONBody[Acceptance],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
    if_match: IfMatch = None,
) -> Response[ConfigView]:
    """What it has reported last is accepted only if that is what was seen."""
    change = Change("accept_drift", data.why, reported_at=data.reported_at)
    return await _changed(services, visit, device, if_match, change, request)


@post(
    "/devices/{device:str}/config/overwrite",
    status_code=200,
    operation_id="overwriteDrift",
    summary="Send what is wished once more, as a new version",
)
async def overwrite_drift(
    device: FromPath[str],
    data: JSONBody[Reason],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
    if_match: IfMatch = None,
) -> Response[ConfigView]:
    """Of a device that drifted, or that refused it."""
    return await _changed(services, visit, device, if_match, Change("overwrite", data.why), request)


@post(
    "/devices/{device:str}/config/preview",
    status_code=200,
    operation_id="previewConfig",
    summary="What a change would change; nothing is stored or sent",
)
async def post_preview(
    device: FromPath[str],
    data: JSONBody[Proposed],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
) -> Preview:
    return await preview_config(visit, device, data.values, request)


async def _changed(
    services: Services,
    visit: Visit,
    device: str,
    if_match: str | None,
    change: Change,
    request: Request[Any, Any, Any],
) -> Response[ConfigView]:
    found, _ = await change_config(services, visit, device, if_match, change, client_address(request))
    return Response(config_view(found), headers=etag(found.state.version))


router = Router(
    "/", route_handlers=[put_config, return_config, accept_drift, overwrite_drift, post_preview], tags=["configuration"]
)

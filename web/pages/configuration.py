"""A device's configuration: how it stands, the form of its settings, what would change before it is sent, its history."""

from typing import Annotated, Any, Final

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter
from litestar.response import Redirect

from fleet.config_diff import preview
from fleet.configuration import Change, Values
from fleet.device_setting import RefusedValues, SettingProblem
from fleet.errors import BadInput, FleetError
from fleet.storage import configs, receipt_lists, registry
from fleet.storage.configs import DeviceConfig
from fleet.storage.receipt_lists import ReceiptRow
from fleet.storage.registry import DeviceRow, SiteRow
from web.config_changes import WHY_CHARS_MAX, ProposedChange, change_config, proposed
from web.config_views import ChangeView, ConfigView, change_view, config_view
from web.device_ids import parse_device
from web.errors import Problem, Stale, problem_of
from web.language import language_of
from web.pages.config_form import Typed, fields_of_settings, own_of, typed_in, typed_of
from web.pages.forms import Errors, Fields, fields_of
from web.pages.rendering import now_ms, page
from web.services import Services
from web.visits import Visit, client_address

_HISTORY: Final = 8  # versions on one page
_RECEIPTS: Final = 6  # lines of the journal beneath; all of them have a page of their own


class ConfigPage(msgspec.Struct, frozen=True):
    """may_change: operations, while the device listens. before, older: the versions between which the history is shown."""

    site: SiteRow
    device: DeviceRow
    gateway: DeviceRow | None
    found: DeviceConfig
    view: ConfigView
    history: list[ChangeView]
    before: int | None
    older: int | None
    receipts: list[ReceiptRow]
    may_change: bool

    @property
    def labels(self) -> dict[str, Any]:
        """Settings by key."""
        return {setting.key: setting for setting in self.view.settings}


class Draft(msgspec.Struct, frozen=True):
    """What was typed, and what is wrong with it; typed None: the form as it stands."""

    typed: Typed | None = None
    why: str = ""
    errors: Errors = {}
    problems: tuple[SettingProblem, ...] = ()
    refusal: Problem | None = None
    unchanged: bool = False


Before = Annotated[int | None, QueryParameter(name="before", ge=1, lt=2**53)]
SentVersion = Annotated[int | None, QueryParameter(name="sent", ge=0, lt=2**53)]


@get("/devices/{device:str}/configuration", include_in_schema=False)
async def configuration_page(
    device: FromPath[str],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    before: Before = None,
    sent: SentVersion = None,
) -> Response[str]:
    shown = await _shown(visit, device, before)
    return _page(request, visit, shown, Draft(), sent=sent is not None and sent == shown.view.desired.version)


@post("/devices/{device:str}/configuration/review", include_in_schema=False)
async def review_configuration(
    device: FromPath[str], request: Request[Any, Any, Any], visit: NamedDependency[Visit]
) -> Response[str]:
    """The step between the form and the device; stores nothing. With `edit` the form again, as it was."""
    fields = await fields_of(request)
    shown = await _shown(visit, device)
    visit.must_be("ops", "admin")
    if "edit" in fields:
        return _page(request, visit, shown, Draft(typed_of(_own_in(fields), shown.view), _why_in(fields)))
    typed = typed_in(fields, shown.view)
    own, errors = own_of(typed, shown.view)
    changes, problems = preview(shown.found.state, shown.view.settings, own)
    draft = Draft(typed, _why_in(fields), errors, tuple(problems), unchanged=not changes)
    if errors or problems or not changes:
        return _page(request, visit, shown, draft)
    return _review(request, visit, shown, proposed(shown.found.state, changes), own, _why_in(fields))


@post("/devices/{device:str}/configuration", include_in_schema=False)
async def send_configuration(
    device: FromPath[str],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
) -> Response[Any]:
    fields = await fields_of(request)
    own, why = _own_in(fields), _why_in(fields)
    try:
        change = Change("set", why, own=own)
        _, answer = await change_config(services, visit, device, fields.get("seen"), change, client_address(request))
    except FleetError as error:
        shown = await _shown(visit, device)
        return _refused(request, visit, shown, error, Draft(typed_of(own, shown.view), why))
    return Redirect(f"/devices/{device}/configuration?sent={answer.version}", status_code=303)


@post("/devices/{device:str}/configuration/{action:str}", include_in_schema=False)
async def settle_configuration(
    device: FromPath[str],
    action: FromPath[str],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
) -> Response[Any]:
    """One press: back to an earlier version, take over what was changed on site, or send over it."""
    fields = await fields_of(request)
    shown = await _shown(visit, device)
    try:
        change = _settling(action, fields)
        _, answer = await change_config(services, visit, device, fields.get("seen"), change, client_address(request))
    except FleetError as error:
        return _refused(request, visit, await _shown(visit, shown.device.id), error, Draft())
    return Redirect(f"/devices/{shown.device.id}/configuration?sent={answer.version}", status_code=303)


def _settling(action: str, fields: Fields) -> Change:
    """Raises BadInput (invalid_request)."""
    why = _why_in(fields)
    match action:
        case "return":
            return Change("return", why, version=_number_in(fields, "version"))
        case "accept":
            return Change("accept_drift", why, reported_at=_number_in(fields, "reported_at"))
        case "overwrite":
            return Change("overwrite", why)
        case _:
            raise BadInput("invalid_request", f"nothing is called {action[:40]!r} here")


def _number_in(fields: Fields, name: str) -> int:
    """Raises BadInput (invalid_request)."""
    text = fields.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise BadInput("invalid_request", f"the form does not say which {name} is meant")
    return int(text)


def _own_in(fields: Fields) -> Values:
    """As the review page holds them. Raises BadInput (invalid_request)."""
    try:
        return msgspec.json.decode(fields.get("own", ""), type=Values)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise BadInput("invalid_request", f"the form does not hold the values: {error}") from None


def _why_in(fields: Fields) -> str:
    return " ".join(fields.get("why", "").split())[:WHY_CHARS_MAX]


async def _shown(visit: Visit, device: str, before: int | None = None) -> ConfigPage:
    """Raises NotFound (unknown_device)."""
    async with visit.enter() as connection:
        row = await registry.device(connection, parse_device(device))
        site = await registry.site(connection, row.site)
        gateway = await registry.device(connection, row.gateway) if row.gateway else None
        found = await configs.config_of(connection, row.id)
        rows = await configs.history(connection, row.site, row.id, before=before, limit=_HISTORY + 1)
        receipts = await receipt_lists.receipts_of(connection, row.site, row.id, about="config", after=None, limit=_RECEIPTS)
    listens = row.gateway is None and row.revoked_at is None
    return ConfigPage(
        site=site,
        device=row,
        gateway=gateway,
        found=found,
        view=config_view(found),
        history=[change_view(each, found.settings) for each in rows[:_HISTORY]],
        before=before,
        older=rows[_HISTORY - 1].desired.version if len(rows) > _HISTORY else None,
        receipts=receipts,
        may_change=visit.person.role in ("ops", "admin") and listens,
    )


def _refused(
    request: Request[Any, Any, Any], visit: Visit, shown: ConfigPage, error: FleetError, draft: Draft
) -> Response[str]:
    """The page as it is now, with what was typed. What nobody can do anything about on it is a page of its own."""
    if not shown.may_change and not isinstance(error, Stale | RefusedValues):
        raise error
    refusal = problem_of(error, language_of(request))
    problems = error.problems if isinstance(error, RefusedValues) else ()
    return _page(request, visit, shown, msgspec.structs.replace(draft, refusal=refusal, problems=problems))


def _page(
    request: Request[Any, Any, Any], visit: Visit, shown: ConfigPage, draft: Draft, *, sent: bool = False
) -> Response[str]:
    language = language_of(request)
    wrong = bool(draft.errors or draft.problems)
    return page(
        request,
        "configuration.html",
        person=visit.person,
        status=draft.refusal.status if draft.refusal else 422 if wrong else 200,
        shown=shown,
        draft=draft,
        wrong=wrong,
        fields=fields_of_settings(shown.view, draft.typed, draft.errors, draft.problems, language),
        sent=sent,
        now=now_ms(),
    )


def _review(
    request: Request[Any, Any, Any], visit: Visit, shown: ConfigPage, changes: list[ProposedChange], own: Values, why: str
) -> Response[str]:
    return page(
        request,
        "configuration_review.html",
        person=visit.person,
        shown=shown,
        changes=changes,
        own=msgspec.json.encode(own).decode(),
        why=why,
        why_chars_max=WHY_CHARS_MAX,
        now=now_ms(),
    )

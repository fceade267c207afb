"""Device profiles for operations: what there is, a new version with its reason, and every version that there was."""

import json
from typing import Annotated, Any, Final

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter
from litestar.response import Redirect

from fleet.codecs.registry import CODECS
from fleet.device_setting import Setting
from fleet.errors import BadInput, FleetError
from fleet.limits import SETTING_KEY_CHARS_MAX
from fleet.profiles import DeviceProfile
from fleet.storage import profile_versions
from fleet.storage.profile_versions import ProfileRow, ProfileVersion
from web.errors import Problem, problem_of
from web.language import language_of
from web.pages.forms import Fields, fields_of, number
from web.pages.operations import ZONE
from web.pages.profile_choice import label_of
from web.pages.rendering import now_ms, page
from web.profiles import change_profile, make_profile
from web.services import Services
from web.visits import Visit, client_address, operators

KINDS: Final = ("inverter", "meter", "battery", "sensor", "gateway")
_EMPTY: Final = DeviceProfile(
    id="", kind="inverter", label_fr="", label_en="", channels=(), site_registers=(), interval_s=10
)


class ProfileFields(msgspec.Struct, frozen=True):
    """As typed; lists one entry per line, the settings and the configuration as JSON."""

    id: str
    kind: str
    label_fr: str
    label_en: str
    channels: str
    site_registers: str
    interval_s: str
    counter_step_wh: str
    codec: str
    commands: str
    settings: str
    default_config: str
    sleeps_at_night: bool
    note: str = ""


@get("/profiles", guards=[operators], include_in_schema=False)
async def profiles_page(request: Request[Any, Any, Any], visit: NamedDependency[Visit]) -> Response[str]:
    async with visit.enter() as connection:
        rows = await profile_versions.profiles(connection)
    rows.sort(key=lambda row: (KINDS.index(row.definition.kind), label_of(row.definition, visit.person.locale).casefold()))
    return page(request, "profiles.html", person=visit.person, rows=rows, now=now_ms(), zone=ZONE)


From = Annotated[str | None, QueryParameter(name="from", max_length=32)]


@get("/profiles/new", guards=[operators], include_in_schema=False)
async def new_profile_page(
    request: Request[Any, Any, Any], visit: NamedDependency[Visit], template: From = None
) -> Response[str]:
    """template: the profile to begin from."""
    definition = _EMPTY
    async with visit.enter() as connection:
        if template:
            found = await profile_versions.profile(connection, template)
            definition = msgspec.structs.replace(found.definition, id="")
    return _page(request, visit, typed_of(definition), None, [], None)


@post("/profiles/new", guards=[operators], include_in_schema=False)
async def add_profile(
    request: Request[Any, Any, Any], visit: NamedDependency[Visit], services: NamedDependency[Services]
) -> Response[Any]:
    typed = fields_to_typed(await fields_of(request))
    try:
        made = await make_profile(services, visit, definition_of(typed), typed.note, client_address(request))
    except FleetError as error:
        async with visit.enter():
            pass
        return _page(request, visit, typed, None, [], _refusal(error, request))
    return Redirect(f"/profiles/{made.id}", status_code=303)


@get("/profiles/{profile:str}", guards=[operators], include_in_schema=False)
async def profile_page(
    profile: FromPath[str], request: Request[Any, Any, Any], visit: NamedDependency[Visit]
) -> Response[str]:
    row, versions = await _found(visit, profile)
    return _page(request, visit, typed_of(row.definition), row, versions, None)


@post("/profiles/{profile:str}", guards=[operators], include_in_schema=False)
async def edit_profile(
    profile: FromPath[str],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
) -> Response[Any]:
    fields = await fields_of(request)
    typed = msgspec.structs.replace(fields_to_typed(fields), id=profile)
    version = fields.get("version", "")
    try:
        if not (version.isascii() and version.isdigit() and len(version) < 10):
            raise BadInput("version_needed", "the form does not say which version it began from")
        made = await change_profile(services, visit, definition_of(typed), int(version), typed.note, client_address(request))
    except FleetError as error:
        row, versions = await _found(visit, profile)
        return _page(request, visit, typed, row, versions, _refusal(error, request))
    return Redirect(f"/profiles/{made.id}", status_code=303)


async def _found(visit: Visit, profile: str) -> tuple[ProfileRow, list[ProfileVersion]]:
    async with visit.enter() as connection:
        row = await profile_versions.profile(connection, profile[:40].replace("\0", ""))
        return row, await profile_versions.versions(connection, row.id)


def typed_of(definition: DeviceProfile) -> ProfileFields:
    return ProfileFields(
        id=definition.id,
        kind=definition.kind,
        label_fr=definition.label_fr,
        label_en=definition.label_en,
        channels="\n".join(definition.channels),
        site_registers="\n".join(definition.site_registers),
        interval_s=f"{definition.interval_s:g}",
        counter_step_wh=f"{definition.counter_step_wh:g}",
        codec=definition.codec or "",
        commands="\n".join(definition.commands),
        settings=_spelt(definition.settings),
        default_config=_spelt(definition.default_config),
        sleeps_at_night=definition.sleeps_at_night,
    )


def fields_to_typed(fields: Fields) -> ProfileFields:
    texts = {name: fields.get(name, "") for name in ProfileFields.__struct_fields__ if name != "sleeps_at_night"}
    return ProfileFields(**texts, sleeps_at_night="sleeps_at_night" in fields)


def definition_of(typed: ProfileFields) -> DeviceProfile:
    """Raises BadInput (bad_profile, unknown_measure)."""
    try:
        return msgspec.convert(
            {
                "id": typed.id,
                "kind": typed.kind,
                "label_fr": typed.label_fr,
                "label_en": typed.label_en,
                "channels": typed.channels.split(),
                "site_registers": typed.site_registers.split(),
                "interval_s": number(typed.interval_s),
                "counter_step_wh": number(typed.counter_step_wh),
                "sleeps_at_night": typed.sleeps_at_night,
                "codec": typed.codec or None,
                "commands": typed.commands.split(),
                "settings": _settings(typed.settings),
                "default_config": _decoded("default_config", typed.default_config or "{}"),
            },
            DeviceProfile,
        )
    except msgspec.ValidationError as error:
        raise BadInput("bad_profile", str(error)) from None


def _settings(typed: str) -> tuple[Setting, ...]:
    """Raises BadInput (bad_profile) that names the setting."""
    listed = _decoded("settings", typed or "[]")
    if not isinstance(listed, list):
        raise BadInput("bad_profile", "settings: it is a list: [ … ]")
    settings = []
    for place, each in enumerate(listed, 1):
        name = str(each["key"])[:SETTING_KEY_CHARS_MAX] if isinstance(each, dict) and "key" in each else f"no. {place}"
        try:
            settings.append(msgspec.convert(each, Setting))
        except msgspec.ValidationError as error:
            raise BadInput("bad_profile", f"setting {name!r}: {error}") from None
    return tuple(settings)


def _decoded(name: str, typed: str) -> Any:
    """With the line of a mistake in it, which msgspec does not tell."""
    try:
        return json.loads(typed, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise BadInput("bad_profile", f"{name}: {error}") from None


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def _spelt(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def _refusal(error: FleetError, request: Request[Any, Any, Any]) -> Problem:
    """Which part of a definition is wrong is told as it stands there, in whatever language."""
    problem = problem_of(error, language_of(request))
    if error.code != "bad_profile" or error.detail in problem.detail:
        return problem
    return msgspec.structs.replace(problem, detail=f"{problem.detail} ({error.detail})")


def _page(
    request: Request[Any, Any, Any],
    visit: Visit,
    typed: ProfileFields,
    row: ProfileRow | None,
    versions: list[ProfileVersion],
    refusal: Problem | None,
) -> Response[str]:
    return page(
        request,
        "profile.html",
        person=visit.person,
        status=refusal.status if refusal else 200,
        typed=typed,
        row=row,
        versions=versions,
        refusal=refusal,
        kinds=KINDS,
        codecs=sorted(CODECS),
        now=now_ms(),
        zone=ZONE,
    )

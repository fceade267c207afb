"""A new rollout, step by step: for whom, which values, by which plan; then what it would do, and making it.

Every step's answers travel with the form, so that it works without scripts and nothing is kept on the way.
"""

from typing import Annotated, Any, Final, Literal, cast, get_args

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from litestar.response import Redirect

from fleet.configuration import Values
from fleet.device_setting import RefusedValues, Setting
from fleet.errors import BadInput, Conflict, FleetError
from fleet.rollouts.plan import RolloutPlan
from fleet.storage import groups, profile_versions
from fleet.storage.database import Connection
from fleet.storage.groups import GroupRow
from fleet.storage.profile_versions import ProfileRow
from fleet.targets import TargetQuery
from web.errors import Problem, problem_of
from web.groups import parse_group
from web.i18n import say
from web.language import Language, language_of
from web.pages import setting_form, setting_words
from web.pages.forms import Errors, fields_of
from web.pages.rendering import page
from web.pages.rollout_form import PLAN_FIELDS, PRESETS, Preset, fields_of_plan, plan_in, preset_of
from web.rollout_making import RolloutForm, make_rollout, new_rollout_id
from web.rollout_selection import Aim, Preview, aim, check_rollout_values, preview
from web.setting_texts import setting_message
from web.visits import Visit, client_address, operators

Step = Literal["target", "values", "plan", "check"]

STEPS: Final[tuple[Step, ...]] = get_args(Step)
USE: Final = "use."  # of a tick, before the key: this setting is part of the rollout
_TARGET_FIELDS: Final = ("group", "profile", "tags", "departments", "firmware_below")
_VALUES_SEEN: Final = "values_seen"
_LIST_CHARS_MAX: Final = 1_000


class Draft(msgspec.Struct, frozen=True):
    """What was typed so far, and what it comes to; None where it is not typed yet, or wrong.

    wrong: the first step with something wrong in it, with the words for that.
    """

    fields: dict[str, str]
    aimed: Aim | None = None
    values: Values | None = None
    plan: RolloutPlan | None = None
    wrong: Step | None = None
    errors: Errors = {}
    refusal: Problem | None = None


class NewRolloutPage(msgspec.Struct, frozen=True):
    """carried: the other steps' answers, as hidden fields. profiles: those that have settings."""

    step: Step
    draft: Draft
    groups: list[GroupRow]
    profiles: list[ProfileRow]
    settings: list[Setting]
    carried: list[tuple[str, str]]
    preset: Preset | None
    ahead: Preview | None

    @property
    def number(self) -> int:
        return STEPS.index(self.step) + 1

    @property
    def labels(self) -> dict[str, Setting]:
        return {setting.key: setting for setting in self.settings}


GroupQuery = Annotated[str, QueryParameter(name="group", max_length=40)]
ProfileQuery = Annotated[str, QueryParameter(name="profile", max_length=40)]


@get("/ops/rollouts/new", guards=[operators], include_in_schema=False)
async def new_rollout_page(
    request: Request[Any, Any, Any], visit: NamedDependency[Visit], group: GroupQuery = "", profile: ProfileQuery = ""
) -> Response[str]:
    fields = {"group": group, "profile": profile, "rollout_id": new_rollout_id()}
    async with visit.enter() as connection:
        visit.must_be("ops", "admin")
        shown = await _shown(connection, "target", Draft(fields), language_of(request))
    return _page(request, visit, shown)


@post("/ops/rollouts/new", guards=[operators], include_in_schema=False)
async def new_rollout(request: Request[Any, Any, Any], visit: NamedDependency[Visit]) -> Response[Any]:
    """`go` of the pressed button: a step, a ready-made plan, or make."""
    fields = await fields_of(request)
    go = fields.pop("go", "target")
    if go in PRESETS:
        kept = {name: text for name, text in fields.items() if name not in PLAN_FIELDS}
        fields = kept | fields_of_plan(PRESETS[cast("Preset", go)])
    step: Step = go if go in STEPS else "plan" if go in PRESETS else "check"
    refusal = None
    if go == "make":
        made = await _make(request, visit, fields)
        if not isinstance(made, Problem):
            return Redirect(f"/ops/rollouts/{made}", status_code=303)
        refusal = made
    async with visit.enter() as connection:
        visit.must_be("ops", "admin")
        language = language_of(request)
        draft = await _draft(connection, fields, step, language)
        if refusal is not None and draft.refusal is None:
            draft = msgspec.structs.replace(draft, refusal=refusal)
        shown = await _shown(connection, draft.wrong or step, draft, language)
    return _page(request, visit, shown)


async def _make(request: Request[Any, Any, Any], visit: Visit, fields: dict[str, str]) -> str | Problem | None:
    """Its id; or what is wrong, None when the step that it belongs to says so."""
    async with visit.enter() as connection:
        language = language_of(request)
        draft = await _draft(connection, fields, "check", language)
    if draft.wrong is not None or draft.aimed is None or draft.values is None or draft.plan is None:
        return draft.refusal or problem_of(BadInput("invalid_request", "a step is not finished"), language)
    asked = {
        "name": fields.get("name") or _name_of(draft, language),
        "why": fields.get("why", ""),
        "profile": draft.aimed.profile.id,
        "group": draft.aimed.group.id if draft.aimed.group is not None else None,
        "query": None if draft.aimed.group is not None else draft.aimed.query,
        "values": draft.values,
        "plan": draft.plan,
        "confirm_count": int(count) if (count := fields.get("confirm_count", "")).isdecimal() and len(count) < 9 else None,
    }
    try:
        form = msgspec.convert(asked, RolloutForm)
        return await make_rollout(visit, form, client_address(request), rollout_id=fields.get("rollout_id", ""))
    except msgspec.ValidationError as error:
        return problem_of(BadInput("invalid_request", str(error)), language)
    except FleetError as error:
        return problem_of(error, language)


async def _draft(connection: Connection, fields: dict[str, str], step: Step, language: Language) -> Draft:
    """Every step before this one is checked, up to the first with something wrong; the others are taken as they are."""
    draft = Draft(fields)
    steps_before = STEPS[: STEPS.index(step)]
    if "target" in steps_before:
        try:
            draft = msgspec.structs.replace(draft, aimed=await _aimed(connection, fields))
        except FleetError as error:
            return msgspec.structs.replace(draft, wrong="target", refusal=problem_of(error, language))
    if "values" in steps_before and draft.aimed is not None:
        draft = _with_values(draft, draft.aimed.settings, language)
    if "plan" in steps_before and draft.wrong is None:
        draft = _with_plan(draft, language)
    return draft


def _with_values(draft: Draft, settings: tuple[Setting, ...], language: Language) -> Draft:
    values = _values(draft.fields, settings)
    try:
        check_rollout_values(settings, values)
    except RefusedValues as error:
        labels = {setting.key: setting_words.label(setting, language) for setting in settings}
        errors = {each.key: setting_message(each, language, labels) for each in error.problems}
        return msgspec.structs.replace(draft, wrong="values", errors=errors)
    except FleetError as error:
        return msgspec.structs.replace(draft, wrong="values", refusal=problem_of(error, language))
    return msgspec.structs.replace(draft, values=values)


def _with_plan(draft: Draft, language: Language) -> Draft:
    plan, errors, said = plan_in(draft.fields)
    if plan is not None and draft.aimed is not None:
        aimed = draft.aimed.by(plan)
        if aimed.targets:
            return msgspec.structs.replace(draft, plan=plan, aimed=aimed)
        everyone = Conflict("drifted", "every device that is meant was changed on site")
        return msgspec.structs.replace(draft, wrong="plan", refusal=problem_of(everyone, language))
    refusal = problem_of(BadInput("bad_plan", said), language) if said else None
    told = {name: say(language, text) for name, text in errors.items()}
    return msgspec.structs.replace(draft, wrong="plan", errors=told, refusal=refusal)


async def _aimed(connection: Connection, fields: dict[str, str]) -> Aim:
    """Raises FleetError."""
    profile = fields.get("profile", "")
    if not profile:
        raise BadInput("no_profile", "choose the profile whose settings shall change")
    group = fields.get("group", "")
    query = None
    if not group:
        typed = {name: _list(fields.get(name, "")) for name in ("tags", "departments")}
        query = TargetQuery(
            profiles=(profile,),
            tags_any=typed["tags"],
            departments=typed["departments"],
            firmware_below=fields.get("firmware_below") or None,
        )
    found = await aim(connection, profile, parse_group(group) if group else None, query)
    if not found.targets:
        found.check_count(None)
    return found


def _values(fields: dict[str, str], settings: tuple[Setting, ...]) -> Values:
    typed = setting_form.values_in(fields, settings)
    return {key: value for key, value in typed.items() if fields.get(USE + key)}


async def _shown(connection: Connection, step: Step, draft: Draft, language: Language) -> NewRolloutPage:
    found = draft.aimed
    settings = [setting for setting in found.settings if not setting.read_only] if found is not None else []
    fields = dict(draft.fields)
    if step == "values" and found is not None and not fields.get(_VALUES_SEEN):
        template = found.group.values if found.group is not None else {}
        for setting in settings:
            fields[setting_form.PREFIX + setting.key] = setting_form.spelt(template.get(setting.key, setting.default))
        fields |= {USE + key: "yes" for key in template}
    if step == "plan" and "waves" not in fields:
        fields |= fields_of_plan(PRESETS["normal"])
    if step == "check":
        fields.setdefault("name", _name_of(draft, language))
    ahead = None
    if step == "check" and found is not None and draft.values is not None and draft.plan is not None:
        ahead = await preview(connection, found, draft.values, draft.plan)
    draft = msgspec.structs.replace(draft, fields=fields)
    return NewRolloutPage(
        step=step,
        draft=draft,
        groups=await groups.groups(connection) if step == "target" else [],
        profiles=await _profiles(connection, fields.get("profile", "")) if step == "target" else [],
        settings=settings,
        carried=[(name, fields[name]) for name in _carried(step, fields)],
        preset=preset_of(plan_in(fields)[0]) if step == "plan" else None,
        ahead=ahead,
    )


def _carried(step: Step, fields: dict[str, str]) -> list[str]:
    names = {
        "target": list(_TARGET_FIELDS),
        "values": [_VALUES_SEEN, *(name for name in fields if name.startswith((USE, setting_form.PREFIX)))],
        "plan": list(PLAN_FIELDS),
        "check": ["name", "why"],
    }
    own = names[step]
    known = [name for each in STEPS for name in names[each]] + ["rollout_id"]
    return [name for name in known if name in fields and name not in own]


async def _profiles(connection: Connection, chosen: str) -> list[ProfileRow]:
    """Those with settings; those with devices first."""
    rows = [row for row in await profile_versions.profiles(connection) if row.definition.settings]
    return sorted(rows, key=lambda row: (row.id != chosen, row.devices == 0, row.definition.label_fr))


def _name_of(draft: Draft, language: Language) -> str:
    """What a rollout is called unless somebody calls it otherwise: what it changes, and for whom."""
    if draft.aimed is None or not draft.values:
        return ""
    labels = {setting.key: setting_words.label(setting, language) for setting in draft.aimed.settings}
    profile = draft.aimed.profile.definition
    whom = profile.label_en if language == "en" else profile.label_fr
    what = ", ".join(labels.get(key, key) for key in draft.values)
    return f"{what} · {draft.aimed.group.name if draft.aimed.group is not None else whom}"[:120]


def _list(text: str) -> tuple[str, ...]:
    parts = text[:_LIST_CHARS_MAX].replace(",", " ").split()
    return tuple(dict.fromkeys(parts))


def _page(request: Request[Any, Any, Any], visit: Visit, shown: NewRolloutPage) -> Response[str]:
    wrong = shown.draft.refusal is not None or shown.draft.errors
    status = shown.draft.refusal.status if shown.draft.refusal else 422 if wrong else 200
    return page(request, "new_rollout.html", person=visit.person, status=status, shown=shown)

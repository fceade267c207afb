"""From a template to an answer: one Jinja environment per language, and the frame that every page stands in."""

import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal, cast

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from litestar import Request, Response
from litestar.enums import MediaType

from fleet import pull_problems
from fleet.storage.accounts import Person
from fleet.telemetry import UnixMs
from web.i18n import say, translations
from web.language import Language, language_of
from web.pages import (
    check_words,
    command_words,
    config_words,
    figures,
    format_words,
    import_words,
    logger_words,
    measures,
    onboarding_words,
    rollout_words,
    setting_words,
    target_words,
    times,
    words,
)
from web.pages.assets import built_assets
from web.pages.labels import labels_json
from web.pages.site_form import direction_of
from web.services import Services

THEME_COOKIE = "sp_theme"
Theme = Literal["auto", "light", "dark"]
_OPERATORS = ("ops", "admin")
_KEEPERS = ("installer", *_OPERATORS)


class Frame(msgspec.Struct, frozen=True):
    """What stands around a page's own content."""

    language: Language
    theme: Theme
    path: str  # with its query
    demo: bool
    person: Person | None

    @property
    def keeper(self) -> bool:
        """May keep sites: what that brings is in the menu."""
        return self.person is not None and self.person.role in _KEEPERS

    @property
    def operator(self) -> bool:
        return self.person is not None and self.person.role in _OPERATORS


def frame_of(request: Request[Any, Any, Any], person: Person | None) -> Frame:
    services: Services = request.app.state.services
    query = request.scope.get("query_string", b"").decode("latin-1")
    return Frame(
        language=language_of(request),
        theme=_theme(request.cookies.get(THEME_COOKIE)),
        path=request.scope["path"] + (f"?{query}" if query else ""),
        demo=services.demo_logins is not None,
        person=person,
    )


def page(
    request: Request[Any, Any, Any], template: str, *, person: Person | None = None, status: int = 200, **context: Any
) -> Response[str]:
    """The template in the reader's language. Nothing of it may be kept by a cache in between: it is one person's page."""
    frame = frame_of(request, person)
    html = (
        environment(frame.language)
        .get_template(template)
        .render(frame=frame, assets=built_assets(), labels=labels_json(frame.language), **context)
    )
    headers = {"Content-Language": frame.language, "Vary": "Accept-Language, Cookie"}
    return Response(html, status_code=status, media_type=MediaType.HTML, headers=headers)


@lru_cache
def environment(language: Language) -> Environment:
    made = Environment(
        loader=PackageLoader("web", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    # What the i18n extension adds to the environment has no types.
    cast("Any", made).install_gettext_translations(translations(language), newstyle=True)
    made.globals["words"] = (
        _bound_words(language)
        | command_words.bound(language)
        | config_words.bound(language)
        | setting_words.bound(language)
        | target_words.bound(language)
        | rollout_words.bound(language)
    )
    made.filters |= _filters(language)
    return made


def now_ms() -> UnixMs:
    return time.time_ns() // 1_000_000


def _filters(language: Language) -> dict[str, Callable[..., Any]]:
    return {
        "power": lambda power_w: figures.power(power_w, language),
        "energy": lambda energy_wh: figures.energy(energy_wh, language),
        "peak": lambda power_w: figures.peak(power_w, language),
        "percent": lambda share: figures.percent(share, language),
        "size": lambda size_bytes: figures.size(size_bytes, language),
        "file_size": lambda size_bytes: figures.file_size(size_bytes, language),
        "number": lambda value, digits=0: figures.decimal(value, digits, language),
        "moment": lambda at, now, timezone: times.moment(at, now, timezone, language),
        "exact": lambda at, now, timezone: times.exact(at, now, timezone, language),
        "duration": lambda seconds: times.duration(seconds, language),
        "json": lambda value: msgspec.json.encode(value).decode(),
    }


def _bound_words(language: Language) -> dict[str, Callable[..., Any]]:
    return {
        "health": lambda status: words.health(status, language),
        "reason": lambda code, status: words.reason(code, status, language),
        "rule": lambda code: words.rule(code, language),
        "advice": lambda code: words.advice(code, language),
        "severity": lambda code: words.severity(code, language),
        "refusal": lambda code: words.refusal(code, language),
        "role": lambda code: words.role(code, language),
        "kind": lambda code: words.kind(code, language),
        "readings": lambda values: measures.readings(values, language),
        "check": lambda found, timezone, now: check_words.check(found, timezone, now, language),
        "check_title": lambda code: check_words.title(code, language),
        "verdict": lambda state: check_words.verdict(state, language),
        "direction": lambda azimuth_deg: say(language, direction_of(azimuth_deg)),
        "correction": lambda kind, measure, value: onboarding_words.correction(kind, measure, value, language),
        "revocation_reason": lambda code: onboarding_words.revocation_reason(code, language),
        "measure": lambda name: measures.label(name, language),
        "file_state": lambda code: import_words.state(code, language),
        "file_shows": lambda: import_words.shows(language),
        "file_via": lambda code: import_words.via(code, language),
        "concern": lambda kind: import_words.concern(kind, language),
        "file_stage": lambda code: import_words.stage(code, language),
        "expected": lambda seconds: logger_words.expected(seconds, language),
        "fetched": lambda seconds: logger_words.fetched(seconds, language),
        "expectations": lambda chosen=None: logger_words.expectations(language, chosen),
        "fetches": lambda: logger_words.fetches(language),
        "pull_problem": lambda code: pull_problems.words(code, language),
        "measure_groups": lambda: format_words.measure_groups(language),
        "format_fault": lambda code: format_words.fault(code, language),
        "format_doubt": lambda code: format_words.doubt(code, language),
        "date_orders": lambda: import_words.date_orders(language),
        "stamps": lambda: import_words.stamps(language),
        "roles": lambda: import_words.roles(language),
        "zones": lambda chosen=None: import_words.zones(language, chosen),
        "alarm": lambda code: onboarding_words.alarm(code, language),
    }


def _theme(cookie: str | None) -> Theme:
    return "light" if cookie == "light" else "dark" if cookie == "dark" else "auto"

"""A query for devices as a form: what it offers, what was ticked, and the query that it makes. Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from fleet.configuration import STATUSES
from fleet.errors import BadInput
from fleet.storage.target_choices import Choice, TargetChoices
from fleet.targets import DEVICE_KINDS, TargetQuery
from fleet.views import HEALTH_ORDER
from web.language import Language
from web.pages import config_words, words

_TICKED: Final = (
    "kinds", "profiles", "models", "firmwares", "departments", "installers", "tags_all", "tags_any", "health", "config",
)  # fmt: skip
_TYPED: Final = ("sites", "devices")  # ids, any spaces and commas between them
_AGES_S: Final = (3_600, 6 * 3_600, 86_400, 7 * 86_400, 30 * 86_400)


class Option(msgspec.Struct, frozen=True):
    """number: how many have it; None where that is not counted."""

    value: str
    label: str
    ticked: bool
    number: int | None = None


class GroupFields(msgspec.Struct, frozen=True):
    """As typed. ticked: field of the query → values. confirmed: a warning; confirm_count: how many that join a rollout."""

    name: str
    ticked: dict[str, tuple[str, ...]]
    sites: str
    devices: str
    firmware_below: str
    seen_within_s: str
    silent_for_s: str
    revision: str
    confirmed: str
    confirm_count: str


def fields_from(items: Iterable[tuple[str, str]]) -> GroupFields:
    ticked: dict[str, list[str]] = {name: [] for name in _TICKED}
    texts: dict[str, str] = {}
    for name, value in items:
        if name in ticked:
            ticked[name].append(value)  # with the spaces that a device may put into its model's name
        else:
            texts[name] = value.strip()
    plain = {name: texts.get(name, "") for name in GroupFields.__struct_fields__ if name != "ticked"}
    return GroupFields(ticked={name: tuple(dict.fromkeys(values)) for name, values in ticked.items()}, **plain)


def fields_of_query(query: TargetQuery, name: str, revision: int | None) -> GroupFields:
    return GroupFields(
        name=name,
        ticked={field: tuple(getattr(query, field)) for field in _TICKED},
        sites="\n".join(query.sites),
        devices="\n".join(query.devices),
        firmware_below=query.firmware_below or "",
        seen_within_s=_seconds(query.seen_within_s),
        silent_for_s=_seconds(query.silent_for_s),
        revision="" if revision is None else str(revision),
        confirmed="",
        confirm_count="",
    )


def query_of(fields: GroupFields) -> TargetQuery:
    """Raises BadInput (bad_query, bad_tag)."""
    asked: dict[str, object] = {name: values for name, values in fields.ticked.items() if values}
    for name in _TYPED:
        ids = tuple(dict.fromkeys(re.split(r"[\s,;]+", getattr(fields, name))))
        asked[name] = tuple(each for each in ids if each)
    for name in ("seen_within_s", "silent_for_s"):
        text = getattr(fields, name)
        asked[name] = text if not text else _number(name, text)
    asked |= {"firmware_below": fields.firmware_below}
    try:
        return msgspec.convert({name: value for name, value in asked.items() if value}, TargetQuery)
    except msgspec.ValidationError as error:
        raise BadInput("bad_query", str(error)) from None


def options_of(choices: TargetChoices, fields: GroupFields, language: Language) -> dict[str, list[Option]]:
    """Field → what it offers: what there is, and what is ticked though it is gone."""
    kinds = [Option(kind, words.kind(kind, language).text, ticked=False) for kind in DEVICE_KINDS]
    health = [Option(status, words.health(status, language).text, ticked=False) for status in HEALTH_ORDER]
    config = [Option(status, config_words.status(status, language).text, ticked=False) for status in STATUSES]
    offered: Mapping[str, Sequence[Option]] = {
        "kinds": kinds,
        "profiles": _options(choices.profiles, language),
        "models": _options(choices.models, language),
        "firmwares": _options(choices.firmwares, language),
        "departments": _options(choices.departments, language),
        "installers": _options(choices.installers, language),
        "tags_any": _options(choices.tags, language),
        "tags_all": _options(choices.tags, language),
        "health": health,
        "config": config,
    }
    return {field: _ticked(options, fields.ticked[field]) for field, options in offered.items()}


def ages(chosen: str) -> list[int]:
    """Seconds to choose from, with the one that is chosen."""
    own = int(float(chosen)) if re.fullmatch(r"[0-9]{1,9}(\.[0-9]+)?", chosen) else 0
    return sorted({*_AGES_S, own} - {0})


def names_of(choices: TargetChoices, language: Language) -> dict[str, str]:
    """Of profiles and installers, by id."""
    return {each.value: _label(each, language) for each in (*choices.profiles, *choices.installers)}


def _ticked(options: Sequence[Option], chosen: tuple[str, ...]) -> list[Option]:
    known = {option.value for option in options}
    gone = [Option(value, value, ticked=True, number=0) for value in chosen if value not in known]
    return [msgspec.structs.replace(option, ticked=option.value in chosen) for option in options] + gone


def _options(choices: Iterable[Choice], language: Language) -> list[Option]:
    return [Option(each.value, _label(each, language), ticked=False, number=each.devices) for each in choices]


def _label(choice: Choice, language: Language) -> str:
    return choice.label_en if language == "en" else choice.label_fr


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise BadInput("bad_query", f"{name}: seconds, not {text[:40]!r}") from None


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.0f}"

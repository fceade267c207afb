"""Commands in the words of people: what they are, their states, their steps, and what devices answered."""

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, NamedTuple

import msgspec

from fleet.command_catalog import CATALOG, CommandSpec
from fleet.commands import OPEN_STATES, CommandState
from fleet.device_orders import BEYOND_LIMITS
from fleet.device_setting import Setting, SettingProblem
from fleet.order_messages import CommandStatus
from fleet.storage.commands import CommandRow
from fleet.telemetry import UnixMs
from web.i18n import N_, say
from web.language import Language
from web.pages import figures, setting_words, times
from web.pages.import_words import StateLook
from web.setting_texts import setting_message

_ANSWER_CHARS_MAX = 20_000  # of an answer on a page: a log's tail
_STATES: Final[Mapping[CommandState, StateLook]] = {
    "queued": StateLook(N_("Waits to be sent"), "clock", "unknown"),
    "sent": StateLook(N_("Sent, not confirmed yet"), "upload", "asleep"),
    "accepted": StateLook(N_("The device is at it"), "check", "asleep"),
    "succeeded": StateLook(N_("Carried out"), "check", "ok"),
    "failed": StateLook(N_("Has failed"), "cross", "fault"),
    "timed_out": StateLook(N_("No answer"), "question", "warning"),
    "expired": StateLook(N_("Expired, never sent"), "clock", "unknown"),
    "cancelled": StateLook(N_("Taken back"), "minus", "unknown"),
}
_LATE: Final[Mapping[CommandStatus, str]] = {
    "accepted": N_("Answered too late: it had taken the command on"),
    "succeeded": N_("Answered too late: it was done"),
    "failed": N_("Answered too late: it had failed"),
}
_SKIPPED: Final = {
    "unknown_device": N_("No such device"),
    "unknown_command": N_("Do not know this command"),
    "bad_args": N_("May not be given these values"),
    "behind_gateway": N_("Are behind a gateway"),
    "device_revoked": N_("Are revoked"),
    "too_many_open_commands": N_("Have too many commands waiting"),
}
# What a list can be narrowed to: a state, or several that ask the same of people.
Show = Literal["open", "succeeded", "failed", "timed_out", "expired", "cancelled"]
_SHOWS: Final[Mapping[Show, str]] = {
    "open": N_("Under way"),
    "failed": N_("Have failed"),
    "timed_out": N_("No answer"),
    "expired": N_("Have expired"),
    "succeeded": N_("Were carried out"),
    "cancelled": N_("Were taken back"),
}
VALIDITIES: Final = ((300, N_("5 minutes")), (3_600, N_("1 hour")), (86_400, N_("1 day")), (604_800, N_("1 week")))


class Step(NamedTuple):
    """One of a command's. at: when it happened. state: of its mark."""

    name: str
    text: str
    at: UnixMs | None
    state: Literal["done", "now", "next"]


def state(code: CommandState, language: Language) -> StateLook:
    look = _STATES[code]
    return look._replace(text=say(language, look.text))


def shows(language: Language) -> list[tuple[Show, str]]:
    return [(code, say(language, text)) for code, text in _SHOWS.items()]


def states_of(show: Show | None) -> list[CommandState] | None:
    """None: all of them."""
    if show is None:
        return None
    return sorted(OPEN_STATES) if show == "open" else [show]


def label(name: str, language: Language) -> str:
    """Of a command that is not in the catalogue any more, its name."""
    spec = CATALOG.get(name)
    return name if spec is None else spec_label(spec, language)


def spec_label(spec: CommandSpec, language: Language) -> str:
    return spec.label_en if language == "en" else spec.label_fr


def spec_help(spec: CommandSpec, language: Language) -> str:
    return spec.help_en if language == "en" else spec.help_fr


def arguments(name: str, args: Mapping[str, Any], language: Language) -> list[tuple[str, str]]:
    """What each is called and its value."""
    known: dict[str, Setting] = {arg.key: arg for arg in CATALOG[name].args} if name in CATALOG else {}
    order = {key: place for place, key in enumerate(known)}
    return [
        (
            setting_words.label(known[key], language) if key in known else key,
            setting_words.value(known.get(key), value if isinstance(value, bool | int | float | str) else None, language),
        )
        for key, value in sorted(args.items(), key=lambda each: order.get(each[0], len(order)))
    ]


def steps(row: CommandRow, language: Language) -> list[Step]:
    """Those that have happened with their times, the one that is waited for, and the result to come."""
    found = [Step("queued", say(language, N_("Given")), row.created_at, "done")]
    if row.sent_at is not None:
        found.append(Step("sent", say(language, N_("Handed to the broker")), row.sent_at, "done"))
    elif row.state == "queued":
        waiting = N_("To be sent: as soon as the device is there and has done what came before")
        found.append(Step("sent", say(language, waiting), None, "now"))
    if row.accepted_at is not None:
        found.append(Step("accepted", say(language, N_("Confirmed by the device")), row.accepted_at, "done"))
    elif row.is_open:
        pending: Literal["now", "next"] = "now" if row.state == "sent" else "next"
        found.append(Step("accepted", say(language, N_("To be confirmed by the device")), None, pending))
    if row.ended_at is not None:
        found.append(Step("ended", state(row.state, language).text, row.ended_at, "done"))
    else:
        doing: Literal["now", "next"] = "now" if row.state == "accepted" else "next"
        found.append(Step("ended", say(language, N_("Result")), None, doing))
    if row.late is not None:
        found.append(Step("late", say(language, _LATE[row.late.status]), row.late.at, "done"))
    return found


def answer(detail: Any) -> str:
    """What a device said, as text. It may be anything, and long."""
    if detail is None:
        return ""
    if isinstance(detail, str):
        text = detail
    elif isinstance(detail, list) and all(isinstance(line, str) for line in detail):
        text = "\n".join(detail)
    else:
        text = msgspec.json.format(msgspec.json.encode(detail), indent=2).decode()
    return text if len(text) <= _ANSWER_CHARS_MAX else f"{text[:_ANSWER_CHARS_MAX]}\n…"


def not_told(row: CommandRow, language: Language) -> list[str]:
    """Of one that ended because the device's profile allows it no more: what would be allowed. [] of all others."""
    if row.state not in ("cancelled", "timed_out") or row.accepted_at is not None:  # a device may say anything
        return []
    if not isinstance(row.detail, dict) or row.detail.get("why") != BEYOND_LIMITS:
        return []
    problems = msgspec.convert(row.detail.get("problems", []), list[SettingProblem])
    return [setting_message(each, language) for each in problems]


def facts(detail: Any) -> list[tuple[str, str]]:
    """An answer that is a few plain values; [] when it is not."""
    if not isinstance(detail, dict) or len(detail) > 20:
        return []
    if not all(isinstance(value, bool | int | float | str) or value is None for value in detail.values()):
        return []
    return [
        (str(key), value if isinstance(value, str) else msgspec.json.encode(value).decode()) for key, value in detail.items()
    ]


def took(seconds: float, language: Language) -> str:
    """How long a device needed: most are a matter of fractions."""
    if seconds < 10.0:
        return f"{figures.decimal(seconds, 1 if seconds >= 1.0 else 2, language)}\u00a0s"
    return times.duration(seconds, language)


def skipped(reason: str, language: Language) -> str:
    return say(language, _SKIPPED[reason]) if reason in _SKIPPED else reason


def validities(language: Language) -> list[tuple[int, str]]:
    """How long a command may wait for its device, in s."""
    return [(seconds, say(language, text)) for seconds, text in VALIDITIES]


def bound(language: Language) -> dict[str, Callable[..., Any]]:
    """As templates call them."""
    return {
        "command": lambda name: label(name, language),
        "command_spec": lambda spec: spec_label(spec, language),
        "command_help": lambda spec: spec_help(spec, language),
        "command_state": lambda code: state(code, language),
        "command_shows": lambda: shows(language),
        "command_args": lambda name, args: arguments(name, args, language),
        "command_steps": lambda row: steps(row, language),
        "command_answer": answer,
        "command_facts": facts,
        "command_not_told": lambda row: not_told(row, language),
        "took": lambda seconds: took(seconds, language),
        "skipped": lambda reason: skipped(reason, language),
        "validities": lambda: validities(language),
    }

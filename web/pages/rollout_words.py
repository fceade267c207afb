"""Rollouts for templates: states with their icons, the parts of a bar, a plan in words."""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from fleet.device_setting import Setting
from fleet.limits import ROLLOUT_FOLLOWED_DAYS
from fleet.rollouts.energy import EnergyFinding
from fleet.rollouts.facts import NOT_SENT
from fleet.rollouts.lifecycle import RolloutState, TargetState, is_followed
from fleet.rollouts.outcome_words import lack_said
from fleet.rollouts.plan import FaultKind, RolloutPlan, Threshold, Wave
from fleet.targets import TargetQuery
from fleet.telemetry import UnixMs
from web import rollout_texts
from web.i18n import N_, say, say_count
from web.language import Language
from web.pages import setting_words, target_words, words
from web.pages.rollout_form import PRESET_TEXTS, Preset, PresetText
from web.pages.times import duration
from web.rollout_texts import SLICES, Slice
from web.setting_texts import device_refusal
from web.texts import text_of


class StateLook(NamedTuple):
    """status: the colour of the chip, as that of a health."""

    text: str
    icon: str
    status: str


class BarPart(NamedTuple):
    """start, width: in percent of the bar."""

    code: Slice
    name: str
    icon: str
    devices: int
    start: float
    width: float


class PlanLine(NamedTuple):
    title: str
    text: str


_LOOKS: Final[Mapping[RolloutState, tuple[str, str]]] = {
    "running": ("upload", "asleep"),
    "paused": ("clock", "warning"),
    "returning": ("undo", "warning"),
    "aborted": ("cross", "fault"),
    "completed": ("check", "ok"),
}
_PARTS: Final[Mapping[Slice, tuple[str, str]]] = {
    "done": ("check", "ok"),
    "under_way": ("upload", "asleep"),
    "away": ("unplugged", "unknown"),
    "faults": ("triangle", "fault"),
    "left_out": ("undo", "warning"),
    "to_come": ("clock", "unknown"),
}
_SKIPPED: Final[Mapping[str, str]] = {
    "other_profile": N_("of another profile"),
    "behind_gateway": N_("behind a gateway, which is what can be configured"),
    "device_revoked": N_("revoked"),
}
_FAULTS: Final[Mapping[FaultKind, str]] = {
    "rejected": N_("refuse it"),
    "timed_out": N_("do not answer"),
    "went_silent": N_("go silent"),
    "raised_alerts": N_("raise an alert"),
}


def state(code: RolloutState, language: Language) -> StateLook:
    icon, status = _LOOKS[code]
    return StateLook(rollout_texts.state(code, language), icon, status)


def target(code: TargetState, ended_at: UnixMs | None, now: UnixMs, language: Language, problem: str = "") -> StateLook:
    """ended_at: of its rollout."""
    icon, status = _PARTS["to_come" if rollout_texts.is_held_back(code, problem) else slice_of(code)]
    if has_lapsed(slice_of(code), ended_at, now):
        name = rollout_texts.lapsed_name(slice_of(code), 1, language)
        return StateLook(name.capitalize(), "minus", "unknown")
    return StateLook(rollout_texts.target_state(code, language, problem), icon, status)


def meaning(code: TargetState, ended_at: UnixMs | None, now: UnixMs, language: Language, problem: str = "") -> str:
    if slice_of(code) == "under_way" and has_lapsed("under_way", ended_at, now):
        return rollout_texts.unconfirmed_meaning(language)
    return rollout_texts.target_meaning(code, language, problem)


def has_lapsed(code: Slice, ended_at: UnixMs | None, now: UnixMs) -> bool:
    """Whether it tells of something that never comes: nobody is told after the end, nor listened to for ever."""
    return ended_at is not None and (code == "to_come" or (code == "under_way" and not is_followed(ended_at, now)))


def slice_of(code: TargetState) -> Slice:
    return next(name for name, states in SLICES.items() if code in states)


def bar(counts: Mapping[TargetState, int], ended_at: UnixMs | None, now: UnixMs, language: Language) -> list[BarPart]:
    """What there is something of, in the order of a bar. ended_at: of the rollout."""
    whole = sum(counts.values()) or 1
    parts, start = [], 0.0
    for code, states in SLICES.items():
        devices = sum(counts.get(each, 0) for each in states)
        if devices:
            width = 100.0 * devices / whole
            name, icon = rollout_texts.slice_name(code, devices, language), _PARTS[code][0]
            if has_lapsed(code, ended_at, now):
                name, icon = rollout_texts.lapsed_name(code, devices, language), "minus"
            parts.append(BarPart(code, name, icon, devices, start, width))
            start += width
    return parts


def query(asked: TargetQuery, language: Language) -> str:
    """Beside the name of the profile."""
    if msgspec.structs.replace(asked, profiles=(), kinds=()).is_everything:
        return say(language, "every device of the profile")
    return target_words.query(msgspec.structs.replace(asked, profiles=()), language)


def skipped(reason: str, language: Language) -> str:
    return say(language, _SKIPPED[reason]) if reason in _SKIPPED else reason


def fault(kind: FaultKind, language: Language) -> str:
    return say(language, _FAULTS[kind])


def problem(code: TargetState, said: str, language: Language, settings: Mapping[str, Setting] | None = None) -> str:
    """said: of a target in that state. The device's own words stay as they are. settings: of the profile, by key."""
    if said == NOT_SENT:  # what it is called says so
        return ""
    if code == "alerted":
        return words.rule(said, language) if said else ""
    if code in ("rejected", "return_rejected") and said == "drifted":
        return say(language, "runs other values than these")
    if code in ("rejected", "return_rejected"):
        return _refused(said, language, settings or {})
    if code in ("skipped", "not_returned"):
        reason, _, detail = said.partition(": ")
        return f"{text_of(reason, 409, language).title} ({detail})" if detail else text_of(reason, 409, language).title
    return said


def energy(found: EnergyFinding, language: Language) -> str:
    """How the canaries' yield stands to what their neighbours let expect."""
    if found.lacks is not None:
        not_yet = N_("The canaries’ production could not be compared with their neighbours’ so far: %(why)s.")
        return say(language, not_yet, why=lack_said(found.lacks, language))
    if found.change_pct is None:
        return say(language, "Too little sun so far, or no neighbours, to compare the canaries’ production.")
    share = _share(round(abs(found.change_pct), 1), language)
    more = N_("The canaries yield %(share)s more than their neighbours let expect.")
    less = N_("The canaries yield %(share)s less than their neighbours let expect.")
    return say(language, more if found.change_pct >= 0 else less, share=share)


def wave(asked: Wave, language: Language) -> str:
    if asked.count is not None:
        return say_count(language, "%(num)s device", "%(num)s devices", asked.count)
    return say(language, "all") if asked.percent == 100.0 else _share(asked.percent or 0.0, language)


def plan(asked: RolloutPlan, language: Language) -> list[PlanLine]:
    """What matters of a plan, line by line."""
    stops = [_threshold(each, language) for each in asked.abort_at]
    lines = [
        (N_("Waves"), ", ".join(wave(each, language) for each in asked.waves)),
        (
            N_("Pace"),
            say(
                language,
                "%(count)s a minute at most; each wave is watched for %(time)s",
                count=asked.per_minute,
                time=duration(asked.observe_s, language),
            ),
        ),
        (N_("No answer after"), duration(asked.timeout_s, language)),
        (N_("Stops when"), " · ".join(stops) if stops else say(language, "never by itself because of faults")),
    ]
    if asked.energy is not None:
        text = N_("the canaries yield %(share)s less than their neighbours let expect: it stops")
        lines.append((N_("Production"), say(language, text, share=_share(asked.energy.drop_pct, language))))
    if asked.window is not None:
        lines.append((N_("Only"), _window(asked, language)))
    returning = N_("devices get back what they had") if asked.return_on_abort else N_("devices keep what they were given")
    lines.append((N_("When it aborts"), say(language, returning)))
    drift = N_("what was changed there is overwritten") if asked.overwrite_drift else N_("left out")
    lines.append((N_("Devices changed on site"), say(language, drift)))
    if asked.continuous:
        lines.append((N_("Afterwards"), say(language, "devices that join later get it too, until somebody ends it")))
    return [PlanLine(say(language, title), text) for title, text in lines]


def presets(language: Language) -> list[tuple[Preset, PresetText]]:
    return [(code, PresetText(say(language, text.title), say(language, text.what))) for code, text in PRESET_TEXTS.items()]


def bound(language: Language) -> dict[str, Callable[..., Any]]:
    """For templates."""
    return {
        "rollout_state": lambda code: state(code, language),
        "rollout_target": lambda code, ended_at, now, problem: target(code, ended_at, now, language, problem),
        "rollout_target_meaning": lambda code, ended_at, now, problem: meaning(code, ended_at, now, language, problem),
        "rollout_bar": lambda counts, ended_at, now: bar(counts, ended_at, now, language),
        "rollout_query": lambda asked: query(asked, language),
        "rollout_skipped": lambda reason: skipped(reason, language),
        "rollout_fault": lambda kind: fault(kind, language),
        "rollout_problem": lambda code, said, settings=None: problem(code, said, language, settings),
        "rollout_energy": lambda found: energy(found, language),
        "rollout_wave": lambda asked: wave(asked, language),
        "rollout_presets": lambda: presets(language),
        "rollout_followed_days": lambda: ROLLOUT_FOLLOWED_DAYS,
        "rollout_plan": lambda asked: plan(asked, language),
    }


def _refused(said: str, language: Language, settings: Mapping[str, Setting]) -> str:
    """Of "key: reason; key: reason", as long as each reason is one that has words."""
    named = [each.partition(": ") for each in said.split("; ")]
    reasons = [device_refusal(reason, language) for _, _, reason in named]
    if any(words == reason for words, (_, _, reason) in zip(reasons, named, strict=True)):
        return said
    labels = [setting_words.label(settings[key], language) if key in settings else key for key, _, _ in named]
    colon = ":" if language == "en" else "\u00a0:"
    return " ".join(f"{label}{colon} {words}" for label, words in zip(labels, reasons, strict=True))


def _threshold(asked: Threshold, language: Language) -> str:
    return say(
        language,
        "%(share)s %(fault)s (at least %(count)s)",
        share=_share(asked.percent, language),
        fault=fault(asked.kind, language),
        count=asked.at_least,
    )


def _window(asked: RolloutPlan, language: Language) -> str:
    window = asked.window
    parts = []
    if window is not None and window.max_share_of_peak_pct is not None:
        share = _share(window.max_share_of_peak_pct, language)
        parts.append(say(language, "while the site produces less than %(share)s of its peak power", share=share))
    if window is not None and window.from_hour is not None and window.until_hour is not None:
        hours = {"first": _clock(window.from_hour), "last": _clock(window.until_hour)}
        parts.append(say(language, "from %(first)s to %(last)s, local time", **hours))
    return ", ".join(parts)


def _clock(hour: float) -> str:
    return f"{int(hour):02d}:{round(hour % 1 * 60):02d}"


def _share(share_pct: float, language: Language) -> str:
    text = f"{share_pct:g}"
    return f"{text}%" if language == "en" else f"{text.replace('.', ',')}\u202f%"

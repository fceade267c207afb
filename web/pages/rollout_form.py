"""A rollout's plan as a form: three ready-made ones, what was typed, and what is wrong with it."""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from fleet.errors import BadInput
from fleet.rollouts.plan import FAULT_KINDS, EnergyOutcome, FaultKind, RolloutPlan, SolarWindow, Threshold, Wave
from web.i18n import N_
from web.pages.forms import NOT_A_NUMBER, Errors, Fields, number

Preset = Literal["prudent", "normal", "at_once"]

PRESETS: Final[Mapping[Preset, RolloutPlan]] = {
    "prudent": RolloutPlan(
        waves=(Wave(count=3), Wave(percent=5.0), Wave(percent=25.0), Wave(percent=100.0)),
        per_minute=60,
        observe_s=3_600.0,
        # At least 2: two of three canaries still stop it. With 1, a single bad device among the first twenty would: where
        # one in a hundred fails anyway, that aborts every fifth rollout by chance; with 2 it is one in fifteen.
        abort_at=(
            Threshold("rejected", 5.0, 2),
            Threshold("timed_out", 10.0, 2),
            Threshold("went_silent", 5.0, 2),
            Threshold("raised_alerts", 5.0, 2),
        ),
        energy=EnergyOutcome(drop_pct=10.0),
        window=SolarWindow(max_share_of_peak_pct=5.0),
    ),
    "normal": RolloutPlan(),
    "at_once": RolloutPlan(waves=(Wave(percent=100.0),), per_minute=3_000, observe_s=60.0, return_on_abort=False),
}


class PresetText(NamedTuple):
    title: str
    what: str


PRESET_TEXTS: Final[Mapping[Preset, PresetText]] = {
    "prudent": PresetText(
        N_("Careful"),
        N_("Three canaries first, while the sun is low; goes on only once their production has been compared."),
    ),
    "normal": PresetText(N_("Normal"), N_("Five canaries, then growing waves, each watched for ten minutes.")),
    "at_once": PresetText(N_("At once"), N_("All of them now. Stops when many refuse it; nothing is given back by itself.")),
}
_WRONG: Final = N_("Not possible like this.")
_MINUTE_S: Final = 60.0
_HOUR_S: Final = 3_600.0


def fields_of_plan(plan: RolloutPlan) -> dict[str, str]:
    """What stands in the form's controls."""
    fields = {
        "waves": ", ".join(_wave_text(wave) for wave in plan.waves),
        "per_minute": str(plan.per_minute),
        "observe_min": _text(plan.observe_s / _MINUTE_S),
        "timeout_min": _text(plan.timeout_s / _MINUTE_S),
        "silent_min": _text(plan.silent_after_s / _MINUTE_S),
        "energy_drop_pct": _text(plan.energy.drop_pct) if plan.energy else "",
        "energy_min": _text(plan.energy.min_wh_per_w) if plan.energy else _text(EnergyOutcome(10.0).min_wh_per_w),
        "energy_wait_h": _text((plan.energy or EnergyOutcome(10.0)).wait_max_s / _HOUR_S),
        "window_share_pct": "",
        "window_from": "",
        "window_until": "",
        "return_on_abort": "yes" if plan.return_on_abort else "",
        "continuous": "yes" if plan.continuous else "",
        "overwrite_drift": "yes" if plan.overwrite_drift else "",
    }
    for kind in FAULT_KINDS:
        found = next((each for each in plan.abort_at if each.kind == kind), None)
        fields[f"{kind}_pct"] = _text(found.percent) if found else ""
        fields[f"{kind}_least"] = str(found.at_least) if found else ""
    if plan.window is not None:
        fields["window_share_pct"] = _text(plan.window.max_share_of_peak_pct)
        fields["window_from"] = _text(plan.window.from_hour)
        fields["window_until"] = _text(plan.window.until_hour)
    return fields


def preset_of(plan: RolloutPlan | None) -> Preset | None:
    """Which of the ready-made plans it is, but for continuing, and for what was changed on site."""
    return next((name for name, each in PRESETS.items() if plan is not None and _alike(plan, each)), None)


def plan_in(fields: Fields) -> tuple[RolloutPlan | None, Errors, str]:
    """The plan that was typed; or None, field → what is wrong, and what the plan itself says of the whole."""
    errors: Errors = {}
    read = _Reader(fields, errors)
    waves = _waves(fields.get("waves", ""))
    if waves is None:
        errors["waves"] = N_("Numbers of devices or percentages, with commas between them: 5, 10 %, 100 %")
    per_minute = read.needed("per_minute")
    times = [read.needed(f"{name}_min") * _MINUTE_S for name in ("observe", "timeout", "silent")]
    thresholds = [found for kind in FAULT_KINDS if (found := _threshold(kind, read)) is not None]
    drop_pct = read.given("energy_drop_pct")
    energy = None
    if drop_pct is not None:
        energy = EnergyOutcome(drop_pct, read.needed("energy_min"), read.needed("energy_wait_h") * _HOUR_S)
    window = SolarWindow(read.given("window_share_pct"), read.given("window_from"), read.given("window_until"))
    if errors or waves is None:
        return None, errors, ""
    try:
        plan = RolloutPlan(
            waves=waves,
            per_minute=int(per_minute),
            observe_s=times[0],
            timeout_s=times[1],
            silent_after_s=times[2],
            abort_at=tuple(thresholds),
            energy=energy,
            return_on_abort=bool(fields.get("return_on_abort")),
            continuous=bool(fields.get("continuous")),
            overwrite_drift=bool(fields.get("overwrite_drift")),
            window=None if window == SolarWindow() else window,
        )
    except BadInput as error:
        return None, {_control_of(error.detail): _WRONG}, error.detail
    return plan, {}, ""


class _Reader:
    """Numbers of the form; errors says of which ones they are none."""

    def __init__(self, fields: Fields, errors: Errors) -> None:
        self._fields = fields
        self._errors = errors

    def given(self, name: str) -> float | None:
        text = self._fields.get(name, "").removesuffix("%").strip()
        value = number(text)
        if text and value is None:
            self._errors[name] = NOT_A_NUMBER
        return value

    def needed(self, name: str) -> float:
        value = self.given(name)
        if value is None:
            self._errors.setdefault(name, NOT_A_NUMBER)
        return value or 0.0


def _threshold(kind: FaultKind, read: _Reader) -> Threshold | None:
    percent, least = read.given(f"{kind}_pct"), read.given(f"{kind}_least")
    return None if percent is None else Threshold(kind, percent, int(least) if least is not None else 1)


def _waves(text: str) -> tuple[Wave, ...] | None:
    """None when it cannot be read. Decimal commas are none here: a comma ends a wave."""
    waves = []
    for part in text.replace(";", ",").split(","):
        piece = part.strip()
        value = number(piece.removesuffix("%").strip())
        if value is None or (not piece.endswith("%") and value != int(value)):
            return None
        waves.append(Wave(percent=value) if piece.endswith("%") else Wave(count=int(value)))
    return tuple(waves)


def _wave_text(wave: Wave) -> str:
    return str(wave.count) if wave.count is not None else f"{wave.percent:g} %"


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


_CONTROLS: Final[Mapping[str, str]] = {
    "observe_s": "observe_min",
    "timeout_s": "timeout_min",
    "silent_after_s": "silent_min",
    "energy: drop_pct": "energy_drop_pct",
    "energy: min_wh_per_w": "energy_min",
    "energy: wait_max_s": "energy_wait_h",
    "window: max_share_of_peak_pct": "window_share_pct",
    "window: local hours": "window_from",
    "window: from_hour": "window_from",
    "window: until_hour": "window_until",
    **{f"{kind}: percent": f"{kind}_pct" for kind in FAULT_KINDS},
    **{f"{kind}: at_least": f"{kind}_least" for kind in FAULT_KINDS},
}


def _control_of(detail: str) -> str:
    """Of the field that the plan complains about."""
    for start, control in _CONTROLS.items():
        if detail.startswith(start):
            return control
    return detail.partition(":")[0]


def _alike(one: RolloutPlan, other: RolloutPlan) -> bool:
    kept = {name for name in RolloutPlan.__struct_fields__ if name not in ("continuous", "overwrite_drift")}
    return all(getattr(one, name) == getattr(other, name) for name in kept)


PLAN_FIELDS: Final = tuple(fields_of_plan(RolloutPlan()))

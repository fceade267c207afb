"""From SunSpec's models to our measures. Definitions and encodings are those of pysunspec2; nothing here reads or writes.

What a device marks as not implemented is missing, never 0. Models: 1 (who it is), 101-103 and 111-113 (inverters), 160 (DC
inputs), 201-204 and 211-214 (meters), 802 (batteries).
"""

from collections.abc import Callable, Iterable, Iterator
from math import isfinite
from typing import Any, Final

from sunspec2.device import Group, Model

Measures = dict[str, float]

COMMON: Final = 1
INVERTERS: Final = frozenset((101, 102, 103, 111, 112, 113))
MPPT: Final = 160
METERS: Final = frozenset((201, 202, 203, 204, 211, 212, 213, 214))
BATTERY: Final = 802
READ: Final = INVERTERS | METERS | {MPPT, BATTERY}

_SCALE_MAX = 10  # SunSpec's scale factors go from -10 to 10; anything else is no scale factor
_DC_INPUTS_MAX = 24
_SINGLE_PHASE = frozenset((101, 111))
_CHARGING, _DISCHARGING = 4, 3  # ChaSt of model 802

_PHASES: Final = (("PhVphA", "ac_voltage_v_l1"), ("PhVphB", "ac_voltage_v_l2"), ("PhVphC", "ac_voltage_v_l3"),
                  ("AphA", "ac_current_a_l1"), ("AphB", "ac_current_a_l2"), ("AphC", "ac_current_a_l3"))  # fmt: skip


def model_of(model_id: int, data: bytes) -> Model:
    """data: the whole block as it stands in the registers, id and length first."""
    return Model(model_id, model_len=len(data) // 2 - 2, data=data)


def text(model: Model, point: str) -> str:
    """'' when the device does not say."""
    found = model.points.get(point)
    value = None if found is None else found.value
    return value.strip("\x00 ") if isinstance(value, str) else ""


def measures(models: Iterable[Model]) -> Measures:
    """What the models of one device say together."""
    found: Measures = {}
    by_id = {model.model_id: model for model in models}
    for model_id, model in by_id.items():
        for kinds, reading in _READINGS:
            if model_id in kinds:
                found.update(reading(model))
    if MPPT in by_id and any(name.startswith("dc_") for name in _strings(by_id[MPPT])):
        for name in [name for name in found if name.startswith("dc_")]:
            del found[name]  # the inverter's own is the sum of them, or one of them
        found.update(_strings(by_id[MPPT]))
    return found


def _inverter(model: Model) -> Measures:
    found = _take(
        model,
        ("WH", "pv_energy_wh"),
        ("A", "ac_current_a"),
        ("Hz", "ac_frequency_hz"),
        ("DCV", "dc_voltage_v_1"),
        ("DCA", "dc_current_a_1"),
        ("DCW", "dc_power_w_1"),
        ("St", "state"),
    )
    power_w = _value(model, "W")
    if power_w is not None:
        found["pv_power_w"] = max(power_w, 0.0)  # by night an inverter draws a little
    temperatures = (_value(model, point) for point in ("TmpCab", "TmpSnk", "TmpOt"))
    for temperature_c in temperatures:
        if temperature_c is not None:
            found["inverter_temp_c"] = temperature_c
            break
    if model.model_id in _SINGLE_PHASE:
        return found | _take(model, ("PhVphA", "ac_voltage_v"))
    return found | _take(model, *_PHASES)


def _meter(model: Model) -> Measures:
    """SunSpec counts energy from the consumer's side: TotWhImp is drawn from the grid, TotWhExp given to it.

    The sign of W is not written in the models; positive is import in the devices that evcc reads with its template
    "sunspec-meter" and in published register lists of these models. SolarEdge's export+import meters say the opposite
    (solaredge-modbus-multi, issue 69): `meter_sign` of the input's settings is there for those.
    """
    return _take(
        model,
        ("W", "grid_power_w"),
        ("TotWhImp", "import_energy_wh"),
        ("TotWhExp", "export_energy_wh"),
        ("PhV", "ac_voltage_v"),
        ("A", "ac_current_a"),
        ("Hz", "ac_frequency_hz"),
        *_PHASES,
    )


def _battery(model: Model) -> Measures:
    """W's sign is left open by the model; the charge status says which way it flows."""
    found = _take(model, ("SoC", "battery_soc_pct"))
    power_w, status = _value(model, "W"), _value(model, "ChaSt")
    if power_w is not None and (status in (_CHARGING, _DISCHARGING) or power_w == 0.0):
        found["battery_power_w"] = -abs(power_w) if status == _DISCHARGING else abs(power_w)
    return found


def _strings(model: Model) -> Measures:
    """Each DC input of model 160, numbered by its place."""
    found: Measures = {}
    for number, group in enumerate(_modules(model), 1):
        for point, measure in (("DCV", "dc_voltage_v"), ("DCA", "dc_current_a"), ("DCW", "dc_power_w")):
            value = _value(model, point, group)
            if value is not None:
                found[f"{measure}_{number}"] = value
    return found


def _modules(model: Model) -> Iterator[Group]:
    groups = model.groups.get("module", [])
    count = _value(model, "N")
    listed = groups if isinstance(groups, list) else [groups]
    return iter(listed[: min(_DC_INPUTS_MAX, len(listed) if count is None else int(count))])


_READINGS: Final[tuple[tuple[frozenset[int], Callable[[Model], Measures]], ...]] = (
    (INVERTERS, _inverter),
    (METERS, _meter),
    (frozenset((BATTERY,)), _battery),
)


def _take(model: Model, *wanted: tuple[str, str]) -> Measures:
    values = ((measure, _value(model, point)) for point, measure in wanted)
    return {measure: value for measure, value in values if value is not None}


def _value(model: Model, name: str, group: Group | None = None) -> float | None:
    """A point's value in its unit; None when it is not implemented, or its scale factor is not."""
    point: Any = (group or model).points.get(name)
    value = None if point is None else point.value
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        return None
    if point.sf_required:
        scale = point.sf_value if point.sf is None else _scale(model, group, point.sf)
        if scale is None or abs(scale) > _SCALE_MAX:
            return None
        return round(value * 10.0**scale, max(-scale, 0))
    return float(value)


def _scale(model: Model, group: Group | None, name: str) -> int | None:
    for place in (group, model):
        if place is not None and name in place.points:
            value = place.points[name].value
            return value if isinstance(value, int) else None
    return None

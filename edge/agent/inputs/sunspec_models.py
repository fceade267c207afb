"""From SunSpec's models to our measures. Definitions and encodings are those of pysunspec2; nothing here reads or writes.

What a device marks as not implemented is missing, never 0. Models: 1 (who it is), 101-103 and 111-113 (inverters), 160 (DC
inputs), 201-204 and 211-214 (meters), 802 (batteries); and of the newer ones, which many inverters have beside the old, 701
(AC) and 714 (DC).
"""

from collections.abc import Callable, Iterable
from math import isfinite
from typing import Any, Final

from sunspec2.device import Group, Model, ModelError

Measures = dict[str, float]

COMMON: Final = 1
INVERTERS: Final = frozenset((101, 102, 103, 111, 112, 113))
MPPT: Final = 160
METERS: Final = frozenset((201, 202, 203, 204, 211, 212, 213, 214))
BATTERY: Final = 802
DER_AC: Final = 701
DER_DC: Final = 714
READ: Final = INVERTERS | METERS | {MPPT, BATTERY, DER_AC, DER_DC}

_SCALE_MAX = 10  # SunSpec's scale factors go from -10 to 10; anything else is no scale factor
_DC_INPUTS_MAX = 24
_SINGLE_PHASE = frozenset((101, 111))
_CHARGING, _DISCHARGING = 4, 3  # ChaSt of model 802
_PORT_REGISTERS = 25  # of each DC port in model 714, whose count stands in the fifth register
_PANELS = 0  # PrtTyp of model 714

_PHASES: Final = (("PhVphA", "ac_voltage_v_l1"), ("PhVphB", "ac_voltage_v_l2"), ("PhVphC", "ac_voltage_v_l3"),
                  ("AphA", "ac_current_a_l1"), ("AphB", "ac_current_a_l2"), ("AphC", "ac_current_a_l3"))  # fmt: skip


def model_of(model_id: int, data: bytes) -> Model:
    """data: the whole block as it stands in the registers, id and length first. A block whose repeating part does not fit
    its length is a model with nothing implemented.
    """
    if model_id == DER_DC and int.from_bytes(data[8:10], "big") * _PORT_REGISTERS * 2 > len(data):
        return Model()  # or thousands of ports would be made out of nothing
    try:
        return Model(model_id, model_len=len(data) // 2 - 2, data=data)
    except ModelError:
        return Model()


def is_inverter(model_id: int) -> bool:
    return model_id in INVERTERS or model_id == DER_AC


def text(model: Model, point: str) -> str:
    """'' when the device does not say."""
    found = model.points.get(point)
    value = None if found is None else found.value
    return value.strip("\x00 ") if isinstance(value, str) else ""


def measures(models: Iterable[Model]) -> Measures:
    """What the models of one device say together."""
    found: Measures = {}
    by_id = {model.model_id: model for model in models}
    if INVERTERS & by_id.keys():
        by_id.pop(DER_AC, None)  # the same once more
    for model_id, model in by_id.items():
        for kinds, reading in _READINGS:
            if model_id in kinds:
                found.update(reading(model))
    inputs = next((each for each in map(_inputs, (by_id.get(MPPT), by_id.get(DER_DC))) if each), {})
    if inputs:  # the inverter's own is the sum of them, or one of them
        found = {name: value for name, value in found.items() if not name.startswith("dc_")} | inputs
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
    found |= _temperature(model)
    if model.model_id in _SINGLE_PHASE:
        return found | _take(model, ("PhVphA", "ac_voltage_v"))
    return found | _take(model, *_PHASES)


def _der_ac(model: Model) -> Measures:
    """Power is positive when it is generated; the states count from 0, those of model 103 from 1."""
    found = _take(
        model,
        ("TotWhInj", "pv_energy_wh"),
        ("A", "ac_current_a"),
        ("Hz", "ac_frequency_hz"),
        ("LNV", "ac_voltage_v"),
        *((f"VL{phase}", f"ac_voltage_v_l{phase}") for phase in (1, 2, 3)),
        *((f"AL{phase}", f"ac_current_a_l{phase}") for phase in (1, 2, 3)),
    )
    power_w, state = _value(model, "W"), _value(model, "InvSt")
    if power_w is not None:
        found["pv_power_w"] = max(power_w, 0.0)
    if state is not None:
        found["state"] = state + 1
    return found | _temperature(model)


def _temperature(model: Model) -> Measures:
    known = (_value(model, point) for point in ("TmpCab", "TmpSnk", "TmpOt"))
    return next(({"inverter_temp_c": temperature_c} for temperature_c in known if temperature_c is not None), {})


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


def _inputs(model: Model | None) -> Measures:
    """Each DC input, numbered by its place: of model 160, or those of model 714 that panels hang on."""
    found: Measures = {}
    if model is None:
        return found
    for number, group in enumerate(_ports(model), 1):
        for point, measure in (("DCV", "dc_voltage_v"), ("DCA", "dc_current_a"), ("DCW", "dc_power_w")):
            value = _value(model, point, group)
            if value is not None:
                found[f"{measure}_{number}"] = value
    return found


def _ports(model: Model) -> list[Group]:
    groups = model.groups.get("module", model.groups.get("Prt", []))
    listed = groups if isinstance(groups, list) else [groups]
    panels = [group for group in listed if "PrtTyp" not in group.points or _value(model, "PrtTyp", group) == _PANELS]
    count = _value(model, "N")
    return panels[: _DC_INPUTS_MAX if count is None else min(int(count), _DC_INPUTS_MAX)]


_READINGS: Final[tuple[tuple[frozenset[int], Callable[[Model], Measures]], ...]] = (
    (INVERTERS, _inverter),
    (METERS, _meter),
    (frozenset((BATTERY,)), _battery),
    (frozenset((DER_AC,)), _der_ac),
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

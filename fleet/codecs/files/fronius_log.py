"""Logdata of Fronius: what a device measured over a day, channel by channel."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Final, NamedTuple

import msgspec

from fleet.codecs.files.reading import Refusal, StampEnd, refusal
from fleet.file_limits import INTERVAL_MAX_S
from fleet.serials import is_serial, serial_from

ENERGY: Final = "EnergyReal_WAC_Sum_Produced"
SCALES: Final = {"kW": 1e3, "kWh": 1e3, "MWh": 1e6}  # all else comes in our units
EVENTS: Final = frozenset(("InverterEvents", "InverterErrors"))
PHASES: Final = {
    **{f"Voltage_AC_Phase_{phase}": f"ac_voltage_v_l{phase}" for phase in (1, 2, 3)},
    **{f"Current_AC_Phase_{phase}": f"ac_current_a_l{phase}" for phase in (1, 2, 3)},
}
METER: Final = {
    "EnergyReal_WAC_Plus_Absolute": "import_energy_wh",
    "EnergyReal_WAC_Minus_Absolute": "export_energy_wh",
    "PowerReal_P_Sum": "grid_power_w",
    "PowerApparent_S_Sum": "apparent_power_va",
    "PowerReactive_Q_Sum": "reactive_power_var",
    "PowerFactor_Sum": "power_factor",
    "Frequency_Phase_Average": "ac_frequency_hz",
    **PHASES,
}
LOCATION: Final = "Meter_Location_Current"  # 0 is the connection to the grid

_INVERTER: Final = {
    "PowerReal_PAC_Sum": "pv_power_w",
    "Temperature_Powerstage": "inverter_temp_c",
    **PHASES,
    **{f"Voltage_DC_String_{number}": f"dc_voltage_v_{number}" for number in range(1, 7)},
    **{f"Current_DC_String_{number}": f"dc_current_a_{number}" for number in range(1, 7)},
}
_KINDS: Final[Mapping[str, Mapping[str, str]]] = {
    "inverter": _INVERTER,
    "meter": METER,
    "sensorcard": {"Radiation": "irradiance_w_m2"},
}
_SPAN: Final = "TimeSpanInSec"
_KNOWN: Final = re.compile(r"_.*|Digital_.*|Hybrid_.*|Temperature_Channel_.*|Energy.*|Power.*|Voltage_AC_PhaseToPhase.*")
_NAME: Final = re.compile(r"([a-z]+)([/:])(.+)")
_STEP_S: Final = 300  # the logger's default, where a lone value tells no other
_STEP_S_MAX: Final = 3_600
_KEY_S_MAX: Final = 400 * 86_400  # of an answer that begins at its Start
_NOT_NEGATIVE: Final = frozenset(("pv_power_w", "irradiance_w_m2"))


_Values = dict[int, float | None]


class _Channel(msgspec.Struct, rename="pascal"):
    """values: by seconds after the start."""

    unit: str = ""
    values: _Values | None = None


class LoggedDevice(msgspec.Struct, rename="pascal"):
    """data: by channel; each is decoded by itself."""

    start: str | None = None
    data: dict[str, msgspec.Raw] | None = None


class Logged(NamedTuple):
    """after_ms: of the device's start."""

    serial: str
    after_ms: int
    reading: dict[str, float]


def logged(name: str, device: LoggedDevice, stamp: StampEnd | None, told: set[str]) -> Iterator[Logged | Refusal]:
    """told: channels that were refused already, for another device."""
    found = _NAME.fullmatch(name)
    measures = _KINDS.get(found[1]) if found is not None else None
    channels = device.data or {}
    if found is None or measures is None:
        yield refusal("not_an_inverter", 0, text=name, name=name[:80])
        return
    values: dict[str, _Values] = {}
    for channel, raw in channels.items():
        if channel in measures or channel in {ENERGY, _SPAN, LOCATION}:
            decoded = _values(channel, raw)
            if isinstance(decoded, Refusal):
                yield decoded
            else:
                values[channel] = decoded
        elif channel not in told and channel not in EVENTS and _KNOWN.fullmatch(channel) is None:
            told.add(channel)
            yield refusal("unknown_column", 0, text=channel, name=channel[:80], unit="–")
    if measures is METER and any(values.get(LOCATION, {}).values()):
        yield refusal("meter_elsewhere", 0, text=name, name=name[:80])
        return
    energy = values.get(ENERGY, {}) if measures is _INVERTER else {}
    plain = [(measure, values[channel]) for channel, measure in measures.items() if channel in values]
    yield from _readings(_serial(name, found[2], found[3]), plain, energy, values.get(_SPAN, {}), stamp)


def _readings(
    serial: str, plain: list[tuple[str, _Values]], energy: _Values, spans: _Values, stamp: StampEnd | None
) -> Iterator[Logged]:
    """How long an interval is the logger tells, or the distances do: a night's gap is none."""
    step = _usual_step(energy)
    before = None
    for key in sorted(set(energy).union(*(told_at for _, told_at in plain))):
        reading = {measure: value for measure, told_at in plain if (value := told_at.get(key)) is not None}
        for measure in _NOT_NEGATIVE & reading.keys():
            reading[measure] = max(reading[measure], 0.0)
        wh = energy.get(key)
        if wh is not None:
            length = spans.get(key) or (step if before is None else min(key - before, step))
            before = key
            interval = {"pv_interval_wh": wh, "interval_s": length} if 0 < length <= INTERVAL_MAX_S else {}
            if stamp == "start" and interval:
                yield Logged(serial, round((key + length) * 1_000), interval)
            else:
                reading |= interval
        if reading:
            yield Logged(serial, key * 1_000, reading)


def _usual_step(energy: _Values) -> int:
    keys = sorted(key for key, value in energy.items() if value is not None)
    distances = Counter(later - earlier for earlier, later in pairwise(keys)).most_common(1)
    return distances[0][0] if distances and distances[0][0] <= _STEP_S_MAX else _STEP_S


def _values(channel: str, raw: msgspec.Raw) -> _Values | Refusal:
    try:
        decoded = msgspec.json.decode(raw, type=_Channel)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return refusal("bad_number", 0, text=channel)
    found = decoded.values or {}
    if found and not (min(found) >= 0 and max(found) <= _KEY_S_MAX):
        return refusal("bad_time", 0, text=channel)
    scale = SCALES.get(decoded.unit)
    return found if scale is None else {key: None if value is None else value * scale for key, value in found.items()}


def _serial(name: str, separator: str, own: str) -> str:
    """ "meter:15480258" has one, "inverter/1" is a place at this logger."""
    if separator == ":" and is_serial(own):
        return own
    found = serial_from(name.replace(":", "/"))
    return found if is_serial(found) else "fronius-device"

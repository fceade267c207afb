"""Fronius's push service (Datamanager, by FTP or HTTP) and the same answers of the Solar API, in JSON.

Source: the maker's manuals Push Service 42,0410,2152 and Solar API V1 42,0410,2012; published answers of real devices.

Logdata    `Body.Data["inverter/1"] = {"Start": …, "Data": {channel: {"Unit": …, "Values": {"43200": 251.5}}}}`; keys are
           seconds after Start. EnergyReal_WAC_Sum_Produced is Wh of the interval, 5 minutes by default, that ends there
           (inferred; whoever knows better sets the logger's stamp). A meter's Plus_Absolute (import) and Minus_Absolute
           (export) are lifetime counters. Daily sums (SeriesType) are another thing, and refused.
Inverter   `Body.Data.PAC.Values["1"]`, or `Body.Data.PAC.Value` of one device; at Head.Timestamp
Meter      `Body.Data["0"]`: plain numbers, and Details.Serial
Powerflow  `Body.Data.Site`: P_Grid + import, P_Load negative = consuming, P_Akku + discharge; E_Total Wh

At night inverters answer nothing: null objects and absent devices are no error. Only a meter at the grid's connection
(Meter_Location_Current 0, or untold) counts grid energy.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

import msgspec

from fleet.codecs.files.fronius_log import EVENTS, LOCATION, METER, SCALES, Logged, LoggedDevice, logged
from fleet.codecs.files.local_time import LocalTimes, naive_ms
from fleet.codecs.files.reading import Content, Context, FileFormat, Found, Unreadable, refusal
from fleet.codecs.files.sparse_rows import SparseRows
from fleet.file_limits import FRONIUS_BYTES_MAX
from fleet.serials import is_serial
from fleet.telemetry import UnixMs

_BOM: Final = b"\xef\xbb\xbf"
_BEGINS: Final = re.compile(rb'(?:\xef\xbb\xbf)?\s*(?:\[\s*)?\{\s*"(?:Head|Body)"\s*:\s*\{')
_MARKS: Final = re.compile(
    rb'"(?:inverter|meter|sensorcard)(?:\\?/|:)|EnergyReal_WAC|"Site"\s*:\s*\{|"TOTAL_ENERGY"|"RequestArguments"\s*:'
)
_CURRENT: Final = {
    "PAC": "pv_power_w",
    "TOTAL_ENERGY": "pv_energy_wh",
    "UAC": "ac_voltage_v",
    "IAC": "ac_current_a",
    "FAC": "ac_frequency_hz",
    "UDC": "dc_voltage_v_1",
    "IDC": "dc_current_a_1",
    "UDC_2": "dc_voltage_v_2",
    "IDC_2": "dc_current_a_2",
}
_NULL: Final = msgspec.Raw(b"null")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_Part = Mapping[str, msgspec.Raw]
_Shape = TypeVar("_Shape")


class _Head(msgspec.Struct, rename="pascal"):
    timestamp: str | None = None
    request_arguments: dict[str, Any] | None = None


class _Body(msgspec.Struct, rename="pascal"):
    data: msgspec.Raw = _NULL


class _Answer(msgspec.Struct, rename="pascal"):
    head: _Head
    body: _Body


def recognises(head: bytes) -> bool:
    return _BEGINS.match(head) is not None and _MARKS.search(head) is not None


def read(content: Content, context: Context) -> Iterator[Found]:
    """Raises Unreadable (bad_json, file_too_large, bad_time, unknown_zone, daily_sums, not_readings, too_many_serials)."""
    raw = content.whole(FRONIUS_BYTES_MAX).removeprefix(_BOM).strip()
    answers = _decoded(raw, list[_Answer]) if raw.startswith(b"[") else [_decoded(raw, _Answer)]
    push = _Push(context)
    for answer in answers:
        yield from push.answer(answer)
    yield from push.rows.rest()


class _Push:
    def __init__(self, context: Context) -> None:
        self.rows: Final = SparseRows()
        self._stamp: Final = context.settings.stamp
        self._clock: Final = LocalTimes(context.zone)
        self._zone: Final = context.zone
        self._told: Final[set[str]] = set()

    def answer(self, answer: _Answer) -> Iterator[Found]:
        data = _part(answer.body.data)
        arguments = answer.head.request_arguments or {}
        if not data:
            return  # at night
        if arguments.get("SeriesType") == "DailySum":
            raise Unreadable("daily_sums")
        if "Site" in data:
            yield from self._powerflow(data, self._instant(answer.head.timestamp))
        elif data.keys() & _CURRENT.keys():
            yield from self._inverters(data, arguments.get("DeviceId"), self._instant(answer.head.timestamp))
        else:
            yield from self._devices(data, answer.head.timestamp)

    def _devices(self, data: _Part, timestamp: str | None) -> Iterator[Found]:
        """Logdata, or meters of now. Events beside them are no readings."""
        events = known = 0
        for name, raw in data.items():
            device = _part(raw)
            if not device:
                known += 1  # asleep
            elif "Start" in device or "Data" in device:
                log = _decoded(raw, LoggedDevice)
                channels = (log.data or {}).keys()
                known += 1
                events += bool(channels) and channels <= EVENTS
                yield from self._log(name, log)
            elif device.keys() & METER.keys():
                known += 1
                yield from self._meter(name, device, self._instant(timestamp))
        if not known or events == known:
            raise Unreadable("not_readings")

    def _log(self, name: str, device: LoggedDevice) -> Iterator[Found]:
        start = self._instant(device.start) if device.data else 0
        for found in logged(name, device, self._stamp, self._told):
            if isinstance(found, Logged):
                yield from self.rows.add(found.serial, start + found.after_ms, found.reading)
            else:
                yield found

    def _meter(self, name: str, device: _Part, t: UnixMs) -> Iterator[Found]:
        told = _text(_part(device.get("Details")).get("Serial"))
        serial = next((each for each in (told, f"meter/{name}") if is_serial(each)), None)
        if _number(device.get(LOCATION)):
            yield refusal("meter_elsewhere", 0, text=name, name=name[:80])
            return
        reading = {measure: _number(device.get(channel)) for channel, measure in METER.items()}
        yield from self._add(serial, t, reading)

    def _inverters(self, data: _Part, device_id: object, t: UnixMs) -> Iterator[Found]:
        readings: dict[str | None, dict[str, float | None]] = {}
        own = f"inverter/{device_id}" if device_id is not None and is_serial(f"inverter/{device_id}") else None
        daily = {} if "TOTAL_ENERGY" in data else {"DAY_ENERGY": "pv_day_energy_wh"}
        for channel, measure in (_CURRENT | daily).items():
            told = _part(data.get(channel))
            scale = SCALES.get(_text(told.get("Unit")), 1.0)
            for device, raw in _part(told.get("Values")).items():
                name = f"inverter/{device}"
                if is_serial(name):
                    readings.setdefault(name, {})[measure] = _scaled(_number(raw), scale)
            if "Value" in told:
                readings.setdefault(own, {})[measure] = _scaled(_number(told["Value"]), scale)
        for serial, reading in readings.items():
            yield from self._add(serial, t, reading)

    def _powerflow(self, data: _Part, t: UnixMs) -> Iterator[Found]:
        site = _part(data["Site"])
        total_wh = _number(site.get("E_Total"))
        charges = [_number(_part(raw).get("SOC")) for raw in _part(data.get("Inverters")).values()]
        charged = [each for each in charges if each is not None]
        yield from self._add(
            None,
            t,
            {
                "pv_power_w": _number(site.get("P_PV")),
                "grid_power_w": _number(site.get("P_Grid")),
                "battery_power_w": _scaled(_number(site.get("P_Akku")), -1.0),
                "load_power_w": _scaled(_number(site.get("P_Load")), -1.0),
                "pv_energy_wh": total_wh,
                "pv_day_energy_wh": _number(site.get("E_Day")) if total_wh is None else None,
                "battery_soc_pct": charged[0] if len(charged) == 1 else None,
            },
        )

    def _add(self, serial: str | None, t: UnixMs, reading: Mapping[str, float | None]) -> Iterator[Found]:
        known = {measure: value for measure, value in reading.items() if value is not None}
        for measure in known.keys() & {"pv_power_w", "load_power_w"}:
            known[measure] = max(known[measure], 0.0)
        if known:
            yield from self.rows.add(serial, t, known)

    def _instant(self, text: str | None) -> UnixMs:
        """Raises Unreadable (bad_time, time_does_not_exist)."""
        try:
            at = datetime.fromisoformat(text or "")
            if at.tzinfo is not None:
                return (at - _EPOCH) // timedelta(milliseconds=1)
            found = self._clock.utc(naive_ms(at.year, at.month, at.day, at.hour, at.minute, at.second))
        except (ValueError, OverflowError):
            raise Unreadable("bad_time", text=text or "") from None
        if found is None:
            raise Unreadable("time_does_not_exist", text=text or "", zone=self._zone)
        return found


def _decoded(raw: bytes | msgspec.Raw, shape: type[_Shape]) -> _Shape:
    """NaN and Infinity are no JSON. Raises Unreadable (bad_json)."""
    try:
        return msgspec.json.decode(raw, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable("bad_json", text=str(error)) from None


def _part(raw: msgspec.Raw | None) -> dict[str, msgspec.Raw]:
    """An object's members; none of what is no object."""
    if raw is None:
        return {}
    try:
        return msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}


def _text(raw: msgspec.Raw | None) -> str:
    try:
        return "" if raw is None else msgspec.json.decode(raw, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""


def _number(raw: msgspec.Raw | None) -> float | None:
    """None for null, as at night, and for what is no number."""
    try:
        return None if raw is None else msgspec.json.decode(raw, type=float | None)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _scaled(value: float | None, scale: float) -> float | None:
    return None if value is None else value * scale + 0.0  # 0.0 is never negative


FORMAT: Final = FileFormat(
    id="fronius",
    label_fr="Fronius (service d'envoi JSON)",
    label_en="Fronius (push service, JSON)",
    profile_id="imported-inverter",
    recognises=recognises,
    read=read,
    local=re.compile(r"inverter/.+|meter/.+|fronius-device"),
)

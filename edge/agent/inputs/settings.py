"""What the agent's inputs are told, one struct each; `type` in the agent's settings says which."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from edge.limits import INPUT_PERIOD_MAX_S, INPUT_PERIOD_MIN_S, REGISTERS_PER_INPUT_MAX, TOPIC_FILTERS_MAX
from fleet.errors import BadInput
from fleet.limits import SERIAL_CHARS_MAX, SERIAL_CHARS_MIN
from fleet.measures import is_measure
from fleet.serials import SERIAL_PATTERN

Port = Annotated[int, Meta(ge=1, le=65_535)]
Host = Annotated[str, Meta(min_length=1, max_length=253)]
Period = Annotated[float, Meta(ge=INPUT_PERIOD_MIN_S, le=INPUT_PERIOD_MAX_S)]
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,59}$(?!\n)")]  # also part of file names
Serial = Annotated[str, Meta(min_length=SERIAL_CHARS_MIN, max_length=SERIAL_CHARS_MAX, pattern=SERIAL_PATTERN)]
UnitId = Annotated[int, Meta(ge=0, le=247)]

RegisterType = Literal["i16", "u16", "i32", "u32", "float32"]
SinkAs = Literal["auto", "self", "serial"]


class MqttSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="mqtt"):
    """A broker in the house, whose messages are forwarded untouched.

    topics            filters, such as "solar/#" (OpenDTU), "N/#" (Victron), "shellypro3em-+/#", "spBv1.0/#" (Sparkplug B;
                      nodes are asked for births that were missed), "homeassistant/#" beside the topics announced there
    password_file     holds "user:password" in its first line; None: the broker asks for none
    ca_file           trust anchor of a broker with TLS; None with tls: the system's
    victron_portal    a Venus OS falls silent unless R/<portal id>/keepalive is published every minute: its portal id,
                      or "auto" for the id that its own messages carry
    """

    host: Host
    port: Port = 1883
    name: Name = "mqtt"
    topics: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=200)], ...], Meta(min_length=1, max_length=TOPIC_FILTERS_MAX)
    ]
    password_file: str | None = None
    tls: bool = False
    ca_file: str | None = None
    victron_portal: Annotated[str, Meta(pattern=r"^(?:auto|[A-Za-z0-9]{1,40})$(?!\n)")] | None = None


class Register(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One value in a device's registers: value = raw × scale + offset, in the unit of `measure`.

    address    as it goes over the wire, from 0 (a manual's 40001 of holding registers is 0)
    kind       holding (function 3) or input (function 4)
    missing    raw value that means "no value"
    """

    measure: str
    address: Annotated[int, Meta(ge=0, le=65_535)]
    type: RegisterType
    scale: float = 1.0
    offset: float = 0.0
    kind: Literal["holding", "input"] = "holding"
    word_order: Literal["big", "little"] = "big"
    missing: int | None = None

    def __post_init__(self) -> None:
        if not is_measure(self.measure):
            raise BadInput("unknown_measure", f"register {self.address}: no measure is called {self.measure!r}")


class ModbusSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="modbus"):
    """A device whose registers are listed here, or in a TOML file of [[registers]] tables.

    source    serial of the device behind this agent; None: the agent speaks for itself
    """

    host: Host
    port: Port = 502
    unit_id: UnitId = 1
    name: Name = "modbus"
    period_s: Period = 10.0
    source: Serial | None = None
    registers: Annotated[tuple[Register, ...], Meta(max_length=REGISTERS_PER_INPUT_MAX)] = ()
    registers_file: str | None = None


class SunspecSettings(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="sunspec"
):
    """A device that says by itself which of SunSpec's models it has.

    sink_as    whose samples these are: "self" the agent's own, "serial" those of the serial that the device says,
               "auto" by the agent's profile: a gateway speaks for others
    meter_sign which way a meter counts power as positive; SolarEdge's meters say "export"
    """

    host: Host
    port: Port = 502
    unit_id: UnitId = 1
    name: Name = "sunspec"
    period_s: Period = 10.0
    sink_as: SinkAs = "auto"
    meter_sign: Literal["import", "export"] = "import"


class SimulatedDevice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A device behind a simulated gateway."""

    serial: Serial
    profile: str


class SimulatedSettings(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="simulated"
):
    """A device that nobody has to own, and its faults.

    name             also of the file that keeps its counters: two inputs with one name would share them
    profile          None: the agent's own; devices: those that it speaks for instead, when it is a gateway
    sun              "now": as the clock says; "noon": as if it were noon in June, whatever the hour
    reversed         the current clamp is turned round: power changes its sign, import and export change places
    power_scale      powers are multiplied by this: 0.001 for a device that says kW; energy_scale: likewise
    clock_offset_s   added to the time of its samples
    """

    name: Name = "simulated"
    profile: str | None = None
    devices: Annotated[tuple[SimulatedDevice, ...], Meta(max_length=50)] = ()
    period_s: Period = 10.0
    peak_power_w: Annotated[float, Meta(gt=0, le=1e9)] = 6_000.0
    load_power_w: Annotated[float, Meta(ge=0, le=1e9)] = 450.0
    latitude: Annotated[float, Meta(ge=-66, le=66)] = 46.5
    longitude: Annotated[float, Meta(ge=-180, le=180)] = 2.5
    sun: Literal["now", "noon"] = "now"
    reversed: bool = False
    power_scale: Annotated[float, Meta(gt=0, le=1e6)] = 1.0
    energy_scale: Annotated[float, Meta(gt=0, le=1e6)] = 1.0
    clock_offset_s: Annotated[float, Meta(ge=-1e9, le=1e9)] = 0.0


InputSettings = MqttSettings | ModbusSettings | SunspecSettings | SimulatedSettings

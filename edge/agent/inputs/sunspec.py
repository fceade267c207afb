"""SunSpec over Modbus TCP: finds out what the device has, then reads it again and again."""

import asyncio
import time

import msgspec
import structlog

from edge.agent.inputs import Limit, Sink, sunspec_limit
from edge.agent.inputs import sunspec_models as models
from edge.agent.inputs.modbus import RegisterReader, read_through
from edge.agent.inputs.settings import SunspecSettings
from edge.limits import SUNSPEC_LIMIT_AGAIN_S, SUNSPEC_MODEL_REGISTERS_MAX, SUNSPEC_MODELS_MAX
from fleet.errors import Unavailable
from fleet.profiles import shipped
from fleet.serials import serial_from
from fleet.telemetry import Sample

log = structlog.get_logger()

_BASES = (40_000, 0, 50_000)  # where the specification lets the map begin
_MARK = [0x5375, 0x6E53]  # "SunS"
_END = 0xFFFF
_READ_AT_ONCE = 100  # registers; Modbus allows 125, some gateways less


class Block(msgspec.Struct, frozen=True):
    """One model in the registers: `length` without its two registers of head."""

    model: int
    address: int
    length: int


class Unit(msgspec.Struct):
    """What follows one common model: a device, and perhaps a meter behind the same address.

    controls: where its power is limited.
    """

    serial: str
    maker: str
    model: str
    blocks: list[Block]
    controls: Block | None = None


class SunspecInput:
    """profile: the agent's own. When that is no gateway, the first unit is the agent itself."""

    def __init__(self, settings: SunspecSettings, profile: str, limit: Limit) -> None:
        self.name = settings.name
        self.units: list[Unit] = []
        self.limit_problem = ""
        self._settings = settings
        self._limit = limit
        self._limiting = asyncio.Lock()
        self._limit_failure = ""
        self._limit_again_at = 0.0
        self._reader: RegisterReader | None = None
        own = {each.id: each for each in shipped()}.get(profile)
        self._is_self = settings.sink_as == "self" or (
            settings.sink_as == "auto" and own is not None and own.kind != "gateway"
        )
        self._own_channels = frozenset(own.channels) if own is not None else None

    async def run(self, sink: Sink) -> None:
        """Raises Unavailable (modbus_away, modbus_refused, no_sunspec)."""
        settings = self._settings
        async with RegisterReader(settings.host, settings.port, settings.unit_id) as reader:
            self.units = await discover(reader, f"{settings.host}:{settings.port}/{settings.unit_id}")
            for unit in self.units:
                found = [block.model for block in unit.blocks]
                log.info("sunspec_found", input=self.name, serial=unit.serial, device=unit.model, models=found)
            self.limit_problem = self._no_controls()
            self._reader = reader
            while True:
                began = time.monotonic()
                await self._keep_limit()
                for position, unit in enumerate(self.units):
                    await self._read(reader, unit, sink, own=self._is_self and position == 0)
                await asyncio.sleep(max(settings.period_s - (time.monotonic() - began), 0.1))

    async def read_registers(self, address: int, count: int) -> list[int]:
        return await read_through(self._reader, self._settings, address, count)

    async def can_limit(self) -> bool:
        """Raises Unavailable (input_away, no_limit_control, modbus_away, modbus_refused)."""
        reader = self._reached()
        for _, controls in self._limited():
            await sunspec_limit.look(reader, controls.address, controls.length)
        return bool(self._limited())

    async def obey_limit(self) -> bool:
        """Raises Unavailable (limit_not_taken), and as can_limit does."""
        reader = self._reached()
        async with self._limiting:
            for unit, controls in self._limited():
                if await sunspec_limit.obey(reader, controls.address, controls.length, self._limit):
                    log.info("sunspec_limited", input=self.name, serial=unit.serial, limit_pct=self._limit.pct)
        return bool(self._limited())

    def _reached(self) -> RegisterReader:
        if self._reader is None:
            raise Unavailable("input_away", f"input {self.name} has not reached its device yet")
        if self.limit_problem:
            raise Unavailable("no_limit_control", self.limit_problem)
        return self._reader

    def _limited(self) -> list[tuple[Unit, Block]]:
        return [(unit, unit.controls) for unit in self.units if unit.controls is not None]

    async def _keep_limit(self) -> None:
        """An inverter that was without power has forgotten it. One that refuses is told so rarely, and said once."""
        if self._limit.pct is None or self.limit_problem or time.monotonic() < self._limit_again_at:
            return
        failure = ""
        try:
            await self.obey_limit()
        except Unavailable as error:
            if error.code == "modbus_away":
                raise
            failure = error.detail
            self._limit_again_at = time.monotonic() + SUNSPEC_LIMIT_AGAIN_S
        if failure and failure != self._limit_failure:
            log.warning("sunspec_not_limited", input=self.name, reason=failure)
        self._limit_failure = failure

    def _no_controls(self) -> str:
        """Of an inverter; a meter has nothing to be limited."""
        for unit in self.units:
            if unit.controls is None and any(models.is_inverter(block.model) for block in unit.blocks):
                return f"inverter {unit.serial} has no SunSpec model {sunspec_limit.CONTROLS}, by which its power is limited"
        return ""

    async def _read(self, reader: RegisterReader, unit: Unit, sink: Sink, *, own: bool) -> None:
        now = time.time_ns() // 1_000_000
        blocks = [models.model_of(block.model, await read_block(reader, block)) for block in unit.blocks]
        found = models.measures(blocks)
        if self._settings.meter_sign == "export" and "grid_power_w" in found:
            found["grid_power_w"] = -found["grid_power_w"]
        if own and self._own_channels is not None:  # its profile says what is wanted of all that the device can say
            found = {measure: value for measure, value in found.items() if measure in self._own_channels}
        if found:
            sink.samples([Sample(now, dict(found))], None if own else unit.serial)


async def discover(reader: RegisterReader, where: str) -> list[Unit]:
    """The units with something to read. `where` names those that do not say their serial. Raises Unavailable."""
    address = await _base(reader) + 2
    units: list[Unit] = []
    for _ in range(SUNSPEC_MODELS_MAX):
        model, length = await _head(reader, address)
        if model == _END:
            break
        block = Block(model, address, length)
        if model == models.COMMON:
            common = models.model_of(model, await read_block(reader, block))
            said = models.text(common, "SN") or (where if not units else f"{where}/{len(units)}")
            serial = serial_from(said) or "sunspec"
            units.append(Unit(serial, models.text(common, "Mn"), models.text(common, "Md"), []))
        elif units and model == sunspec_limit.CONTROLS:
            units[-1].controls = block
        elif units and model in models.READ and length <= SUNSPEC_MODEL_REGISTERS_MAX:
            units[-1].blocks.append(block)
        address += length + 2
    units = [unit for unit in units if unit.blocks]
    if not units:
        raise Unavailable("no_sunspec", f"the device at {where} has no SunSpec model of an inverter, a meter or a battery")
    return units


async def read_block(reader: RegisterReader, block: Block) -> bytes:
    """Its registers, head included."""
    words: list[int] = []
    wanted = block.length + 2
    while len(words) < wanted:
        words += await reader.read(block.address + len(words), min(_READ_AT_ONCE, wanted - len(words)))
    return b"".join(word.to_bytes(2, "big") for word in words)


async def _base(reader: RegisterReader) -> int:
    for address in _BASES:
        try:
            if await reader.read(address, 2) == _MARK:
                return address
        except Unavailable as error:
            if error.code == "modbus_away":
                raise
    raise Unavailable(
        "no_sunspec", "the device speaks Modbus, but has no SunSpec map: is SunSpec switched on in its settings?"
    )


async def _head(reader: RegisterReader, address: int) -> tuple[int, int]:
    """Some devices do not give the end model a length, so the two are read apart."""
    (model,) = await reader.read(address, 1)
    if model == _END:
        return model, 0
    (length,) = await reader.read(address + 1, 1)
    return model, length

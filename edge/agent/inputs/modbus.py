"""Registers over Modbus TCP, as the settings list them."""

import asyncio
import math
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path

import msgspec
import structlog
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException

from edge.agent.inputs import Sink
from edge.agent.inputs.settings import ModbusSettings, Register, SunspecSettings
from edge.limits import INPUT_TIMEOUT_S, REGISTERS_PER_INPUT_MAX
from fleet.errors import BadInput, FleetError, Unavailable
from fleet.runtime.cancelled import end_if_cancelled
from fleet.telemetry import Sample

log = structlog.get_logger()

_TYPES = {
    "i16": AsyncModbusTcpClient.DATATYPE.INT16,
    "u16": AsyncModbusTcpClient.DATATYPE.UINT16,
    "i32": AsyncModbusTcpClient.DATATYPE.INT32,
    "u32": AsyncModbusTcpClient.DATATYPE.UINT32,
    "float32": AsyncModbusTcpClient.DATATYPE.FLOAT32,
}


class RegisterReader:
    """One connection to one device. Raises Unavailable (modbus_away, modbus_refused), its only errors."""

    def __init__(self, host: str, port: int, unit_id: int) -> None:
        self._where = f"{host}:{port} unit {unit_id}"
        self._unit_id = unit_id
        self._client = AsyncModbusTcpClient(host, port=port, timeout=INPUT_TIMEOUT_S, retries=1, reconnect_delay=0)

    async def __aenter__(self) -> "RegisterReader":
        if not await self._client.connect():
            raise Unavailable("modbus_away", f"no Modbus device answers at {self._where}")
        return self

    async def __aexit__(self, *error: object) -> None:
        self._client.close()

    async def read(self, address: int, count: int, *, holding: bool = True) -> list[int]:
        """`count` registers of 16 bits."""
        ask = self._client.read_holding_registers if holding else self._client.read_input_registers
        try:
            answer = await ask(address, count=count, device_id=self._unit_id)
        except (ModbusException, OSError) as error:
            raise Unavailable("modbus_away", f"{self._where} does not answer: {error}") from None
        end_if_cancelled()
        if answer.isError() or len(answer.registers) < count:
            raise Unavailable("modbus_refused", f"{self._where} refuses registers {address}…{address + count - 1}: {answer}")
        return list(answer.registers)

    async def write(self, address: int, value: int) -> None:
        """One holding register."""
        try:
            answer = await self._client.write_register(address, value, device_id=self._unit_id)
        except (ModbusException, OSError) as error:
            raise Unavailable("modbus_away", f"{self._where} does not answer: {error}") from None
        end_if_cancelled()
        if answer.isError():
            raise Unavailable("modbus_refused", f"{self._where} refuses {value} for register {address}: {answer}")


async def read_through(
    reader: RegisterReader | None, settings: ModbusSettings | SunspecSettings, address: int, count: int
) -> list[int]:
    """Over the connection that there is: many devices allow one only. Without one, over a new one. Raises Unavailable."""
    if reader is not None:
        return await reader.read(address, count)
    async with RegisterReader(settings.host, settings.port, settings.unit_id) as fresh:
        return await fresh.read(address, count)


class ModbusInput:
    def __init__(self, settings: ModbusSettings) -> None:
        """Raises BadInput (bad_register_map)."""
        self.name = settings.name
        self._settings = settings
        self._registers = _registers(settings)
        self._reader: RegisterReader | None = None

    async def read_registers(self, address: int, count: int) -> list[int]:
        return await read_through(self._reader, self._settings, address, count)

    async def run(self, sink: Sink) -> None:
        """Raises Unavailable when the device is away, or refuses every register."""
        settings = self._settings
        async with RegisterReader(settings.host, settings.port, settings.unit_id) as reader:
            log.info("modbus_connected", input=self.name, host=settings.host, registers=len(self._registers))
            self._reader = reader
            while True:
                began = time.monotonic()
                sample = await self._round(reader)
                sink.samples([sample], settings.source)
                await asyncio.sleep(max(settings.period_s - (time.monotonic() - began), 0.1))

    async def _round(self, reader: RegisterReader) -> Sample:
        """One look at every register; what the device refuses is missing, not zero."""
        values: dict[str, float | None] = {}
        refused: FleetError | None = None
        now = time.time_ns() // 1_000_000
        for register in self._registers:
            try:
                words = await reader.read(register.address, width(register), holding=register.kind == "holding")
            except Unavailable as error:
                if error.code == "modbus_away":
                    raise
                refused = error
                continue
            value = decoded(register, words)
            if value is not None:
                values[register.measure] = value
        if not values and refused is not None:
            raise refused
        return Sample(now, values)


def width(register: Register) -> int:
    """In registers of 16 bits."""
    return 1 if register.type in ("i16", "u16") else 2


def decoded(register: Register, words: Sequence[int]) -> float | None:
    """The value in the measure's unit; None where the device says that it has none."""
    raw = AsyncModbusTcpClient.convert_from_registers(list(words), _TYPES[register.type], register.word_order)
    if not isinstance(raw, int | float) or raw == register.missing or not math.isfinite(raw):
        return None
    return raw * register.scale + register.offset


def _registers(settings: ModbusSettings) -> tuple[Register, ...]:
    registers = settings.registers
    if settings.registers_file is not None:
        registers += _read_map(Path(settings.registers_file))
    if not registers:
        raise BadInput("bad_register_map", f"input {settings.name}: neither registers nor registers_file name a register")
    if len(registers) > REGISTERS_PER_INPUT_MAX:
        raise BadInput("bad_register_map", f"input {settings.name}: more than {REGISTERS_PER_INPUT_MAX} registers")
    measures = [register.measure for register in registers]
    if len(set(measures)) < len(measures):
        raise BadInput("bad_register_map", f"input {settings.name}: two registers are the same measure")
    return registers


class _Map(msgspec.Struct, forbid_unknown_fields=True):
    registers: tuple[Register, ...]


def _read_map(file: Path) -> tuple[Register, ...]:
    try:
        return msgspec.convert(tomllib.loads(file.read_text()), _Map).registers
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError, FleetError) as error:
        raise BadInput("bad_register_map", f"{file} is not a register map: {error}") from None

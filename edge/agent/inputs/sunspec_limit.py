"""How an inverter is told to give less: model 123 (immediate controls), which it may have, and may keep to."""

import asyncio
from math import floor
from typing import Final, NamedTuple

from edge.agent.inputs import Limit
from edge.agent.inputs.modbus import RegisterReader
from edge.obeying import FULL_PCT
from fleet.errors import Unavailable

CONTROLS: Final = 123
_LENGTH: Final = 24  # registers after its head
_PERCENT, _REVERT, _ENABLE, _SCALE = 5, 7, 9, 23  # WMaxLimPct, WMaxLimPct_RvrtTms, WMaxLim_Ena, WMaxLimPct_SF; head included
_NOT_IMPLEMENTED: Final = 0xFFFF
_REVERT_MAX_S: Final = 0xFFFE
_SCALE_MAX: Final = 10
_LOOKS, _LOOK_S = 4, 0.5  # some inverters take a second until they say what they were told


class _Said(NamedTuple):
    """percent: as it stands in the register."""

    percent: int
    enabled: bool


async def look(reader: RegisterReader, address: int, length: int) -> tuple[list[int], int]:
    """The controls' registers as they stand, head included, and the power of ten of the percentage. Changes nothing.

    Raises Unavailable (no_limit_control, modbus_away, modbus_refused).
    """
    if length < _LENGTH:
        raise Unavailable(
            "no_limit_control", f"the inverter's model {CONTROLS} is {length} registers short of what it needs"
        )
    words = await reader.read(address, _LENGTH + 2)
    scale = words[_SCALE] - 0x1_0000 if words[_SCALE] >= 0x8000 else words[_SCALE]
    if abs(scale) > _SCALE_MAX:
        raise Unavailable("no_limit_control", f"the inverter's model {CONTROLS} has no scale for its power limit")
    return words, scale


async def obey(reader: RegisterReader, address: int, length: int, limit: Limit) -> bool:
    """Brings the controls at this address to what the limit says; whether anything had to be written.

    The percentage is rounded down to the inverter's steps: never more than allowed. Where the limit's end is known and full
    power follows, the inverter is told that as well, so that it comes back by itself when nobody can tell it.
    Raises Unavailable (limit_not_taken), and as look does.
    """
    pct = limit.pct
    if pct is None:
        return False
    words, scale = await look(reader, address, length)
    wanted = _Said(floor(round(pct / 10.0**scale, 6)), pct < FULL_PCT)
    if _keeps(_said(words), wanted):
        return False
    if wanted.enabled:
        if words[_REVERT] != _NOT_IMPLEMENTED:
            await reader.write(address + _REVERT, _revert_s(limit.full_power_in_s))
        await reader.write(address + _PERCENT, wanted.percent)
    await reader.write(address + _ENABLE, int(wanted.enabled))  # last: that is what makes the rest count
    for _ in range(_LOOKS):
        said = _said(await reader.read(address, _LENGTH + 2))
        if _keeps(said, wanted):
            return True
        await asyncio.sleep(_LOOK_S)
    raise Unavailable(
        "limit_not_taken",
        f"the inverter was told {pct:g} %, and says {said.percent * 10.0**scale:g} %, {'on' if said.enabled else 'off'}:"
        " is remote control switched on in its settings?",
    )


def _said(words: list[int]) -> _Said:
    return _Said(words[_PERCENT], words[_ENABLE] == 1)


def _keeps(said: _Said, wanted: _Said) -> bool:
    """Without a limit the percentage does not matter."""
    return said == wanted if wanted.enabled else not said.enabled


def _revert_s(full_power_in_s: float | None) -> int:
    """0: never. A longer time than the register holds is left to the agent."""
    if full_power_in_s is None or full_power_in_s > _REVERT_MAX_S:
        return 0
    return max(round(full_power_in_s), 1)

"""What a Solar-Log says of its plant (base_vars.js), and which value of a block is what.

Source: the makers' old description of the JS format (community wikis keep it), recorded files. Each inverter has a block
of values: `Pac;Pdc1..Pdcn;dayWh`, then `Udc1..Udcn` (not in the oldest), then perhaps a temperature; n strings. So the
number of values says n, but 4 of them are one string with its voltage, or two without: then the powers decide, since what
goes into an inverter is what comes out of it, and a little more. Where they do not (some loggers give 0 or nonsense for
Pdc), what goes up and down all day long is no counter of the day. WRInfo knows n too, but only of today: strings were added,
and inverters put in another order, while older files stayed as they are.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from fleet.file_limits import FILE_SERIALS_MAX, SOLAR_LOG_STRINGS_MAX
from fleet.serials import is_serial

_INVERTER: Final = re.compile(r"^[ \t]*WRInfo\[([0-9]{1,3})\][ \t]*=[ \t]*new Array\((.*)\)", re.MULTILINE)
_VALUE: Final = re.compile(r'"([^"]*)"|([^",\s][^",]*)')
_NO_INVERTER: Final = frozenset(("1", "2"))  # a box of sensors, a meter: element 11 of WRInfo
_COUNT_MAX: Final = 2 * SOLAR_LOG_STRINGS_MAX + 3
_ENOUGH_ROWS: Final = 3  # whose powers fit, for a number of values that most rows do not have: the plant was changed
_ENOUGH_W: Final = 100.0  # in the morning an inverter's own losses hide what goes in
_ENOUGH_STEPS: Final = 10  # of a value, to say that it is no counter
_TURNS_ONE_IN: Final = 10  # of its steps: days that are glued together make a counter turn, too


class Inverter(NamedTuple):
    """name: as people gave it. strings: None where nobody knows. is_inverter: a meter may stand among them."""

    serial: str
    name: str
    strings: int | None
    is_inverter: bool


class Layout(NamedTuple):
    """Of one block of values: measures and where they stand in it."""

    measures: tuple[str, ...]
    places: tuple[int, ...]


def inverters(base_vars: str) -> dict[int, Inverter]:
    """By their place in the data. One that is not told of has its number for a name."""
    told: dict[int, list[str]] = {}
    for number, array in _INVERTER.findall(base_vars):
        if len(told) < FILE_SERIALS_MAX:
            told[int(number)] = [quoted or bare.strip() for quoted, bare in _VALUE.findall(array)]
    serials = [values[1].strip() for values in told.values() if len(values) > 1]
    found = {}
    for number, array in told.items():
        values = [*array, *[""] * 12]
        serial = values[1].strip()
        if not is_serial(serial) or serials.count(serial) > 1:
            serial = unnamed(number).serial
        strings = int(values[5]) if values[5].isdecimal() and int(values[5]) <= SOLAR_LOG_STRINGS_MAX else None
        found[number] = Inverter(serial, values[4] or values[0], strings, values[11] not in _NO_INVERTER)
    return found


def unnamed(number: int) -> Inverter:
    return Inverter(f"inverter-{number + 1}", "", None, True)


class Layouts:
    """Learns, over a whole file, how the blocks at each place are laid out."""

    def __init__(self, known: Mapping[int, Inverter]) -> None:
        self._known: Final = known
        self._seen: Final[dict[int, dict[int, int]]] = {}  # place → number of values → rows
        self._votes: Final[dict[tuple[int, int, int], int]] = {}  # place, number of values, strings → rows
        self._told: Final[dict[tuple[int, int], int]] = {}  # place, number of values → rows whose powers could have voted
        self._before: Final[dict[tuple[int, int], list[float]]] = {}  # place, number of values → the last such row
        self._steps: Final[dict[tuple[int, int, int], list[int]]] = {}  # of the day's counter: up, down
        self._chosen: Final[dict[tuple[int, int], Layout | None]] = {}

    def learn(self, place: int, values: Sequence[str]) -> None:
        """values: of one block of a row."""
        count = len(values)
        if count > _COUNT_MAX:
            return
        seen = self._seen.setdefault(place, {})
        seen[count] = seen.get(count, 0) + 1
        try:
            numbers = [float(each or 0) for each in values]
        except ValueError:
            return
        candidates = _candidates(count)
        if len(candidates) > 1:
            before = self._before.get((place, count), numbers)
            self._before[place, count] = numbers
            for each in candidates:
                now, then = numbers[each + 1], before[each + 1]
                if now != then:
                    self._steps.setdefault((place, count, each), [0, 0])[now < then] += 1
        if not numbers[0] >= _ENOUGH_W:
            return
        fitting = [each for each in candidates if 0.5 <= numbers[0] / (sum(numbers[1 : each + 1]) or 1.0) <= 1.1]
        if len(fitting) < 2:
            self._told[place, count] = self._told.get((place, count), 0) + 1
        if len(fitting) == 1:
            key = (place, count, fitting[0])
            self._votes[key] = self._votes.get(key, 0) + 1

    def of(self, place: int, count: int) -> Layout | None:
        """None: so many values are not what this inverter tells."""
        key = (place, count)
        if count > _COUNT_MAX:
            return None
        if key not in self._chosen:
            self._chosen[key] = self._choose(place, count)
        return self._chosen[key]

    def _choose(self, place: int, count: int) -> Layout | None:
        candidates = _candidates(count)
        if not candidates:
            return None
        votes = {strings: self._votes.get((place, count, strings), 0) for strings in candidates}
        if max(votes.values()) * 2 <= self._told.get((place, count), 0):
            candidates = [each for each in candidates if not self._turns(place, count, each)] or candidates
        known = self._known.get(place)
        told = known.strings if known is not None else None
        seen = self._seen.get(place, {})
        most = max(seen.items(), key=lambda each: (each[1], each[0]), default=(count, 0))[0]
        if count != most and told not in candidates and max(votes.values()) < _ENOUGH_ROWS:
            return None
        strings = max(candidates, key=lambda each: (votes[each], each == told, each == candidates[0]))
        return _layout(strings, count)

    def _turns(self, place: int, count: int, strings: int) -> bool:
        """Whether what were the day's counter with so many strings goes up and down."""
        up, down = self._steps.get((place, count, strings), (0, 0))
        return up + down >= _ENOUGH_STEPS and min(up, down) * _TURNS_ONE_IN > up + down


def _candidates(count: int) -> list[int]:
    """How many strings a block of so many values can have: the usual one first."""
    found = [(count - 2) // 2] if count >= 4 else []  # with voltages, and a temperature where the number is odd
    if count >= 3:
        found.append(count - 2)  # without voltages
    return [strings for strings in found if strings <= SOLAR_LOG_STRINGS_MAX]


def _layout(strings: int, count: int) -> Layout:
    day = strings + 1
    found = {"pv_power_w": 0, "pv_day_energy_wh": day}
    found |= {f"dc_power_w_{number}": number for number in range(1, strings + 1)}
    if count >= 2 * strings + 2:
        found |= {f"dc_voltage_v_{number}": day + number for number in range(1, strings + 1)}
        if count == 2 * strings + 3:
            found["inverter_temp_c"] = count - 1
    return Layout(tuple(found), tuple(found.values()))

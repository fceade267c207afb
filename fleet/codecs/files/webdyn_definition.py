"""Definition and configuration files of WebdynSun loggers: scales, units and serials for the files with data.

Source: the maker's manuals of WebdynSun v2 (French), WebdynModbus and WebdynSunPM 2.05. Cells between `;`:

PM                  `Protocol;Category;Manufacturer;Model`, then
                    `Index;Info1;Info2;Info3;Info4;Name;Tag;CoefA;CoefB;Unit;Action`
WebdynSun v2        `index;reserved;reserved;reserved;name;unit;coefA;coefB;action`
Modbus v1           `Modbus_VariablesTables={`, then
                    `index;request;name;type;signed;position;option1;option2;coefA;coefB;unit;action`, then `}`
<uid>_daq.csv       `index;interface;name;address;acqPeriod(s);timeout(ms);serialNumber;parameters;category;model;defFile`

Action: 0 off, 1 parameter (neither is in the data), 2 minimum, maximum and average (three columns), 4 instant, 8 instant and
alarm. A missing coefficient is 1 or 0. Data name a definition by its file's name.
"""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from fleet.codecs.files.lines import head_lines, lines
from fleet.codecs.files.reading import Content, Context, Definition, FileFormat, Found, Unreadable
from fleet.codecs.webdyn_names import DeviceRole, role_of
from fleet.file_limits import WEBDYN_DEFINITION_BYTES_MAX, WEBDYN_VARIABLES_MAX
from fleet.serials import is_serial, serial_from

MIN_MAX_AVERAGE: Final = 2
_LOGGED: Final = frozenset((MIN_MAX_AVERAGE, 4, 8))
_ACTIONS: Final = frozenset("01248")
_CONFIGURATION: Final = "index;interface;name;address;"
_TABLE: Final = "modbus_variablestables={"
_PROTOCOL: Final = re.compile(r"[A-Za-z][A-Za-z0-9_ -]{1,30}(?:;[^;]{0,80}){3,5}")


class Variable(NamedTuple):
    """value = raw x a + b, in unit. label: what the variable is called where it comes from, as the TIC's label."""

    id: str
    name: str
    tag: str
    unit: str
    a: float
    b: float
    action: int
    label: str

    @property
    def logged(self) -> bool:
        return self.action in _LOGGED


class DeviceDefinition(NamedTuple):
    """variables: in their order, by index."""

    role: DeviceRole | None
    variables: dict[str, Variable]


class LoggerConfiguration(NamedTuple):
    """Of one device, as the logger knows it. serial: None when neither a serial nor a name stands there."""

    serial: str | None
    role: DeviceRole | None


class Definitions:
    """What a logger has told about its devices. Each text is read when it is asked for."""

    def __init__(self, context: Context) -> None:
        self._texts: Final = {_key(name): text for name, text in context.definitions.items()}
        self._known: Final[dict[str, DeviceDefinition]] = {}
        self._configuration: Final = _configuration(self._texts, _key(context.name))

    def of(self, name: str) -> DeviceDefinition | None:
        key = _key(name)
        if key not in self._known and key in self._texts:
            self._known[key] = device_definition(self._texts[key])
        return self._known.get(key)

    def device(self, index: str) -> LoggerConfiguration | None:
        return self._configuration.get(index)


def recognises(head: bytes) -> bool:
    found = [line for line in head_lines(head, most=400) if line.strip() and not line.lstrip().startswith("#")]
    if not found:
        return False
    if found[0].casefold().startswith(_CONFIGURATION):
        return True
    plain = [line.replace(" ", "").casefold() for line in found]
    if any(line.startswith(_TABLE) for line in plain):
        return True
    rows = found[1:] if _PROTOCOL.fullmatch(found[0]) is not None else found
    read = [_row(line.split(";")) for line in rows[:-1] or rows]  # the head's last line may be cut
    good = sum(each is not None for each in read)
    return good >= 1 and good >= 0.8 * len(read)


def read(content: Content, context: Context) -> Iterator[Found]:
    """Raises Unreadable (definition_without_variables)."""
    content.whole(WEBDYN_DEFINITION_BYTES_MAX)
    text = "\n".join(line.text for line in lines(content))
    if not text.casefold().startswith(_CONFIGURATION) and not device_definition(text).variables:
        raise Unreadable("definition_without_variables")
    yield Definition(file_name(context.name), text)


def file_name(name: str) -> str:
    """Without folders, and without what an upload or a packer adds."""
    base = re.split(r"[/\\]", name)[-1]
    return re.sub(r"(?:\.gz|\.zip|\.tmp)+$", "", base, flags=re.IGNORECASE)


def device_definition(text: str) -> DeviceDefinition:
    """Lines that are no variable are left out: a definition written by hand has comments, and blank cells."""
    found = [line.strip() for line in text.split("\n")]
    kept = [line for line in found if line and not line.startswith("#")]
    role: DeviceRole | None = None
    row = _row
    if kept and _PROTOCOL.fullmatch(kept[0]) is not None:
        cells = kept[0].split(";")
        role = role_of(cells[1]) or role_of(cells[0])
    starts = [place for place, line in enumerate(kept) if line.replace(" ", "").casefold().startswith(_TABLE)]
    if starts:
        kept, row = kept[starts[0] + 1 :], _table_row
    variables: dict[str, Variable] = {}
    for line in kept:
        variable = row(line.split(";"))
        if variable is not None and len(variables) < WEBDYN_VARIABLES_MAX:
            variables.setdefault(variable.id, variable)
    return DeviceDefinition(role, variables)


def _row(cells: list[str]) -> Variable | None:
    """Of a PM's definition, or of a WebdynSun's."""
    cells = [cell.strip() for cell in cells]
    if len(cells) == 11:
        index, info, _, _, _, name, tag, a, b, unit, action = cells
    elif len(cells) == 9:
        index, info, _, _, name, unit, a, b, action = cells
        tag = ""
    else:
        return None
    return _variable(index, name, tag, unit, a, b, action, info) if any(map(str.isalpha, name)) else None


def _table_row(cells: list[str]) -> Variable | None:
    if len(cells) < 12:
        return None
    index, _, name, _, _, _, _, _, a, b, unit, action = (cell.strip() for cell in cells[:12])
    return _variable(index, name, "", unit, a, b, action, name)


def _variable(index: str, name: str, tag: str, unit: str, a: str, b: str, action: str, label: str) -> Variable | None:
    scale, offset = _coefficient(a, 1.0), _coefficient(b, 0.0)
    if not index or scale is None or offset is None or action not in _ACTIONS:
        return None
    return Variable(index, name, tag, unit, scale, offset, int(action), label)


def _coefficient(text: str, otherwise: float) -> float | None:
    if not text:
        return otherwise
    try:
        found = float(text)
    except ValueError:
        return None
    return found if math.isfinite(found) and "_" not in text else None


def _key(name: str) -> str:
    return file_name(name.strip()).casefold()


def _configuration(texts: Mapping[str, str], data_name: str) -> dict[str, LoggerConfiguration]:
    """By device index. Several loggers' configurations: the one whose name begins like the data's."""
    names = [name for name, text in texts.items() if text.casefold().startswith(_CONFIGURATION)]
    own = [name for name in names if data_name.startswith(name.removesuffix("daq.csv"))]
    chosen = own[0] if own else names[0] if len(names) == 1 else None
    if chosen is None:
        return {}
    found: dict[str, LoggerConfiguration] = {}
    for line in texts[chosen].split("\n")[1 : WEBDYN_VARIABLES_MAX + 1]:
        cells = [cell.strip() for cell in line.split(";")]
        if len(cells) >= 9:
            serial = next((each for each in (cells[6], serial_from(cells[2])) if is_serial(each)), None)
            found[cells[0]] = LoggerConfiguration(serial, role_of(cells[8]))
    return found


FORMAT: Final = FileFormat(
    id="webdyn-definition",
    label_fr="WebdynSun, définition d'équipement",
    label_en="WebdynSun, definition of a device",
    profile_id="logger",
    recognises=recognises,
    read=read,
)

"""Files in SenML (RFC 8428), JSON or CBOR: one pack, which fleet.codecs.senml describes. Times are instants, in UTC.

Both are read record by record, so that a file is never in memory as objects; what stands within a record is flat. A record's
number takes the place of a line's. Records of one device and instant that follow each other become one row. What a name does
not say for certain can be set as the logger's role.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from fleet.codecs import cbor_records, senml
from fleet.codecs.cbor_records import NotCbor
from fleet.codecs.files.reading import Content, Context, FileFormat, Found, Gathering, Unreadable, refusal
from fleet.errors import BadInput
from fleet.file_limits import FILE_SERIALS_MAX, FILE_WHOLE_BYTES_MAX
from fleet.limits import SENML_NAMES_MAX, SENML_RECORD_BYTES_MAX
from fleet.serials import is_serial
from fleet.telemetry import UnixMs

_BOM: Final = b"\xef\xbb\xbf"
_OPENING: Final = re.compile(rb"[ \t\r\n]*\[[ \t\r\n]*")
# A flat object: whatever is neither a bracket nor a text, and texts, in which brackets may be.
_RECORD: Final = re.compile(rb'\{(?:[^{}\[\]"]++|"(?:[^"\\]++|\\.)*+")*+\}', re.DOTALL)
_BETWEEN: Final = re.compile(rb"[ \t\r\n]*(?:,[ \t\r\n]*(?=\{)|\][ \t\r\n]*\Z)")
_whole_record: Final = msgspec.json.Decoder(dict[str, Any])


def recognises(head: bytes) -> bool:
    if cbor_records.is_array(head):
        try:
            first = next(senml.from_cbor(head), None)
        except NotCbor:
            return False
        return first is not None and senml.is_record(first)
    opening = _OPENING.match(head.removeprefix(_BOM))
    found = None if opening is None else _RECORD.match(head.removeprefix(_BOM), opening.end())
    try:
        return found is not None and senml.is_record(_whole_record.decode(found[0]))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False


def read(content: Content, context: Context) -> Iterator[Found]:
    """Raises Unreadable (file_too_large, header_only, bad_json, bad_cbor, too_many_serials, senml_…)."""
    raw = content.whole(FILE_WHOLE_BYTES_MAX).removeprefix(_BOM)
    reading = _Reading(context)
    for number, record in enumerate(_from_cbor(raw) if cbor_records.is_array(raw) else _from_json(raw), 1):
        yield from reading.take(number, record)
    yield from reading.rest()


class _Reading:
    def __init__(self, context: Context) -> None:
        self._role = context.settings.role
        self._resolver = senml.Resolver(context.received_at)
        self._gathering = Gathering()
        self._serial = ""  # of the row that is being put together
        self._t: UnixMs = 0
        self._values: dict[str, float] = {}
        self._named: dict[tuple[str, str], str] = {}  # serial and measure → the name that tells it
        self._serials: set[str] = set()
        self._left_out: set[str] = set()
        self._rows = 0
        self._refused = False

    def take(self, number: int, record: dict[str, Any]) -> Iterator[Found]:
        """Raises Unreadable."""
        try:
            resolved = self._resolver.take(record)
        except BadInput as error:
            text = repr(record)
            if error.code != "senml_record":
                raise Unreadable(error.code, number, text=text) from None
            self._refused = True
            yield refusal(error.code, number, text=text)
            return
        if resolved is None:
            return
        found = senml.measures(resolved, self._role)
        if not found and resolved.value is not None:
            yield from self._leave_out("unknown_column", number, resolved)
        for measure, value in found:
            serial = self._serial_of(number, resolved)
            if serial and not is_serial(serial):
                yield from self._leave_out("bad_serial", number, resolved)
                continue
            if self._named.setdefault((serial, measure), resolved.name) != resolved.name:
                yield from self._leave_out("column_twice", number, resolved)
                continue
            if self._t != resolved.t or self._serial != serial or measure in self._values:
                yield from self._close_row()
                self._serial, self._t = serial, resolved.t
            self._values[measure] = value

    def rest(self) -> Iterator[Found]:
        """Raises Unreadable (header_only)."""
        yield from self._close_row()
        yield from self._gathering.rest()
        if not (self._rows or self._left_out or self._refused):
            raise Unreadable("header_only")

    def _close_row(self) -> Iterator[Found]:
        if self._values:
            self._rows += 1
            yield from self._gathering.add(self._serial or None, tuple(self._values), self._t, self._values.values())
            self._values = {}

    def _serial_of(self, number: int, resolved: senml.Resolved) -> str:
        """Raises Unreadable (too_many_serials)."""
        serial = senml.place(resolved.name, resolved.base).serial
        if serial not in self._serials:
            self._serials.add(serial)
            if len(self._serials) > FILE_SERIALS_MAX:
                raise Unreadable("too_many_serials", number, serials_max=str(FILE_SERIALS_MAX))
        return serial

    def _leave_out(self, code: str, number: int, resolved: senml.Resolved) -> Iterator[Found]:
        """Told once of each name."""
        name, metric = resolved.name, resolved.name[resolved.base :] or resolved.name
        if name not in self._left_out and len(self._left_out) < SENML_NAMES_MAX:
            self._left_out.add(name)
            yield refusal(code, number, text=name, name=metric[:80], unit=(resolved.unit or "–")[:20])


def _from_json(raw: bytes) -> Iterator[dict[str, Any]]:
    """Raises Unreadable (bad_json)."""
    opening = _OPENING.match(raw)
    position, number = (0 if opening is None else opening.end()), 1
    while position < len(raw):
        found = _RECORD.match(raw, position)
        between = None if found is None else _BETWEEN.match(raw, found.end())
        if found is None or between is None or found.end() - found.start() > SENML_RECORD_BYTES_MAX:
            break
        try:
            yield _whole_record.decode(found[0])
        except (msgspec.DecodeError, UnicodeDecodeError):
            break
        position, number = between.end(), number + 1
    else:
        if opening is not None and number > 1:
            return
    raise Unreadable("bad_json", number, text=raw[position : position + 80].decode("utf-8", "replace"))


def _from_cbor(raw: bytes) -> Iterator[dict[str, Any]]:
    """Raises Unreadable (bad_cbor)."""
    number = 1
    try:
        for record in senml.from_cbor(raw):
            yield record
            number += 1
    except NotCbor as error:
        raise Unreadable("bad_cbor", number, text=str(error)) from None


FORMAT: Final = FileFormat("senml", "SenML (JSON ou CBOR)", "SenML (JSON or CBOR)", "imported-inverter", recognises, read)

"""Serial numbers as the registry knows them: what people can type, and what machines make of a name."""

import hashlib
import re
from typing import Final

from fleet.limits import SERIAL_CHARS_MAX, SERIAL_CHARS_MIN

NOBODYS: Final = "file"  # of rows in a file whose device neither the file nor anybody has told
SERIAL_PATTERN: Final = "^[A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9])?$"

_SERIAL: Final = re.compile(SERIAL_PATTERN[1:-1])
# A run of letters and digits that is no word: somebody has numbered what he makes.
_NUMBERED: Final = re.compile(r"(?=(?:[A-Za-z]*[0-9]){4})[A-Za-z0-9]{6,}")
_TOLD_APART_WITHIN: Final = 80  # characters; the search tries each of them anew
_OTHER: Final = re.compile(r"[^A-Za-z0-9._/-]+")


def is_serial(text: str) -> bool:
    """Letters and digits, with . _ / - between them."""
    return SERIAL_CHARS_MIN <= len(text) <= SERIAL_CHARS_MAX and _SERIAL.fullmatch(text) is not None


def serial_from(text: str, chars_max: int = SERIAL_CHARS_MAX) -> str:
    """A name that somebody gave, as near to it as a serial can be; '' when nothing is left of it."""
    return _OTHER.sub("-", text).strip("._/-")[:chars_max].strip("._/-")


def tells_apart(name: str) -> bool:
    """Whether a name is a maker's number rather than one that somebody chose, such as "inverter": every house has that."""
    return _NUMBERED.search(name[:_TOLD_APART_WITHIN]) is not None


def serial_of_path(text: str, chars_max: int = SERIAL_CHARS_MAX) -> str:
    """As serial_from, but of a name that is too long the end is kept, and a mark of the whole: two long names stay two."""
    serial = serial_from(text, len(text))
    if len(serial) <= chars_max:
        return serial
    mark = hashlib.sha256(text.encode(errors="replace")).hexdigest()[:8]
    return f"{serial[-(chars_max - 9) :].strip('._/-')}.{mark}"

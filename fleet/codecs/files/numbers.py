"""Numbers in cells, by the file's own decimal mark and thousands separator, never by anybody's locale."""

import re
from collections.abc import Callable, Iterable
from math import isfinite
from typing import Final, Literal

Decimal = Literal[".", ","]
Thousands = Literal["", ".", ",", " ", "'"]

# What stands for a reading that is not there (never 0): SMA's, Enedis's, Fronius's and spreadsheets' words
MISSING: Final = (
    "-",
    "--",
    "---",
    "NaN",
    "nan",
    "NAN",
    "null",
    "NULL",
    "None",
    "N/A",
    "n/a",
    "NA",
    "#N/A",
    "NaNStt",
    "NoneMsg",
)

_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_BLANKS: Final = re.compile(r"[\s\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}\N{THIN SPACE}']+")


class Numbers:
    """How the cells of one file read as numbers."""

    def __init__(self, decimal: Decimal = ".", thousands: Thousands = "", missing: Iterable[str] = MISSING) -> None:
        self.decimal: Final = decimal
        self.missing: Final = frozenset(("", *missing))
        self._thousands: Final = thousands
        # What takes one whole cell most of the time; a comma that is no decimal mark makes it fail
        self.quick: Final[Callable[[str], float]] = float if decimal == "." else _with_comma

    def one(self, text: str) -> float | None:
        """None: missing. Raises ValueError for what is no finite number."""
        text = text.strip()
        if text in self.missing:
            return None
        if self._thousands:
            text = _BLANKS.sub("", text) if self._thousands in {" ", "'"} else text.replace(self._thousands, "")
        if self.decimal == ",":
            if "." in text:
                raise ValueError(f"a dot where the decimal mark is a comma: {text[:40]!r}")
            text = text.replace(",", ".")
        if _NUMBER.fullmatch(text) is None or not isfinite(found := float(text)):
            raise ValueError(f"no number: {text[:40]!r}")
        return found


def _with_comma(text: str) -> float:
    if "." in text:
        raise ValueError("a dot where the decimal mark is a comma")
    return float(text.replace(",", "."))

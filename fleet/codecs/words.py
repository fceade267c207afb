"""The words of a free name, whatever language and case it is in. Pure."""

import re
import unicodedata
from typing import Final

_CAMEL: Final = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_WORD: Final = re.compile(r"[a-z]+|[0-9]+")


def unaccented(text: str) -> str:
    """'Énergie' → 'Energie'; what is one sign for several becomes these: '²' → '2'."""
    return "".join(each for each in unicodedata.normalize("NFKD", text) if not unicodedata.combining(each))


def words_of(text: str) -> tuple[str, ...]:
    """'EnergyTotal' → energy, total; 'Tension DC n°2' → tension, dc, n, 2; 'UL1' → ul, 1."""
    return tuple(_WORD.findall(unaccented(_CAMEL.sub(" ", text).casefold())))


def word_set(text: str) -> frozenset[str]:
    """Of a list that is written with blanks."""
    return frozenset(text.split())

"""Makes text fit to be shown to strangers: what passes is known, everything else becomes a pseudonym.

Nobody can list all secrets, names and addresses. But what is worth reading in a log is said in our own words: a word passes
when our own source uses it, a number when it is small, a time as it is. The same thing has the same pseudonym throughout a
bundle, and another one in the next: its key is made up and thrown away.
"""

import hmac
import re
import secrets
from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import sha256
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any, Final

import msgspec

_DIGITS_MAX: Final = 6  # more may be a meter's number, a telephone's, a serial
_DECIMALS: Final = 2  # of a latitude, that is a kilometre
_TOO_EXACT: Final = re.compile(r"((?<![\d.])\d{1,4}(?:\.\d{1,4}){2}(?!\.?\d)|\d\.\d{2})\d*")  # whole: a version
_PSEUDONYM_CHARS: Final = 8
_PLAIN_CHARS_MAX: Final = 24  # of letters in one piece; what is longer is a key
_TIME: Final = r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?"
_CHUNK: Final = re.compile(rf"(?P<time>{_TIME})(?![\w@])|(?P<chunk>[^\s\"'(){{}}\[\]<>,;=|]+)")
_HEX: Final = "[0-9A-Fa-f]"
_ADDRESS: Final = re.compile(
    rf"(?:{_HEX}{{0,4}}:){{2,}}(?:\d{{1,3}}\.){{3}}\d{{1,3}}"  # an IPv4 one in IPv6's clothes, before it is taken for less
    rf"|{_HEX}{{0,4}}(?::{_HEX}{{0,5}}){{2,}}"  # IPv6 and perhaps a port, or a network card's
    rf"|{_HEX}{{2}}(?:-{_HEX}{{2}}){{5}}"
    r"|(?:\d{1,3}\.){3,}\d{1,3}"
    r"|\d{1,4}(?:[-_]\d{1,4}){3,}"  # as providers name their customers' lines: host-192-0-2-1
)
# What looks like an address and is none, all of it.
_CLOCK: Final = re.compile(r"\d{1,2}:\d\d(?::\d\d)?:?|\d{4}([-_])\d\d\1\d\d(?:[-_]\d\d){1,3}")
_NUMBER: Final = re.compile(r"[+-]?(\d+)(?:\.\d+)?(?:%|[a-zA-Zµ]{1,2}|/s)?")
_WORD: Final = re.compile(r"[^\W\d_]+|\d+")
_PLACES: Final = frozenset({"lat", "latitude", "lon", "longitude", "pdl", "address", "password", "token", "secret"})
# What PostgreSQL, Mosquitto and Ray say that our own source has no word of.
_THEIRS: Final = """
    aborting autovacuum backend begin checkpoint cancelled canceling client column connections constraint database
    deadlock denied detail detected disconnected disconnecting duplicate exceeded exception fatal failed foreign
    handshake hint idle increase invalid killed locks memory mosquitto null oom panic permission port postgres process
    protocol recovery refused relation reset role serialization shutdown signal socket space ssl standard starting
    statement table terminated terminating timeout tls transaction unable unexpected unique unknown user vacuum value
    version violates wal warning
"""
# What tells of made-up people and of real places is no source of words.
_OTHERS: Final = frozenset(
    {"demo.py", "demo_files.py", "places.py", "plan.py", "profile_data", "locale", "assets", "__pycache__"}
)
_PACKAGES: Final = ("fleet", "certs", "actors", "web")
_SOURCE: Final = (".py", ".sql")


@cache
def own_words() -> frozenset[str]:
    """Of our own source, in lower case."""
    found = set(_THEIRS.split())
    for package in _PACKAGES:
        found.update(_words_in(resources.files(package)))
    return frozenset(found)


def _words_in(entry: Traversable) -> set[str]:
    if entry.name in _OTHERS or entry.name.startswith("."):
        return set()
    if entry.is_dir():
        return {word for below in entry.iterdir() for word in _words_in(below)}
    if not entry.name.endswith(_SOURCE):
        return set()
    return {word.lower() for word in _WORD.findall(entry.read_text(encoding="utf-8")) if not word.isdigit()}


class Redactor:
    """One per bundle."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._words = own_words()

    def text(self, told: str) -> str:
        """Line by line as it was, but for what is not known to be harmless."""
        return _CHUNK.sub(lambda found: found[0] if found["time"] else self._chunk(found["chunk"]), told)

    def lines(self, content: bytes) -> bytes:
        """Of a log: one JSON object a line, or text."""
        return b"\n".join(self._line(line) for line in content.splitlines()) + b"\n"

    def value(self, told: Any, key: str = "") -> Any:
        """Of JSON: keys and values. What a telling key says is a pseudonym whatever it is."""
        if key.lower() in _PLACES or any(part in _PLACES for part in key.lower().split("_")):
            return None if told is None else self.pseudonym(str(told))
        if isinstance(told, Mapping):
            return {self.text(str(name)): self.value(each, str(name)) for name, each in told.items()}
        if isinstance(told, Sequence) and not isinstance(told, str):
            return [self.value(each, key) for each in told]
        return self._single(told)

    def _single(self, told: Any) -> Any:
        if told is None or isinstance(told, bool):
            return told
        if isinstance(told, int):
            return told if len(str(abs(told))) <= _DIGITS_MAX else self.pseudonym(str(told))
        return round(told, _DECIMALS) if isinstance(told, float) else self.text(str(told))

    def pseudonym(self, told: str) -> str:
        digest = hmac.new(self._key, told.lower().encode(), sha256).hexdigest()
        return f"~{digest[:_PSEUDONYM_CHARS]}"

    def _line(self, line: bytes) -> bytes:
        try:
            told = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            told = None
        if isinstance(told, dict):
            return msgspec.json.encode(self.value(told))
        return self.text(line.decode("utf-8", "replace")).encode()

    def _chunk(self, chunk: str) -> str:
        if "@" in chunk:  # whoever it is
            return self.pseudonym(chunk)
        told, at = "", 0
        for address in _ADDRESS.finditer(chunk):
            if not _CLOCK.fullmatch(address[0]):
                told += self._parts(chunk[at : address.start()]) + self.pseudonym(address[0])
                at = address.end()
        return told + self._parts(chunk[at:])

    def _parts(self, chunk: str) -> str:
        chunk = _TOO_EXACT.sub(r"\1", chunk)
        number = _NUMBER.fullmatch(chunk.strip(":."))
        if number is not None:
            return chunk if len(number[1]) <= _DIGITS_MAX else self.pseudonym(chunk)
        if len(chunk) >= _PSEUDONYM_CHARS and _is_mixed(chunk) and not self._knows_all_of(chunk):
            return self.pseudonym(chunk)  # half of a key is too much of it
        return _WORD.sub(lambda found: self._word(found[0]), chunk)

    def _word(self, word: str) -> str:
        if word.isdigit():
            return word if len(word) <= _DIGITS_MAX else self.pseudonym(word)
        return word if self._knows(word) else self.pseudonym(word)

    def _knows(self, word: str) -> bool:
        return len(word) <= _PLAIN_CHARS_MAX and word.lower() in self._words

    def _knows_all_of(self, chunk: str) -> bool:
        return all(
            len(word) <= _DIGITS_MAX if word.isdigit() else len(word) > 2 and self._knows(word)
            for word in _WORD.findall(chunk)
        )


def _is_mixed(chunk: str) -> bool:
    """Letters and digits, as keys and serials are made of."""
    return any(letter.isdigit() for letter in chunk) and any(letter.isalpha() for letter in chunk)

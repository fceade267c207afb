"""The code that lets one device enrol once: 130 random bits in a form that can be read out on a roof.

28 symbols of Crockford's base 32 (no I, L, O, U) in seven groups: 26 carry the secret, two are a check, so that a typing
error is found before anything is sent. The claim's id, which the log-in of RFC 7030 needs beside the code, follows from the
secret: what has to be typed is one thing.
"""

import secrets
from hashlib import sha256
from typing import Final, NamedTuple

from fleet.errors import BadInput

_SYMBOLS: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_READ_AS: Final = str.maketrans({"O": "0", "I": "1", "L": "1"} | dict.fromkeys(" -–—.\t\r\n"))
_SECRET_SYMBOLS: Final = 26  # five bits each
_CHECK_SYMBOLS: Final = 2
_GROUP: Final = 4
_ID_CHARS: Final = 16


class ClaimCode(NamedTuple):
    """id: names the claim, no secret. code: the 28 symbols without spaces, which is the password of the enrolment."""

    id: str
    code: str

    @property
    def typed(self) -> str:
        """As people see and type it: K7QM-4T2X-…"""
        return "-".join(self.code[start : start + _GROUP] for start in range(0, len(self.code), _GROUP))

    @property
    def hash(self) -> bytes:
        """What is stored: enough to recognise the code, useless to enrol with."""
        return code_hash(self.code)


def make() -> ClaimCode:
    secret = "".join(secrets.choice(_SYMBOLS) for _ in range(_SECRET_SYMBOLS))
    return ClaimCode(_id(secret), secret + _check(secret))


def parse(text: str) -> ClaimCode:
    """What somebody typed: case, spaces and hyphens do not matter, O is read as 0, I and L as 1.

    Raises BadInput (bad_claim_code) that says what is wrong with it.
    """
    code = text.upper().translate(_READ_AS)
    wanted = _SECRET_SYMBOLS + _CHECK_SYMBOLS
    strange = sorted(set(code) - set(_SYMBOLS))
    if strange:
        raise BadInput("bad_claim_code", f"a claim code has no {strange[0]!r}: look at the screen that shows it")
    if len(code) != wanted:
        raise BadInput("bad_claim_code", f"a claim code has {wanted} letters and digits, this one {len(code)}")
    secret, check = code[:_SECRET_SYMBOLS], code[_SECRET_SYMBOLS:]
    if check != _check(secret):
        raise BadInput(
            "bad_claim_code", "there is a typing error in the claim code: compare it with the screen that shows it"
        )
    return ClaimCode(_id(secret), code)


def code_hash(code: str) -> bytes:
    return sha256(b"solarperform claim code " + code.encode()).digest()


def _id(secret: str) -> str:
    return sha256(b"solarperform claim id " + secret.encode()).hexdigest()[:_ID_CHARS]


def _check(secret: str) -> str:
    number = int.from_bytes(sha256(b"solarperform claim check " + secret.encode()).digest()[:2], "big") % 1024
    return _SYMBOLS[number >> 5] + _SYMBOLS[number & 31]

"""Passwords of drop-box accounts: generated, shown once, kept as argon2id hashes.

130 random bits cannot be guessed however fast the hash is, so it is a light one: two hundred loggers that come back after an
outage are let in within a second or two, and a logger's log-in costs 8 MiB instead of 64.
"""

import secrets
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

_SYMBOLS: Final = "0123456789abcdefghjkmnpqrstvwxyz"  # can be read aloud, and typed into a logger's small screen
_LENGTH: Final = 26  # five bits each
_HASHER: Final = PasswordHasher(time_cost=1, memory_cost=8 * 1024, parallelism=1)


def make() -> str:
    return "".join(secrets.choice(_SYMBOLS) for _ in range(_LENGTH))


def hashed(password: str) -> str:
    """Some milliseconds of a core: not on the event loop."""
    return _HASHER.hash(password)


def matches(password: str, hash_: str) -> bool:
    """As long as hashed()."""
    try:
        return _HASHER.verify(hash_, password)
    except (VerificationError, InvalidHashError):
        return False

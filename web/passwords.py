"""Passwords as argon2id hashes. Hashing takes a core and 64 MiB for a while, so it runs in threads, few at a time."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from fleet.errors import BadInput, Unavailable
from fleet.limits import PASSWORD_CHARS_MAX, PASSWORD_CHARS_MIN, PASSWORD_CHECKS_AT_ONCE, PASSWORD_CHECKS_WAITING_MAX

R = TypeVar("R")


class Passwords:
    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._nobody = self._hasher.hash("nobody has this password")
        self._free = asyncio.Semaphore(PASSWORD_CHECKS_AT_ONCE)
        self._waiting = 0

    async def verify(self, password: str, hash_: str | None) -> bool:
        """Takes the same time when there is no hash to compare with. Raises Unavailable (busy)."""
        if len(password) > PASSWORD_CHARS_MAX:
            return False
        matches = await self._run(self._matches, hash_ or self._nobody, password)
        return matches and bool(hash_)  # '': somebody who was invited and has no password yet

    async def hash(self, password: str) -> str:
        """Raises BadInput (weak_password), Unavailable (busy)."""
        if not PASSWORD_CHARS_MIN <= len(password) <= PASSWORD_CHARS_MAX:
            raise BadInput("weak_password", f"a password has {PASSWORD_CHARS_MIN} to {PASSWORD_CHARS_MAX} characters")
        return await self._run(self._hasher.hash, password)

    def is_outdated(self, hash_: str) -> bool:
        return self._hasher.check_needs_rehash(hash_)

    def _matches(self, hash_: str, password: str) -> bool:
        try:
            return self._hasher.verify(hash_, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, function: Callable[..., R], *arguments: str) -> R:
        if self._waiting >= PASSWORD_CHECKS_WAITING_MAX:
            raise Unavailable("busy", "too many passwords are being checked")
        self._waiting += 1
        try:
            async with self._free:
                return await asyncio.to_thread(function, *arguments)
        finally:
            self._waiting -= 1

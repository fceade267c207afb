"""What a sender's messages have taught a codec that its later ones need: names behind aliases, topics that were announced.

A sender's memory is a few entries, key → bytes. A codec reads and writes them within one message; whoever called it takes
away what was learned (`learned`) and stores it with the message's samples, before the sender is told that it was taken.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from fleet.errors import BadInput
from fleet.limits import MEMORY_BYTES_PER_SENDER_MAX, MEMORY_ENTRIES_PER_SENDER_MAX, MEMORY_KEY_CHARS_MAX

T = TypeVar("T")

_VIEWS_MAX: Final = MEMORY_ENTRIES_PER_SENDER_MAX


class Memory:
    """Of one sender. Losing it loses nothing that was stored: it is loaded with the sender's twin."""

    __slots__ = ("_entries", "_learned", "_size", "_views")

    def __init__(self, entries: Mapping[str, bytes] | None = None) -> None:
        self._entries: dict[str, bytes] = dict(entries or {})
        self._size = sum(len(key) + len(value) for key, value in self._entries.items())
        self._learned: dict[str, bytes | None] = {}
        self._views: dict[str, Any] = {}

    def get(self, key: str) -> bytes | None:
        return self._entries.get(key)

    def keys(self, prefix: str) -> list[str]:
        return [key for key in self._entries if key.startswith(prefix)]

    def put(self, key: str, value: bytes) -> None:
        """Raises BadInput (memory_full, bad_memory_key); then nothing has changed."""
        known = self._entries.get(key)
        if known == value:
            return
        if len(key) > MEMORY_KEY_CHARS_MAX or "\x00" in key:
            raise BadInput("bad_memory_key", f"{key[:80]!r} cannot be remembered: it is too long, or no text")
        size = self._size + len(key) + len(value) - (0 if known is None else len(key) + len(known))
        if size > MEMORY_BYTES_PER_SENDER_MAX or (known is None and len(self._entries) >= MEMORY_ENTRIES_PER_SENDER_MAX):
            raise BadInput(
                "memory_full",
                f"{len(self._entries)} definitions in {self._size} bytes are remembered of this sender already;"
                f" at most {MEMORY_ENTRIES_PER_SENDER_MAX} in {MEMORY_BYTES_PER_SENDER_MAX} bytes are",
            )
        self._entries[key] = self._learned[key] = value
        self._size = size
        self._see_anew(key)

    def forget(self, key: str) -> None:
        value = self._entries.pop(key, None)
        if value is not None:
            self._learned[key] = None
            self._size -= len(key) + len(value)
            self._see_anew(key)

    def view(self, prefix: str, make: Callable[[Mapping[str, bytes]], T]) -> T:
        """What `make` reads out of the entries whose keys begin like this; made once, and anew when one of them changes.

        A prefix belongs to one `make`.
        """
        try:
            return self._views[prefix]  # type: ignore[no-any-return]
        except KeyError:
            if len(self._views) >= _VIEWS_MAX:
                self._views.clear()
            made = make({key: value for key, value in self._entries.items() if key.startswith(prefix)})
            self._views[prefix] = made
            return made

    def learned(self) -> dict[str, bytes | None]:
        """What has changed since this was asked last: key → value, None where it was forgotten."""
        learned, self._learned = self._learned, {}
        return learned

    def __len__(self) -> int:
        return len(self._entries)

    def _see_anew(self, key: str) -> None:
        for prefix in [prefix for prefix in self._views if key.startswith(prefix)]:
            del self._views[prefix]

"""Counts tries in a bounded memory: what slows down guessing and hammering. Pure: the caller brings the time.

The counts live in one process and are forgotten at its restart; a guesser gains a few tries by that, not more.
"""

from collections import Counter as Tally
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from fleet.addresses import sender_of
from fleet.limits import (
    ATTEMPT_KEYS_MAX,
    AUTH_REQUESTS_PER_MIN,
    LOGIN_FAILURES_PER_ACCOUNT,
    LOGIN_FAILURES_PER_ADDRESS,
    LOGIN_FAILURES_PER_PAIR,
    LOGIN_WINDOW_S,
    UPLOAD_BYTES_PER_DAY_MAX,
    UPLOADS_AT_ONCE,
    UPLOADS_AT_ONCE_PER_PERSON,
    UPLOADS_PER_MIN,
)
from web.errors import TooMany


class Counter:
    """How often each key came within the last window; a window begins with a key's first try."""

    def __init__(self, window_s: float, keys_max: int = ATTEMPT_KEYS_MAX) -> None:
        self._window_s = window_s
        self._keys_max = keys_max
        self._windows: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def count(self, key: str, now_s: float) -> int:
        began_s, count = self._windows.get(key, (now_s, 0))
        return count if now_s - began_s < self._window_s else 0

    def add(self, key: str, now_s: float, amount: int = 1) -> int:
        began_s, count = self._windows.get(key, (now_s, 0))
        if now_s - began_s >= self._window_s:
            began_s, count = now_s, 0
        self._windows[key] = (began_s, count + amount)
        self._windows.move_to_end(key)
        if len(self._windows) > self._keys_max:
            self._windows.popitem(last=False)
        return count + amount

    def take_back(self, key: str) -> None:
        """One try that was none."""
        if key in self._windows:
            began_s, count = self._windows[key]
            self._windows[key] = (began_s, max(0, count - 1))

    def forget(self, key: str) -> None:
        self._windows.pop(key, None)

    def __len__(self) -> int:
        return len(self._windows)


class LoginAttempts:
    """Wrong passwords, per account and address together, per account, and per address."""

    def __init__(self) -> None:
        self._failures = Counter(LOGIN_WINDOW_S)

    def begin(self, email: str, address: str, now_s: float) -> None:
        """Counts as failed until `succeeded` says otherwise, so that many tries at once are no more tries.

        Raises TooMany (too_many_attempts).
        """
        for key, limit in _keys(email, address):
            if self._failures.count(key, now_s) >= limit:
                raise TooMany("too_many_attempts", f"too many wrong tries; try again in {LOGIN_WINDOW_S / 60:.0f} minutes")
        for key, _ in _keys(email, address):
            self._failures.add(key, now_s)

    def succeeded(self, email: str, address: str) -> None:
        """The pair starts anew; of the account's and the address's failures this try was none, and the others stay."""
        (pair, _), *others = _keys(email, address)
        self._failures.forget(pair)
        for key, _ in others:
            self._failures.take_back(key)


class RequestRate:
    """Requests per address to the routes that anyone may call."""

    def __init__(self, per_min: int = AUTH_REQUESTS_PER_MIN) -> None:
        self._per_min = per_min
        self._requests = Counter(60.0)

    def take(self, address: str, now_s: float) -> None:
        """Raises TooMany (too_many_requests)."""
        if self._requests.add(sender_of(address), now_s) > self._per_min:
            raise TooMany("too_many_requests", f"at most {self._per_min} such requests a minute")


class UploadRate:
    """Files that people send: so many a minute and so many bytes a day of each, and few at once."""

    def __init__(self) -> None:
        self._files = Counter(60.0)
        self._bytes = Counter(86_400.0)
        self._running: Tally[str] = Tally()

    @contextmanager
    def slot(self, person: str, announced_bytes: int, now_s: float) -> Iterator[None]:
        """Raises TooMany (too_many_uploads)."""
        if self._running[person] >= UPLOADS_AT_ONCE_PER_PERSON or self._running.total() >= UPLOADS_AT_ONCE:
            raise TooMany("too_many_uploads", "as many files as there may be are being sent already")
        if self._files.add(person, now_s) > UPLOADS_PER_MIN:
            raise TooMany("too_many_uploads", f"at most {UPLOADS_PER_MIN} files a minute")
        if self._bytes.count(person, now_s) + announced_bytes > UPLOAD_BYTES_PER_DAY_MAX:
            raise TooMany("too_many_uploads", f"at most {UPLOAD_BYTES_PER_DAY_MAX // 1024**3} GiB a day")
        self._running[person] += 1
        try:
            yield
        finally:
            self._running[person] -= 1
            if not self._running[person]:
                del self._running[person]

    def count(self, person: str, size_bytes: int, now_s: float) -> None:
        self._bytes.add(person, now_s, size_bytes)


def _keys(email: str, address: str) -> list[tuple[str, int]]:
    address = sender_of(address)
    return [
        (f"pair {email} {address}", LOGIN_FAILURES_PER_PAIR),
        (f"account {email}", LOGIN_FAILURES_PER_ACCOUNT),
        (f"address {address}", LOGIN_FAILURES_PER_ADDRESS),
    ]

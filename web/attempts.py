"""How often people may ask, and how much they may send. Pure: the caller brings the time."""

from collections import Counter as Tally
from collections.abc import Iterator
from contextlib import contextmanager

from fleet.addresses import sender_of
from fleet.attempts import Counter
from fleet.file_limits import UPLOAD_BYTES_PER_DAY_MAX, UPLOADS_AT_ONCE, UPLOADS_AT_ONCE_PER_PERSON, UPLOADS_PER_MIN
from fleet.limits import AUTH_REQUESTS_PER_MIN
from web.errors import TooMany


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

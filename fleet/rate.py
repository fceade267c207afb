"""A token bucket: so many at once, so many a second after that."""

from fleet.telemetry import UnixMs


class TokenBucket:
    __slots__ = ("_at", "_tokens")

    def __init__(self, burst: float, now: UnixMs) -> None:
        self._tokens = burst
        self._at = now

    def admit(self, rate_per_s: float, burst: float, now: UnixMs) -> bool:
        """Takes one token if there is one. A clock that steps back refills nothing and breaks nothing."""
        if now > self._at:
            self._tokens = min(burst, self._tokens + (now - self._at) * rate_per_s / 1000.0)
        self._at = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

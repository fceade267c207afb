"""Wrong passwords, per account and address together, per address, and per account, in a bounded memory. Pure.

Only passwords are counted: a key cannot be guessed, and clients offer several. A counted-out account still opens by its key.
"""

from collections import OrderedDict
from typing import Final

from fleet.addresses import sender_of
from fleet.limits import (
    ATTEMPT_KEYS_MAX,
    DROP_FAILURES_PER_ACCOUNT,
    DROP_FAILURES_PER_ADDRESS,
    DROP_FAILURES_PER_PAIR,
    LOGIN_WINDOW_S,
)

_BOUNDS: Final = (DROP_FAILURES_PER_PAIR, DROP_FAILURES_PER_ADDRESS, DROP_FAILURES_PER_ACCOUNT)


class Attempts:
    """A window begins with a key's first failure."""

    def __init__(self) -> None:
        self._windows: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()

    def begin(self, account: str, address: str, now_s: float) -> bool:
        """Whether a password may be tried. It counts as failed until `succeeded` says otherwise: many at once are no more
        tries."""
        keys = _keys(account, address)
        if any(self._count(key, now_s) >= most for key, most in zip(keys, _BOUNDS, strict=True)):
            return False
        for key in keys:
            began_s, count = self._windows.get(key, (now_s, 0))
            fresh = now_s - began_s >= LOGIN_WINDOW_S
            self._windows[key] = (now_s, 1) if fresh else (began_s, count + 1)
            self._windows.move_to_end(key)
        while len(self._windows) > ATTEMPT_KEYS_MAX:
            self._windows.popitem(last=False)
        return True

    def succeeded(self, account: str, address: str) -> None:
        """The pair starts anew; of the others this try was none."""
        pair, *others = _keys(account, address)
        self._windows.pop(pair, None)
        for key in others:
            began_s, count = self._windows.get(key, (0.0, 0))
            if count:
                self._windows[key] = (began_s, count - 1)

    def _count(self, key: tuple[str, str], now_s: float) -> int:
        began_s, count = self._windows.get(key, (now_s, 0))
        return count if now_s - began_s < LOGIN_WINDOW_S else 0


def _keys(account: str, address: str) -> tuple[tuple[str, str], ...]:
    """An account's name is what anybody types: cut, so that it cannot fill the memory."""
    account, address = account[:64], sender_of(address)
    return (account, address), ("", address), (account, "")

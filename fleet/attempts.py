"""Counts tries in a bounded memory: what slows down guessing and hammering. Pure: the caller brings the time.

The counts live in one process and are forgotten at its restart; a guesser gains a few tries by that, not more.
"""

from collections import OrderedDict
from typing import Final

from fleet.addresses import sender_of
from fleet.limits import ATTEMPT_KEYS_MAX, LOGIN_WINDOW_S

_NAME_CHARS_MAX: Final = 254  # of an account: what anybody types must not fill the memory


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
    """Wrong passwords: so many of one account from one address, of one account, and from one address."""

    def __init__(self, per_pair: int, per_account: int, per_address: int) -> None:
        self._bounds = (per_pair, per_account, per_address)
        self._failures = Counter(LOGIN_WINDOW_S)

    def begin(self, account: str, address: str, now_s: float) -> bool:
        """Whether a password may be tried. It counts as failed until `succeeded` says otherwise: many at once are no more
        tries.
        """
        keys = _keys(account, address)
        if any(self._failures.count(key, now_s) >= most for key, most in zip(keys, self._bounds, strict=True)):
            return False
        for key in keys:
            self._failures.add(key, now_s)
        return True

    def succeeded(self, account: str, address: str) -> None:
        """The pair starts anew; of the account's and the address's failures this try was none, and the others stay."""
        pair, *others = _keys(account, address)
        self._failures.forget(pair)
        for key in others:
            self._failures.take_back(key)


def _keys(account: str, address: str) -> tuple[str, str, str]:
    account, address = account[:_NAME_CHARS_MAX], sender_of(address)
    return f"pair {account} {address}", f"account {account}", f"address {address}"

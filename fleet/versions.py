"""Which of two firmware versions is the older one, as people count them: 1.9 before 1.10, 2.0-rc1 before 2.0.

Makers write them as they like ("v1.14.0-gcb84623", "FW 3.05b"), so numbers are compared as numbers and words as words,
whatever stands between them.
"""

import re
from typing import Final

_PARTS: Final = re.compile(r"[0-9]+|[a-z]+")
_BEFORE_RELEASE: Final = frozenset({"dev", "snapshot", "alpha", "beta", "pre", "preview", "rc"})
# What may follow the same beginning, in order: a word of a version to come, nothing, another word (a letter of a
# correction), a number.
_COMING, _END, _WORD, _NUMBER = range(4)

VersionKey = tuple[tuple[int, int, str], ...]


def version_key(text: str) -> VersionKey | None:
    """To be compared with others. None: there is no number in it, so it is no version.

    Zeros at the end of a run of numbers say nothing (1.2 is 1.2.0), nor does what follows a plus sign, nor a leading "v".
    """
    parts: list[tuple[int, int, str]] = []
    for word in _PARTS.findall(text.lower().partition("+")[0]):
        if word[0].isdigit():
            parts.append((_NUMBER, int(word), ""))
            continue
        _drop_zeros(parts)
        if parts:  # a name in front of the first number is the product's, not the version's
            parts.append((_COMING if word in _BEFORE_RELEASE else _WORD, 0, word))
    if not parts:
        return None
    _drop_zeros(parts)
    return (*parts, (_END, 0, ""))


def is_below(version: str | None, limit: str) -> bool:
    """Whether a version is older than `limit`. What is no version is not: nobody knows."""
    key, bound = version_key(version or ""), version_key(limit)
    return key is not None and bound is not None and key < bound


def _drop_zeros(parts: list[tuple[int, int, str]]) -> None:
    while len(parts) > 1 and parts[-1] == (_NUMBER, 0, ""):
        parts.pop()

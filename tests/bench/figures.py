"""What a benchmark prints: one JSON object per figure."""

import sys
from collections.abc import Sequence

import msgspec


class Figure(msgspec.Struct, frozen=True):
    """limit: the physical limit measured in the same run, in the same unit; ratio: value over limit."""

    bench: str
    figure: str
    value: float
    unit: str
    limit: float | None = None
    ratio: float | None = None


def figure(bench: str, name: str, value: float, unit: str, limit: float | None = None) -> Figure:
    ratio = round(value / limit, 3) if limit else None
    return Figure(bench, name, _rounded(value), unit, None if limit is None else _rounded(limit), ratio)


def print_figure(one: Figure) -> None:
    print(msgspec.json.encode(one).decode(), flush=True)


def note(text: str) -> None:
    """Progress, apart from the figures."""
    print(text, file=sys.stderr, flush=True)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _rounded(value: float) -> float:
    """Costs of a single message are millionths of a second: below one, three digits that say something."""
    if abs(value) < 1:
        return float(f"{value:.3g}")
    return round(value, 1) if abs(value) >= 10 else round(value, 3)

"""What the run did, step by step with its figures: the README quotes this file. Written line by line, whatever comes."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Final, TypeVar

T = TypeVar("T")
FOLDER: Final = Path(__file__).parents[2] / ".solarperform" / "compose"
FILE: Final = FOLDER / "record.txt"


class Record:
    def __init__(self) -> None:
        FOLDER.mkdir(parents=True, exist_ok=True)
        self._began = time.monotonic()
        FILE.write_text(f"# ./run test --compose, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC\n")

    def say(self, step: str, **figures: object) -> None:
        told = " ".join(f"{name}={_told(value)}" for name, value in figures.items())
        with FILE.open("a") as file:
            file.write(f"{time.monotonic() - self._began:8.1f} s  {step:<34} {told}".rstrip() + "\n")

    @contextmanager
    def timed(self, step: str, **figures: object) -> Iterator[None]:
        """Says how long it took once it is done, and that it failed where it did."""
        began = time.monotonic()
        try:
            yield
        except BaseException:
            self.say(step, failed_after_s=time.monotonic() - began, **figures)
            raise
        self.say(step, seconds=time.monotonic() - began, **figures)


def until(condition: Callable[[], T], what: object, deadline_s: float, period_s: float = 0.5) -> T:
    """The first true answer; AssertionError after the deadline. Deadlines are generous: the machine may be busy.

    what: for the message; a function when it has to be asked for then.
    """
    end = time.monotonic() + deadline_s
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() >= end:
            raise AssertionError(f"not after {deadline_s:.0f} s: {what() if callable(what) else what} (last: {found!r})")
        Event().wait(period_s)


def _told(value: object) -> str:
    return f"{value:.1f}" if isinstance(value, float) else str(value).replace(" ", "")

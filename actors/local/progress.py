"""What the terminal shows while things start: each step with its seconds; on a terminal also what is going on now."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO


class Progress:
    """Steps may overlap. Lines only ever get added; a terminal's last line shows what is being waited for."""

    def __init__(self, out: TextIO = sys.stdout) -> None:
        self._out = out
        self._live = out.isatty()
        self._going: list[str] = []

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        self._going.append(name)
        self._refresh()
        done = False
        try:
            yield
            done = True
        finally:
            self._going.remove(name)
            mark = "✓" if done else "✗"
            self.line(f"  {mark} {name}  {time.monotonic() - started:.1f} s")

    def line(self, text: str) -> None:
        self._clear()
        print(text, file=self._out, flush=True)
        self._refresh()

    def _refresh(self) -> None:
        if self._live and self._going:
            self._clear()
            self._out.write(f"  … {', '.join(self._going)}"[:100])
            self._out.flush()

    def _clear(self) -> None:
        if self._live:
            self._out.write("\r\x1b[K")

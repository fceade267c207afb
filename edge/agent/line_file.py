"""A file to which lines are added, one by one: what add() returned from is there after a power cut, whole."""

import errno
import os
from collections.abc import Iterable
from pathlib import Path

from edge.agent import files


class LineFile:
    """spoilt: its end is not known to be whole, or there is no file yet; replace() mends that, add() must not be used.

    lines: how many it holds.
    """

    def __init__(self, file: Path) -> None:
        self.lines = 0
        self.spoilt = True
        self._file = file
        self._descriptor = -1

    def read(self) -> list[bytes]:
        """Without what a power cut has left of the last line. Raises OSError.

        On the disk when it returns: a process before this one may have been killed before it had waited for that.
        """
        try:
            with self._file.open("rb") as file:
                content = file.read()
                os.fsync(file.fileno())
        except FileNotFoundError:
            return []
        *lines, torn = content.split(b"\n")
        self.lines = len(lines)
        self.spoilt = torn != b""
        return lines

    def add(self, line: bytes, *, wait: bool = True) -> None:
        """wait: until it is on the disk; without, it may be lost, and with it nothing before. Raises OSError: then it may be
        there or not.
        """
        content = line + b"\n"
        try:
            if self._descriptor < 0:
                self._descriptor = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW)
            if os.write(self._descriptor, content) < len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if wait:
                os.fdatasync(self._descriptor)
        except OSError:
            self.spoilt = True  # also after a wait that failed: the next one would be told that all is well
            raise
        self.lines += 1

    def replace(self, lines: Iterable[bytes]) -> None:
        """By these alone, on the disk when it returns. Raises OSError: then it is as it was."""
        listed = list(lines)
        self.close()
        files.replace(self._file, b"".join(line + b"\n" for line in listed))
        self.lines, self.spoilt = len(listed), False

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

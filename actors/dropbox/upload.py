"""One file that is being written: in order on the disk, whatever order the pieces come in, and nothing more than was sent.

Some clients have many write requests under way and let them overtake each other. What comes too early waits in memory,
within bounds; so the file on the disk is always a beginning of what is sent, and its size says where to resume it, also
after a kill.
Blocking: runs in threads, one call at a time.
"""

import os
import threading
from collections.abc import Callable
from typing import Final

from actors.dropbox.names import Name
from actors.dropbox.refused import Refused
from fleet.file_limits import DROP_AHEAD_ALL_BYTES_MAX, DROP_AHEAD_BYTES_MAX, DROP_AHEAD_PIECES_MAX, FILE_BYTES_MAX

_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


class AheadBudget:
    """What waits in memory, of all files."""

    def __init__(self, bytes_max: int = DROP_AHEAD_ALL_BYTES_MAX) -> None:
        self._left = bytes_max
        self._counting = threading.Lock()

    def take(self, bytes_: int) -> bool:
        with self._counting:
            if bytes_ > self._left:
                return False
            self._left -= bytes_
            return True

    def give(self, bytes_: int) -> None:
        with self._counting:
            self._left += bytes_


class Upload:
    """size: on the disk, without a hole. grow: asked before bytes are added; raises Refused (quota_bytes, disk_full).

    refused: once it is, every further write and its close are, by the same words: a client may not look at each answer.
    """

    def __init__(
        self,
        path: "os.PathLike[str]",
        name: Name,
        grow: Callable[[int], None],
        budget: AheadBudget,
        *,
        fresh: bool,
        append: bool,
    ) -> None:
        self.name = name
        self.path = path
        self.refused: Refused | None = None
        self.received = 0  # in this session
        self._descriptor = os.open(path, _FLAGS | (os.O_TRUNC if fresh else 0), 0o600)
        self.size = self.resumed_at = os.fstat(self._descriptor).st_size
        self._append = append
        self._grow = grow
        self._budget = budget
        self._ahead: dict[int, bytes] = {}
        self._ahead_bytes = 0
        self._closed = False

    def write(self, offset: int, piece: bytes) -> None:
        """Raises Refused (hole, file_too_large, quota_bytes, disk_full), OSError."""
        if self.refused is not None:
            raise self.refused
        self.received += len(piece)
        if self._append:  # where the client thinks that the end is does not matter
            offset = self.size
        if offset + len(piece) > FILE_BYTES_MAX:
            raise Refused("file_too_large")
        if offset > self.size:
            self._keep(offset, piece)
            return
        self._put(offset, piece)
        while self._ahead and (next_offset := min(self._ahead)) <= self.size:
            self._put(next_offset, self._forget(next_offset))

    def finish(self) -> None:
        """All of it is on the disk. Raises Refused (hole, or what it was refused by before), OSError."""
        if self.refused is not None:
            raise self.refused
        if self._ahead:
            raise Refused("hole")
        os.fsync(self._descriptor)
        self.close()

    def close(self) -> None:
        """What waits for a piece that will not come is dropped. Twice is once."""
        for offset in list(self._ahead):
            self._forget(offset)
        if not self._closed:
            self._closed = True
            os.close(self._descriptor)

    def _put(self, offset: int, piece: bytes) -> None:
        growth = max(0, offset + len(piece) - self.size)
        if growth:
            self._grow(growth)
        view = memoryview(piece)
        while view:
            done = os.pwrite(self._descriptor, view, offset)
            offset += done
            view = view[done:]
        self.size = max(self.size, offset)

    def _keep(self, offset: int, piece: bytes) -> None:
        size = len(piece)
        beyond = offset + size - self.size
        if offset in self._ahead:
            self._forget(offset)
        if max(beyond, self._ahead_bytes + size) > DROP_AHEAD_BYTES_MAX or len(self._ahead) >= DROP_AHEAD_PIECES_MAX:
            raise Refused("hole")
        if not self._budget.take(size):
            raise Refused("hole")
        self._ahead[offset] = piece
        self._ahead_bytes += size

    def _forget(self, offset: int) -> bytes:
        piece = self._ahead.pop(offset)
        self._ahead_bytes -= len(piece)
        self._budget.give(len(piece))
        return piece

"""One SSH channel as a stream of bytes, both ways bounded: what has not been read yet holds the sender back."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Literal

import asyncssh
import structlog

from fleet.file_limits import DROP_COMMAND_CHARS_MAX, DROP_IDLE_S, DROP_PIECE_BYTES

log = structlog.get_logger("dropbox")

Wish = Literal["sftp", "scp", "shell", "command"]


class Cut(Exception):
    """The other side is gone, or silent for too long, or we are stopping."""


class Conversation(asyncssh.SSHServerSession[bytes]):
    """serve: what is to be done once the client has said what it wants. Whatever happens, the channel is closed after it.

    given_up: told instead, when the channel ends before that.
    """

    def __init__(
        self, serve: Callable[["Conversation"], Coroutine[Any, Any, int]], given_up: Callable[["Conversation"], None]
    ) -> None:
        self.wish: Wish = "shell"
        self.command = ""
        self._serve = serve
        self._given_up = given_up
        self._channel: asyncssh.SSHServerChannel[bytes] | None = None
        self._received = bytearray()
        self._paused = False
        self._ended = False
        self._news = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self.task: asyncio.Task[None] | None = None

    # told by the library ------------------------------------------------------------------------------------------

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        self._channel = chan

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - why does not matter
        self._channel = None
        self.end()
        if self.task is None:
            self._given_up(self)

    def shell_requested(self) -> bool:
        return True

    def exec_requested(self, command: str) -> bool:
        self.command = command[:DROP_COMMAND_CHARS_MAX]
        is_scp = self.command == command and command.split(" ", 1)[0].rsplit("/", 1)[-1] == "scp"
        self.wish = "scp" if is_scp else "command"
        return True

    def subsystem_requested(self, subsystem: str) -> bool:
        self.wish = "sftp"
        return subsystem == "sftp"

    def session_started(self) -> None:
        self.task = asyncio.create_task(self._run())

    def data_received(self, data: bytes, datatype: int | None) -> None:  # noqa: ARG002 - clients have one stream only
        self._received += data
        self._news.set()
        if not self._paused and len(self._received) > DROP_PIECE_BYTES and self._channel is not None:
            self._paused = True
            self._channel.pause_reading()

    def eof_received(self) -> bool:
        self.end()
        return True  # the last answers are still written

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # used by those who serve --------------------------------------------------------------------------------------

    def end(self) -> None:
        """What was received is still read, and then there is no more."""
        self._ended = True
        self._news.set()
        self._writable.set()

    async def some(self, most: int) -> bytes:
        """At least one byte. Raises Cut."""
        while not self._received:
            if self._ended:
                raise Cut
            self._news.clear()
            await _in_time(self._news)
        taken = bytes(self._received[:most])
        del self._received[:most]
        if self._paused and len(self._received) <= DROP_PIECE_BYTES and self._channel is not None:
            self._paused = False
            self._channel.resume_reading()
        return taken

    async def exactly(self, size: int) -> bytes:
        """Raises Cut. For what is small: all of it is in memory."""
        parts = []
        while size:
            parts.append(await self.some(size))
            size -= len(parts[-1])
        return b"".join(parts)

    async def line(self, most: int) -> bytes:
        """Up to a line feed, without it. Raises Cut, also when there is none within `most`."""
        taken = bytearray()
        while len(taken) <= most:
            byte = await self.some(1)
            if byte == b"\n":
                return bytes(taken)
            taken += byte
        raise Cut

    async def say(self, content: bytes, *, aside: bool = False) -> None:
        """Waits while the other side does not read. aside: on the stream that a terminal shows. Raises Cut."""
        if self._channel is None:
            raise Cut
        self._channel.write(content, asyncssh.EXTENDED_DATA_STDERR if aside else None)
        await _in_time(self._writable)

    async def _run(self) -> None:
        code = 1
        try:
            code = await self._serve(self)
        except Cut:
            pass
        except Exception:  # one conversation's failure is not the others'; what it had open stays for resumption
            log.exception("conversation_failed")
        finally:
            if self._channel is not None:
                self._channel.exit(code)


async def _in_time(event: asyncio.Event) -> None:
    """Raises Cut."""
    try:
        async with asyncio.timeout(DROP_IDLE_S):
            await event.wait()
    except TimeoutError:
        raise Cut from None

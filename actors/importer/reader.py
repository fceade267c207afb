"""The reader: a child process for whatever a file may do to whoever reads it. Jobs come in line by line, progress goes out.

python -m actors.importer.reader      stdin: ReadingJob as JSON      stdout: Progress as JSON; the summary lies in the spool
"""

import asyncio
import os
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import msgspec

from actors.importer import reading
from actors.importer.reading import ReadingJob
from fleet.errors import Unavailable
from fleet.file_limits import READER_DATA_BYTES_MAX, READER_PROGRESS_S, READER_SILENT_S
from fleet.settings import path_of, text_of

_LINE_BYTES_MAX: Final = 8 * 1024**2  # a job with the largest definitions


class Progress(msgspec.Struct, frozen=True):
    """done: the summary is written. failed: the machine's fault, not the file's (its disk is full)."""

    bytes_read: int = 0
    rows_read: int = 0
    done: bool = False
    failed: str | None = None


class Reader:
    """Starts the process when it is needed, and again when it has died. One job at a time."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None

    async def read(self, job: ReadingJob, progress: Callable[[int, int], Awaitable[None]]) -> None:
        """Raises Unavailable (reader_died, reader_silent, reader_failed): the file may be read again."""
        process = self._process
        if process is None or process.returncode is not None:
            process = self._process = await self._start()
        assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - as it was started
        try:
            process.stdin.write(msgspec.json.encode(job, enc_hook=text_of) + b"\n")
            await process.stdin.drain()
            while True:
                async with asyncio.timeout(READER_SILENT_S):
                    line = await process.stdout.readline()
                if not line:
                    raise Unavailable("reader_died", f"the reader ended while it read file {job.number}")
                told = msgspec.json.decode(line, type=Progress)
                if told.failed is not None:
                    raise Unavailable("reader_failed", told.failed)
                if told.done:
                    return
                await progress(told.bytes_read, told.rows_read)
        except TimeoutError:
            await self.stop()
            raise Unavailable("reader_silent", f"the reader hangs at file {job.number}") from None
        except ConnectionError:
            await self.stop()
            raise Unavailable("reader_died", f"the reader ended while it read file {job.number}") from None
        except asyncio.CancelledError:
            await self.stop()
            raise

    async def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _start(self) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "actors.importer.reader",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            limit=_LINE_BYTES_MAX,
        )


def main() -> None:
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    resource.setrlimit(resource.RLIMIT_DATA, (READER_DATA_BYTES_MAX, hard))
    os.nice(15)  # behind the live intake
    for line in sys.stdin.buffer:
        job = msgspec.json.decode(line, type=ReadingJob, dec_hook=path_of)
        _say(_read(job))


def _read(job: ReadingJob) -> Progress:
    said_at = 0.0

    def tell(bytes_read: int, rows_read: int) -> None:
        nonlocal said_at
        now = time.monotonic()
        if now - said_at >= READER_PROGRESS_S:
            said_at = now
            _say(Progress(bytes_read, rows_read))

    try:
        summary = reading.read(job, tell)
    except OSError as error:
        return Progress(failed=f"{error.strerror or error}: {job.spool}")
    return Progress(0, summary.rows, done=True)


def _say(progress: Progress) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(progress) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()

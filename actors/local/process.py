"""Child processes: started and awaited, watched and started again, ended in reverse order with all that came of them."""

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import msgspec
import psutil

from actors.local.spawn import explain_log, size, spawn, spawned
from actors.local.texts import text
from fleet.errors import Unavailable
from fleet.limits import RESTART_DELAYS_S, RESTART_WINDOW_S

POLL_S = 0.05
WATCH_S = 0.5
_ORPHANS_S = 5.0
_PR_SET_CHILD_SUBREAPER = 36
_adopting = threading.Event()


class Managed(Protocol):
    """What the supervisor needs to know of a server. launch() does not wait; ready() may block for a second."""

    name: str
    log_file: Path

    @property
    def pid(self) -> int | None: ...
    @property
    def running(self) -> bool: ...
    def launch(self) -> None: ...
    def ready(self) -> bool: ...
    def stop(self) -> None: ...
    def explain(self) -> str: ...


class ChildProcess:
    """One of our own rooms as a process. It is ready when `ready_file` exists, or when `probe` says so."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        log_file: Path,
        env: Mapping[str, str] | None = None,
        ready_file: Path | None = None,
        probe: Callable[[], bool] | None = None,
        stop_deadline_s: float = 15.0,
    ) -> None:
        self.name = name
        self.log_file = log_file
        self._command = command
        self._env = env
        self._ready_file = ready_file
        self._probe = probe
        self._stop_deadline_s = stop_deadline_s
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start_byte = 0

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def launch(self) -> None:
        if self._ready_file is not None:
            self._ready_file.unlink(missing_ok=True)  # of an earlier run
        self._log_start_byte = size(self.log_file)
        self._process = spawn(self._command, log_file=self.log_file, env=self._env)

    def ready(self) -> bool:
        return (self._ready_file is None or self._ready_file.exists()) and (self._probe is None or self._probe())

    async def ended(self) -> int | None:
        """Waits for its end; the exit code. Polled: the child belongs to subprocess, which asyncio cannot wait for."""
        while self.running:  # noqa: ASYNC110 - see above
            await asyncio.sleep(POLL_S)
        return None if self._process is None else self._process.returncode

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(self._stop_deadline_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def explain(self) -> str:
        return explain_log(self.log_file, self._log_start_byte)


class Supervisor:
    """Holds everything that runs, in the order in which it was started.

    record: a file with the numbers of our children, for the next start after one of us was killed.
    tell: shows a line to whoever watches the terminal.
    """

    def __init__(self, record: Path, tell: Callable[[str], None]) -> None:
        self._record = record
        self._tell = tell
        self._children: list[Managed] = []
        self._failures: dict[str, deque[float]] = {}

    @property
    def holds_any(self) -> bool:
        return bool(self._children)

    async def start(self, child: Managed, deadline_s: float) -> None:
        """Raises Unavailable (child_failed) with the end of the child's log."""
        self._children.append(child)
        await self._launch(child, deadline_s)

    async def watch(self) -> None:
        """Starts again what ends, a bounded number of times. Raises Unavailable (child_given_up)."""
        while True:
            await asyncio.sleep(WATCH_S)
            for child in self._children:
                if not child.running:
                    await self._restart(child)

    async def stop(self) -> None:
        """In reverse order, each within its own time limit."""
        while self._children:
            child = self._children.pop()
            await asyncio.to_thread(child.stop)
        self._record.unlink(missing_ok=True)

    async def _launch(self, child: Managed, deadline_s: float) -> None:
        child.launch()
        self._write_record()
        give_up_at = time.monotonic() + deadline_s
        while not await asyncio.to_thread(child.ready):
            check_progress(child, deadline_s, give_up_at)
            await asyncio.sleep(POLL_S)

    async def _restart(self, child: Managed) -> None:
        failures = self._failures.setdefault(child.name, deque())
        now = time.monotonic()
        while failures and failures[0] < now - RESTART_WINDOW_S:
            failures.popleft()
        most = len(RESTART_DELAYS_S)
        if len(failures) >= most:
            why = child.explain()
            raise Unavailable(
                "child_given_up", text("child_given_up", name=child.name, most=most, minutes=RESTART_WINDOW_S / 60, why=why)
            )
        delay_s = RESTART_DELAYS_S[len(failures)]
        failures.append(now)
        self._tell(
            text("child_ended", name=child.name, seconds=delay_s, number=len(failures), most=most, log=child.log_file)
        )
        await asyncio.sleep(delay_s)
        await asyncio.to_thread(end_orphans)
        try:
            await self._launch(child, 60.0)
        except Unavailable:
            await asyncio.to_thread(child.stop)  # a half-started one is a failure too; the next round counts it
        else:
            self._tell(text("child_back", name=child.name))

    def _write_record(self) -> None:
        running = [Started.of(child.pid) for child in self._children if child.pid is not None and child.running]
        self._record.write_bytes(msgspec.json.encode([started for started in running if started is not None]))


class Started(msgspec.Struct, frozen=True):
    """A process, safe from its number being given to another one."""

    pid: int
    created_at: float

    @classmethod
    def of(cls, pid: int) -> "Started | None":
        try:
            return cls(pid, psutil.Process(pid).create_time())
        except psutil.Error:
            return None


def wait_ready(child: Managed, deadline_s: float) -> None:
    """Blocks until a launched child is ready. Raises Unavailable (child_failed)."""
    give_up_at = time.monotonic() + deadline_s
    while not child.ready():
        check_progress(child, deadline_s, give_up_at)
        time.sleep(POLL_S / 2)


def check_progress(child: Managed, deadline_s: float, give_up_at: float) -> None:
    """Raises Unavailable (child_failed) when a child that is not ready yet never will be."""
    if not child.running:
        raise Unavailable("child_failed", text("child_failed", name=child.name, why=child.explain()))
    if time.monotonic() > give_up_at:
        why = child.explain()
        child.stop()
        raise Unavailable("child_failed", text("child_late", name=child.name, seconds=deadline_s, why=why))


async def run_tool(
    name: str, command: Sequence[str | Path], *, log_file: Path, env: Mapping[str, str] | None = None
) -> None:
    """Runs a program to its end. Raises Unavailable (tool_failed) with the end of its log."""
    tool = ChildProcess(name, command, log_file=log_file, env=env, stop_deadline_s=5.0)
    tool.launch()
    try:
        code = await tool.ended()
    finally:
        tool.stop()
    if code != 0:
        raise Unavailable("tool_failed", text("tool_failed", name=name, why=tool.explain()))


def adopt_orphans() -> None:
    """From now on whatever our children leave behind becomes our child, so that it can be found (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        _adopting.set()


def end_orphans() -> None:
    """Ends what we have adopted: its parent is gone, and it would work on beside its successor, as Ray does."""
    if not _adopting.is_set():
        return
    left = [process for process in psutil.Process().children() if process.pid not in spawned]
    for process in left:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(left, timeout=_ORPHANS_S)


def end_descendants(patience_s: float = 3.0) -> None:
    """Ends every process below this one: politely, then not. Call it last."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        left = psutil.Process().children(recursive=True)
        for process in left:
            with suppress(psutil.Error):
                process.send_signal(how)
        psutil.wait_procs(left, timeout=patience_s)
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def end_recorded(record: Path, patience_s: float = 10.0) -> None:
    """Ends what a launcher that was killed has left running, after its record."""
    try:
        recorded = msgspec.json.decode(record.read_bytes(), type=list[Started])
    except (OSError, msgspec.DecodeError):
        return
    left = []
    for started in recorded:
        with suppress(psutil.Error):
            process = psutil.Process(started.pid)
            if process.create_time() == started.created_at:
                left += [process, *process.children(recursive=True)]
    for how in (signal.SIGTERM, signal.SIGKILL):
        for process in left:
            with suppress(psutil.Error):
                process.send_signal(how)
        left = psutil.wait_procs(left, timeout=patience_s)[1]
    record.unlink(missing_ok=True)

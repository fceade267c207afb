"""Child processes: nothing starts without being ready, ends without being noticed, or stays behind."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest

from actors.local import process
from actors.local.process import ChildProcess, Supervisor, end_recorded, run_tool
from fleet.errors import Unavailable

DEADLINE_S = 120.0
SLEEPER = "import time, pathlib, sys; pathlib.Path(sys.argv[1]).touch(); time.sleep(600)"


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
async def supervisor(tmp_path: Path, told: list[str]) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(tmp_path / "processes.json", told.append)
    yield supervisor
    await supervisor.stop()


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "RESTART_DELAYS_S", (0.0, 0.0))


def sleeper(tmp_path: Path, name: str = "sleeper") -> ChildProcess:
    ready = tmp_path / f"{name}.ready"
    return ChildProcess(name, [sys.executable, "-c", SLEEPER, ready], log_file=tmp_path / f"{name}.log", ready_file=ready)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 - another process makes it true
            await asyncio.sleep(0.02)


async def test_waits_until_the_child_says_that_it_is_ready(supervisor: Supervisor, tmp_path: Path) -> None:
    child = sleeper(tmp_path)
    (tmp_path / "sleeper.ready").touch()  # of an earlier run
    await supervisor.start(child, DEADLINE_S)
    assert child.running
    assert (tmp_path / "sleeper.ready").exists()


async def test_a_child_that_ends_at_once_is_shown_with_its_last_words(supervisor: Supervisor, tmp_path: Path) -> None:
    (tmp_path / "log").write_text("of an earlier run\n")
    broken = ChildProcess(
        "broken",
        [sys.executable, "-c", "raise SystemExit('no licence')"],
        log_file=tmp_path / "log",
        ready_file=tmp_path / "never",
    )
    with pytest.raises(Unavailable, match="no licence") as failed:
        await supervisor.start(broken, DEADLINE_S)
    assert "earlier run" not in failed.value.detail


async def test_a_child_that_is_never_ready_is_ended(supervisor: Supervisor, tmp_path: Path) -> None:
    child = sleeper(tmp_path)
    child._ready_file = tmp_path / "never"
    with pytest.raises(Unavailable, match="not ready"):
        await supervisor.start(child, 0.3)
    assert not child.running


async def test_what_is_killed_comes_back(supervisor: Supervisor, tmp_path: Path, told: list[str], quickly: None) -> None:
    child = sleeper(tmp_path)
    await supervisor.start(child, DEADLINE_S)
    watching = asyncio.create_task(supervisor.watch())
    first = child.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await until(lambda: len(told) == 2)  # that it ended, and that it is back
    assert child.running
    assert child.pid != first
    watching.cancel()


async def test_what_keeps_ending_stops_everything(supervisor: Supervisor, tmp_path: Path, quickly: None) -> None:
    child = ChildProcess("flapping", [sys.executable, "-c", "print('so tired')"], log_file=tmp_path / "log")
    await supervisor.start(child, DEADLINE_S)
    with pytest.raises(Unavailable, match="so tired") as given_up:
        async with asyncio.timeout(DEADLINE_S):
            await supervisor.watch()
    assert given_up.value.code == "child_given_up"


async def test_stops_in_reverse_order(tmp_path: Path) -> None:
    stopped: list[str] = []

    class Noted(ChildProcess):
        def stop(self) -> None:
            stopped.append(self.name)
            super().stop()

    supervisor = Supervisor(tmp_path / "processes.json", print)
    for name in ("one", "two", "three"):
        await supervisor.start(
            Noted(name, [sys.executable, "-c", "import time; time.sleep(600)"], log_file=tmp_path / name), DEADLINE_S
        )
    await supervisor.stop()
    assert stopped == ["three", "two", "one"]


async def test_a_tool_that_fails_is_shown_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="bad plan"):
        await run_tool("planner", [sys.executable, "-c", "raise SystemExit('bad plan')"], log_file=tmp_path / "log")


async def test_a_tool_that_is_not_waited_for_any_more_is_ended(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    tool = asyncio.create_task(run_tool("slow", [sys.executable, "-c", SLEEPER, ready], log_file=tmp_path / "log"))
    await until(ready.exists)
    tool.cancel()
    await asyncio.wait({tool})
    # Asked with care: of the children of servers that run beside this test, some end while they are looked at.
    assert not [each for each in psutil.process_iter(["cmdline"]) if str(ready) in (each.info["cmdline"] or ())]


# A child that starts a grandchild which hides in a session of its own, as daemons do.
GRANDCHILD = """
import os, pathlib, sys, time
if os.fork():
    os._exit(0)
os.setsid()
ready = pathlib.Path(sys.argv[1])
ready.with_suffix(".new").write_text(str(os.getpid()))
ready.with_suffix(".new").rename(ready)
time.sleep(600)
"""
CHILD = """
import subprocess, sys, time
subprocess.run([sys.executable, "-c", sys.argv[1], sys.argv[2]])
time.sleep(600)
"""
LAUNCHER = """
import asyncio, sys, time
from pathlib import Path
import psutil
from actors.local.process import ChildProcess, Supervisor, adopt_orphans, end_descendants

folder, grandchild, child = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
adopt_orphans()
ready = folder / "grandchild"
process = ChildProcess("child", [sys.executable, "-c", child, grandchild, ready], log_file=folder / "log", ready_file=ready)
supervisor = Supervisor(folder / "processes.json", print)
asyncio.run(supervisor.start(process, 90.0))
(folder / "child.new").write_text(str(process.pid))
(folder / "child.new").rename(folder / "child")
if sys.argv[4] != "stay":
    if sys.argv[4] == "restart":
        first = ready.read_text()
        process._process.kill()
        process._process.wait()
        asyncio.run(supervisor._restart(process))
        (folder / "gone").write_text(str(not psutil.pid_exists(int(first))))
    asyncio.run(supervisor.stop())
    end_descendants()
    sys.exit(0)
time.sleep(600)
"""


def launcher(folder: Path, how: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", LAUNCHER, folder, GRANDCHILD, CHILD, how])


def gone(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def test_a_grandchild_that_hid_away_is_ended_too(tmp_path: Path) -> None:
    assert launcher(tmp_path, "end").wait(DEADLINE_S) == 0
    assert gone(int((tmp_path / "grandchild").read_text()))


def test_what_a_child_left_behind_ends_before_it_starts_again(tmp_path: Path) -> None:
    assert launcher(tmp_path, "restart").wait(DEADLINE_S) == 0
    assert (tmp_path / "gone").read_text() == "True"


async def test_a_killed_launcher_takes_its_children_along(tmp_path: Path) -> None:
    killed = launcher(tmp_path, "stay")
    try:
        await until((tmp_path / "child").exists)
    finally:
        killed.kill()
        killed.wait()
    child = int((tmp_path / "child").read_text())
    await until(lambda: gone(child))
    psutil.Process(int((tmp_path / "grandchild").read_text())).kill()


def test_a_recorded_number_that_is_another_process_now_is_left_alone(tmp_path: Path) -> None:
    record = tmp_path / "processes.json"
    record.write_text(f'[{{"pid": {os.getpid()}, "created_at": {time.time() - 999_999}}}]')
    end_recorded(record)
    assert not record.exists()


def test_recorded_processes_are_ended(tmp_path: Path) -> None:
    left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    record = tmp_path / "processes.json"
    record.write_text(f'[{{"pid": {left.pid}, "created_at": {psutil.Process(left.pid).create_time()!r}}}]')
    end_recorded(record)
    assert gone(left.pid)
    left.wait()

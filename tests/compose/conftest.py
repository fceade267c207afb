"""One installation for all tests of this folder, which go on where the one before ended; a record of it all; two more
installations for a while, of those that must not disturb the first one.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.compose.machine import Machine
from tests.compose.people import Person
from tests.compose.record import FILE, Record
from tests.compose.stack import Stack
from tests.servers import server_folder

running: list[Stack] = []  # whose logs are kept when a test fails


class World:
    """What the installation's first day has come to; a test that needs what another one did not reach is skipped."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.is_up = False
        self.people: dict[str, Person] = {}
        self.site = ""
        self.machine: Machine | None = None

    def person(self, role: str) -> Person:
        if role not in self.people:
            pytest.skip(f"there is no {role}: see what failed before")
        return self.people[role]

    def agent(self) -> Machine:
        if self.machine is None or not self.machine.agent.running:
            pytest.skip("no agent publishes: see what failed before")
        return self.machine


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome: Any = yield
    report = outcome.get_result()
    if report.failed and item.get_closest_marker("compose"):
        kept = [str(each.keep_logs()) for each in running]
        report.sections.append(("what every service said", "\n".join(kept)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if FILE.exists() and config.option.markexpr == "compose" and not config.option.collectonly:
        terminalreporter.section("the installation from images, step by step")
        terminalreporter.write_line(str(FILE))
        terminalreporter.write(FILE.read_text())


@pytest.fixture(scope="session")
def record() -> Record:
    return Record()


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    with server_folder("compose") as made:
        yield made


@contextmanager
def _installed(stack: Stack) -> Iterator[Stack]:
    running.append(stack)
    try:
        yield stack
    finally:
        stack.keep_logs()
        running.remove(stack)
        stack.down()


@pytest.fixture(scope="session")
def world(folder: Path, record: Record) -> Iterator[World]:
    with _installed(Stack(folder)) as stack:
        made = World(stack)
        yield made
        if made.machine is not None:
            made.machine.stop()


@pytest.fixture
def stack(world: World) -> Stack:
    """As it runs."""
    if not world.is_up:
        pytest.skip("it never came up: see test_it_comes_up_healthy")
    return world.stack


@pytest.fixture
def another(folder: Path) -> Iterator[Callable[..., Stack]]:
    """Makes a further installation, which lives as long as the test."""
    with ExitStack() as made:
        yield lambda **more: made.enter_context(_installed(Stack(folder, **more)))

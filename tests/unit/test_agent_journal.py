"""The agent's commands on the disk: whenever the power is cut, none is executed twice, and none is forgotten."""

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.agent.journal import Entry, Journal
from edge.agent.line_file import LineFile
from edge.limits import AGENT_COMMAND_LINES_MAX
from fleet.order_messages import Command

LATER = 10**15


def command(number: int, expires_at: int = LATER) -> Command:
    return Command(f"c-{number}", "blink", expires_at)


def taken(journal: Journal, number: int) -> Entry:
    return journal.open(command(number), "accepted", None, 0)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "commands.json"


def test_what_is_kept_is_what_was_said_last(file: Path) -> None:
    journal = Journal(file)
    entry = taken(journal, 1)
    journal.close(entry, "succeeded", {"volts": 230})
    journal.note_told(entry, "succeeded")
    taken(journal, 2)
    again = Journal(file)
    assert again.find("c-1") == Entry("c-1", "blink", LATER, "succeeded", {"volts": 230}, told=True)
    assert [each.id for each in again.unfinished()] == ["c-2"]
    assert [each.id for each in again.untold()] == ["c-2"]


def test_a_file_of_the_version_before_is_read_and_written_on(file: Path) -> None:
    old = [Entry("c-1", "blink", LATER, "succeeded", told=True), Entry("c-2", "restart", LATER, "accepted")]
    file.write_bytes(msgspec.json.encode(old))
    journal = Journal(file)
    assert [journal.find("c-1"), journal.find("c-2")] == old
    taken(journal, 3)
    again = Journal(file)
    assert [again.find(f"c-{number}") is not None for number in (1, 2, 3)] == [True] * 3
    assert file.read_bytes().count(b"\n") == 3


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\n", b"[]", b"null\n", b'{"id":1}\n'])
def test_a_file_that_nobody_can_read_does_not_stop_the_agent(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    taken(Journal(file), 1)
    assert Journal(file).find("c-1")


def test_one_bad_line_costs_itself_only(file: Path) -> None:
    journal = Journal(file)
    for number in range(3):
        taken(journal, number)
    lines = file.read_bytes().split(b"\n")
    file.write_bytes(b"\n".join([lines[0], b"garbage", lines[2], b""]))
    again = Journal(file)
    assert [again.find(f"c-{number}") is not None for number in range(3)] == [True, False, True]
    taken(again, 7)
    assert b"garbage" not in file.read_bytes()


def test_the_file_does_not_grow_for_ever(file: Path) -> None:
    journal, most = Journal(file), 0
    for number in range(400):
        entry = journal.open(command(number, number), "accepted", None, number)
        journal.close(entry, "succeeded", None)
        journal.note_told(entry, "succeeded")
        most = max(most, file.read_bytes().count(b"\n"))
    assert most <= AGENT_COMMAND_LINES_MAX
    again = Journal(file)
    assert again.find("c-399")
    assert again.find("c-0") is None


def test_a_disk_that_takes_nothing_leaves_a_command_unknown_and_mends_itself(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(file)
    first = taken(journal, 1)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", full)
        patched.setattr(os, "fsync", full)
        for number in (2, 3):
            with pytest.raises(OSError, match="No space"):
                taken(journal, number)
            assert journal.find(f"c-{number}") is None  # it may come again
        with pytest.raises(OSError, match="No space"):
            journal.close(first, "succeeded", None)
    assert first.status == "succeeded"  # that is how it ended, whatever the disk says
    taken(journal, 4)
    again = Journal(file)
    found = again.find("c-1")
    assert found is not None
    assert found.status == "succeeded"
    assert (again.find("c-2"), again.find("c-3")) == (None, None)
    assert again.find("c-4")


def test_half_a_line_is_taken_off_and_written_over(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = LineFile(file)
    lines.read()
    lines.replace([b"one"])
    real = os.write
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda descriptor, content: real(descriptor, content[: len(content) // 2]))
        with pytest.raises(OSError, match="No space"):
            lines.add(b"two, which is longer")
    assert lines.spoilt
    again = LineFile(file)
    assert again.read() == [b"one"]
    assert again.spoilt
    again.replace([b"one", b"three"])
    assert LineFile(file).read() == [b"one", b"three"]


_STEPS = st.lists(st.tuples(st.sampled_from(["open", "close", "told"]), st.integers(0, 4)), min_size=1, max_size=15)


@given(_STEPS, st.data())
def test_wherever_the_file_ends_after_a_power_cut_nothing_that_was_promised_is_missing(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]], data: st.DataObject
) -> None:
    """Beyond what was waited for, the disk may hold any beginning of what was written."""
    file = tmp_path_factory.mktemp("journal") / "commands.json"
    journal = Journal(file)
    promised: list[tuple[int, dict[str, str]]] = [(0, {})]  # bytes waited for → what is on the disk then
    for what, number in steps:
        entry = journal.find(f"c-{number}")
        if what == "open" and entry is None:
            taken(journal, number)
        elif what == "close" and entry is not None and entry.status == "accepted":
            journal.close(entry, "succeeded", None)
        elif what == "told" and entry is not None:
            journal.note_told(entry, entry.status)
            continue
        if file.exists():
            promised.append((len(file.read_bytes()), {each.id: each.status for each in journal._entries.values()}))
    content = file.read_bytes() if file.exists() else b""
    cut = data.draw(st.integers(promised[1][0] if len(promised) > 1 else 0, len(content)))
    if content:
        file.write_bytes(content[:cut])
    again = Journal(file)
    kept = {each.id: each.status for each in again._entries.values()}
    wanted = [at_least for size, at_least in promised if size <= cut][-1]
    for command_id, status in wanted.items():
        assert kept[command_id] in (status, "succeeded")


class _CutError(BaseException):
    """The power is gone."""


def test_whichever_step_is_the_last_before_the_power_is_cut_nothing_is_executed_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every call that reaches the disk is once the last one; afterwards the platform says everything again."""
    monkeypatch.setattr("edge.agent.journal.AGENT_COMMAND_LINES_MAX", 4)  # written anew now and then as well
    step = cuts = 0
    while True:
        step += 1
        executed: Counter[str] = Counter()
        file = tmp_path / f"{step}.json"
        with monkeypatch.context() as patched:
            _cut_at(step, patched)
            try:
                _live(file, executed)
            except _CutError:
                cuts += 1
            else:
                break
        _live(file, executed)
        assert max(executed.values()) == 1, step
        assert {each.status for each in Journal(file)._entries.values()} <= {"succeeded", "failed"}
        assert len(Journal(file)._entries) == 5
    assert cuts > 30


def _live(file: Path, executed: Counter[str]) -> None:
    journal = Journal(file)
    for entry in journal.unfinished():
        journal.close(entry, "failed", "interrupted")
    for number in range(5):
        if journal.find(f"c-{number}") is not None:
            continue
        entry = taken(journal, number)
        executed[entry.id] += 1
        journal.close(entry, "succeeded", None)
        journal.note_told(entry, "succeeded")


def _cut_at(step: int, patched: pytest.MonkeyPatch) -> None:
    left = [step]

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                raise _CutError
            done = real(*arguments, **named)
            left[0] -= 1
            if left[0] == 0:
                raise _CutError
            return done

        return call

    for name in ("write", "fdatasync", "fsync", "open", "fdopen"):
        patched.setattr(os, name, counted(getattr(os, name)))
    patched.setattr(Path, "replace", counted(Path.replace))
    patched.setattr(Path, "unlink", counted(Path.unlink))

"""Store and forward: what is held survives, what is stored goes, what does not fit goes oldest first."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.spool import DiskSpool, MemorySpool, Spool
from fleet.errors import Conflict
from fleet.ids import device_id

A, B = device_id("a"), device_id("b")
Make = Callable[..., Spool]


@pytest.fixture(params=["memory", "disk"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    if request.param == "memory":
        return MemorySpool
    return lambda *arguments: DiskSpool(tmp_path / "spool.sqlite", *arguments)


def fill(spool: Spool, device: str = A, messages: int = 5) -> None:
    for number in range(messages):
        spool.append(device_id(device), b"[%d]" % number)
    spool.commit()


def test_messages_are_numbered_per_device_and_come_back_in_order(make: Make) -> None:
    spool = make()
    assert [spool.append(A, b"[1]"), spool.append(B, b"[2]"), spool.append(A, b"[3]")] == [1, 1, 2]
    spool.commit()
    assert spool.after(A, 0, 10) == [(1, b"[1]"), (2, b"[3]")]
    assert spool.after(A, 1, 10) == [(2, b"[3]")]
    assert spool.after(A, 0, 1) == [(1, b"[1]")]
    assert spool.after(B, 0, 10) == [(1, b"[2]")]


def test_what_is_stored_is_let_go_and_numbers_go_on(make: Make) -> None:
    spool = make()
    fill(spool)
    spool.stored(A, 3)
    assert [seq for seq, _ in spool.after(A, 0, 10)] == [4, 5]
    assert spool.shelf(A).oldest == 4
    spool.stored(A, 2)  # an older ack comes late
    spool.stored(A, 99)  # and one that nobody can have sent
    assert spool.after(A, 0, 10) == []
    assert (spool.shelf(A).oldest, spool.shelf(A).bytes) == (6, 0)
    assert spool.append(A, b"[]") == 6


def test_over_its_bytes_a_device_gives_up_its_oldest_and_its_neighbour_keeps_all(make: Make) -> None:
    spool = make(1000)
    fill(spool, B, 3)
    for _ in range(100):
        spool.append(A, b"x" * 52)
    spool.commit()
    shelf = spool.shelf(A)
    assert [seq for seq, _ in spool.after(A, 0, 100)] == list(range(91, 101))
    assert (shelf.oldest, shelf.given_up, shelf.bytes) == (91, 90, 1000)
    assert len(spool.after(B, 0, 10)) == 3


def test_one_message_that_is_larger_than_the_bound_is_still_held(make: Make) -> None:
    spool = make(100)
    fill(spool)
    spool.append(A, b"x" * 500)
    spool.commit()
    assert [seq for seq, _ in spool.after(A, 0, 10)] == [6]


def test_nothing_may_be_sent_before_it_is_on_disk(tmp_path: Path) -> None:
    spool = DiskSpool(tmp_path / "spool.sqlite")
    spool.append(A, b"[]")
    assert spool.after(A, 0, 10) == []
    spool.commit()
    assert spool.after(A, 0, 10) == [(1, b"[]")]


def test_a_reopened_spool_goes_on_with_its_stream(tmp_path: Path) -> None:
    spool = DiskSpool(tmp_path / "spool.sqlite")
    fill(spool)
    spool.stored(A, 2)
    spool.close()
    again = DiskSpool(tmp_path / "spool.sqlite")
    assert again.shelf(A) == spool.shelf(A)
    assert [seq for seq, _ in again.after(A, 0, 10)] == [3, 4, 5]
    assert again.append(A, b"[]") == 6


def test_a_lost_disk_starts_a_new_stream(tmp_path: Path) -> None:
    streams = {DiskSpool(tmp_path / f"{number}.sqlite").shelf(A).stream for number in range(3)}
    assert len(streams) == 3


def test_numbers_are_never_used_twice_even_when_everything_was_stored(tmp_path: Path) -> None:
    spool = DiskSpool(tmp_path / "spool.sqlite")
    fill(spool)
    spool.stored(A, 5)
    spool.close()
    assert DiskSpool(tmp_path / "spool.sqlite").append(A, b"[]") == 6


def test_two_processes_cannot_share_a_spool(tmp_path: Path) -> None:
    held = DiskSpool(tmp_path / "spool.sqlite")
    fill(held)
    with pytest.raises(Conflict) as caught:
        DiskSpool(tmp_path / "spool.sqlite")
    assert caught.value.code == "spool_in_use"
    held.close()


def test_kill_9_loses_nothing_that_was_committed(tmp_path: Path) -> None:
    path = tmp_path / "spool.sqlite"
    script = (
        "import sys; from pathlib import Path; from edge.spool import DiskSpool\n"
        "spool = DiskSpool(Path(sys.argv[1])); number = 0\n"
        "while True:\n"
        "    number += 1; spool.append('a', b'[%d]' % number); spool.commit(); print(number, flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for line in writer.stdout:
            if int(line) >= 50:
                break
        os.kill(writer.pid, signal.SIGKILL)
        committed = [50, *map(int, writer.stdout.read().split())][-1]
    spool = DiskSpool(path)
    held = [seq for seq, _ in spool.after(A, 0, 1_000_000)]  # more than a pipe holds numbers of, however late the kill came
    assert held == list(range(1, len(held) + 1))
    assert len(held) >= committed
    assert spool.append(A, b"[]") == len(held) + 1

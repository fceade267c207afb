"""A small file by which `status` knows how the running agent is. It may be lost: nothing rests on it."""

import os
import time
from contextlib import suppress
from pathlib import Path

import msgspec

_PERIOD_S = 60.0  # a memory card is not written to more often, unless the connection changes


class Presence(msgspec.Struct):
    pid: int
    up: bool
    failure: str
    held: int
    at: float


def note(folder: Path, *, up: bool, failure: str, held: int) -> None:
    now = time.time()
    before = read(folder)
    if (
        before
        and before.pid == os.getpid()
        and before.up == up
        and before.failure == failure
        and now - before.at < _PERIOD_S
    ):
        return
    aside = folder / "running.json.new"
    aside.write_bytes(msgspec.json.encode(Presence(os.getpid(), up, failure, held, now)))
    aside.replace(folder / "running.json")


def read(folder: Path) -> Presence | None:
    """None when no agent runs here."""
    try:
        found = msgspec.json.decode((folder / "running.json").read_bytes(), type=Presence)
        os.kill(found.pid, 0)
    except PermissionError:
        return found  # it runs, as somebody else
    except (OSError, msgspec.DecodeError):
        return None
    return found


def forget(folder: Path) -> None:
    with suppress(OSError):
        (folder / "running.json").unlink()

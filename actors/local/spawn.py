"""Starting a child process so that it cannot be lost: own session, own log file, and a signal if we die first."""

import ctypes
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from actors.local.account import Account
from actors.local.texts import text

LOG_BYTES_MAX = 10 * 1024 * 1024  # a longer log is set aside, once, before the process starts again
_PR_SET_PDEATHSIG = 1
spawned: set[int] = set()  # numbers of our own children, to tell them from the adopted ones


def spawn(
    command: Sequence[str | Path],
    *,
    log_file: Path,
    account: Account | None = None,
    env: Mapping[str, str] | None = None,
    death_signal: signal.Signals = signal.SIGTERM,
    descriptors: int | None = None,
) -> subprocess.Popen[bytes]:
    """The child's output is appended to log_file. Its own session keeps the terminal's Ctrl-C away: we stop it in order.

    On Linux the kernel sends `death_signal` when the thread that called this ends, so call it from one that stays.
    descriptors: how many open files it may have; at most what the machine allows us.
    """
    log_file.parent.mkdir(parents=True, exist_ok=True)
    if log_file.exists() and log_file.stat().st_size > LOG_BYTES_MAX:
        log_file.rename(log_file.with_suffix(".log.1"))
    with log_file.open("ab") as log:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd="/" if account else None,  # an unprivileged account may not be able to stand where we stand
            env=None if env is None else dict(env),
            start_new_session=True,
            preexec_fn=_preparation(death_signal, descriptors),  # noqa: PLW1509 - two system calls, nothing that takes a lock
            **identity_arguments(account),
        )
    spawned.add(process.pid)
    return process


def identity_arguments(account: Account | None) -> dict[str, Any]:
    """What subprocess needs to become the account."""
    return {} if account is None else {"user": account.uid, "group": account.gid, "extra_groups": []}


def tail(log_file: Path, lines: int = 12, since_byte: int = 0) -> str:
    """The end of a log, for an error message."""
    try:
        with log_file.open("rb") as log:
            log.seek(max(since_byte, log_file.stat().st_size - 32_768))
            text = log.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def explain_log(log_file: Path, since_byte: int = 0) -> str:
    """A sentence that shows the end of a log, or says where it is."""
    said = tail(log_file, since_byte=since_byte)
    return text("log_end", log=log_file, said=said) if said.strip() else text("log_empty", log=log_file)


def size(log_file: Path) -> int:
    """Where what is written from now on begins."""
    try:
        return log_file.stat().st_size
    except OSError:
        return 0


def _preparation(death_signal: signal.Signals, descriptors: int | None) -> Callable[[], None]:
    """What the child does before it becomes the program."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]

    def prepare() -> None:
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, int(death_signal))
        if descriptors is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, hard))

    return prepare

"""The broker as the guard reaches it: which run of it is on, and how it is told to read its files anew."""

import os
import secrets
import signal
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import psutil

from actors.broker_files import replace
from fleet.errors import Unavailable

RUN: Final = "run"  # deploy/broker/run.sh writes here a name for each run of the broker, as long as that lasts
RELOAD: Final = "reload"  # and sends SIGHUP when this changes

_PROGRAM: Final = "mosquitto"


class Run(NamedTuple):
    """One run of the broker: a number of a process is used again some day, with another start."""

    name: str
    started_at: float = 0.0


class BrokerProcess(Protocol):
    def running(self) -> Run:
        """Raises Unavailable (broker_away)."""

    def reload(self, run: Run) -> None:
        """Raises Unavailable (broker_away, broker_not_ours), OSError."""


class Beside:
    """On the same machine: by its pid file and a signal."""

    def __init__(self, pid_file: Path) -> None:
        self._pid_file = pid_file

    def running(self) -> Run:
        try:
            process = psutil.Process(int(self._pid_file.read_text()))
            if not process.name().startswith(_PROGRAM):  # the file is of one that was killed, the number somebody else's
                raise Unavailable("broker_away", f"{self._pid_file} names a process that is no broker: {process.name()}")
            return Run(str(process.pid), process.create_time())
        except (OSError, ValueError, psutil.Error) as error:
            raise Unavailable("broker_away", f"the broker does not run, as {self._pid_file} says: {error}") from None

    def reload(self, run: Run) -> None:
        try:
            os.kill(int(run.name), signal.SIGHUP)
        except ProcessLookupError:
            raise Unavailable("broker_away", f"the broker {run.name} has ended") from None
        except PermissionError:
            raise Unavailable("broker_not_ours", f"the guard may not send signals to the broker {run.name}") from None


class Behind:
    """In a container of its own, where signals do not reach: by files in the folder that both see."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def running(self) -> Run:
        try:
            return Run((self._folder / RUN).read_text().strip())
        except OSError as error:
            raise Unavailable("broker_away", f"the broker does not run, as {self._folder / RUN} says: {error}") from None

    def reload(self, run: Run) -> None:
        replace(self._folder / RELOAD, f"{run.name} {secrets.token_hex(8)}\n".encode())

"""Every process of the images, started as `python -m` starts it in a world where something is wrong, and what it says then.

A process that forks from a prepared one needs no second to import its packages: a whole table of faults takes seconds.
"""

import contextlib
import ctypes
import json
import multiprocessing
import os
import runpy
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from actors.local.ports import LOOPBACK, free_port
from fleet import settings
from fleet.settings import (
    BrokerSettings,
    DatabaseSettings,
    GuardSettings,
    ImporterSettings,
    NotifierSettings,
    PkiSettings,
    RaySettings,
    RolloutsSettings,
    SftpSettings,
    TwinsSettings,
    WebSettings,
)
from fleet.storage.pull_secrets import make_key
from tests.servers import Database, Pki

DEADLINE_S: Final = 90.0
_CAPABILITIES: Final = 0x20080522  # the kernel's structure of two times 32
_DAC_OVERRIDE: Final = 0b110  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH
MODULES: Final = {
    "web": "web",
    "twins": "actors",
    "importer": "actors.importer",
    "rollouts": "actors.rollouts",
    "notifier": "actors.notifier",
    "guard": "actors.guard",
    "authority": "certs",
    "dropbox": "actors.dropbox",
}
ROLES: Final = {
    "web": "sp_web",
    "twins": "sp_twins",
    "importer": "sp_importer",
    "rollouts": "sp_rollouts",
    "notifier": "sp_notifier",
    "guard": "sp_guard",
    "authority": "sp_pki",
    "dropbox": "sp_sftp",
}
_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload([f"{module}.__main__" for module in MODULES.values()] + ["certs.running", "tests.start_rig"])


@dataclass
class World:
    """All of one installation's secrets and folders in one folder, whole until a test breaks something."""

    folder: Path
    database: Database
    pki: Pki
    broker: BrokerSettings = field(init=False)

    def __post_init__(self) -> None:
        for name in ("run", "boxes", "intake", "mail", "broker", "secrets"):
            (self.folder / name).mkdir(mode=0o777)
            (self.folder / name).chmod(0o777)
        for name, content in (("ray_token", "t" * 64), ("pull_key", make_key())):
            (self.secret(name)).write_text(content)
        for role in ROLES.values():
            self.secret(role).write_text(f"test-{role}\n")
        self.secret("jwt_key.pem").write_bytes((self.pki.folder / "platform" / "sp-web" / "key.pem").read_bytes())
        own = self.pki.folder / "platform" / "sp-web"
        self.broker = BrokerSettings(LOOPBACK, free_port(), self.pki.server_trust, own / "chain.pem", own / "key.pem")

    def secret(self, name: str) -> Path:
        return self.folder / "secrets" / name

    def ready(self, process: str) -> Path:
        return self.folder / "run" / f"{process}.ready"

    def database_of(self, process: str) -> DatabaseSettings:
        role = ROLES[process]
        return msgspec.structs.replace(getattr(self.database, role), password_file=self.secret(role))

    def told(self, process: str) -> Any:
        """What it is told when nothing is wrong."""
        database, ready, folder = self.database_of(process), self.ready(process), self.folder
        ray = RaySettings(folder / "run" / "ray.address", self.secret("ray_token"), folder / "ray")
        boxes, intake, jwt, pull_key = (
            folder / "boxes",
            folder / "intake",
            self.secret("jwt_key.pem"),
            self.secret("pull_key"),
        )
        portal, pki = "http://localhost", self.pki.folder
        made: dict[str, Callable[[], Any]] = {
            "web": lambda: WebSettings(
                LOOPBACK, free_port(), portal, database, self.broker, ray, jwt, intake_folder=intake, pull_key_file=pull_key
            ),
            "twins": lambda: TwinsSettings(1, database, self.broker, ray),
            "importer": lambda: ImporterSettings(database, ray, intake, boxes, pull_key, portal, ready),
            "rollouts": lambda: RolloutsSettings(database, ray, portal, ready),
            "notifier": lambda: NotifierSettings(database, folder / "mail", ready),
            "guard": lambda: GuardSettings(
                database, self.broker, folder / "broker", pki, "localhost", LOOPBACK, free_port(), ready
            ),
            "authority": lambda: PkiSettings(
                pki, LOOPBACK, free_port(), "localhost", "https://localhost", "localhost", 8883, database, ready
            ),
            "dropbox": lambda: SftpSettings(LOOPBACK, 0, boxes, self.secret("host_key"), database, ready),
        }
        return made[process]()


@dataclass
class Started:
    process: Any
    log: Path

    @property
    def said(self) -> list[dict[str, Any]]:
        """Its log, line by line: each has to be one JSON object. Of what it is just writing the end may not be there yet."""
        text = self.log.read_text()
        whole = text if self.process.exitcode is not None else text[: text.rfind("\n") + 1]
        return [json.loads(line) for line in whole.splitlines()]

    def ended(self) -> int:
        self.process.join(DEADLINE_S)
        assert self.process.exitcode is not None, f"it still runs: {self.log.read_text()[-2000:]}"
        return int(self.process.exitcode)

    def says(self, condition: Callable[[list[dict[str, Any]]], bool]) -> None:
        end = time.monotonic() + DEADLINE_S
        while not condition(self.said):
            assert self.process.is_alive(), f"it has ended: {self.log.read_text()[-2000:]}"
            assert time.monotonic() < end, self.log.read_text()[-2000:]
            self.process.join(0.05)

    def stop(self) -> int:
        os.kill(self.process.pid, signal.SIGTERM)
        return self.ended()


@contextlib.contextmanager
def started(world: World, process: str, told: Any = None, *, mortal: bool = False) -> Iterator[Started]:
    """told: a settings struct, or a text for a settings file that is wrong, or None for a file that is missing.

    mortal: for whom a file's mode counts, also where the tests run as root.
    """
    file = world.folder / f"{process}.json"
    if isinstance(told, str):
        file.write_text(told)
    elif told is not None:
        settings.save(file, told)
    log = world.folder / f"{process}.log"
    log.write_text("")
    log.chmod(0o666)
    child = _forks.Process(target=_be, args=(MODULES[process], str(file), str(log), mortal), daemon=True)
    child.start()
    try:
        yield Started(child, log)
    finally:
        if child.is_alive():
            child.kill()
            child.join()


def _be(module: str, settings_file: str, log: str, mortal: bool) -> None:
    with open(log, "ab") as out:
        os.dup2(out.fileno(), 2)
    if mortal:
        _give_up_overriding()
    words = ["serve"] if module == "certs" else []
    sys.modules.pop(f"{module}.__main__", None)  # prepared with all that it imports; it runs as the program now
    sys.argv = [module, *words, "--settings", settings_file]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        sys.stderr.flush()
        os._exit(int(end.code or 0))


def _give_up_overriding() -> None:
    """Root without what makes it root towards files: its own are its own, and modes count."""
    libc = ctypes.CDLL(None, use_errno=True)
    header, sets = (ctypes.c_uint32 * 2)(_CAPABILITIES, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, sets) == 0
    for number in range(2):  # what is in force, what is permitted
        sets[number] &= ~_DAC_OVERRIDE
    assert libc.capset(header, sets) == 0

"""Holds the broker to what it should have read: files whole and right on its disk, and the broker told, until it says so.

A reload is seen to have worked by its mark: the access list lets the guard, and nobody else, write below a name made for it.
Mosquitto reads access list, revocation list and certificates in one go, so a mark in force means that all were read.
"""

import asyncio
import secrets
import time
from pathlib import Path
from typing import Final

import structlog

from actors.broker_files import ACL, CRL, DENIED, Denied, acl, content_of, replace_if_other
from actors.guard.broker_process import BrokerProcess, Run
from actors.guard.renewed import renewed
from actors.guard.takeover import InternalDoor
from fleet.errors import Unavailable
from fleet.limits import GUARD_PROBE_TIMEOUT_S

log = structlog.get_logger("guard")

_LOOK_S: Final = 0.02  # between two looks whether a reload has happened; it takes milliseconds


class Hold:
    """mark: of the access list written last. reloads: how often the broker was told."""

    def __init__(self, home: Path, process: BrokerProcess, door: InternalDoor, pki: Path, server_name: str) -> None:
        self._home = home
        self._process = process
        self._door = door
        self._pki = pki
        self._server_name = server_name
        self._told: Run | None = None  # the run that has taken `mark` in
        self._seen: Run | None = None
        self.mark = ""
        self.reloads = 0

    async def apply(self, denied: Denied, crl_pem: bytes | None, *, anew: bool = False) -> bool:
        """Returns when the broker has all of it; whether it had to be told. crl_pem None: the one there stays.

        anew: tell it again, whatever it says. Raises Unavailable (broker_away, broker_not_ours, broker_disk, reload_lost);
        what could be written is on the disk then, where the broker reads it when it starts.
        """
        try:
            changed = await asyncio.to_thread(self._lay, denied, crl_pem, anew)
        except OSError as error:
            self._told = None  # part of it may be there
            raise Unavailable("broker_disk", f"the broker's files cannot be written: {error}") from None
        broker = self._seen = self._process.running()
        if not changed and broker == self._told:
            return False
        if broker != self._told and not changed:
            await asyncio.to_thread(self._write_acl, denied, anew=True)  # it started with another one
        self._told = None
        self._hup(broker)
        await self._wait_taken_in()
        self._told = broker
        return True

    def forget(self) -> None:
        """The broker turned out not to have it."""
        self._told = None

    def restarted(self) -> bool:
        """Whether another broker runs than the one of the last look, or one does at last."""
        try:
            return self._process.running() != self._seen
        except Unavailable:
            return False

    def _lay(self, denied: Denied, crl_pem: bytes | None, anew: bool) -> bool:
        """Whether anything on the disk was not as it should be. The list first: it must be there when the rest is read."""
        changed = False
        if crl_pem is not None:
            changed |= replace_if_other(self._home / CRL, crl_pem)
        for name, content in renewed(self._pki, self._server_name, self._home).items():
            changed |= replace_if_other(self._home / name, content)
        changed |= replace_if_other(self._home / DENIED, denied.text().encode())
        return self._write_acl(denied, anew=anew or changed) or changed

    def _write_acl(self, denied: Denied, *, anew: bool) -> bool:
        if not anew and self.mark and content_of(self._home / ACL) == acl(denied, self.mark).encode():
            return False
        self.mark = secrets.token_hex(8)
        return replace_if_other(self._home / ACL, acl(denied, self.mark).encode())

    def _hup(self, run: Run) -> None:
        try:
            self._process.reload(run)
        except OSError as error:
            raise Unavailable("broker_disk", f"the broker cannot be told: {error}") from None
        self.reloads += 1

    async def _wait_taken_in(self) -> None:
        """Raises Unavailable (broker_away, reload_lost)."""
        end = time.monotonic() + GUARD_PROBE_TIMEOUT_S
        while not await self._door.in_force(self.mark):
            if time.monotonic() > end:
                raise Unavailable("reload_lost", "the broker was told to read its files anew and does not go by them")
            await asyncio.sleep(_LOOK_S)

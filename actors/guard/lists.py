"""Which revocation list is put before the broker: the newest that is whole, ours, in time, and no step back."""

from collections.abc import Collection
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from actors.broker_files import content_of
from certs import crl
from fleet.errors import BadInput
from fleet.limits import CRL_ALARM_BEFORE_S, CRL_PERIOD_S
from fleet.storage import revocations
from fleet.storage.database import Connection
from fleet.storage.revocations import Pending, SignedList

_OLDER_TRIED: Final = 5  # lists before a spoilt newest one that are looked at


class CheckedList(msgspec.Struct, frozen=True):
    """A list that may lie before the broker. canary_chain None: it cannot be proven, for the reason in `problem`."""

    number: int
    pem: bytes
    serials: frozenset[int]
    begins: datetime
    ends: datetime
    canary_chain: str | None = None
    canary_key: str = ""
    problem: str | None = None

    def old(self, now: datetime) -> bool:
        """Two more should have been signed since."""
        return now >= self.begins + timedelta(seconds=2 * CRL_PERIOD_S)

    def expiring(self, now: datetime) -> bool:
        return now >= self.ends - timedelta(seconds=CRL_ALARM_BEFORE_S)

    def expired(self, now: datetime) -> bool:
        return now >= self.ends


class Lists:
    """standing: the list that the broker should have. problem: why it is not the newest of the database (bad_crl, old_crl,
    expired_crl)."""

    def __init__(self, trust_file: Path) -> None:
        self._trust_file = trust_file
        self.standing: CheckedList | None = None
        self.problem: BadInput | None = None
        self.step_back = False  # the database is older than what the broker has: it was restored
        self._looked_at: int | None = None
        self._floor = 0

    def begin_with(self, file: Path, installed: int) -> None:
        """What lies before the broker already is the least that has to be there. installed: as far as the database knows."""
        self._floor = installed
        found = self._on_disk(file)
        if found is not None and found.number >= installed:
            self.standing = found
            self._floor = found.number

    async def learn(self, connection: Connection, now: datetime) -> bool:
        """Whether another list stands now."""
        newest = await revocations.newest_number(connection)
        self.step_back = (newest or 0) < self._floor
        if self.step_back:
            detail = f"the database's newest revocation list is {newest}, the broker has had {self._floor}"
            self.problem = BadInput("old_crl", detail)
            return False
        if newest is None or (newest == self._looked_at and self.problem is None):
            return False
        before, self.problem = self.standing, None
        await self._choose(connection, now)
        self._looked_at = newest
        return self.standing is not before

    def holds(self, wanted: Pending) -> bool:
        """Whether the standing list carries this revocation out."""
        standing = self.standing
        return (
            standing is not None
            and wanted.crl_number is not None
            and wanted.crl_number <= standing.number
            and wanted.serials <= standing.serials
        )

    async def _choose(self, connection: Connection, now: datetime) -> None:
        revoked = await revocations.revoked_serials(connection)
        must_hold = revoked & self.standing.serials if self.standing else frozenset()
        below: int | None = None
        for _ in range(_OLDER_TRIED):
            signed = await revocations.newest_list(connection, below=below)
            if signed is None or (self._proper and self.standing and signed.number <= self.standing.number):
                return
            try:
                self.standing = self._checked(signed, now, must_hold)
                self._floor = self.standing.number
            except BadInput as error:
                self.problem = self.problem or error
                below = signed.number
            else:
                return

    @property
    def _proper(self) -> bool:
        """The standing one came with its canary; the one found before the broker has none."""
        return self.standing is not None and (self.standing.canary_chain is not None or self.standing.problem is not None)

    def _checked(self, signed: SignedList, now: datetime, must_hold: Collection[int]) -> CheckedList:
        """Raises BadInput."""
        trust = content_of(self._trust_file) or b""
        taken = crl.verify(signed.der, trust, now=now, at_least_number=self._floor, must_hold=must_hold)
        serials = frozenset(crl.serials_in(taken))
        checked = _list(taken, serials)
        if checked.number != signed.number:
            raise BadInput("bad_crl", f"what is stored as list {signed.number} says that it is {checked.number}")
        problem = _canary_problem(signed, serials)
        return msgspec.structs.replace(
            checked,
            canary_chain=None if problem else signed.canary_chain,
            canary_key=signed.canary_key,
            problem=problem,
        )

    def _on_disk(self, file: Path) -> CheckedList | None:
        """Also one that has ended: its number counts."""
        try:
            found = x509.load_pem_x509_crl(content_of(file) or b"")
            der = found.public_bytes(Encoding.DER)
            taken = crl.verify(der, content_of(self._trust_file) or b"", now=found.last_update_utc)
        except (BadInput, ValueError):
            return None
        return _list(taken, frozenset(crl.serials_in(taken)))


def _list(taken: x509.CertificateRevocationList, serials: frozenset[int]) -> CheckedList:
    ends = taken.next_update_utc or taken.last_update_utc  # crl.verify takes none without an end
    return CheckedList(crl.number_of(taken), taken.public_bytes(Encoding.PEM), serials, taken.last_update_utc, ends)


def _canary_problem(signed: SignedList, serials: frozenset[int]) -> str | None:
    try:
        canary = x509.load_pem_x509_certificates(signed.canary_chain.encode())[0]
    except ValueError as error:
        return f"the canary of list {signed.number} cannot be read: {error}"
    return None if canary.serial_number in serials else f"the canary of list {signed.number} is not in it"

"""Signs the devices' revocation lists out of the ledger.

A list brings its canary: a certificate that it is the first to revoke. When the broker refuses the canary, it has read the
list.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from certs import adoption, crl, keys, last_list, profiles
from certs.authority import Pki
from certs.profiles import Profile
from fleet.ids import DeviceId, SiteId
from fleet.limits import CRL_LIFE_S, CRL_PERIOD_S
from fleet.storage import audit, lists, notices, revocations
from fleet.storage.certificates import Entry
from fleet.storage.database import Connection, Pool
from fleet.storage.lists import NewList, Revoked

_LIFE = timedelta(seconds=CRL_LIFE_S)
_CANARY = Profile(_LIFE + timedelta(hours=1), None, profiles.CLIENT.usages)  # it must be refused as revoked, not as ended
_PAST = timedelta(days=1)  # a certificate stays in the lists so long after its end: the broker's clock may be behind
_TICK = timedelta(seconds=1)  # lists are told apart by whole seconds

log = structlog.get_logger("certs.lists")


class Lists:
    """The lists of the running authority. `due` is set when one should be signed now."""

    def __init__(self, pki: Pki, pool: Pool) -> None:
        self._pki = pki
        self._pool = pool
        self.due = asyncio.Event()

    async def sign(self) -> int:
        """Carries requested revocations out and signs the next list, at least a second after the last one. Its number."""
        async with self._pool.acquire() as connection:
            async with connection.transaction():
                await lists.hold(connection)
                number, this_update = await self._next(connection)
                done = await self._revoke_requested(connection)
                chain, key, canary = self._canary(number, this_update)
                await lists.remember(connection, canary, this_update, "canary")
                named = await lists.revoked(connection, this_update - _PAST)
                der = await asyncio.to_thread(self._build, number, this_update, named)
                new = NewList(number, der, this_update, this_update + _LIFE, chain, key)
                await lists.add(connection, new, [one.serial for one in named])
                await revocations.mark_signed(connection, done, number)
                await lists.forget(connection, this_update - _LIFE, number)
            await asyncio.to_thread(last_list.write, self._pki.folder, x509.load_der_x509_crl(new.der))
            await notices.notify(connection, notices.CRL, str(number))
            for revocation in done:
                await notices.notify(connection, notices.REVOCATION, revocation)
        log.info("crl_signed", number=number, entries=len(named), revocations=len(done))
        return number

    async def is_due(self) -> bool:
        """By the clock, or because something was revoked; whoever did it, and whenever."""
        async with self._pool.acquire() as connection:
            last = await lists.newest(connection)
            if last is None or await lists.outdated(connection):
                return True
        age = datetime.now(UTC) - last[1]
        return age >= timedelta(seconds=CRL_PERIOD_S) or last_list.standing(self._pki.devices, self._pki.folder) is None

    async def _next(self, connection: Connection) -> tuple[int, datetime]:
        """Number and time: above and after whatever was signed before, here or without the database."""
        stored, last = await lists.newest(connection), last_list.standing(self._pki.devices, self._pki.folder)
        before = [] if stored is None else [stored]
        if last is not None:
            before.append((crl.number_of(last), last.last_update_utc))
        if not before:
            return 1, datetime.now(UTC).replace(microsecond=0)
        earliest = max(at for _, at in before) + _TICK
        wait = earliest - datetime.now(UTC)
        if wait > 2 * _TICK:  # waiting could take hours; who installs the list says that it is of the future
            log.warning("clock_was_set_back", by_s=wait.total_seconds())
        elif wait > timedelta(0):
            await asyncio.sleep(wait.total_seconds())
        return max(number for number, _ in before) + 1, max(earliest, datetime.now(UTC).replace(microsecond=0))

    async def _revoke_requested(self, connection: Connection) -> list[str]:
        """The revocations carried out."""
        wanted = await revocations.unsigned(connection)
        if wanted:
            await adoption.adopt(connection, self._pki, only={one.device for one in wanted})
        for one in wanted:
            serials = await lists.revoke(connection, one)
            detail = {"site": one.site, "revocation": one.id, "reason": one.reason, "certificates": serials}
            await audit.record(connection, "device.certificates_revoked", subject=one.device, detail=detail)
        return [one.id for one in wanted]

    def _build(self, number: int, this_update: datetime, named: list[Revoked]) -> bytes:
        held = [(int(one.serial, 16), one.at, one.reason) for one in named]
        made = crl.build(self._pki.devices, number, held, this_update=this_update, next_update=this_update + _LIFE)
        return made.public_bytes(Encoding.DER)

    def _canary(self, number: int, now: datetime) -> tuple[str, str, Entry]:
        """(chain, key, its line in the ledger)"""
        authority, key = self._pki.devices, keys.make()
        life = authority.life(_CANARY, now)
        name = DeviceId(f"canary-{number}")
        signed = authority.sign(_CANARY, profiles.device(name), key.public_key(), life)
        spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        line = Entry(
            serial=f"{life.serial:x}",
            site=SiteId(""),
            device=name,
            key_hash=sha256(spki).digest(),
            claim=None,
            renews=None,
            intent_at=now,
            not_before=life.not_before,
            not_after=life.not_after,
            der=signed.public_bytes(Encoding.DER),
            confirmed_at=None,
            superseded_at=None,
            revoked_at=now,
        )
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        return signed.public_bytes(Encoding.PEM).decode(), pem, line

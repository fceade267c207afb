"""Claim and request become a certificate; so does a certificate that is to be renewed. Knows nothing of HTTP.

Each certificate is made in three steps: one transaction checks everything and writes the serial number into the ledger, then
it is signed, then stored. Whoever is killed in between finds the open line of the ledger when the device asks again,
and completes it under the same serial. The first signature stored is the one that counts.
"""

import hmac
from collections.abc import Callable
from datetime import UTC, datetime

import asyncpg
import msgspec
from cryptography.hazmat.primitives.serialization import Encoding

from certs import profiles
from certs.authority import Authority
from certs.csr import Request
from certs.profiles import Life
from certs.refusals import Refusal, Tried, check_code, check_usable, collision
from fleet.errors import FleetError
from fleet.ids import RESERVED_PREFIX, DeviceId, SiteId, is_device_id
from fleet.storage import audit, certificates, claims, enrolled, notices
from fleet.storage.certificates import Entry
from fleet.storage.claims import HeldClaim
from fleet.storage.database import Connection, Pool
from fleet.storage.enrolled import Place


class _Announced(msgspec.Struct, frozen=True):
    """A line of the ledger that is to be completed. revokes: others were revoked for it."""

    line: Entry
    request: Request
    revokes: bool = False


class Enrolment:
    """Signs for devices. `outdated` is called when certificates were revoked, so that a new revocation list is due."""

    def __init__(self, pool: Pool, authority: Authority, outdated: Callable[[], None]) -> None:
        self._pool = pool
        self._authority = authority
        self._outdated = outdated

    async def enrol(self, tried: Tried, request: Request | FleetError, address: str | None) -> bytes:
        """The certificate, DER. The same claim with the same key gives the same one until the device has used it.

        request: or why it cannot be read, which the claim's installer is to see.
        Raises Refusal (claim_…, csr_for_another_device, serial_taken, device_elsewhere, certificate_revoked), or `request`.
        """
        async with self._pool.acquire() as connection:
            try:
                async with connection.transaction():
                    announced = await self._use_claim(connection, tried, request, address)
            except FleetError as error:
                refused = error
            except asyncpg.UniqueViolationError as error:
                refused = collision(error)
            else:
                made = await self._complete(connection, announced)
                await notices.notify(connection, notices.CLAIM, tried.claim)
                return made
            await _note(connection, tried.claim, refused, address)
        raise refused

    async def renew(self, serial: str, request: Request | FleetError, address: str | None) -> bytes:
        """The certificate that follows `serial`, DER. The same key again gives the same one until the device has used it.

        Raises Refusal (certificate_…, csr_for_another_device), or `request`.
        """
        async with self._pool.acquire() as connection:
            try:
                async with connection.transaction():
                    announced = await self._follow(connection, serial, request, address)
            except FleetError as refused:
                await _audit_refusal(connection, "device.renew_refused", serial, refused, address)
                raise
            return await self._complete(connection, announced)

    async def used(self, serial: str, address: str | None) -> tuple[Entry, Place]:
        """Of a certificate that its device has just shown: which therefore arrived, so what it follows is revoked.

        Raises Refusal (certificate_…).
        """
        async with self._pool.acquire() as connection:
            try:
                async with connection.transaction():
                    known = await _usable(connection, serial)
                    revokes = await self._confirm(connection, known, address)
            except FleetError as refused:
                await _audit_refusal(connection, "device.connection_refused", serial, refused, address)
                raise
            if revokes:
                self._outdated()
            place = await enrolled.place(connection, known.device)
        if place is None:
            raise Refusal("certificate_unknown", f"no device is called {known.device} any more")
        return known, place

    async def _confirm(self, connection: Connection, known: Entry, address: str | None) -> bool:
        """Whether that revoked what it follows; nothing once it is confirmed, or superseded itself."""
        if known.confirmed_at is not None or known.superseded_at is not None:
            return False
        revokes = await certificates.confirm(connection, known)
        detail = {"site": known.site, "certificate": known.serial, "renews": known.renews}
        await audit.record(connection, "device.confirm", subject=known.device, detail=detail, address=address)
        return revokes

    async def _use_claim(
        self, connection: Connection, tried: Tried, request: Request | FleetError, address: str | None
    ) -> _Announced:
        claim = await claims.hold(connection, tried.claim)
        if claim is None:
            raise Refusal("claim_unknown", "no claim has this code; compare it with the screen that shows it")
        check_code(claim, tried)
        if isinstance(request, FleetError):
            raise request
        await _check_meant_for(connection, claim.device, request)
        if claim.state == "used":
            return _Announced(await _again(connection, claim, request), request)
        if claim.state == "cancelled":
            raise Refusal("claim_cancelled", "this code was cancelled; ask for a new one")
        if claim.state == "expired":
            raise Refusal("claim_expired", "this code's time is over; ask for a new one")
        before = await enrolled.hold(connection, claim.device)
        revoked: list[str] = []
        if before is None:
            at = await enrolled.add(connection, claim)
        elif before.site != claim.site:
            raise Refusal("device_elsewhere", f"{claim.device} is a device of another site by now; ask for a new code")
        else:
            at = await enrolled.take_over(connection, claim, before)
            revoked = await certificates.revoke_all_of(connection, claim.device, at)
        line = self._line(claim.site, claim.device, request, at, claim=claim.id)
        await certificates.intend(connection, line)
        await claims.mark_used(connection, claim.id, request.key_hash)
        detail = {"site": claim.site, "claim": claim.id, "certificate": line.serial, "revoked": revoked}
        await audit.record(connection, "device.enrol", subject=claim.device, detail=detail, address=address)
        return _Announced(line, request, revokes=bool(revoked))

    async def _follow(
        self, connection: Connection, serial: str, request: Request | FleetError, address: str | None
    ) -> _Announced:
        known = await _usable(connection, serial)
        if isinstance(request, FleetError):
            raise request
        await _check_meant_for(connection, known.device, request)
        at: datetime = await connection.fetchval("SELECT clock_timestamp()")
        if known.superseded_at is None:
            revokes = await certificates.confirm(connection, known)
            await certificates.supersede(connection, serial, at)
        else:
            successor = await certificates.successor_of(connection, serial)
            if successor is None or successor.confirmed_at is not None:
                raise Refusal("certificate_superseded", "a newer certificate of this device is in use")
            if successor.key_hash == request.key_hash:
                return _Announced(successor, request)
            await certificates.revoke_one(connection, successor.serial, at)
            revokes = True
        line = self._line(known.site, known.device, request, at, renews=serial)
        await certificates.intend(connection, line)
        detail = {"site": known.site, "certificate": line.serial, "renews": serial}
        await audit.record(connection, "device.renew", subject=known.device, detail=detail, address=address)
        return _Announced(line, request, revokes)

    def _line(
        self,
        site: SiteId,
        device: DeviceId,
        request: Request,
        at: datetime,
        *,
        claim: str | None = None,
        renews: str | None = None,
    ) -> Entry:
        """What the ledger is told before the signature. `at`: the database's clock."""
        life = self._authority.life(profiles.CLIENT, at)
        return Entry(
            serial=f"{life.serial:x}",
            site=site,
            device=device,
            key_hash=request.key_hash,
            claim=claim,
            renews=renews,
            intent_at=at,
            not_before=life.not_before,
            not_after=life.not_after,
            der=None,
            confirmed_at=None,
            superseded_at=None,
            revoked_at=None,
        )

    async def _complete(self, connection: Connection, announced: _Announced) -> bytes:
        """Signs what the ledger announces, unless that was done before. Raises Refusal (certificate_revoked)."""
        line = announced.line
        if announced.revokes:
            self._outdated()
        if line.der is not None:
            return line.der
        life = Life(int(line.serial, 16), line.not_before, line.not_after)
        signed = self._authority.sign(profiles.CLIENT, profiles.device(line.device), announced.request.key, life)
        stored = await certificates.store(connection, line.serial, signed.public_bytes(Encoding.DER))
        if stored is None:
            raise Refusal("certificate_revoked", "the certificate was revoked while it was being signed")
        return stored


async def _again(connection: Connection, claim: HeldClaim, request: Request) -> Entry:
    """What the claim has led to, for a device that has not got the answer. Raises Refusal."""
    used = Refusal("claim_used", "a device has enrolled with this code already; each code works once")
    if claim.expired or claim.used_key_hash is None or not hmac.compare_digest(claim.used_key_hash, request.key_hash):
        raise used
    line = await certificates.of_claim(connection, claim.id, request.key_hash)
    if line is None or line.confirmed_at is not None or line.superseded_at is not None:
        raise used
    if line.revoked_at is not None:
        raise Refusal("certificate_revoked", "the certificate that this code led to is revoked; ask for a new code")
    return line


async def _check_meant_for(connection: Connection, device: DeviceId, request: Request) -> None:
    """The subject is ignored, but for what shows a mix-up. Raises Refusal (csr_for_another_device)."""
    others = sorted(request.devices - {device})
    names = sorted(
        name for name in request.common_names - {device} if is_device_id(name) or name.startswith(RESERVED_PREFIX)
    )
    if not others and names:
        others = [name for name in names if name.startswith(RESERVED_PREFIX)]
        if not others and await enrolled.some_exist(connection, names):
            others = names
    if others:
        raise Refusal("csr_for_another_device", f"the request names {others[0][:40]!r}, but this is about {device}")


async def _usable(connection: Connection, serial: str) -> Entry:
    """With its device held, so that nobody revokes or replaces it meanwhile. Raises Refusal (certificate_…)."""
    known = await certificates.entry(connection, serial)
    held = None if known is None else await enrolled.hold(connection, known.device)
    if known is None or held is None:
        raise Refusal("certificate_unknown", "the ledger does not know this certificate")
    line = await certificates.entry(connection, serial)  # as it stands now that nobody changes it any more
    known = msgspec.structs.replace(line or known, site=held.site)  # where its place is now
    check_usable(known, held, datetime.now(UTC))
    return known


async def _note(connection: Connection, claim_id: str, refused: FleetError, address: str | None) -> None:
    """For the installer's screen, and for ever. Of a claim that nobody made there is nothing to note."""
    async with connection.transaction():
        claim = await claims.hold(connection, claim_id)
        if claim is None:
            return
        if claim.state != "used":  # whoever enrolled with it has no problem
            if refused.code == "claim_wrong_code":
                await claims.count_wrong_try(connection, claim.id)
            await claims.note_problem(connection, claim.id, refused.code)
        detail = {"site": claim.site, "claim": claim.id, "code": refused.code}
        await audit.record(connection, "device.enrol_refused", subject=claim.device, detail=detail, address=address)
    await notices.notify(connection, notices.CLAIM, claim.id)


async def _audit_refusal(connection: Connection, action: str, serial: str, refused: FleetError, address: str | None) -> None:
    known = await certificates.entry(connection, serial)
    if known is not None:
        detail = {"site": known.site, "certificate": serial, "code": refused.code}
        await audit.record(connection, action, subject=known.device, detail=detail, address=address)

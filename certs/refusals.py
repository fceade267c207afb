"""Why somebody gets no certificate, as far as it can be told without looking anything up."""

import hmac
from datetime import datetime

import asyncpg
import msgspec

from fleet.errors import FleetError, Unavailable
from fleet.storage.certificates import Entry
from fleet.storage.claims import HeldClaim
from fleet.storage.enrolled import HeldDevice


class Refusal(FleetError):
    """Not to this one, or not any more; certs.texts has words for each code."""


class Tried(msgspec.Struct, frozen=True):
    """With what somebody tries to enrol. typing_error: what is wrong with a code that cannot be right."""

    claim: str
    code_hash: bytes
    typing_error: str | None = None


def collision(error: asyncpg.UniqueViolationError) -> FleetError:
    if "serial" in (error.constraint_name or ""):
        return Refusal("serial_taken", "another device of this site has the same serial number")
    return Unavailable("busy", "the same place is being enrolled by somebody else at this moment; try again")


def check_code(claim: HeldClaim, tried: Tried) -> None:
    """Raises Refusal (claim_locked, claim_wrong_code). Of any other state only who knows the code hears."""
    if claim.state == "locked":
        raise Refusal("claim_locked", "too many wrong tries: this code is locked; ask for a new one")
    if tried.typing_error is not None:
        raise Refusal("claim_wrong_code", tried.typing_error)
    if not hmac.compare_digest(claim.code_hash, tried.code_hash):
        raise Refusal("claim_wrong_code", "this is not the code of the claim; compare it with the screen that shows it")


def check_usable(known: Entry, held: HeldDevice, now: datetime) -> None:
    """Raises Refusal (certificate_superseded, certificate_revoked, certificate_expired, certificate_not_yet_valid)."""
    if known.reason == "superseded" and held.revoked_at is None:
        raise Refusal("certificate_superseded", "a newer certificate of this device is in use")
    if known.revoked_at is not None or held.revoked_at is not None:
        raise Refusal("certificate_revoked", "this device was revoked; it needs a new claim code")
    if known.not_after <= now:
        raise Refusal(
            "certificate_expired",
            f"the certificate ended at {known.not_after:%Y-%m-%d %H:%M} UTC, and it is {now:%Y-%m-%d %H:%M} UTC now;"
            " a clock that is wrong by months misses the renewal: the device needs a new claim code",
        )
    if known.not_before > now:
        raise Refusal(
            "certificate_not_yet_valid",
            f"the certificate begins at {known.not_before:%Y-%m-%d %H:%M} UTC, and here it is {now:%Y-%m-%d %H:%M} UTC:"
            " one of the clocks is wrong",
        )

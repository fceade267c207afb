"""The certificate is renewed at two thirds of its life, with a new key, and used only after it was seen to work.

The old one stays in force until then. Cut short anywhere, the next try goes on with the same new key.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from random import random, uniform
from typing import NamedTuple

import msgspec
import structlog

from edge.agent.enrolment import check_dates
from edge.agent.home import Home, Identity
from edge.agent.server import Server, showing
from edge.limits import AGENT_RENEWAL_WAIT_MAX_S, AGENT_RENEWAL_WAIT_MIN_S, AGENT_RETRY_MAX_S, AGENT_REVOKED_WAIT_S
from fleet.errors import BadInput, Conflict, FleetError

log = structlog.get_logger()

_DEAD_ENDS = {"certificate_revoked", "certificate_expired", "certificate_unknown"}  # only a new claim helps
_NEW_CLAIM = "make a new code on the portal, then: solarperform-agent enrol LINK --again"
_SPREAD = 0.01  # of the life: a fleet that was enrolled on one day is not renewed in one minute


class Terms(NamedTuple):
    """Of the certificate in force. All in seconds from now."""

    renew_in_s: float
    ends_in_s: float
    life_s: float


def renew(home: Home, now: datetime) -> Identity:
    """The identity in force afterwards. Raises what Server raises, Conflict (enrolment_running), BadInput."""
    with home.alone():
        current = home.enrolled()
        new = home.successor_of(current)
        if not new.begun:
            new.begin(msgspec.structs.replace(current.intent(), renews=current.name), current.trust.read_bytes())
        request = new.request()
        server = Server(new.intent().server)
        if not new.issued:
            new.keep_certificate(server.renew(showing(current), request))
        check_dates(new, now)
        try:
            new.keep_connection(server.connection(showing(new)))
        except BadInput:
            home.remove(new)  # this one will never work: the next try begins anew
            raise
        home.switch(new)
        home.remove_predecessors()
        return new


def terms(identity: Identity, now: datetime) -> Terms:
    renew_at = datetime.fromtimestamp(identity.connection().certificate.renew_at / 1000, UTC)
    life_s = identity.life().total_seconds()
    return Terms((renew_at - now).total_seconds(), (identity.expires_at() - now).total_seconds(), life_s)


def first_wait_s(of: Terms, *, just_renewed: bool) -> float:
    """Until the first try. Right after a renewal never at once, whatever the authority's clock says."""
    least = min(AGENT_RENEWAL_WAIT_MIN_S, of.ends_in_s / 3) if just_renewed else 0.0
    return max(of.renew_in_s + random() * _SPREAD * of.life_s, least, 0.0)


def next_wait_s(of: Terms, code: str) -> float:
    """After a try that failed: daily while there is time, hourly near the end (sooner for short lives)."""
    if code in _DEAD_ENDS or of.ends_in_s <= 0:
        return uniform(0.5, 1) * AGENT_REVOKED_WAIT_S
    least = min(AGENT_RENEWAL_WAIT_MIN_S, of.life_s / 500)
    return uniform(0.5, 1) * min(max(of.ends_in_s / 8, least), AGENT_RENEWAL_WAIT_MAX_S)


class Renewal:
    """switched is called with the new identity once it is in force."""

    def __init__(self, home: Home, *, now: Callable[[], datetime], switched: Callable[[Identity], None]) -> None:
        self._home = home
        self._now = now
        self._switched = switched
        self._said = ""

    async def run(self) -> None:
        self._clean_up()
        just_renewed = False
        while True:
            of = terms(self._home.enrolled(), self._now())
            if of.ends_in_s <= 0:
                self._say("certificate_expired", "the certificate has expired")
            if not self._pending():
                await asyncio.sleep(first_wait_s(of, just_renewed=just_renewed))
            await self._until_renewed()
            just_renewed = True

    async def _until_renewed(self) -> None:
        while (code := await self._try()) is not None:
            of = terms(self._home.enrolled(), self._now())
            wait_s = next_wait_s(of, code)
            if self._pending() and code not in _DEAD_ENDS:
                wait_s = min(wait_s, AGENT_RETRY_MAX_S)  # the new one is here and only has to be seen to work
            await asyncio.sleep(wait_s)

    async def _try(self) -> str | None:
        """The failure's code, or None."""
        try:
            identity = await asyncio.to_thread(renew, self._home, self._now())
        except (FleetError, OSError) as error:
            code, detail = (error.code, error.detail) if isinstance(error, FleetError) else ("disk_failed", str(error))
            self._say(code, detail)
            return code
        self._said = ""
        certificate = identity.certificate()
        log.info("agent.renewed", until=certificate.not_valid_after_utc.isoformat(), serial=f"{certificate.serial_number:x}")
        self._switched(identity)
        return None

    def _clean_up(self) -> None:
        """After a switch that was cut short."""
        with suppress(Conflict), self._home.alone():  # an enrolment at work cleans up by itself
            self._home.remove_predecessors()

    def _pending(self) -> bool:
        return self._home.successor_of(self._home.enrolled()).issued

    def _say(self, code: str, detail: str) -> None:
        """Once per cause."""
        if code == self._said:
            return
        self._said = code
        if code in _DEAD_ENDS:
            log.error("agent.certificate_of_no_use", code=code, detail=detail, do=_NEW_CLAIM)
        else:
            log.warning("agent.renewal_failed", code=code, detail=detail)

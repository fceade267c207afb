"""From a claim's code to a certificate that was seen to work. Killed anywhere, the same call again ends the same way."""

import re
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from random import uniform
from typing import NamedTuple, TypeVar

from edge.agent import trust
from edge.agent.home import ConnectionInfo, Home, Identity, Intent
from edge.agent.server import Server, showing, verifying
from edge.agent.texts import text
from edge.limits import AGENT_CLOCK_WRONG_S, AGENT_RETRY_FIRST_S, AGENT_RETRY_MAX_S
from fleet import claim_code
from fleet.claim_code import ClaimCode
from fleet.errors import BadInput, Conflict, FleetError, Unavailable

T = TypeVar("T")
Say = Callable[[str], None]
_CLAIM_SYMBOLS = 28


class Wish(NamedTuple):
    """What the installer wants. ca: a file of trust anchors; fingerprint: of one; neither: this machine's trust store."""

    server: Server
    code: ClaimCode
    ca: Path | None = None
    fingerprint: str | None = None
    again: bool = False


class Enrolment(NamedTuple):
    connection: ConnectionInfo
    new: bool


def read_link(link: str) -> tuple[str, str, str]:
    """(server, code, fingerprint) of https://host:port/#CODE.FINGERPRINT. Raises BadInput (bad_link)."""
    found = re.fullmatch(r"\s*(https://[^\s#]+?)/?#([^\s.]+)\.([0-9A-Fa-f]+)\s*", link)
    if not found:
        raise BadInput("bad_link", text("bad_link"))
    return found[1], found[2], found[3]


def read_code(typed: str) -> ClaimCode:
    """As claim_code.parse, in the reader's language."""
    try:
        return claim_code.parse(typed)
    except BadInput as error:
        symbols = re.sub(r"[\s.–—-]", "", typed)
        key = "claim_typing_error" if len(symbols) == _CLAIM_SYMBOLS else "claim_length"
        if not re.fullmatch(r"[0-9A-TV-Za-tv-z]*", symbols):
            key = "claim_strange_symbol"
        raise BadInput(error.code, text("bad_claim_code", reason=text(key, length=len(symbols)))) from None


def enrol(home: Home, wish: Wish, *, say: Say, now: Callable[[], datetime], patience_s: float) -> Enrolment:
    """patience_s: how long a server that does not answer is asked again.

    Raises what Server and trust.establish raise, Conflict (other_claim, enrolment_running), BadInput (bad_state).
    """
    with home.alone():
        current = home.current()
        if current is not None and current.intent().claim == wish.code.id:
            home.remove_others()  # of an enrolment that was killed at its very end
            return Enrolment(current.connection(), new=False)
        _check_free(home, wish, current)
        identity = home.of_claim(wish.code.id)
        if identity.begun:
            say(text("resuming"))
        patiently = Patience(patience_s, say)
        say(text("asking_server", url=wish.server.url))
        believed = patiently(lambda: trust.establish(wish.server, wish.ca, wish.fingerprint, now()))
        say(text("server_known"))
        identity.begin(Intent(wish.server.url, wish.code.id, believed.system), believed.anchors)
        request = identity.request()
        if not identity.issued:
            say(text("asking_certificate"))
            tls = verifying(believed.anchors, system=believed.system)
            identity.keep_certificate(patiently(lambda: wish.server.enrol(tls, wish.code, request)))
        check_dates(identity, now())
        say(text("confirming"))
        connection = patiently(lambda: wish.server.connection(showing(identity)))
        identity.keep_connection(connection)
        home.switch(identity)
        home.remove_others()
        return Enrolment(connection, new=True)


def check_dates(identity: Identity, now: datetime) -> None:
    """The certificate is good by our clock too. Raises BadInput (clock_wrong)."""
    certificate = identity.certificate()
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if (begin - now).total_seconds() > AGENT_CLOCK_WRONG_S or now >= end:
        said = text(
            "certificate_not_valid_now", begin=f"{begin:%Y-%m-%d}", end=f"{end:%Y-%m-%d}", here=f"{now:%Y-%m-%d %H:%M}"
        )
        raise BadInput("clock_wrong", said)


class Patience:
    """Tries again while the server does not answer, with waits that are random up to a bound that doubles."""

    def __init__(self, seconds: float, say: Say) -> None:
        self._until = time.monotonic() + seconds
        self._say = say

    def __call__(self, deed: Callable[[], T]) -> T:
        bound_s = AGENT_RETRY_FIRST_S
        while True:
            try:
                return deed()
            except Unavailable as error:
                wait_s = uniform(bound_s / 2, bound_s)
                if time.monotonic() + wait_s > self._until:
                    raise
                self._say(text("trying_again", reason=error.detail, wait_s=wait_s))
                time.sleep(wait_s)
                bound_s = min(bound_s * 2, AGENT_RETRY_MAX_S)


def _check_free(home: Home, wish: Wish, current: Identity | None) -> None:
    """One machine is one device, unless somebody says otherwise. Raises Conflict (other_claim)."""
    if wish.again:
        return
    if current is not None:
        raise Conflict("other_claim", text("other_claim", device=_device_of(current)))
    if any(other.issued and other.name != home.of_claim(wish.code.id).name for other in home.all()):
        raise Conflict("other_claim", text("other_claim_begun"))


def _device_of(identity: Identity) -> str:
    try:
        return identity.connection().device
    except FleetError:
        return identity.name

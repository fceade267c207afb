"""Whom to believe: a file, the fingerprint on the installer's screen, or this machine's own trust store.

With a fingerprint the authorities' certificates are fetched from a server that is not believed yet, and the one with this
fingerprint is the anchor for everything after (RFC 7030 section 4.1.1). The claim's code goes to a verified server only.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from edge.agent.server import Server, believing_nothing, verifying
from edge.agent.texts import text
from edge.limits import AGENT_CLOCK_WRONG_S
from fleet.errors import BadInput, FleetError

FINGERPRINT_CHARS = 32  # hexadecimal: the first 128 bits of SHA-256
_FINGERPRINT = re.compile(r"[0-9a-f]{32}(?:[0-9a-f]{32})?")
_CLOCKWORK = "server_certificate_dates"


class Trust(NamedTuple):
    """anchors: PEM. server_clock: what the server says it is, None when it does not."""

    anchors: bytes
    system: bool
    server_clock: datetime | None


def read_fingerprint(typed: str) -> str:
    """Raises BadInput (bad_fingerprint)."""
    plain = re.sub(r"[\s:-]", "", typed).lower()
    if not _FINGERPRINT.fullmatch(plain):
        raise BadInput("bad_fingerprint", text("bad_fingerprint"))
    return plain[:FINGERPRINT_CHARS]


def fingerprint(certificate: x509.Certificate) -> str:
    return certificate.fingerprint(hashes.SHA256()).hex()[:FINGERPRINT_CHARS]


def establish(server: Server, ca: Path | None, wanted: str | None, now: datetime) -> Trust:
    """A server that passed. Raises what Server raises, and BadInput (bad_ca_file, other_fingerprint, clock_wrong)."""
    anchors = _anchors_in(ca) if ca else _anchor_by_fingerprint(server, wanted, now) if wanted else b""
    try:
        offered, date = server.anchors(verifying(anchors, system=not anchors))
    except BadInput as error:
        if error.code == _CLOCKWORK:
            _check_clock(_unverified_clock(server), now)
        if error.code != "server_untrusted":
            raise
        raise BadInput(error.code, f"{error.detail}\n{_what_it_shows(server)}") from None
    _check_clock(date, now)
    if anchors:
        return Trust(anchors, system=False, server_clock=date)
    return Trust(_pem(_for_servers(offered)), system=True, server_clock=date)


def _anchors_in(ca: Path) -> bytes:
    try:
        return _pem(x509.load_pem_x509_certificates(ca.read_bytes()))
    except (OSError, ValueError) as error:
        raise BadInput("bad_ca_file", text("bad_ca_file", file=ca, reason=error)) from None


def _anchor_by_fingerprint(server: Server, wanted: str, now: datetime) -> bytes:
    offered, date = server.anchors(believing_nothing())
    for certificate in _for_servers(offered):
        if fingerprint(certificate) == wanted:
            return _pem([certificate])
    _check_clock(date, now)
    raise BadInput("other_fingerprint", f"{text('other_fingerprint', host=server.host, wanted=wanted)}\n{_listed(offered)}")


def _check_clock(server_clock: datetime | None, now: datetime) -> None:
    """Certificates are judged by our clock, and so are samples. Raises BadInput (clock_wrong)."""
    if server_clock is None or abs(server_clock - now).total_seconds() <= AGENT_CLOCK_WRONG_S:
        return
    here, there = _minute(now), _minute(server_clock)
    way = text("clock_behind" if server_clock > now else "clock_ahead")
    off = text("days", days=max(abs(server_clock - now).days, 1))
    raise BadInput("clock_wrong", text("clock_wrong", here=here, there=there, off=off, way=way))


def _unverified_clock(server: Server) -> datetime | None:
    return server.anchors(believing_nothing())[1]


def _what_it_shows(server: Server) -> str:
    """For the eyes of whoever installs: the fingerprints to compare."""
    try:
        return _listed(server.anchors(believing_nothing())[0])
    except FleetError as error:
        return str(error)


def _listed(offered: Iterable[x509.Certificate]) -> str:
    return text("compare_fingerprint", fingerprints=", ".join(map(fingerprint, _for_servers(offered))) or "-")


def _for_servers(offered: Iterable[x509.Certificate]) -> list[x509.Certificate]:
    """Those that may stand behind a server: self-signed, and not for clients only."""
    return [each for each in offered if each.issuer == each.subject and _may_verify_servers(each)]


def _may_verify_servers(certificate: x509.Certificate) -> bool:
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return ExtendedKeyUsageOID.SERVER_AUTH in usages


def _pem(certificates: Iterable[x509.Certificate]) -> bytes:
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)


def _minute(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"

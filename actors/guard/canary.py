"""Knocks at the devices' listener with a certificate that the newest list revokes: refused for that, the broker has read it.

Only the TLS alert "certificate revoked" counts as proof. Silence, a closed port or another alert prove nothing.
"""

import socket
import ssl
import tempfile
from pathlib import Path
from typing import Final, Literal

import msgspec

from fleet.limits import GUARD_PROBE_TIMEOUT_S

Verdict = Literal["refused", "open", "expired", "away", "unclear"]

_EXPIRED: Final = "ALERT_CERTIFICATE_EXPIRED"  # OpenSSL's word for a list that has ended: it lets nobody in
_REVOKED: Final = "ALERT_CERTIFICATE_REVOKED"


class Door(msgspec.Struct, frozen=True):
    """The devices' listener. server_name: in its certificate."""

    host: str
    port: int
    server_name: str
    ca_file: Path


class Seen(msgspec.Struct, frozen=True):
    """open: it was let in. expired: the broker holds a list that has ended, and refuses everyone. away: nobody answers."""

    verdict: Verdict
    detail: str


def probe(door: Door, chain_pem: str, key_pem: str) -> Seen:
    """Blocks for GUARD_PROBE_TIMEOUT_S at most per step. Never raises."""
    try:
        context = _context(door, chain_pem, key_pem)
    except (OSError, ssl.SSLError, ValueError) as error:
        return Seen("unclear", f"the canary's certificate cannot be used: {error}")
    try:
        with (
            socket.create_connection((door.host, door.port), GUARD_PROBE_TIMEOUT_S) as plain,
            context.wrap_socket(plain, server_hostname=door.server_name),
        ):
            return Seen("open", f"the broker let the revoked canary in at {door.host}:{door.port}")
    except ssl.SSLError as error:
        return _judged(error)
    except OSError as error:
        return Seen("away", f"no answer at {door.host}:{door.port}: {error}")


def _judged(error: ssl.SSLError) -> Seen:
    reason = error.reason or ""
    if _REVOKED in reason:
        return Seen("refused", reason)
    if _EXPIRED in reason:
        return Seen("expired", "the broker's revocation list has ended: it lets no device in")
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return Seen("away", f"the broker closed the connection without a reason: {error}")
    return Seen("unclear", f"the broker refused the canary for another reason: {error}")


def _context(door: Door, chain_pem: str, key_pem: str) -> ssl.SSLContext:
    """TLS 1.2, where the server judges the client's certificate before the handshake ends: in 1.3 a client that hears
    nothing cannot tell whether it was let in. Both versions share the broker's one list."""
    context = ssl.create_default_context(cafile=str(door.ca_file))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with tempfile.TemporaryDirectory(prefix="canary-") as folder:  # Python reads certificates from files only
        chain, key = Path(folder) / "chain.pem", Path(folder) / "key.pem"
        chain.write_text(chain_pem)
        key.touch(0o600)
        key.write_text(key_pem)
        context.load_cert_chain(chain, key)
    return context

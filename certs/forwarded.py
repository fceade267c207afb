"""Devices that come by way of the gateway, which has ended their TLS and tells which certificate they have shown.

    X-Client-Certificate   the device's certificate, PEM, percent-encoded; left out when it has shown none
    X-Forwarded-For        the device's address

Both are believed from a peer that has proven to be the gateway, by the platform's certificate of that name, and from nobody
else. What it tells of is judged here all the same: whose signature it bears, and then by the ledger as any other.
"""

from datetime import UTC, datetime
from typing import Final
from urllib.parse import unquote_to_bytes

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from litestar.types import ASGIApp, Receive, Scope, Send

from certs import problems
from certs.authority import Pki
from certs.refusals import Refusal

GATEWAY: Final = "sp-gateway"
_CERTIFICATE: Final = b"x-client-certificate"
_ADDRESS: Final = b"x-forwarded-for"
_UNKNOWN: Final = "this certificate is none that the devices' authority has signed"


class Peers:
    """Around the application, for which scope["client"] is who asks, and scope["state"]["peer"] a device's certificate."""

    def __init__(self, app: ASGIApp, pki: Pki) -> None:
        self._app = app
        self._pki = pki

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        shown: bytes | None = scope["state"].get("peer")
        try:
            if shown is not None and not self._is_device(shown):
                self._believe(scope, x509.load_der_x509_certificate(shown))
        except Refusal as error:
            await problems.refuse(scope, send, error)
            return
        await self._app(scope, receive, send)

    def _is_device(self, shown: bytes) -> bool:
        return self._pki.devices.signed(x509.load_der_x509_certificate(shown))

    def _believe(self, scope: Scope, peer: x509.Certificate) -> None:
        """Puts what the gateway tells in its own place. Raises Refusal (certificate_unknown)."""
        if not self._is_gateway(peer, datetime.now(UTC)):
            raise Refusal("certificate_unknown", _UNKNOWN)
        told = dict(scope["headers"])
        scope["state"]["peer"] = self._device(told[_CERTIFICATE]) if _CERTIFICATE in told else None
        if _ADDRESS in told:
            scope["client"] = (told[_ADDRESS].decode("latin-1"), 0)

    def _is_gateway(self, peer: x509.Certificate, now: datetime) -> bool:
        names = peer.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        in_force = peer.not_valid_before_utc <= now < peer.not_valid_after_utc  # the listener leaves the time to us
        return self._pki.platform.signed(peer) and in_force and [name.value for name in names] == [GATEWAY]

    def _device(self, told: bytes) -> bytes:
        """DER. Raises Refusal (certificate_unknown)."""
        try:
            certificate = x509.load_pem_x509_certificate(unquote_to_bytes(told))
        except (ValueError, x509.InvalidVersion):
            raise Refusal("certificate_unknown", _UNKNOWN) from None
        if not self._pki.devices.signed(certificate):
            raise Refusal("certificate_unknown", _UNKNOWN)
        return certificate.public_bytes(Encoding.DER)

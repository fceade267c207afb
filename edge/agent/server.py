"""The enrolment server as a client sees it: EST (RFC 7030) over HTTPS, one request a connection.

Raises everywhere: Unavailable (server_unreachable, or the server's own code) when trying again may help, BadInput with the
server's code or server_untrusted, server_certificate_dates, server_other_name, certificate_refused when it will not.
"""

import base64
import binascii
import http.client
import re
import socket
import ssl
import threading
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from edge.agent.home import ConnectionInfo, Identity
from edge.agent.texts import language, text
from edge.limits import AGENT_ANSWER_BYTES_MAX, AGENT_ANSWER_S, AGENT_REQUEST_TIMEOUT_S
from fleet.claim_code import ClaimCode
from fleet.errors import BadInput, Unavailable

_EST: Final = "/.well-known/est"
_CONNECTION: Final = "/.well-known/solarperform/connection"
_NOT_YET_VALID, _EXPIRED = 9, 10  # X509_V_ERR_…
_OTHER_NAME: Final = (62, 63, 64)
_SHOWN_CHARS: Final = 300
_CODE: Final = re.compile(r"[a-z0-9_]{1,40}")


class Answer(NamedTuple):
    """date: the server's clock, as it says."""

    body: bytes
    date: datetime | None


class Problem(msgspec.Struct):
    """RFC 9457, as far as we look at it."""

    detail: str = ""
    code: str = "refused"


def verifying(anchors: bytes | None, *, system: bool = False) -> ssl.SSLContext:
    """A context that trusts these anchors (PEM), and this machine's own trust store when `system`."""
    context = ssl.create_default_context() if system else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if anchors:
        context.load_verify_locations(cadata=anchors.decode())
    return context


def believing_nothing() -> ssl.SSLContext:
    """For looking at what a server shows, never for telling it anything."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def showing(identity: Identity) -> ssl.SSLContext:
    """A context with the identity's certificate, which trusts its anchors."""
    context = verifying(identity.trust.read_bytes(), system=identity.intent().system_trust)
    context.load_cert_chain(identity.chain, identity.key)
    return context


class Server:
    """url: https://host[:port]. Raises BadInput (bad_server_url)."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        try:
            parts = urlsplit(self.url)
            self.host, self._port = parts.hostname or "", parts.port or 443
        except ValueError:
            raise BadInput("bad_server_url", text("bad_server_url", url=url)) from None
        if parts.scheme != "https" or not self.host:
            raise BadInput("bad_server_url", text("bad_server_url", url=url))

    def anchors(self, tls: ssl.SSLContext) -> tuple[list[x509.Certificate], datetime | None]:
        """The authorities' certificates (cacerts), and the server's clock."""
        answer = self._ask("GET", f"{_EST}/cacerts", tls)
        return _certificates(answer.body), answer.date

    def enrol(self, tls: ssl.SSLContext, claim: ClaimCode, request: bytes) -> list[x509.Certificate]:
        login = base64.b64encode(f"{claim.id}:{claim.code}".encode()).decode()
        return self._certify("simpleenroll", tls, request, {"Authorization": f"Basic {login}"})

    def renew(self, tls: ssl.SSLContext, request: bytes) -> list[x509.Certificate]:
        """tls shows the certificate in force."""
        return self._certify("simplereenroll", tls, request, {})

    def connection(self, tls: ssl.SSLContext) -> ConnectionInfo:
        """tls shows the certificate that this confirms."""
        answer = self._ask("GET", _CONNECTION, tls)
        try:
            return msgspec.json.decode(answer.body, type=ConnectionInfo)
        except msgspec.DecodeError as error:
            raise BadInput("answer_not_understood", text("answer_not_understood", reason=error)) from None

    def _certify(
        self, operation: str, tls: ssl.SSLContext, request: bytes, headers: dict[str, str]
    ) -> list[x509.Certificate]:
        der = x509.load_pem_x509_csr(request).public_bytes(Encoding.DER)
        headers |= {"Content-Type": "application/pkcs10", "Content-Transfer-Encoding": "base64"}
        return _certificates(self._ask("POST", f"{_EST}/{operation}", tls, base64.encodebytes(der), headers).body)

    def _ask(
        self, method: str, path: str, tls: ssl.SSLContext, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        asking = http.client.HTTPSConnection(self.host, self._port, timeout=AGENT_REQUEST_TIMEOUT_S, context=tls)
        patience = _Patience(asking)
        try:
            asking.request(method, path, body, {"Accept-Language": language(), **(headers or {})})
            answer = asking.getresponse()
            content = answer.read(AGENT_ANSWER_BYTES_MAX)
            patience.check()
        except ssl.SSLCertVerificationError as error:
            raise self._distrust(error) from None
        except ssl.SSLError as error:
            raise _refused_by_tls(error) from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise Unavailable("server_unreachable", text("server_unreachable", host=self.host, reason=reason)) from None
        finally:
            patience.end()
            asking.close()
        if answer.status != http.HTTPStatus.OK:
            raise _problem(answer.status, content)
        return Answer(content, _date(answer.getheader("Date")))

    def _distrust(self, error: ssl.SSLCertVerificationError) -> BadInput:
        if error.verify_code in (_NOT_YET_VALID, _EXPIRED):
            return BadInput("server_certificate_dates", text("server_certificate_dates", reason=error.verify_message))
        if error.verify_code in _OTHER_NAME:
            return BadInput("server_other_name", text("server_other_name", host=self.host, reason=error.verify_message))
        return BadInput("server_untrusted", text("server_untrusted", host=self.host, reason=error.verify_message))


class _Patience:
    """Hangs up on a server that answers, but so slowly that it never ends."""

    def __init__(self, asking: http.client.HTTPSConnection) -> None:
        self._asking = asking
        self._over = False
        self._timer = threading.Timer(AGENT_ANSWER_S, self._hang_up)
        self._timer.daemon = True
        self._timer.start()

    def check(self) -> None:
        """Raises TimeoutError."""
        if self._over:
            raise TimeoutError(f"no whole answer within {AGENT_ANSWER_S:g} s")

    def end(self) -> None:
        self._timer.cancel()

    def _hang_up(self) -> None:
        self._over = True
        with suppress(OSError, AttributeError):  # it may be closed by now
            socket.socket.shutdown(self._asking.sock, socket.SHUT_RDWR)  # below TLS, which another thread is at


def _refused_by_tls(error: ssl.SSLError) -> BadInput | Unavailable:
    """The server ended the handshake: because of our certificate, or for another reason that may pass."""
    reason = (error.reason or str(error)).upper()
    if "CERTIFICATE" in reason or "UNKNOWN_CA" in reason:
        code = "certificate_revoked" if "REVOKED" in reason else "certificate_refused"
        return BadInput(code, text("certificate_refused", reason=reason))
    return Unavailable("server_unreachable", text("server_unreachable", host="TLS", reason=reason))


def _problem(status: int, content: bytes) -> BadInput | Unavailable:
    try:
        problem = msgspec.json.decode(content, type=Problem)
    except (msgspec.DecodeError, UnicodeDecodeError):
        problem = Problem(content[:_SHOWN_CHARS].decode("utf-8", "replace"), f"http_{status}")
    detail = _plain(problem.detail) or text("refused_without_words", status=status)
    code = problem.code if _CODE.fullmatch(problem.code) else f"http_{status}"
    again = status >= http.HTTPStatus.INTERNAL_SERVER_ERROR or status == http.HTTPStatus.TOO_MANY_REQUESTS
    return Unavailable(code, detail) if again else BadInput(code, detail)


def _plain(said: str) -> str:
    """What anybody's server says goes to a terminal: no control characters, and not for ever."""
    return "".join(each if each.isprintable() else " " for each in said[:_SHOWN_CHARS]).strip()


def _certificates(body: bytes) -> list[x509.Certificate]:
    """PKCS #7, certificates only, in base64 (RFC 7030 section 4.1.3); each can be read to its end."""
    try:
        found = pkcs7.load_der_pkcs7_certificates(base64.b64decode(b"".join(body.split()), validate=True))
        for each in found:
            _ = each.subject, each.issuer, each.extensions, each.public_key()
    except (ValueError, TypeError, binascii.Error, UnsupportedAlgorithm, x509.DuplicateExtension) as error:
        raise BadInput("answer_not_understood", text("answer_not_understood", reason=_plain(str(error)))) from None
    return found


def _date(header: str | None) -> datetime | None:
    try:
        return parsedate_to_datetime(header).astimezone(UTC) if header else None
    except (ValueError, OverflowError):
        return None

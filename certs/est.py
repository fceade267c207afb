"""Enrolment over Secure Transport (RFC 7030) and what an enrolled device asks next, as HTTP.

    GET  /.well-known/est/cacerts          whom to trust; no authentication
    POST /.well-known/est/simpleenroll     claim id and code as HTTP Basic → certificate
    POST /.well-known/est/simplereenroll   certificate in force (mTLS) → the next one
    GET  /.well-known/est/csrattrs         nothing is asked of a request
    GET  /.well-known/solarperform/connection   where to publish, and as whom (mTLS)

Certificates leave as PKCS #7 in base64, as the RFC says, or as PEM for who accepts that.
"""

import base64
import binascii
import re
import time
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from litestar import Litestar, Request, Response, get, post
from litestar.exceptions import ClientException
from litestar.exceptions.http_exceptions import RequestEntityTooLarge

from certs import csr, figures, problems
from certs.authority import Pki
from certs.enrolment import Enrolment
from certs.refusals import Refusal, Tried
from fleet import claim_code, topics
from fleet.errors import BadInput, FleetError, Unavailable
from fleet.limits import EST_REQUEST_BYTES_MAX
from fleet.settings import PkiSettings
from fleet.storage.certificates import Entry
from fleet.storage.database import AWAY, Pool
from fleet.storage.enrolled import Place
from fleet.telemetry import UnixMs

_CLAIM_ID: Final = re.compile(r"[0-9a-f]{16}")
_PEM: Final = ("application/x-pem-file", "application/pem-certificate-chain")
_PKCS7: Final = "application/pkcs7-mime; smime-type=certs-only"
_NO_STORE: Final = {"Cache-Control": "no-store"}

AnyRequest = Request[Any, Any, Any]


class Mqtt(msgspec.Struct, frozen=True):
    host: str
    port: int


class OwnCertificate(msgspec.Struct, frozen=True):
    """Times are Unix milliseconds. renew_at: two thirds of its life are over then."""

    serial: str
    not_before: UnixMs
    not_after: UnixMs
    renew_at: UnixMs


class ConnectionFacts(msgspec.Struct, frozen=True):
    """All that a device has to know besides its own key. topic: what its topics begin with."""

    device: str
    site: str
    name: str
    profile: str
    serial: str | None
    interval_s: float
    topic: str
    mqtt: Mqtt
    certificate: OwnCertificate
    server_time_ms: UnixMs


def create_app(settings: PkiSettings, pki: Pki, pool: Pool, enrolment: Enrolment) -> Litestar:
    """scope["state"]["peer"] is what certs.listener puts there: the client's verified certificate (DER), or None."""

    @get("/.well-known/est/cacerts", sync_to_thread=False)
    def cacerts(request: AnyRequest) -> Response[bytes]:
        return _certificates([pki.root.cert, pki.devices.cert], request)

    @get("/.well-known/est/csrattrs", status_code=204, sync_to_thread=False)
    def csrattrs() -> None:
        return None

    @post("/.well-known/est/simpleenroll", status_code=200)
    async def simpleenroll(request: AnyRequest) -> Response[bytes]:
        tried = tried_with(request.headers.get("authorization"))
        der = await enrolment.enrol(tried, await _wanted(request), _address(request))
        figures.answers.labels("enrolled").inc()
        return _certificates([x509.load_der_x509_certificate(der)], request)

    @post("/.well-known/est/simplereenroll", status_code=200)
    async def simplereenroll(request: AnyRequest) -> Response[bytes]:
        shown = _shown(request)
        der = await enrolment.renew(shown, await _wanted(request), _address(request))
        figures.answers.labels("renewed").inc()
        return _certificates([x509.load_der_x509_certificate(der)], request)

    @get("/.well-known/solarperform/connection")
    async def connection(request: AnyRequest) -> Response[ConnectionFacts]:
        known, place = await enrolment.used(_shown(request), _address(request))
        return Response(_facts(settings, known, place), headers=_NO_STORE)

    @get("/health/ready")
    async def ready() -> Response[dict[str, str]]:
        try:
            await pool.fetchval("SELECT 1", timeout=3.0)
        except AWAY:
            raise Unavailable("database_away", "PostgreSQL does not answer") from None
        return Response({"status": "ready"}, headers=_NO_STORE)

    return Litestar(
        route_handlers=[cacerts, csrattrs, simpleenroll, simplereenroll, connection, ready],
        exception_handlers={Exception: problems.handle},
        request_max_body_size=EST_REQUEST_BYTES_MAX,
        openapi_config=None,
        logging_config=None,
        debug=False,
        pdb_on_exception=False,
    )


def tried_with(authorization: str | None) -> Tried:
    """The claim's id follows from the code, so the user name may be anything; where it names another claim, that counts.

    Raises Refusal (claim_missing, claim_wrong_code).
    """
    user, code = _basic(authorization or "")
    named = user.strip().lower()
    try:
        parsed = claim_code.parse(code)
    except BadInput as error:
        if _CLAIM_ID.fullmatch(named):
            return Tried(named, b"", error.detail)
        raise Refusal("claim_wrong_code", error.detail) from None
    if _CLAIM_ID.fullmatch(named) and named != parsed.id:
        return Tried(named, parsed.hash)
    return Tried(parsed.id, parsed.hash)


def _basic(authorization: str) -> tuple[str, str]:
    scheme, _, encoded = authorization.partition(" ")
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        user = colon = password = ""
    if scheme.lower() != "basic" or not colon:
        raise Refusal("claim_missing", "send the claim's id and code as HTTP Basic user name and password")
    return user, password


def _shown(request: AnyRequest) -> str:
    """Serial number of the certificate that the client has shown. Raises Refusal (no_client_certificate)."""
    peer: bytes | None = request.scope["state"].get("peer")
    if peer is None:
        raise Refusal("no_client_certificate", "show the device's certificate in force (TLS client authentication)")
    return f"{x509.load_der_x509_certificate(peer).serial_number:x}"


async def _wanted(request: AnyRequest) -> csr.Request | FleetError:
    """The request in the body, or what is wrong with it."""
    try:
        return csr.read(await request.body())
    except RequestEntityTooLarge:
        return BadInput("csr_too_large", f"at most {EST_REQUEST_BYTES_MAX} bytes are read")
    except ClientException as error:
        return BadInput("csr_malformed", f"the request's body did not arrive whole: {error.detail[:100]}")
    except BadInput as error:
        return error


def _certificates(chain: list[x509.Certificate], request: AnyRequest) -> Response[bytes]:
    accepted = request.headers.get("accept", "")
    wanted = next((kind for kind in _PEM if kind in accepted), None)
    if wanted is not None:
        pem = b"".join(one.public_bytes(Encoding.PEM) for one in chain)
        return Response(pem, media_type=wanted, headers=_NO_STORE)
    packed = base64.encodebytes(pkcs7.serialize_certificates(chain, Encoding.DER))
    return Response(packed, media_type=_PKCS7, headers=_NO_STORE | {"Content-Transfer-Encoding": "base64"})


def _facts(settings: PkiSettings, known: Entry, place: Place) -> ConnectionFacts:
    life = known.not_after - known.not_before
    return ConnectionFacts(
        device=known.device,
        site=place.site,
        name=place.name,
        profile=place.profile,
        serial=place.serial,
        interval_s=place.interval_s,
        topic=topics.device_root(place.site, known.device),
        mqtt=Mqtt(settings.mqtt_host, settings.mqtt_port),
        certificate=OwnCertificate(
            known.serial, _ms(known.not_before), _ms(known.not_after), _ms(known.not_after - life / 3)
        ),
        server_time_ms=time.time_ns() // 1_000_000,
    )


def _ms(at: datetime) -> UnixMs:
    return int(at.astimezone(UTC).timestamp() * 1000)


def _address(request: AnyRequest) -> str | None:
    return request.client.host if request.client else None

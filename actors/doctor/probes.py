"""Looks at others from outside, as those see them who use them. Blocking; each ends within seconds, and none says a word."""

import asyncio
import http.client
import os
import socket
import ssl
import sys
import urllib.request
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import mqtt5
from cryptography import x509

from certs.tls import broker_context, broker_fault
from fleet.errors import BadInput, FleetError
from fleet.settings import BrokerSettings, DatabaseSettings
from fleet.storage.database import AWAY, Connection, connect

T = TypeVar("T")
_PATIENCE_S: Final = 5.0
_ANSWER_BYTES_MAX: Final = 2_000_000
_MQTT_WELCOME: Final = b"\x20"  # CONNACK


class Shown(NamedTuple):
    """A server's certificate: in force from … to. above_ends: of those shown with it, the first to end; None: alone."""

    begins: datetime
    ends: datetime
    above_ends: datetime | None


def asked(database: DatabaseSettings, question: Callable[[Connection], Awaitable[T]]) -> T | None:
    """None when PostgreSQL does not answer. Raises BadInput (bad_secret_file, database_refused)."""

    async def ask() -> T:
        async with asyncio.timeout(_PATIENCE_S):
            connection = await connect(database)
            try:
                return await question(connection)
            finally:
                connection.terminate()

    try:
        return asyncio.run(ask())
    except AWAY:
        return None


def get(url: str, ca_file: Path | None = None) -> bytes:
    """The body of a good answer. Raises OSError with what was wrong: urllib's errors are some."""
    context = ssl.create_default_context(cafile=ca_file) if url.startswith("https:") else None
    with urllib.request.urlopen(url, timeout=_PATIENCE_S, context=context) as answer:  # noqa: S310 - told by settings
        return bytes(answer.read(_ANSWER_BYTES_MAX))


def status(host: str, port: int, name: str, path: str, token: str | None) -> int:
    """Of an HTTPS server reached by another name than its own, whoever signed its certificate. Raises OSError."""
    bearer = {} if token is None else {"Authorization": f"Bearer {token}"}
    connection = http.client.HTTPSConnection(host, port, timeout=_PATIENCE_S, context=_trusting())
    try:
        connection.request("GET", path, headers={"Host": name, "Accept": "application/json", **bearer})
        return connection.getresponse().status
    except http.client.HTTPException as error:
        raise ConnectionError(repr(error)) from None
    finally:
        connection.close()


def shown(host: str, port: int, name: str) -> Shown:
    """To whoever asks for that name. Raises OSError. It is not verified: whoever looks wants to know what is there."""
    with (
        socket.create_connection((host, port), timeout=_PATIENCE_S) as raw,
        _trusting().wrap_socket(raw, server_hostname=name) as tls,
    ):
        leaf, *above = _chain(tls)
    above_ends = min((each.not_valid_after_utc for each in above), default=None)
    return Shown(leaf.not_valid_before_utc, leaf.not_valid_after_utc, above_ends)


def verified(host: str, port: int, name: str, ca_file: Path) -> None:
    """As a device verifies its broker. Raises OSError: ssl's errors are some."""
    context = ssl.create_default_context(cafile=ca_file)
    with socket.create_connection((host, port), timeout=_PATIENCE_S) as raw, context.wrap_socket(raw, server_hostname=name):
        pass


def ssh_problem(host: str, port: int) -> str | None:
    """What is wrong with the greeting of an SSH server."""
    try:
        with socket.create_connection((host, port), timeout=_PATIENCE_S) as connection:
            greeting = connection.recv(64)
    except OSError as error:
        return str(error)
    return None if greeting.startswith(b"SSH-2.0") else repr(greeting)


def broker_problem(broker: BrokerSettings) -> FleetError | None:
    """What keeps a client of the internal listener out: it is welcomed, and goes."""
    try:
        context = broker_context(broker)
    except BadInput as error:
        return error
    try:
        raw = socket.create_connection((broker.host, broker.port), timeout=_PATIENCE_S)
        with raw, context.wrap_socket(raw, server_hostname=broker.host) as tls:
            refused = _welcome_problem(tls)
    except OSError as error:
        return broker_fault(broker, error)
    return None if refused is None else broker_fault(broker, f"ALERT: {refused}")


def _welcome_problem(tls: ssl.SSLSocket) -> str | None:
    """From TLS 1.3 on the client is done before the server has looked at its certificate: then it only hangs up."""
    try:
        tls.sendall(mqtt5.ConnectPacket(client_id=f"doctor-{os.getpid()}", clean_start=True).write())
        welcome = tls.recv(4096)
        if welcome.startswith(_MQTT_WELCOME) and welcome[3:4] == b"\0":
            tls.sendall(mqtt5.DisconnectPacket().write())
            return None
    except OSError as error:
        return str(error)
    return f"it answered {welcome!r}" if welcome else "it closed the connection"


def _chain(tls: ssl.SSLSocket) -> list[x509.Certificate]:
    """As the server shows it, its own first."""
    if sys.version_info >= (3, 13):
        return [x509.load_der_x509_certificate(der) for der in tls.get_unverified_chain()]
    inner = tls._sslobj  # type: ignore[attr-defined]  # which 3.13 made public
    return [x509.load_pem_x509_certificate(each.public_bytes().encode()) for each in inner.get_unverified_chain() or ()]


def _trusting() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # nothing secret is sent: dates and refusals are looked at
    return context

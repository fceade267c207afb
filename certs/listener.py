"""The enrolment server's own TLS listener, which anybody in the network may talk to: everything about it is bounded."""

import asyncio
import socket
import ssl
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import uvicorn
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from certs import problems
from certs.authority import Pki
from certs.forwarded import Peers
from fleet.errors import BadInput, FleetError, Unavailable
from fleet.limits import (
    ATTEMPT_KEYS_MAX,
    EST_CONNECTIONS_MAX,
    EST_HANDSHAKE_S,
    EST_HEADER_BYTES_MAX,
    EST_REQUEST_S,
    EST_REQUESTS_AT_ONCE,
    EST_REQUESTS_PER_MIN,
)

_NO_CHECK_TIME: Final = 0x200000  # X509_V_FLAG_NO_CHECK_TIME, which Python's ssl has no name for
_SHUTDOWN_S: Final = 2


class Context:
    """TLS as the listener speaks it. A certificate that was renewed is shown from the next connection on."""

    def __init__(self, *, devices_trust: Path, chain: Path, key: Path, platform_trust: Path | None = None) -> None:
        """platform_trust: of the gateway, which may come for devices. Raises BadInput (bad_tls_files)."""
        self._chain, self._key = chain, key
        self.ssl = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
        self.ssl.verify_mode = ssl.CERT_OPTIONAL
        self.ssl.options |= ssl.OP_NO_TICKET  # each connection proves anew who it is
        self.ssl.num_tickets = 0
        # The ledger is asked about the time and about revocation, and can then say what is wrong.
        self.ssl.verify_flags |= ssl.VerifyFlags(_NO_CHECK_TIME)
        for trust in (devices_trust, *([platform_trust] if platform_trust is not None else [])):
            try:
                self.ssl.load_verify_locations(trust)
            except (OSError, ssl.SSLError) as error:
                raise BadInput("bad_tls_files", f"{trust}: {error}") from None
        self._read_at = self._written_at()
        self._load()

    def refresh(self) -> bool:
        """Whether a new certificate was found. Raises BadInput (bad_tls_files); the old one stays in use then."""
        written_at = self._written_at()
        if written_at == self._read_at:
            return False
        self._load()
        self._read_at = written_at
        return True

    def _load(self) -> None:
        try:
            self.ssl.load_cert_chain(self._chain, self._key)
        except (OSError, ssl.SSLError) as error:
            raise BadInput("bad_tls_files", f"{self._chain}, {self._key}: {error}") from None

    def _written_at(self) -> int:
        try:
            return self._chain.stat().st_mtime_ns
        except OSError:
            return 0


class Protocol(H11Protocol):
    """Hands the peer's certificate to the application, and hangs up on who does not get on with his request."""

    _watch: asyncio.TimerHandle | None = None
    _seen: object = None  # the request of the last look

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        tls = transport.get_extra_info("ssl_object")
        self.app_state = {**self.app_state, "peer": tls.getpeercert(True) if tls is not None else None}
        self._watch = self.loop.call_later(EST_REQUEST_S, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._watch is not None:
            self._watch.cancel()
        super().connection_lost(exc)

    def _look(self) -> None:
        """Between two looks a request must have come whole, and a new one must have begun after the last answer."""
        answering = self.cycle is not None and not self.cycle.response_complete and not self.cycle.more_body
        if not answering and self.cycle is self._seen:
            self.transport.abort()
            return
        self._seen = self.cycle
        self._watch = self.loop.call_later(EST_REQUEST_S, self._look)


class Failures:
    """How many requests of each address were refused within its last minute. Pure: the caller brings the time."""

    def __init__(self, per_min: int = EST_REQUESTS_PER_MIN, keys_max: int = ATTEMPT_KEYS_MAX) -> None:
        self._per_min = per_min
        self._keys_max = keys_max
        self._windows: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def add(self, address: str, now_s: float) -> None:
        began_s, count = self._windows.get(address, (now_s, 0))
        if now_s - began_s >= 60.0:
            began_s, count = now_s, 0
        self._windows[address] = (began_s, count + 1)
        self._windows.move_to_end(address)
        if len(self._windows) > self._keys_max:
            self._windows.popitem(last=False)

    def too_many(self, address: str, now_s: float) -> bool:
        began_s, count = self._windows.get(address, (now_s, 0))
        return count >= self._per_min and now_s - began_s < 60.0


class Gate:
    """Around the application, which only ever sees HTTP: so many requests at once, so many failures per address."""

    def __init__(self, app: ASGIApp, failures: Failures, at_once: int = EST_REQUESTS_AT_ONCE) -> None:
        self._app = app
        self._failures = failures
        self._at_once = at_once
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = scope.get("client")
        address = client[0] if client else ""
        if self._failures.too_many(address, time.monotonic()):
            await problems.refuse(scope, send, FleetError("too_many_requests", "too many refusals of this address"))
            return
        if self._running >= self._at_once:
            await problems.refuse(scope, send, FleetError("busy", f"{self._at_once} enrolments are under way; try again"))
            return

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start" and 400 <= message["status"] < 500:
                self._failures.add(address, time.monotonic())
            await send(message)

        self._running += 1
        try:
            await self._app(scope, receive, counted)
        finally:
            self._running -= 1


class Server(uvicorn.Server):
    """Told to stop by `should_exit`; signals are its caller's. Raises OSError from `serve` when the port is taken."""

    def __init__(self, app: ASGIApp, context: Context, pki: Pki, *, host: str, port: int) -> None:
        super().__init__(
            uvicorn.Config(
                Peers(Gate(app, Failures()), pki),
                http=Protocol,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="error",  # not a line for every stranger's noise
                access_log=False,
                server_header=False,
                proxy_headers=False,
                limit_concurrency=EST_CONNECTIONS_MAX,
                timeout_keep_alive=int(EST_REQUEST_S),
                timeout_graceful_shutdown=_SHUTDOWN_S,
                h11_max_incomplete_event_size=EST_HEADER_BYTES_MAX,
            )
        )
        self._context = context
        self._address = (host, port)
        self.listening = asyncio.Event()

    @property
    def port(self) -> int:
        """Where it listens, once it does."""
        return int(self.servers[0].sockets[0].getsockname()[1])

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002 - as it is called
        """uvicorn's own knows no time limit for the handshake."""
        loop = asyncio.get_running_loop()
        try:
            server = await loop.create_server(
                lambda: Protocol(self.config, self.server_state, {}, loop),
                *self._address,
                ssl=self._context.ssl,
                ssl_handshake_timeout=EST_HANDSHAKE_S,
                ssl_shutdown_timeout=EST_HANDSHAKE_S,
                backlog=self.config.backlog,
            )
        except OSError as error:
            where = ":".join(map(str, self._address))
            raise Unavailable("port_busy", f"{where} cannot be listened on: {error.strerror or error}") from None
        self.servers = [server]
        self.started = True
        self.listening.set()

"""One device's link to the broker: TLS with its certificate, kept up, made again with patience."""

import asyncio
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import uniform

import msgspec

from edge.connection import Connection
from edge.limits import (
    CLOSE_TIMEOUT_S,
    CONNECT_TIMEOUT_S,
    INFLIGHT_PUBLISHES_MAX,
    RECONNECT_FIRST_S,
    RECONNECT_MAX_S,
    STEADY_AFTER_S,
)
from edge.session import Delivered, Hello, Listener, Session
from fleet.errors import FleetError, Unavailable


class Endpoint(msgspec.Struct, frozen=True):
    """server_name: what the broker's certificate must be for; the host when None."""

    host: str
    port: int
    server_name: str | None = None


def device_tls(ca: Path, chain: Path, key: Path) -> ssl.SSLContext:
    """Trusts the platform's authority only, and shows the device's certificate. Raises OSError for a missing file."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(ca)
    context.load_cert_chain(chain, key)
    return context


def reconnect_wait_s(failures: int, _reason: str) -> float:
    """Random up to a bound that doubles."""
    return uniform(0, min(RECONNECT_MAX_S, RECONNECT_FIRST_S * 2 ** min(failures, 10)))


class Link:
    """`room` says how much may be published now; nothing is queued beyond that.

    tls makes the context for each connection, so that a renewed certificate is used with the next one.
    wait_s says from the failures so far, and the last one's reason, how long to wait before the next try.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        tls: Callable[[], ssl.SSLContext],
        hello: Hello,
        *,
        handshakes: asyncio.Semaphore,
        inflight_max: int = INFLIGHT_PUBLISHES_MAX,
        wait_s: Callable[[int, str], float] = reconnect_wait_s,
    ) -> None:
        self.connections = 0  # made so far
        self.connected_at = 0.0  # Unix seconds, of the latest one
        self.refused = 0  # publishes that the broker answered with an error
        self.last_failure = ""
        self._endpoint = endpoint
        self._tls = tls
        self._hello = hello
        self._handshakes = handshakes
        self._inflight_max = inflight_max
        self._wait_s = wait_s
        self._delivered = 0
        self._connection: Connection | None = None
        self._stopping = asyncio.Event()
        self._wake = asyncio.Event()
        self._allowed = asyncio.Event()
        self._allowed.set()

    @property
    def room(self) -> int:
        return self._connection.room if self._connection else 0

    @property
    def up(self) -> bool:
        return self._connection is not None and self._connection.session.state == "ready"

    @property
    def held(self) -> bool:
        return not self._allowed.is_set()

    @property
    def delivered(self) -> int:
        """Publishes that the broker has PUBACKed."""
        return self._delivered + (self._connection.session.delivered if self._connection else 0)

    def publish(self, topic: str, payload: bytes, delivered: Delivered | None = None) -> None:
        """QoS 1; delivered is called once the broker has taken it. Ask `room` first.

        Raises Unavailable (link_down) without a connection.
        """
        if self._connection is None:
            raise Unavailable("link_down", "not connected")
        self._connection.publish(topic, payload, delivered)

    async def run(self, listener: Listener) -> None:
        """Connects, again and again, until stop()."""
        failures = 0
        loop = asyncio.get_running_loop()
        while True:
            await self._allowed.wait()
            if self._stopping.is_set():
                return
            began = loop.time()
            self.last_failure = await self._one_connection(listener)
            failures = 0 if loop.time() - began > STEADY_AFTER_S else failures + 1
            await self._pause(self._wait_s(failures, self.last_failure))

    def hold(self, held: bool) -> None:
        """Held: the connection is cut and none is made. What a broken network looks like."""
        if held and not self.held:
            self._allowed.clear()
            if self._connection is not None:
                self._connection.abort("held")
        elif not held:
            self._allowed.set()

    def reconnect(self) -> None:
        """Makes a new connection now, in place of this one if there is one, without being called offline in between."""
        self._wake.set()
        if self._connection is not None:
            self._connection.say_goodbye(for_good=False)

    def stop(self) -> None:
        """Says goodbye; run() returns once the connection is closed."""
        self._stopping.set()
        self._wake.set()
        self._allowed.set()
        if self._connection is not None:
            self._connection.say_goodbye()

    async def _one_connection(self, listener: Listener) -> str:
        """Returns why it ended."""
        async with self._handshakes:
            if self._stopping.is_set():
                return "stopping"
            connection = Connection(Session(self._hello, listener, inflight_max=self._inflight_max))
            self._connection = connection
            failure = await self._establish(connection)
        if not failure:
            self.connections += 1
            self.connected_at = time.time()
            if self._stopping.is_set():
                connection.say_goodbye()
            elif self.held:
                connection.abort("held")
            failure = await connection.until_lost()
        self._connection = None
        self._delivered += connection.session.delivered
        self.refused += connection.session.refused
        return failure

    async def _establish(self, connection: Connection) -> str:
        """TCP, TLS, MQTT. Returns the failure, or ''."""
        loop = asyncio.get_running_loop()
        name = self._endpoint.server_name or self._endpoint.host
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await loop.create_connection(
                    lambda: connection,
                    self._endpoint.host,
                    self._endpoint.port,
                    ssl=self._tls(),
                    server_hostname=name,
                    ssl_shutdown_timeout=CLOSE_TIMEOUT_S,
                )
                await connection.until_ready()
        except TimeoutError:
            connection.abort("timeout")
            return f"no answer within {CONNECT_TIMEOUT_S:.0f} s"
        except (OSError, FleetError) as error:
            connection.abort("failed")
            return str(error) or type(error).__name__
        return ""

    async def _pause(self, seconds: float) -> None:
        """Shorter when reconnect() or stop() is called."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        if not self._stopping.is_set():
            self._wake.clear()

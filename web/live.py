"""The live feed: one MQTT connection for all browsers, subscribed to the sites that somebody looks at now."""

import asyncio
import random
import ssl
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import aiomqtt
import structlog

from certs.tls import broker_fault
from fleet import topics
from fleet.errors import BadInput
from fleet.ids import SiteId
from fleet.limits import SSE_QUEUE_EVENTS_MAX
from fleet.settings import BrokerSettings

_RECONNECT_S = (0.5, 1.0, 2.0, 5.0)  # the last one repeats; each with jitter

log = structlog.get_logger("web.live")


class Viewer:
    """What one browser has not been told yet. One that cannot keep up loses the states in between, never the newest."""

    def __init__(self) -> None:
        self._waiting: deque[bytes] = deque()
        self._news = asyncio.Event()
        self.skipped = 0

    def push(self, payload: bytes) -> None:
        if len(self._waiting) >= SSE_QUEUE_EVENTS_MAX:
            self.skipped += len(self._waiting)
            self._waiting.clear()
        self._waiting.append(payload)
        self._news.set()

    async def next(self) -> bytes:
        while not self._waiting:
            self._news.clear()
            await self._news.wait()
        return self._waiting.popleft()


class LiveFeed:
    """Payloads go through as they come: SiteLive as JSON.

    tls makes the context for each connection, so that a renewed certificate is used with the next one.
    """

    def __init__(
        self, broker: BrokerSettings, tls: Callable[[], ssl.SSLContext] | None, *, client_id: str = "sp-web"
    ) -> None:
        self._broker = broker
        self._tls = tls
        self._client_id = client_id
        self._viewers: dict[SiteId, set[Viewer]] = {}
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._stopped = False
        self.connected = False

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="live-feed")

    async def stop(self) -> None:
        """The task looks too, for as of Python 3.11 a cancellation can be lost: in asyncio.wait_for, by which aiomqtt waits,
        when the broker answers at that moment (bpo-37658), and in a TaskGroup, when the connection is lost at that moment.
        """
        self._stopped = True
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    @contextmanager
    def watch(self, site: SiteId) -> Iterator[Viewer]:
        viewer = Viewer()
        self._viewers.setdefault(site, set()).add(viewer)
        self._changed.set()
        try:
            yield viewer
        finally:
            self._viewers[site].discard(viewer)
            if not self._viewers[site]:
                del self._viewers[site]
            self._changed.set()

    async def _run(self) -> None:
        failures = 0
        while True:
            try:
                async with self._client() as client:
                    if self._stopped:
                        return
                    log.info("live_feed_connected")
                    failures = 0
                    self.connected = True
                    await self._serve(client)
            except* (aiomqtt.MqttError, BadInput) as group:  # BadInput: chain and key are being renewed, one after the other
                if failures == 0:
                    error = group.exceptions[0]
                    fault = error if isinstance(error, BadInput) else broker_fault(self._broker, error)
                    log.warning("live_feed_lost", code=fault.code, error=fault.detail)
            self.connected = False
            if self._stopped:
                return
            pause_s = _RECONNECT_S[min(failures, len(_RECONNECT_S) - 1)]
            await asyncio.sleep(pause_s * random.uniform(0.7, 1.3))  # noqa: S311 - jitter is no secret
            failures += 1

    def _client(self) -> aiomqtt.Client:
        return aiomqtt.Client(
            self._broker.host,
            self._broker.port,
            identifier=self._client_id,
            tls_context=self._tls() if self._tls is not None else None,
            keepalive=20,
            timeout=5.0,
        )

    async def _serve(self, client: aiomqtt.Client) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._subscribe(client), name="live-feed-subscriptions")
            tasks.create_task(self._receive(client), name="live-feed-messages")

    async def _subscribe(self, client: aiomqtt.Client) -> None:
        """Keeps the subscriptions equal to the sites that have viewers."""
        subscribed: set[SiteId] = set()
        while True:
            self._changed.clear()
            wanted = set(self._viewers)
            for site in wanted - subscribed:
                await client.subscribe(topics.live(site), qos=0)
            for site in subscribed - wanted:
                await client.unsubscribe(topics.live(site))
            subscribed = wanted
            if self._stopped:
                return
            await self._changed.wait()

    async def _receive(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            with suppress(BadInput):  # the broker's ACL lets nobody but shards write here
                site = topics.live_site(message.topic.value)
                for viewer in self._viewers.get(site, ()):
                    viewer.push(bytes(message.payload))

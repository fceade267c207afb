"""A broker in the house: its messages go on untouched, stamped with their arrival.

Copies that the broker had retained are marked as such: of unknown age, they measure nothing, but some of them say what other
messages mean (Home Assistant's discovery).
"""

import asyncio
import ssl
import time
from pathlib import Path

import aiomqtt
import structlog

from edge.agent.inputs import Sink
from edge.agent.inputs.settings import MqttSettings
from edge.agent.inputs.sparkplug import Births, rebirth
from edge.limits import (
    INPUT_TIMEOUT_S,
    RAW_BATCH_BYTES_MAX,
    RAW_BATCH_S,
    RAW_MESSAGES_PER_S_MAX,
    RAW_PAYLOAD_BYTES_MAX,
    VICTRON_KEEPALIVE_S,
)
from fleet.errors import BadInput, Unavailable
from fleet.limits import RAW_PER_MESSAGE_MAX, RAW_TOPIC_CHARS_MAX
from fleet.rate import TokenBucket
from fleet.runtime.cancelled import end_if_cancelled
from fleet.telemetry import RawMessage, UnixMs

log = structlog.get_logger()

_ENVELOPE_BYTES = 48  # time, names and quotes of one message in JSON
_BURST_S = 20  # a Venus OS says everything at once when it is woken


class MqttInput:
    """One broker. `dropped` counts the messages that were too long or too many."""

    def __init__(self, settings: MqttSettings) -> None:
        self.name = settings.name
        self.dropped = 0
        self._settings = settings
        self._rate = TokenBucket(RAW_MESSAGES_PER_S_MAX * _BURST_S, 0)
        self._waiting: list[RawMessage] = []
        self._portal = settings.victron_portal
        self._births = Births()

    async def run(self, sink: Sink) -> None:
        """Raises Unavailable (local_broker_away), BadInput (bad_password_file, bad_ca_file)."""
        settings = self._settings
        user, password = _credentials(settings.password_file)
        client = aiomqtt.Client(
            settings.host,
            settings.port,
            username=user,
            password=password,
            tls_context=_tls(settings),
            timeout=INPUT_TIMEOUT_S,
            max_queued_incoming_messages=RAW_MESSAGES_PER_S_MAX * _BURST_S,
        )
        # A topic that is no UTF-8 raises within paho, which would then look at the same packet again, for ever.
        client._client.suppress_exceptions = True
        try:
            async with client, asyncio.TaskGroup() as tasks:
                for topic in settings.topics:
                    await client.subscribe(topic)
                log.info("local_broker_connected", input=self.name, host=settings.host)
                for node in self._births.connected(_now_ms()):
                    await self._ask_for_birth(client, node)
                end_if_cancelled()
                tasks.create_task(self._hand_on(sink))
                tasks.create_task(self._keep_awake(client))
                await self._listen(client)
        except aiomqtt.MqttError as error:
            raise self._away(error) from None
        except ExceptionGroup as group:
            lost, other = group.split(aiomqtt.MqttError)
            if lost is None or other is not None:
                raise
            raise self._away(lost.exceptions[0]) from None

    def _away(self, error: Exception) -> Unavailable:
        settings = self._settings
        return Unavailable("local_broker_away", f"the broker at {settings.host}:{settings.port}: {error}")

    def take(self, message: RawMessage, now: UnixMs) -> bool:
        """One message in, unless it is too long, or one too many. Returns whether it was taken."""
        sound = (
            len(message.payload) <= RAW_PAYLOAD_BYTES_MAX
            and len(message.topic) <= RAW_TOPIC_CHARS_MAX
            and "\x00" not in message.topic
        )
        if sound and self._rate.admit(RAW_MESSAGES_PER_S_MAX, RAW_MESSAGES_PER_S_MAX * _BURST_S, now):
            self._waiting.append(message)
            return True
        self.dropped += 1
        return False

    def flush(self, sink: Sink) -> None:
        """What came in since the last time, in messages that the platform takes."""
        batch: list[RawMessage] = []
        size = 0
        waiting, self._waiting = self._waiting, []
        for message in waiting:
            bytes_more = len(message.payload) + len(message.topic.encode()) + _ENVELOPE_BYTES
            if batch and (len(batch) >= RAW_PER_MESSAGE_MAX or size + bytes_more > RAW_BATCH_BYTES_MAX):
                sink.raw(batch)
                batch, size = [], 0
            batch.append(message)
            size += bytes_more
        if batch:
            sink.raw(batch)

    async def _listen(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            now = _now_ms()
            payload = message.payload if isinstance(message.payload, bytes) else b""
            topic = str(message.topic)
            if self._portal == "auto" and topic.startswith("N/"):
                self._portal = topic.split("/", 2)[1]
                await self._wake(client, self._portal)
            taken = self.take(RawMessage(now, topic, payload, bool(message.retain)), now)
            node = self._births.heard(topic, payload, now) if taken and not message.retain else None
            if node is not None:
                await self._ask_for_birth(client, node)

    async def _hand_on(self, sink: Sink) -> None:
        try:
            while True:
                await asyncio.sleep(RAW_BATCH_S)
                self.flush(sink)
        finally:
            self.flush(sink)

    async def _keep_awake(self, client: aiomqtt.Client) -> None:
        """Victron's broker (dbus-flashmq) publishes only while somebody asks for it, at least once a minute."""
        while self._portal is not None:
            if self._portal != "auto":
                await self._wake(client, self._portal)
            await asyncio.sleep(VICTRON_KEEPALIVE_S)

    async def _ask_for_birth(self, client: aiomqtt.Client, node: str) -> None:
        log.info("sparkplug_birth_asked_for", input=self.name, topic=node)
        await client.publish(node, rebirth(_now_ms()))
        end_if_cancelled()

    async def _wake(self, client: aiomqtt.Client, portal: str) -> None:
        await client.publish(f"R/{portal}/keepalive", b"")
        end_if_cancelled()


def _now_ms() -> UnixMs:
    return time.time_ns() // 1_000_000


def _credentials(file: str | None) -> tuple[str | None, str | None]:
    """Raises BadInput (bad_password_file)."""
    if file is None:
        return None, None
    try:
        user, colon, password = Path(file).read_text().split("\n", 1)[0].partition(":")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput("bad_password_file", f"{file} cannot be read: {error}") from None
    if not colon:
        raise BadInput("bad_password_file", f"{file}: its first line must be user:password")
    return user, password


def _tls(settings: MqttSettings) -> ssl.SSLContext | None:
    """Raises BadInput (bad_ca_file)."""
    if not settings.tls:
        return None
    try:
        return ssl.create_default_context(cafile=settings.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise BadInput("bad_ca_file", f"{settings.ca_file} is not a trust anchor: {error}") from None

"""An MQTT session that acks when we say so.

aiomqtt 2.5 acks a message before the application has seen it, and the paho client beneath it builds a lock and a condition
for every message that it receives: a fifth of a shard's whole time in a profile. So this module takes PUBLISH packets from
paho's reader itself and writes the acks. It is the only one that reaches down there, for the exact versions pinned in
pyproject.toml.

    async with ManualAckSession(settings, "sp-shard-0") as session:
        await session.replace_subscriptions(mine, all_others)
        while True:
            messages = await session.receive(limit=2000, age_s=0.05)
            ...store them...
            session.ack(messages)
"""

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final, NamedTuple, Self

import aiomqtt
from paho.mqtt import client as paho

from fleet.limits import INFLIGHT_MESSAGES_MAX, PUBLISHES_INFLIGHT_MAX
from fleet.runtime.cancelled import end_if_cancelled
from fleet.settings import BrokerSettings

_KEEPALIVE_S = 30
_GOODBYE_S = 1.0  # what a broker may take to let us go
_SUBSCRIBE_CHUNK = 64  # filters per SUBSCRIBE packet
_PUBACK = b"\x40\x02"
_URGENT = ("/up/result", "/up/config")  # somebody waits for these: they are offered to take_at_once, past the batches


class Received(NamedTuple):
    """One message. topic: None when it is not UTF-8. packet_id: None at QoS 0, when there is nothing to ack.

    taken: it was taken in when it came, and only waits for its ack.
    """

    topic: str | None
    payload: bytes
    packet_id: int | None
    taken: bool = False


TakeAtOnce = Callable[[str, bytes], bool]  # topic and payload; whether that message needs nothing more but its ack

# An ack and then a message are two small packets: without it the second one waits 40 ms for the broker's word on the first.
AT_ONCE: Final = ((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),)


class ManualAckSession:
    """One connection of a persistent session (clean_session false, fixed client id), QoS 1, MQTT 3.1.1.

    What is received and not acked is sent again by the broker after the next connect; acks never cross connections,
    because a session object lives as long as its connection.
    """

    def __init__(
        self, settings: BrokerSettings, client_id: str, tls: ssl.SSLContext, take_at_once: TakeAtOnce | None = None
    ) -> None:
        self._client = aiomqtt.Client(
            settings.host,
            settings.port,
            identifier=client_id,
            clean_session=False,
            keepalive=_KEEPALIVE_S,
            max_inflight_messages=PUBLISHES_INFLIGHT_MAX,
            tls_context=tls,
            socket_options=AT_ONCE,
        )
        self._paho: paho.Client = self._client._client
        self._paho.disable_logger()
        self._paho._handle_publish = self._on_publish
        self._waiting: list[Received] = []
        self._unacked = 0
        self._take_at_once = take_at_once
        self._paused: socket.socket | None = None  # what we have stopped reading from
        self._subscribed = False
        self._wake = asyncio.Event()
        self._lost: asyncio.Future[None] | None = None

    async def __aenter__(self) -> Self:
        """Raises aiomqtt.MqttError when the broker does not let us in."""
        await self._client.__aenter__()
        self._lost = self._client._disconnected
        self._lost.add_done_callback(self._on_lost)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Raises nothing of its own: an error of the good-bye would take the place of an order to stop, and a broker that
        hangs would hold it up. Whatever becomes of the good-bye, the socket is closed.
        """
        try:
            async with asyncio.timeout(_GOODBYE_S):
                await self._client.__aexit__(kind, error, trace)
        except (aiomqtt.MqttError, TimeoutError):
            pass  # the broker is gone, or will notice by itself
        finally:
            self._paho._sock_close()

    @property
    def connected(self) -> bool:
        return self._lost is not None and not self._lost.done()

    @property
    def waiting(self) -> int:
        """Messages received and not yet taken."""
        return len(self._waiting)

    async def replace_subscriptions(self, filters: Sequence[str], others: Sequence[str]) -> None:
        """Subscribes `filters` and drops `others`, which an earlier number of shards may have left in the session."""
        for start in range(0, len(others), _SUBSCRIBE_CHUNK):
            await self._client.unsubscribe(list(others[start : start + _SUBSCRIBE_CHUNK]))
        for start in range(0, len(filters), _SUBSCRIBE_CHUNK):
            granted = await self._client.subscribe([(text, 1) for text in filters[start : start + _SUBSCRIBE_CHUNK]])
            if any(code != 1 for code in granted):
                raise aiomqtt.MqttError("the broker refused a subscription of the platform: check its ACL file")
        end_if_cancelled()
        self._subscribed = True

    async def receive(self, limit: int, age_s: float) -> list[Received]:
        """What has come, at least one message and at most `limit`; the first one waits at most `age_s` for company.

        Raises aiomqtt.MqttError when the connection is lost.
        """
        while not self._waiting:
            self._check_connected()
            self._wake.clear()
            await self._wake.wait()
        if len(self._waiting) < limit:
            await asyncio.sleep(age_s)
        self._check_connected()
        taken, self._waiting = self._waiting[:limit], self._waiting[limit:]
        return taken

    def ack(self, messages: Sequence[Received]) -> None:
        """Acks in the order of arrival, as one write. After a lost connection it does nothing: they will come again."""
        if not self.connected:
            return
        packets = b"".join(_PUBACK + message.packet_id.to_bytes(2, "big") for message in messages if message.packet_id)
        if packets:
            self._paho._packet_queue(paho.PUBACK, packets, 0, 1)
        self._unacked -= len(messages)
        if self._unacked <= INFLIGHT_MESSAGES_MAX // 2:
            self._read_on()

    def publish(self, topic: str, payload: bytes, qos: int = 0) -> None:
        """Hands a message to the connection; what it cannot take any more is dropped (the feeds repeat themselves)."""
        if self.connected:
            self._paho.publish(topic, payload, qos)

    def _on_publish(self) -> paho.MQTTErrorCode:
        """A whole PUBLISH packet of MQTT 3.1.1 lies in paho's buffer (MQTT 3.1.1, section 3.3)."""
        packet = self._paho._in_packet
        qos, body = (packet["command"] & 0x06) >> 1, bytes(packet["packet"])
        topic_end = 2 + int.from_bytes(body[:2], "big")
        payload_at = topic_end + 2 if qos else topic_end
        if len(body) < payload_at:
            return paho.MQTTErrorCode.MQTT_ERR_PROTOCOL
        packet_id = int.from_bytes(body[topic_end:payload_at], "big") if qos else None
        try:
            topic = body[2:topic_end].decode()
        except UnicodeDecodeError:
            topic = None
        taken = False
        if topic is not None and topic.endswith(_URGENT) and self._take_at_once is not None:
            taken = self._take_at_once(topic, body[payload_at:])
        self._waiting.append(Received(topic, body[payload_at:], packet_id, taken))
        self._unacked += 1
        if self._unacked >= INFLIGHT_MESSAGES_MAX and self._subscribed:
            self._stop_reading()
        if not self._wake.is_set():
            self._wake.set()
        return paho.MQTTErrorCode.MQTT_ERR_SUCCESS

    def _stop_reading(self) -> None:
        """Leaves the rest in the broker. Its own bound on unacked messages does not hold once acks flow (mosquitto #2301,
        measured on 2.0.11), so the bound is the socket's. Not before the answers to our subscriptions have been read.
        """
        wire = self._paho.socket()
        if self._paused is None and isinstance(wire, socket.socket):
            self._paused = wire
            asyncio.get_running_loop().remove_reader(wire.fileno())

    def _read_on(self) -> None:
        wire, self._paused = self._paused, None
        if wire is not None and self.connected:
            asyncio.get_running_loop().add_reader(wire.fileno(), self._read)

    def _read(self) -> None:
        """As aiomqtt reads: until TLS holds nothing decrypted that the socket would not tell of."""
        try:
            self._paho.loop_read()
            while isinstance(wire := self._paho.socket(), ssl.SSLSocket) and wire.pending():
                self._paho.loop_read()
        except OSError as error:
            if self._lost is not None and not self._lost.done():
                self._lost.set_exception(error)

    def _on_lost(self, lost: asyncio.Future[None]) -> None:
        if not lost.cancelled():
            lost.exception()  # looked at, so that asyncio does not report it as forgotten
        self._wake.set()

    def _check_connected(self) -> None:
        if self._lost is None or self._lost.done():
            raise aiomqtt.MqttError("the connection to the broker was lost")


async def drop_session(settings: BrokerSettings, client_id: str, tls: ssl.SSLContext) -> None:
    """Makes the broker forget the session of a client that will not come back, and all that it keeps for it.

    Raises aiomqtt.MqttError.
    """
    async with aiomqtt.Client(settings.host, settings.port, identifier=client_id, clean_session=True, tls_context=tls):
        pass

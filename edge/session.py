"""MQTT 5 from a device's side, without a socket or a clock: bytes in, bytes out.

connecting ──CONNACK──▶ subscribing ──SUBACK──▶ ready ──▶ closed
Nothing is kept beyond a connection (clean start): what the platform has not stored is sent again by the outbox.
"""

from collections.abc import Callable
from typing import Literal, Protocol

import mqtt5
import msgspec

from edge.limits import INCOMING_PACKET_BYTES_MAX, INFLIGHT_PUBLISHES_MAX, KEEP_ALIVE_S
from fleet.errors import BadInput, Unavailable

_PACKET_ID_MAX = 65_535
_TAKEN = (mqtt5.PubAckReasonCode.SUCCESS, mqtt5.PubAckReasonCode.NO_MATCHING_SUBSCRIBERS)


class Hello(msgspec.Struct, frozen=True):
    """Who connects: client id, last will ('' as its topic: none), and what it wants to hear."""

    client_id: str
    will_topic: str
    will_payload: bytes
    down_filter: str


class Listener(Protocol):
    """Told by the session, in the order in which things happen."""

    def ready(self) -> None: ...

    def room_again(self) -> None: ...

    def message(self, topic: str, payload: bytes) -> None: ...


Delivered = Callable[[bool], None]  # whether anybody listens to it; a broker takes what nobody does as well


class Session:
    """One connection's protocol state. After any FleetError the connection has to be closed."""

    def __init__(self, hello: Hello, listener: Listener, *, inflight_max: int = INFLIGHT_PUBLISHES_MAX) -> None:
        self.state: Literal["connecting", "subscribing", "ready", "closed"] = "connecting"
        self.delivered = 0  # PUBACKed
        self.refused = 0  # PUBACKed with an error: an ACL, a limit
        self._hello = hello
        self.listener = listener
        self._inflight_max = inflight_max
        self._inflight: dict[int, Delivered | None] = {}
        self._starved = False  # the window was full: the listener waits for room
        self._next_id = 1
        self._received = b""
        self._outgoing: list[bytes] = []
        self._handlers: dict[type, Callable[..., None]] = {
            mqtt5.ConnAckPacket: self._on_connack,
            mqtt5.SubAckPacket: self._on_suback,
            mqtt5.PubAckPacket: self._on_puback,
            mqtt5.PublishPacket: self._on_publish,
            mqtt5.PingRespPacket: lambda _packet: None,
            mqtt5.DisconnectPacket: self._on_disconnect,
        }

    @property
    def room(self) -> int:
        """How many publishes may be sent now."""
        return self._inflight_max - len(self._inflight) if self.state == "ready" else 0

    def open(self) -> None:
        hello = self._hello
        will = mqtt5.Will(hello.will_topic, payload=hello.will_payload, qos=mqtt5.QoS.AT_LEAST_ONCE)
        packet = mqtt5.ConnectPacket(
            hello.client_id,
            clean_start=True,
            will=will if hello.will_topic else None,
            keep_alive=KEEP_ALIVE_S,
            max_packet_size=INCOMING_PACKET_BYTES_MAX,
        )
        self._outgoing.append(packet.write())

    def publish(self, topic: str, payload: bytes, delivered: Delivered | None = None) -> None:
        """QoS 1. Ask `room` first. delivered is called once the broker has taken it."""
        packet_id = self._free_id()
        self._inflight[packet_id] = delivered
        self._starved = len(self._inflight) >= self._inflight_max
        packet = mqtt5.PublishPacket(topic, payload, qos=mqtt5.QoS.AT_LEAST_ONCE, packet_id=packet_id)
        self._outgoing.append(packet.write())

    def ping(self) -> None:
        self._outgoing.append(mqtt5.PingReqPacket().write())

    def close(self, *, for_good: bool = True) -> None:
        """Say goodbye. for_good: the broker publishes the will, because whoever switches off is offline."""
        if self.state != "closed":
            reasons = mqtt5.DisconnectReasonCode
            reason = reasons.DISCONNECT_WITH_WILL_MESSAGE if for_good else reasons.NORMAL_DISCONNECTION
            self._outgoing.append(mqtt5.DisconnectPacket(reason_code=reason).write())
            self.state = "closed"

    def take(self) -> bytes:
        """What has to be written now, all packets joined."""
        joined = self._outgoing[0] if len(self._outgoing) == 1 else b"".join(self._outgoing)
        self._outgoing.clear()
        return joined

    def receive(self, data: bytes) -> None:
        """Raises BadInput (mqtt_malformed) and Unavailable (mqtt_refused, mqtt_closed)."""
        buffer = memoryview(self._received + data if self._received else data)
        offset, end = 0, len(buffer)
        while offset < end:
            try:
                packet, length = mqtt5.read(buffer[offset:])
            except IndexError:  # the rest of this packet is still on its way
                break
            except ValueError as error:
                raise BadInput("mqtt_malformed", f"the broker sent what is not MQTT 5: {error}") from None
            offset += length
            self._dispatch(packet)
        self._received = bytes(buffer[offset:])
        if len(self._received) > INCOMING_PACKET_BYTES_MAX:
            raise BadInput("mqtt_malformed", f"a packet of more than {INCOMING_PACKET_BYTES_MAX} bytes")
        if self._starved and self.room > 0:
            self._starved = False
            self.listener.room_again()

    def _dispatch(self, packet: mqtt5.Packet) -> None:
        handler = self._handlers.get(type(packet))
        if handler is None:
            raise BadInput("mqtt_malformed", f"a broker does not send {type(packet).__name__}")
        handler(packet)

    def _on_connack(self, packet: mqtt5.ConnAckPacket) -> None:
        if packet.reason_code != mqtt5.ConnAckReasonCode.SUCCESS:
            raise Unavailable("mqtt_refused", f"the broker refuses the connection: {packet.reason_code}")
        self._inflight_max = min(self._inflight_max, packet.receive_max)
        wanted = mqtt5.TopicFilter(self._hello.down_filter, max_qos=mqtt5.QoS.AT_LEAST_ONCE)
        self._outgoing.append(mqtt5.SubscribePacket(self._free_id(), [wanted]).write())
        self.state = "subscribing"

    def _on_suback(self, packet: mqtt5.SubAckPacket) -> None:
        if packet.reason_codes != [mqtt5.SubAckReasonCode.GRANTED_QOS_AT_LEAST_ONCE]:
            raise Unavailable("mqtt_refused", f"the broker refuses the subscription: {packet.reason_codes}")
        self.state = "ready"
        self.listener.ready()

    def _on_puback(self, packet: mqtt5.PubAckPacket) -> None:
        delivered = self._inflight.pop(packet.packet_id, None)
        if packet.reason_code in _TAKEN:
            self.delivered += 1
            if delivered is not None:
                delivered(packet.reason_code == mqtt5.PubAckReasonCode.SUCCESS)
        else:
            self.refused += 1

    def _on_publish(self, packet: mqtt5.PublishPacket) -> None:
        self.listener.message(packet.topic, packet.payload)
        if packet.packet_id is not None:
            self._outgoing.append(mqtt5.PubAckPacket(packet.packet_id).write())

    def _on_disconnect(self, packet: mqtt5.DisconnectPacket) -> None:
        self.state = "closed"
        raise Unavailable("mqtt_closed", f"the broker closes the connection: {packet.reason_code}")

    def _free_id(self) -> int:
        while self._next_id in self._inflight:
            self._next_id = self._next_id % _PACKET_ID_MAX + 1
        packet_id = self._next_id
        self._next_id = self._next_id % _PACKET_ID_MAX + 1
        return packet_id

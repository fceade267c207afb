"""MQTT packets in, MQTT packets out, no socket."""

from itertools import pairwise

import mqtt5
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.session import Hello, Session
from fleet.errors import BadInput, Unavailable

HELLO = Hello("dev-1", "up/state", b'{"online":false}', "down/#")
CONNACK = mqtt5.ConnAckPacket().write()
SUBACK = mqtt5.SubAckPacket(1, [mqtt5.SubAckReasonCode.GRANTED_QOS_AT_LEAST_ONCE]).write()


class Heard:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.events: list[object] = []

    def ready(self) -> None:
        self.events.append("ready")

    def room_again(self) -> None:
        self.events.append("room")

    def message(self, topic: str, payload: bytes) -> None:
        self.events.append((topic, payload))


def started(**more: int) -> tuple[Session, Heard]:
    heard = Heard()
    session = Session(HELLO, heard, **more)
    session.open()
    session.receive(CONNACK + SUBACK)
    session.take()
    return session, heard


def packets(data: bytes) -> list[mqtt5.Packet]:
    found, offset = [], 0
    while offset < len(data):
        packet, length = mqtt5.read(memoryview(data)[offset:])
        found.append(packet)
        offset += length
    return found


def puback(packet_id: int, code: mqtt5.PubAckReasonCode = mqtt5.PubAckReasonCode.SUCCESS) -> bytes:
    return mqtt5.PubAckPacket(packet_id, reason_code=code).write()


def test_who_names_no_topic_for_a_will_has_none() -> None:
    session = Session(Hello("dev-1", "", b"", "down/#"), Heard())
    session.open()
    (connect,) = packets(session.take())
    assert isinstance(connect, mqtt5.ConnectPacket)
    assert connect.will is None


def test_it_connects_with_its_will_then_subscribes_then_is_ready() -> None:
    heard = Heard()
    session = Session(HELLO, heard)
    session.open()
    (connect,) = packets(session.take())
    assert isinstance(connect, mqtt5.ConnectPacket)
    assert (connect.client_id, connect.clean_start, connect.keep_alive) == ("dev-1", True, 30)
    assert connect.will is not None
    assert (connect.will.topic, connect.will.payload, connect.will.qos) == (
        "up/state",
        b'{"online":false}',
        mqtt5.QoS.AT_LEAST_ONCE,
    )
    session.receive(CONNACK)
    (subscribe,) = packets(session.take())
    assert isinstance(subscribe, mqtt5.SubscribePacket)
    assert [wanted.pattern for wanted in subscribe.topic_filters] == ["down/#"]
    assert (session.room, heard.events) == (0, [])
    session.receive(SUBACK)
    assert (session.state, heard.events) == ("ready", ["ready"])
    assert session.room > 0


def test_publishes_of_one_turn_leave_joined_and_with_their_own_ids() -> None:
    session, _ = started()
    for number in range(3):
        session.publish("up/telemetry", b"%d" % number)
    sent = packets(session.take())
    assert [(packet.payload, packet.qos) for packet in sent] == [(b"%d" % n, mqtt5.QoS.AT_LEAST_ONCE) for n in range(3)]  # type: ignore[union-attr]
    assert len({packet.packet_id for packet in sent}) == 3  # type: ignore[union-attr]
    assert session.take() == b""


def test_the_window_is_bounded_and_pubacks_open_it_again() -> None:
    session, heard = started(inflight_max=2)
    session.publish("t", b"1")
    session.publish("t", b"2")
    first, _ = packets(session.take())
    assert session.room == 0
    session.receive(puback(first.packet_id))  # type: ignore[union-attr, arg-type]
    assert (session.room, session.delivered) == (1, 1)
    assert heard.events == ["ready", "room"]


def test_a_publish_that_nobody_listens_to_is_taken_and_said_to_be_so() -> None:
    session, _ = started(inflight_max=2)
    heard: list[bool] = []
    for reason in (mqtt5.PubAckReasonCode.SUCCESS, mqtt5.PubAckReasonCode.NO_MATCHING_SUBSCRIBERS):
        session.publish("t", b"", heard.append)
        (packet,) = packets(session.take())
        session.receive(puback(packet.packet_id, reason))  # type: ignore[union-attr, arg-type]
    assert heard == [True, False]
    assert session.delivered == 2


def test_the_brokers_own_window_counts_when_it_is_smaller() -> None:
    session = Session(HELLO, Heard(), inflight_max=100)
    session.open()
    session.receive(mqtt5.ConnAckPacket(receive_max=7).write() + SUBACK)
    assert session.room == 7


def test_a_packet_id_in_flight_is_not_given_twice() -> None:
    session, _ = started(inflight_max=10)
    session.publish("t", b"kept")
    (kept,) = packets(session.take())
    for _ in range(70_000):  # round the 65,535 ids
        session.publish("t", b"")
        (packet,) = packets(session.take())
        assert packet.packet_id != kept.packet_id  # type: ignore[union-attr]
        session.receive(puback(packet.packet_id))  # type: ignore[union-attr, arg-type]


def test_a_refused_publish_is_counted_and_frees_its_place() -> None:
    session, _ = started(inflight_max=1)
    session.publish("t", b"")
    (packet,) = packets(session.take())
    session.receive(puback(packet.packet_id, mqtt5.PubAckReasonCode.NOT_AUTHORIZED))  # type: ignore[union-attr, arg-type]
    assert (session.refused, session.delivered, session.room) == (1, 0, 1)


def test_messages_are_handed_over_and_acknowledged() -> None:
    session, heard = started()
    message = mqtt5.PublishPacket("down/ack", b'{"seq":1}', qos=mqtt5.QoS.AT_LEAST_ONCE, packet_id=9)
    session.receive(message.write())
    assert heard.events[-1] == ("down/ack", b'{"seq":1}')
    (ack,) = packets(session.take())
    assert isinstance(ack, mqtt5.PubAckPacket)
    assert ack.packet_id == 9


@given(cuts=st.lists(st.integers(0, 200), max_size=20))
def test_bytes_may_arrive_in_any_pieces(cuts: list[int]) -> None:
    heard = Heard()
    session = Session(HELLO, heard)
    session.open()
    messages = [mqtt5.PublishPacket(f"down/{number}", b"x" * number * 9).write() for number in range(5)]
    stream = CONNACK + SUBACK + b"".join(messages)
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    for start, end in pairwise(edges):
        session.receive(stream[start:end])
    assert heard.events == ["ready", *((f"down/{number}", b"x" * number * 9) for number in range(5))]


@pytest.mark.parametrize(
    ("data", "error", "code"),
    [
        (b"\xff\x00", BadInput, "mqtt_malformed"),
        (mqtt5.PingReqPacket().write(), BadInput, "mqtt_malformed"),
        (mqtt5.ConnAckPacket(reason_code=mqtt5.ConnAckReasonCode.NOT_AUTHORIZED).write(), Unavailable, "mqtt_refused"),
        (mqtt5.SubAckPacket(1, [mqtt5.SubAckReasonCode.NOT_AUTHORIZED]).write(), Unavailable, "mqtt_refused"),
        (
            mqtt5.DisconnectPacket(reason_code=mqtt5.DisconnectReasonCode.SESSION_TAKEN_OVER).write(),
            Unavailable,
            "mqtt_closed",
        ),
        (b"\x30\xff\xff\x03" + b"x" * 65_600, BadInput, "mqtt_malformed"),
    ],
)
def test_what_the_broker_must_not_do_ends_the_session(data: bytes, error: type[Exception], code: str) -> None:
    session = Session(HELLO, Heard())
    session.open()
    with pytest.raises(error) as caught:
        session.receive(data)
    assert caught.value.code == code  # type: ignore[attr-defined]


def test_the_goodbye_asks_for_the_will() -> None:
    session, _ = started()
    session.close()
    session.close()
    (goodbye,) = packets(session.take())
    assert isinstance(goodbye, mqtt5.DisconnectPacket)
    assert goodbye.reason_code == mqtt5.DisconnectReasonCode.DISCONNECT_WITH_WILL_MESSAGE
    assert session.room == 0

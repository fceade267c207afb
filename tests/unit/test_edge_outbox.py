"""The native protocol from the device's side: held until the platform says that it is stored."""

import msgspec
import pytest

from edge.limits import ACK_STALL_MAX_S, ACK_STALL_S
from edge.outbox import Outbox
from edge.spool import MemorySpool
from fleet import topics
from fleet.ids import device_id, site_id
from fleet.telemetry import PlatformAck, RateNotice, State, Telemetry

SITE, DEVICE = site_id("s-1"), device_id("s-1-met")
UP, DOWN = topics.up(SITE, DEVICE), topics.down(SITE, DEVICE)


class Wire:
    """Stands where the link stands."""

    def __init__(self) -> None:
        self.room = 100
        self.published: list[tuple[str, bytes]] = []

    def publish(self, topic: str, payload: bytes) -> None:
        self.room -= 1
        self.published.append((topic, payload))

    def telemetry(self) -> list[Telemetry]:
        """What was sent since the last look."""
        sent = [msgspec.json.decode(payload, type=Telemetry) for topic, payload in self.published if topic == UP.telemetry]
        self.published.clear()
        return sent


class Bench:
    """An outbox on a memory spool, with a wire and a clock in hand."""

    def __init__(self, window: int = 50, bytes_max: int = 1 << 20) -> None:
        self.wire = Wire()
        self.spool = MemorySpool(bytes_max)
        self.now = 1000.0
        state = State(online=True, model="m")
        self.box = Outbox(
            SITE, DEVICE, wire=self.wire, spool=self.spool, state=state, monotonic=lambda: self.now, window=window
        )

    def offer(self, messages: int) -> None:
        for number in range(messages):
            self.box.offer(b'[{"t":%d,"v":{"grid_power_w":1.5}}]' % number)
        self.box.pump()

    def ack(self, seq: int, stream: str | None = None) -> None:
        self.box.message(DOWN.ack, msgspec.json.encode(PlatformAck(seq, stream)))

    def sent(self) -> list[int | None]:
        return [message.seq for message in self.wire.telemetry()]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_each_message_says_its_seq_its_stream_and_the_oldest_held(bench: Bench) -> None:
    bench.offer(2)
    bench.ack(1)
    bench.offer(1)
    first, second, third = bench.wire.telemetry()
    assert [(m.seq, m.oldest) for m in (first, second, third)] == [(1, 1), (2, 1), (3, 2)]
    assert first.stream == bench.box.stream
    assert first.samples[0].v == {"grid_power_w": 1.5}


def test_on_connecting_the_state_goes_first_then_everything_unacked(bench: Bench) -> None:
    bench.offer(3)
    bench.ack(1)
    bench.wire.published.clear()
    bench.box.ready()
    assert bench.wire.published[0] == (UP.state, b'{"online":true,"model":"m"}')
    assert bench.sent() == [2, 3]


def test_no_more_than_the_link_takes_and_the_rest_when_there_is_room(bench: Bench) -> None:
    bench.wire.room = 2
    bench.offer(5)
    assert bench.sent() == [1, 2]
    bench.wire.room = 10
    bench.box.room_again()
    assert bench.sent() == [3, 4, 5]


def test_no_more_than_the_window_waits_for_the_platform() -> None:
    bench = Bench(window=3)
    bench.offer(10)
    assert bench.sent() == [1, 2, 3]
    bench.ack(2)
    assert bench.sent() == [4, 5]


def test_acks_of_another_stream_or_beyond_what_exists_change_nothing(bench: Bench) -> None:
    bench.offer(3)
    bench.ack(2, "another")
    bench.ack(99)
    bench.box.message(DOWN.ack, b"not json")
    bench.box.message(DOWN.ack, b'{"seq":"1"}')
    assert (bench.box.acked, bench.box.bad_messages) == (0, 2)
    bench.ack(2, bench.box.stream)
    assert bench.box.acked == 2


def test_when_acks_stall_everything_goes_again_ever_more_patiently(bench: Bench) -> None:
    bench.offer(2)
    bench.wire.telemetry()
    waits, last = [], bench.now
    for _ in range(1000):
        bench.now += 5
        bench.box.check()
        if bench.sent():
            waits.append(bench.now - last)
            last = bench.now
    assert waits[0] <= ACK_STALL_S + 5
    assert waits == sorted(waits)
    assert waits[-1] <= ACK_STALL_MAX_S + 5
    bench.ack(2)
    bench.now += 10_000
    bench.box.check()
    assert bench.sent() == []


def test_progress_of_acks_is_not_a_stall(bench: Bench) -> None:
    bench.offer(20)
    bench.wire.telemetry()
    for seq in range(1, 20):
        bench.now += ACK_STALL_S * 0.9
        bench.ack(seq)
        bench.box.check()
    assert bench.sent() == []


def test_what_was_given_up_is_skipped_and_oldest_says_so() -> None:
    bench = Bench(bytes_max=1000)
    bench.wire.room = 0
    bench.offer(100)
    bench.wire.room = 200
    bench.box.ready()
    sent = bench.wire.telemetry()
    assert sent[0].seq == sent[0].oldest == bench.box.acked + 1 > 1
    assert sent[-1].seq == 100


def test_a_request_to_slow_down_is_passed_on(bench: Bench) -> None:
    asked: list[RateNotice] = []
    bench.box.on_rate = asked.append
    bench.box.message(DOWN.rate, b'{"min_interval_s":10}')
    bench.box.message(DOWN.config, b"{}")
    assert asked == [RateNotice(10.0)]


def test_a_message_about_another_device_names_its_source_and_raw_messages_go_along(bench: Bench) -> None:
    bench.box.offer(b'[{"t":1,"v":{"grid_power_w":1}}]', source='SN "7"')
    bench.box.offer(b"[]", raw=b'[{"t":2,"topic":"solar/1/power","payload":"NDI="}]')
    bench.box.pump()
    about, passed_on = bench.wire.telemetry()
    assert (about.source, about.raw, about.samples[0].t) == ('SN "7"', [], 1)
    assert (passed_on.source, passed_on.samples) == (None, [])
    assert passed_on.raw[0].payload == b"42"


def test_what_is_held_is_sent_again_on_demand(bench: Bench) -> None:
    bench.offer(4)
    bench.ack(1)
    bench.wire.published.clear()
    assert bench.box.again(3) == 3
    assert bench.sent() == [3, 4]
    assert bench.box.again(0) == 2
    assert bench.sent() == [2, 3, 4]

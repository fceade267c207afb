"""What the codecs of `up/raw` take in, each in one process: messages as a gateway passes them on, one after another.

Beside each, in the same run: what reading the same payloads as bare JSON comes to (Sparkplug: as bare protobuf).
"""

import time
from collections.abc import Callable, Iterator

import msgspec

from fleet.codecs.memory import Memory
from fleet.codecs.registry import decode_raw
from fleet.codecs.sparkplug_wire import payload as protobuf
from fleet.telemetry import RawMessage
from tests.bench.figures import Figure, figure
from tests.samples.mqtt_lessons import TAUGHT, T
from tests.samples.mqtt_samples import MESSAGES

_SECONDS = 1.0
_ROUND = 200  # messages between two looks at the clock


def run() -> Iterator[Figure]:
    every = [message for messages in MESSAGES.values() for message in messages]
    for codec, messages in {**MESSAGES, "any": every}.items():
        said = [RawMessage(1_782_036_007_123, topic, payload) for topic, payload in messages]
        read = _per_second([each for each in said if _is_json(each)], lambda message: msgspec.json.decode(message.payload))
        yield figure("raw", codec, _per_second(said, _decoder(codec, Memory())), "messages/s", read)
    for codec, taught in TAUGHT.items():
        memory = Memory()
        for topic, payload in taught.lessons:
            decode_raw(codec, RawMessage(T, topic, payload), memory)
        said = [RawMessage(T + 10_000, topic, payload) for topic, payload in taught.messages]
        bare = protobuf if codec == "sparkplug" else msgspec.json.decode
        read = _per_second(said, lambda message, bare=bare: bare(message.payload))  # type: ignore[misc]
        yield figure("raw", codec, _per_second(said, _decoder(codec, memory)), "messages/s", read)


def _is_json(message: RawMessage) -> bool:
    """Not words without quotes, which have no faster reading to compare with."""
    try:
        msgspec.json.decode(message.payload)
    except msgspec.DecodeError:
        return False
    return True


def _decoder(codec: str, memory: Memory) -> Callable[[RawMessage], object]:
    return lambda message: decode_raw(codec, message, memory)


def _per_second(messages: list[RawMessage], take: Callable[[RawMessage], object]) -> float:
    batch = [messages[number % len(messages)] for number in range(_ROUND)]
    done, began = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - began) < _SECONDS:
        for message in batch:
            take(message)
        done += len(batch)
    return done / elapsed

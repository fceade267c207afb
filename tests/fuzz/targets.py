"""What is fuzzed: for each target the inputs it begins with, and a function that raises where something does not hold.

How a file is read (settings, size of pieces) hangs on the file's own bytes, so that one file is one case.
"""

import io
import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final, NamedTuple
from zlib import crc32

import msgspec

from fleet.codecs import native
from fleet.codecs.files import registry
from fleet.codecs.files.guess import Guess, guess
from fleet.codecs.files.reading import Context, FileFormat, ReadingSettings, Unreadable
from fleet.codecs.files.unpack import members
from fleet.codecs.files.wide_csv import faults, wide_format
from fleet.codecs.memory import Memory
from fleet.codecs.registry import CODECS, decode_raw
from fleet.codecs.value_template import template
from fleet.errors import BadInput
from fleet.file_limits import FILE_HEAD_BYTES
from fleet.limits import MEMORY_BYTES_PER_SENDER_MAX, MEMORY_ENTRIES_PER_SENDER_MAX, RAW_TOPIC_CHARS_MAX
from fleet.measures import is_measure
from fleet.serials import is_serial
from fleet.telemetry import RawMessage
from tests.file_reading import RECEIVED, Reading, read
from tests.samples.file_samples import FILES
from tests.samples.mqtt_lessons import TAUGHT
from tests.samples.mqtt_samples import MESSAGES
from tests.samples.packed import gzipped, zipped

_NOW: Final = 1_782_036_007_123
_ZONES: Final = (None, None, "+01:00", "Europe/Paris", "America/St_Johns", "Pacific/Apia", "Nowhere/AtAll")
_ORDERS: Final = (None, None, None, "dmy", "mdy", "ymd")
_STAMPS: Final = (None, None, "start", "end", "instant")
_ROLES: Final = (None, None, "pv", "grid", "battery", "load")
_PIECES: Final = (1 << 16, 4_000, 97, 13)
_BETWEEN: Final = b"\n\x1e\n"  # messages of one sender


class Target(NamedTuple):
    """seeds: inputs to begin with. run: raises whatever is not allowed."""

    name: str
    seeds: list[bytes]
    run: Callable[[bytes], object]


def as_file(file_format: FileFormat, raw: bytes) -> Reading:
    """Everything that tests.file_reading holds, with settings that somebody may have made."""
    file_format.recognises(raw[:FILE_HEAD_BYTES])
    luck = crc32(raw)
    kept: dict[str, Any] = {
        name: choices[(luck >> shift) % len(choices)]
        for name, choices, shift in (
            ("timezone", _ZONES, 0), ("date_order", _ORDERS, 4), ("stamp", _STAMPS, 8), ("role", _ROLES, 12)
        )
    }  # fmt: skip
    sample = next(each for each in FILES.values() if each.format_id == file_format.id)
    name = (sample.name, "export.csv", "2024-07-01.csv", "min240701.js")[(luck >> 16) % 4]
    settings = ReadingSettings(**kept)
    chunk = _PIECES[(luck >> 20) % len(_PIECES)]
    definitions = dict(sample.definitions)
    if luck >> 24 & 1 and definitions:
        definitions = dict.fromkeys(definitions, raw.decode("utf-8", "replace").replace("\0", ""))
    return read(file_format, raw, name=name, settings=settings, definitions=definitions, chunk=chunk)


def as_unknown_export(raw: bytes) -> None:
    """A guess that can be shown, sent and corrected, and that reads the file itself without falling over."""
    found = guess(raw, Context("export.csv", "Europe/Paris", RECEIVED))
    assert msgspec.json.decode(msgspec.json.encode(found), type=Guess) == found
    assert {each.code for each in faults(found.declaration)} <= {"no_measures"}
    described = wide_format("x", "x", "x", "logger", found.declaration)
    described.recognises(raw[:FILE_HEAD_BYTES])
    read(described, raw)


def as_archive(raw: bytes) -> None:
    """All members, each twice; whatever is in them."""
    try:
        for member in members(io.BytesIO(raw), "file.gz"):
            first = sum(map(len, member.content.chunks()))
            head = b"".join(member.content.chunks())[:FILE_HEAD_BYTES]
            assert first >= len(head)
            assert member.name.isprintable()
            registry.recognised(head)
    except Unreadable:
        pass


def as_messages(codec: str, raw: bytes) -> None:
    """Of one sender, one after another; what they teach stays within its bounds."""
    memory = Memory()
    for number, message in enumerate(_messages(raw)):
        try:
            found = decode_raw(codec, message, memory)
        except BadInput as refused:
            found = []
            refused.detail.encode()
        for serial, sample, _ in found:
            assert serial is None or is_serial(serial)
            assert type(sample.t) is int
            assert sample.t <= message.t, number
            assert sample.t >= 0
            assert sample.v
            for measure, value in sample.v.items():
                assert is_measure(measure), measure
                assert value is not None
                assert math.isfinite(value), measure
    learned = {key: value for key, value in memory.learned().items() if value is not None}
    assert len(learned) <= MEMORY_ENTRIES_PER_SENDER_MAX
    assert sum(len(key) + len(value) for key, value in learned.items()) <= MEMORY_BYTES_PER_SENDER_MAX
    assert not any("\0" in key for key in learned)


def as_telemetry(raw: bytes) -> None:
    for decode in (native.decode_telemetry, native.decode_state):
        try:
            decode(raw)
        except BadInput as error:
            error.detail.encode()
    native.numbering(raw)


def as_template(raw: bytes) -> None:
    """A template that somebody's device announced, and a message that it is for."""
    text, _, said = raw.partition(b"\0")
    try:
        value = template(text.decode("utf-8", "replace")).number(msgspec.json.decode(said))
    except (BadInput, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return
    assert value is None or math.isfinite(value)


def packed_messages(said: list[tuple[str, bytes]]) -> bytes:
    return _BETWEEN.join(topic.encode() + b"\0" + payload for topic, payload in said)


def _messages(raw: bytes) -> Iterator[RawMessage]:
    """A topic that begins with '!' is of a copy that the broker had kept."""
    for number, each in enumerate(raw.split(_BETWEEN)[:50]):
        topic, _, payload = each.partition(b"\0")
        text = topic.decode("utf-8", "replace")
        yield RawMessage(_NOW + number * 10_000, text.removeprefix("!")[:RAW_TOPIC_CHARS_MAX], payload, text.startswith("!"))


def _files() -> Iterator[Target]:
    for each in registry.FORMATS:
        seeds = [sample.raw for sample in FILES.values() if sample.format_id == each.id]
        yield Target(each.id, seeds, partial(as_file, each))


def _codecs() -> Iterator[Target]:
    said = dict(MESSAGES) | {codec: [*taught.lessons, *taught.messages] for codec, taught in TAUGHT.items()}
    every = [packed_messages(messages) for messages in said.values()]
    for codec in CODECS:
        one = [packed_messages([message]) for message in said.get(codec, [])]
        seeds = [packed_messages(said[codec]), *one] if codec in said else every
        yield Target(f"mqtt-{codec}", seeds, partial(as_messages, codec))


_TELEMETRY: Final = b'{"seq":4,"oldest":1,"stream":"k3","samples":[{"t":1763800000000,"v":{"pv_power_w":3512.5}}],"raw":[]}'
_TEMPLATES: Final = [
    b'{{ (value_json.a["b"][0] | float(0) / 100) | round(1) }}\0{"a":{"b":[1234]}}',
    b'{{ value | float * 1000 }}\0"12.5"',
    b'{{ float(value_json.pac, default=0) - 2 * 3 }}\0{"pac":1}',
]
_FILES: Final = [sample.raw for sample in FILES.values()]
TARGETS: Final[dict[str, Target]] = {
    each.name: each
    for each in (
        *_files(),
        Target("unknown-export", _FILES, as_unknown_export),
        Target("archive", [pack(raw) for raw in _FILES[::6] for pack in (gzipped, zipped)], as_archive),
        *_codecs(),
        Target("mqtt-native", [_TELEMETRY, msgspec.msgpack.encode(msgspec.json.decode(_TELEMETRY))], as_telemetry),
        Target("value-template", _TEMPLATES, as_template),
    )
}

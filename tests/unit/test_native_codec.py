"""The native protocol: JSON and MessagePack say the same, and nonsense is refused with a reason."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.codecs.native import Numbering, decode_report, decode_result, decode_state, decode_telemetry, numbering
from fleet.errors import BadInput
from fleet.ids import DeviceId, SiteId
from fleet.limits import PAYLOAD_BYTES_MAX
from fleet.receipts import GENESIS, Receipt, chained
from fleet.telemetry import State
from tests.factories import NOON, telemetry


@pytest.mark.parametrize("encode", [msgspec.json.encode, msgspec.msgpack.encode])
def test_both_encodings_are_read(encode: object) -> None:
    message = telemetry((NOON, {"pv_power_w": 3512.5, "pv_energy_wh": None}), seq=1234, oldest=1200, stream="k3")
    assert decode_telemetry(encode(message)) == message  # type: ignore[operator]
    assert decode_state(encode(State(online=True, model="X"))) == State(online=True, model="X")  # type: ignore[operator]


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"null",
        b'{"samples":5}',
        b'{"samples":[{"t":"now","v":{}}]}',
        b'{"samples":[{"t":1,"v":{"pv_power_w":"12"}}]}',
        b'{"samples":[{"t":1,"v":{"pv_power_w":NaN}}]}',
        b"\xff\xfe",
        b"{" * 5_000,
        b" " * (PAYLOAD_BYTES_MAX + 1),
    ],
)
def test_nonsense_is_refused(payload: bytes) -> None:
    with pytest.raises(BadInput):
        decode_telemetry(payload)


@given(st.binary(max_size=300))
def test_whatever_comes_is_read_or_refused(payload: bytes) -> None:
    refusal = None
    try:
        decode_telemetry(payload)
    except BadInput as error:
        refusal = error.code
    assert refusal in {None, "malformed", "too_large"}


@pytest.mark.parametrize(
    ("payload", "found"),
    [
        (b'{"seq":7,"oldest":5,"stream":"a","samples":[{"t":1,"v":{"pv_power_w":NaN}}]}', Numbering(7, 5, "a")),
        (b'{"seq":7,"samples":"none"}', Numbering(7)),
        (msgspec.msgpack.encode({"seq": 7, "samples": [1]}), Numbering(7)),
        (b'{"samples":5}', None),
        (b'{"seq":"7","samples":5}', None),
        (b'{"seq":7,"samples":[', None),
        (b"[" * 50_000, None),
        (b"[7]", None),
        (b"\xc1", None),
        (b"\xa1\xff", None),
        (b'{"seq":7,"stream":"\xff"}', None),
        (b"", None),
    ],
)
def test_the_number_of_an_undecodable_message_is_read_where_it_can_be(payload: bytes, found: Numbering | None) -> None:
    assert numbering(payload) == found


@pytest.mark.parametrize(
    "said",
    [{"seq": 2**63}, {"seq": -1}, {"seq": 1, "oldest": 2**63}, {"stream": "a\x00b"}, {"stream": "a" * 65}],
)
def test_what_no_snapshot_could_hold_is_refused(said: dict[str, object]) -> None:
    with pytest.raises(BadInput, match="malformed"):
        decode_telemetry(msgspec.json.encode({"samples": [], **said}))
    with pytest.raises(BadInput, match="malformed"):
        decode_state(msgspec.json.encode({"online": True, "model": "a\x00b"}))


_PLAIN = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=10)
    | st.binary(max_size=10)
)
_KEYS = st.text(max_size=5) | st.integers(-5, 5) | st.floats(-5, 5) | st.booleans() | st.binary(max_size=5) | st.none()
_DETAILS = st.recursive(_PLAIN, lambda below: st.lists(below, max_size=3) | st.dictionaries(_KEYS, below, max_size=3))


@given(_DETAILS)
def test_whatever_a_result_holds_can_be_stored_and_hashed(detail: object) -> None:
    """MessagePack has keys that are no texts, NaN, bytes; one such message must never be more than its device's trouble."""
    payload = msgspec.msgpack.encode({"id": "c", "status": "succeeded", "detail": detail})
    result = decode_result(payload)
    (line,) = chained(0, 0, GENESIS, [Receipt(1, SiteId("s"), DeviceId("d"), "k", "c", {"detail": result.detail})])
    assert "\\u0000" not in line.detail.replace("\\\\", "")
    assert msgspec.json.decode(line.detail) == {"detail": result.detail}


@pytest.mark.parametrize("encode", [msgspec.json.encode, msgspec.msgpack.encode])
def test_a_detail_of_a_thousand_levels_is_kept_as_text(encode: object) -> None:
    detail: object = "deep"
    for _ in range(400):
        detail = [detail]
    result = decode_result(encode({"id": "c", "status": "failed", "detail": detail}))  # type: ignore[operator]
    assert result.detail == "[" * 400 + '"deep"' + "]" * 400


def test_a_report_that_cannot_be_stored_is_refused() -> None:
    with pytest.raises(BadInput) as refused:
        decode_report(msgspec.msgpack.encode({"version": 1, "values": {"key": "a\x00b"}}))
    assert refused.value.code == "malformed"

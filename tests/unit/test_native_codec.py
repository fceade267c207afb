"""The native protocol: JSON and MessagePack say the same, and nonsense is refused with a reason."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.codecs.native import decode_state, decode_telemetry
from fleet.errors import BadInput
from fleet.limits import PAYLOAD_BYTES_MAX
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

"""The code that lets one device enrol."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet import claim_code
from fleet.errors import BadInput


def test_what_is_shown_can_be_typed_in_any_manner() -> None:
    made = claim_code.make()
    for typed in (made.typed, made.typed.lower(), made.code, made.typed.replace("-", " "), f"  {made.typed}\n"):
        assert claim_code.parse(typed) == made


def test_look_alikes_are_read_as_what_was_meant() -> None:
    while "0" not in (made := claim_code.make()).code or "1" not in made.code:
        continue
    assert claim_code.parse(made.typed.replace("0", "O").replace("1", "l")) == made


def test_it_has_at_least_128_bits() -> None:
    made = claim_code.make()
    assert (len(made.code) - 2) * 5 >= 128
    assert len({claim_code.make().code for _ in range(100)}) == 100


@given(position=st.integers(0, 27), other=st.sampled_from("0123456789ABCDEFGHJKMNPQRSTVWXYZ"))
def test_a_typing_error_names_another_claim_or_none(position: int, other: str) -> None:
    made = claim_code.make()
    wrong = made.code[:position] + other + made.code[position + 1 :]
    if wrong == made.code:
        return
    with suppress(BadInput):  # one in a thousand passes the check and names another claim, unless the check itself is hit
        assert claim_code.parse(wrong).id != made.id


@pytest.mark.parametrize("text", ["", "K7QM", "http://example.org", "K7QM-4T2X-!!!!", "Ü" * 28, "0" * 28, "\x00" * 28])
def test_anything_else_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(BadInput) as refusal:
        claim_code.parse(text)
    assert refusal.value.code == "bad_claim_code"

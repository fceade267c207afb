"""What a camera reads off a box."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet import claim_code
from fleet.errors import BadInput
from fleet.scanned import understand


@pytest.mark.parametrize(
    ("text", "serial"),
    [
        ("116180001234", "116180001234"),
        ("  HQ2134ABCDE\n", "HQ2134ABCDE"),
        ("7E1234AB-7C", "7E1234AB-7C"),
        ("S/N: HQ2134ABCDE", "HQ2134ABCDE"),
        ("Model: X1 SN=ABC123; PN=77", "ABC123"),
        ("N° de série : 0012345678", "0012345678"),
        ("(01)03453120000011(21)XYZ123", "XYZ123"),
        ("010345312000001121XYZ123", "XYZ123"),
        ("]d2010345312000001121ABC123\x1d17260101", "ABC123"),
        ('{"sn":"AA11","pn":"B"}', "AA11"),
        ('{"serialNumber": 1161800}', "1161800"),
        ("https://maker.example/p?pn=1&sn=AB12345", "AB12345"),
    ],
)
def test_a_serial_number_is_found(text: str, serial: str) -> None:
    assert understand(text).serial == serial


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "not_a_device_code"),
        ("hello world", "not_a_device_code"),
        ("{not json", "not_a_device_code"),
        ("https://example.org/manual.pdf", "scanned_web_address"),
        ("HTTP://EXAMPLE.ORG", "scanned_web_address"),
        ("www.example.org", "scanned_web_address"),
        ("WIFI:T:WPA;S:net;P:secret;;", "scanned_wifi"),
        ("BEGIN:VCARD\nFN:Ines\nEND:VCARD", "scanned_contact"),
        ("mailto:a@b.c", "scanned_contact"),
        ("tel:+33123456789", "scanned_contact"),
        ("geo:44.9,4.9", "scanned_place"),
        ("BEGIN:VEVENT", "scanned_event"),
        ("BCD\n002\n1\nSCT", "scanned_payment"),
        ("MT:Y.K9042C00KA0648G00", "scanned_pairing_code"),
        ("4006381333931", "scanned_product_code"),
        ("AB", "bad_serial"),
        ("x" * 41, "bad_serial"),
    ],
)
def test_what_it_is_instead_is_said(text: str, code: str) -> None:
    with pytest.raises(BadInput) as refused:
        understand(text)
    assert refused.value.code == code


def test_our_own_enrolment_code_is_known_typed_or_as_link() -> None:
    code = claim_code.make()
    for text in (code.typed, code.code, f"https://enrol.example:8443/#{code.code}.{'ab' * 16}"):
        with pytest.raises(BadInput) as refused:
            understand(text)
        assert refused.value.code == "scanned_enrolment_code"


@given(st.text(max_size=300))
def test_whatever_is_scanned_there_is_a_serial_or_a_coded_refusal(text: str) -> None:
    try:
        serial = understand(text).serial
    except BadInput:
        return
    assert 3 <= len(serial) <= 40
    assert serial.isascii()

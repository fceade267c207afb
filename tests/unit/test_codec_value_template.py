"""Which value templates are understood, and what they come to."""

import math
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fleet.codecs.value_template import template
from fleet.errors import BadInput

SAID: dict[str, Any] = {
    "pac": 1234, "text": " 56.5 ", "ENERGY": {"Power": [7, -8], "Total kWh": 1.5}, "list": [[1], 2], "off": "offline",
    "no": None, "yes": True,
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{{ value_json.pac }}", 1234.0),
        ("{{value_json.pac}}", 1234.0),
        ("{{- value_json['pac'] -}}", 1234.0),
        ('{{ value_json["ENERGY"].Power[1] }}', -8.0),
        ("{{ value_json.ENERGY['Total kWh'] | float * 1000 }}", 1500.0),
        ("{{ value_json.pac | float / 10 }}", 123.4),
        ("{{ (value_json.pac | float(0) / 100) | round(1) }}", 12.3),
        ("{{ value_json.pac | float / 100 | round(1) }}", 12.34),  # a filter binds to the 100
        ("{{ (value_json.pac / 1000) | int }}", 1.0),
        ("{{ -value_json.pac|int }}", -1234.0),
        ("{{ 1000 - value_json.pac }}", -234.0),
        ("{{ 2 * (value_json.pac - 234) / 4 + 1 }}", 501.0),
        ("{{ float(value_json.pac, default=0) + 1 }}", 1235.0),
        ("{{ float(value_json.text) }}", 56.5),
        ("{{ value_json.text | float }}", 56.5),
        ("{{ value_json.list[0][0] }}", 1.0),
        ("{{ value_json.pac | round(2, default=0) }}", 1234.0),
        ("{{ value_json.pac if value_json.pac is defined else 0 }}", 1234.0),
        ("{{ value_json.pac / 10 if 'pac' in value_json else '' }}", 123.4),
        ("{{ value_json.ENERGY.Power[0] if value_json.ENERGY is defined }}", 7.0),
        ("{% if 'pac' in value_json %}{{ value_json.pac }}{% else %}''{% endif %}", 1234.0),
        ("{%- if value_json.pac is not none -%} {{ value_json.pac | float(0) }} {%- else -%} 0 {%- endif -%}", 1234.0),
        ("{% if 'Power' in value_json.ENERGY %}{{ value_json['ENERGY'].Power[1] }}{% endif %}", -8.0),
    ],
)
def test_templates_that_are_understood(text: str, value: float) -> None:
    assert template(text).number(SAID) == pytest.approx(value)


def test_the_payload_itself() -> None:
    assert template("").number("12.5") == 12.5
    assert template("{{ value | float * 1000 }}").number(" 1.25 ") == 1250.0
    assert template("{{ value }}").path is None


@pytest.mark.parametrize(
    "text",
    [
        "{{ value_json.missing }}", "{{ value_json.pac.deeper }}", "{{ value_json.off | float(0) }}", "{{ value_json.no }}",
        "{{ value_json.missing | default(0) | float }}", "{{ value_json.list[7] }}", "{{ value_json.list['x'] }}",
        "{{ value_json.missing if 'missing' in value_json else 0 }}",
        "{{ value_json.yes }}", "{{ value_json.ENERGY }}", "{{ value_json }}",
    ],
)  # fmt: skip
def test_what_is_missing_is_missing_whatever_the_default(text: str) -> None:
    assert template(text).number(SAID) is None


@pytest.mark.parametrize(
    "text",
    [
        "{% if value_json.pac > 0 %}{{ value_json.pac }}{% endif %}",
        "{{ value_json.a if value_json.b is defined else 0 }}",
        "{{ value_json.a if value_json.a > 0 else 0 }}",
        "{{ value_json.a if value_json.b is defined else value_json.c if value_json.c is defined }}",
        "{{ value if value_json.a is defined }}",
        "{{ 5 if value_json.a is defined else 0 }}",
        "{% if 'b' in value_json %}{{ value_json.a }}{% endif %}",
        "{% if 'a' in value_json %}{{ value_json.a }}{{ value_json.a }}{% endif %}",
        "{% if value_json.a %}{{ value_json.a }}{% endif %}",
        "{% set x = 1 %}{{ value_json.a }}",
        "{{ value_json.a + value_json.b }}",
        "{{ value_json.a ** 2 }}",
        "{{ 10 / value_json.a }}",
        "{{ value_json.a / 0 }}",
        "{{ value_json.a * (2 - 2) / (1 - 1) }}",
        "{{ states('sensor.x') }}",
        "{{ value_json.a.__class__.__mro__() }}",
        "{{ value_json.items() }}",
        "{{ value_json.a | abs }}",
        "{{ value_json.a | round(1, 'floor') }}",
        "{{ value_json.a | regex_replace('a', 'b') }}",
        "{{ value_json[value] }}",
        "{{ value_json.a[-1] }}",
        "{{ value_json.a[1.5] }}",
        "{{ value_json.a ~ 'x' }}",
        "{{ value_json.a }} W",
        "{{ value_json.a }}{{ value_json.b }}",
        "{{ 42 }}",
        "{{ }}",
        "{{ value_json. }}",
        "{{ (value_json.a }}",
        "{{ value_json.a ) }}",
        "{{ " + "(" * 50 + "value" + ")" * 50 + " }}",
        "{{ value" + " + 1" * 100 + " }}",
        "value_json.pac",
    ],
)
def test_everything_else_is_refused_as_unsupported(text: str) -> None:
    with pytest.raises(BadInput) as refused:
        template(text)
    assert refused.value.code == "template_unsupported"


PIECES = st.sampled_from(
    ["value", "value_json", ".a", "['b']", "[0]", "|", "float", "int", "round", "default", "(", ")", "+", "-", "*", "/",
     "10", "0", "9" * 90, "0.1", ",", "=", " ", "{{", "}}", "'", " if ", " in ", " is defined", " else "]
)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(st.lists(PIECES, max_size=14).map("".join) | st.text(max_size=30), st.floats(allow_nan=False) | st.text(max_size=10))
@example("value * " + "9" * 200 + " * " + "9" * 90 + " | round", 1.5e300)
def test_whatever_is_written_is_a_number_or_a_coded_refusal(inner: str, value: float | str) -> None:
    try:
        found = template("{{" + inner + "}}")
    except BadInput:
        return
    for payload in (value, {"a": value, "b": [value]}, [value], None):
        number = found.number(payload)
        assert number is None or math.isfinite(number)

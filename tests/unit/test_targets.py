"""Versions in the order that people count them, and queries as words and as a form."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.configuration import STATUSES
from fleet.errors import BadInput
from fleet.storage.target_choices import Choice, TargetChoices
from fleet.targets import DEVICE_KINDS, TargetQuery
from fleet.versions import is_below, version_key
from fleet.views import HEALTH_ORDER
from web.pages import target_words
from web.pages.group_form import fields_from, fields_of_query, options_of, query_of

NUMBERS = st.lists(st.integers(0, 10**9), min_size=1, max_size=5)
TEXTS = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=20)
TAGS = st.from_regex(r"[a-z0-9][a-z0-9-]{0,30}", fullmatch=True)
IDS = st.from_regex(r"[a-z]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True).filter(lambda text: not text.startswith("sp-"))
NOTHING = TargetChoices([], [], [], [], [], [])


def several(one: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(one, max_size=3, unique=True).map(tuple)


QUERIES = st.builds(
    TargetQuery,
    kinds=several(st.sampled_from(DEVICE_KINDS)),
    profiles=several(IDS),
    models=several(TEXTS),
    firmwares=several(TEXTS),
    firmware_below=st.none() | NUMBERS.map(lambda numbers: ".".join(map(str, numbers))),
    sites=several(IDS),
    departments=several(TEXTS),
    installers=several(IDS),
    tags_all=several(TAGS),
    tags_any=several(TAGS),
    health=several(st.sampled_from(HEALTH_ORDER)),
    config=several(st.sampled_from(STATUSES)),
    seen_within_s=st.none() | st.integers(1, 10**8).map(float),
    silent_for_s=st.none() | st.integers(1, 10**8).map(float),
    devices=several(IDS),
)


@pytest.mark.parametrize(
    "ascending",
    [
        ("1.9", "1.10", "1.10.1", "2"),
        ("2.0-dev", "2.0-rc1", "2.0-rc2", "2.0", "2.0b", "2.0.1"),
        ("FW 3.05", "FW 3.5a", "FW 3.06", "FW 3.10"),
        ("20230913-112003/v1.14.0-gcb84623", "20231107-164738/v1.14.1-g0617c15"),
        ("v0.9", "1.0"),
    ],
)
def test_versions_are_compared_as_people_count(ascending: tuple[str, ...]) -> None:
    for older, newer in pairwise(ascending):
        assert is_below(older, newer), (older, newer)
        assert not is_below(newer, older), (older, newer)


@pytest.mark.parametrize("same", [("1.2", "1.2.0"), ("v1.2", "1.2"), ("1.2+build7", "1.2"), ("1.02", "1.2"), ("0", "0.0")])
def test_some_versions_are_one(same: tuple[str, str]) -> None:
    assert version_key(same[0]) == version_key(same[1])


@pytest.mark.parametrize("version", [None, "", "stable", "-", "+5"])
def test_what_is_no_version_is_not_older(version: str | None) -> None:
    assert not is_below(version, "9")


@given(NUMBERS, NUMBERS)
def test_numbers_order_as_numbers_do(one: list[int], other: list[int]) -> None:
    length = max(len(one), len(other))
    padded = [numbers + [0] * (length - len(numbers)) for numbers in (one, other)]
    assert is_below(".".join(map(str, one)), ".".join(map(str, other))) == (padded[0] < padded[1])


@given(TEXTS, TEXTS)
def test_whatever_devices_say_has_a_place(one: str, other: str) -> None:
    """Two versions are ordered one way at the most."""
    assert not (is_below(one, other) and is_below(other, one))


def in_order(query: TargetQuery) -> TargetQuery:
    """A form offers values in an order of its own."""
    values = {name: getattr(query, name) for name in query.__struct_fields__}
    return TargetQuery(
        **{name: tuple(sorted(value)) if isinstance(value, tuple) else value for name, value in values.items()}
    )


@given(QUERIES)
def test_a_form_keeps_what_a_query_asks(query: TargetQuery) -> None:
    """Also where its options know nothing of it: what is gone stays ticked."""
    fields = fields_of_query(query, "Name", 7)
    assert query_of(fields) == query
    ticked = [
        (field, option.value)
        for field, offered in options_of(NOTHING, fields, "fr").items()
        for option in offered
        if option.ticked
    ]
    typed = [(name, getattr(fields, name)) for name in fields.__struct_fields__ if name != "ticked"]
    assert in_order(query_of(fields_from(ticked + typed))) == in_order(query)


@given(QUERIES)
def test_every_query_has_words_in_both_languages(query: TargetQuery) -> None:
    for language in ("fr", "en"):
        assert target_words.query(query, language)  # type: ignore[arg-type]  # both are


def test_the_words_of_a_query() -> None:
    query = TargetQuery(
        kinds=("inverter", "battery"),
        profiles=("a", "b", "c", "d", "e"),
        firmware_below="2.0",
        tags_all=("roof", "lot-2"),
        silent_for_s=86_400,
        devices=("d-1",),  # type: ignore[arg-type]  # a device id
    )
    assert target_words.query(query, "en", {"a": "Alpha"}) == (
        "Inverter or Battery · Alpha or b or c (and 2 more) · firmware below 2.0 · tagged roof and lot-2 · silent for 24 h"
        " · 1 device by name"
    )
    assert target_words.query(TargetQuery(firmware_below="2.0"), "fr") == "micrologiciel antérieur à 2.0"
    assert target_words.query(TargetQuery(), "fr") == "Tous les appareils"


def test_what_there_is_stands_before_what_is_gone() -> None:
    choices = TargetChoices([], [Choice("SE5K", "SE5K", "SE5K", 12)], [], [], [], [])
    fields = fields_of_query(TargetQuery(models=("old", "SE5K")), "", None)
    offered = options_of(choices, fields, "fr")["models"]
    assert [(each.value, each.ticked, each.number) for each in offered] == [("SE5K", True, 12), ("old", True, 0)]


def test_everything_is_asked_for_by_asking_nothing() -> None:
    assert TargetQuery().is_everything
    assert not TargetQuery(health=("ok",)).is_everything
    with pytest.raises(BadInput, match="bad_query"):
        TargetQuery(models=("x\0",))

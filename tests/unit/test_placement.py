"""Shards over nodes: evenly, with as few moves as that takes, and never where there is no room."""

from collections import Counter
from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from fleet.placement import place

_NAMES = st.sampled_from("abcdef")
_ROOMS = st.dictionaries(_NAMES, st.integers(0, 5), max_size=5)
_PLACES = st.lists(st.none() | _NAMES, max_size=8).map(lambda nodes: dict(enumerate(nodes)))


@given(_ROOMS, _PLACES)
def test_every_shard_that_has_room_has_a_node_and_no_node_has_more_than_it_holds(
    rooms: dict[str, int], places: dict[int, str | None]
) -> None:
    planned = place(rooms, places)
    held = Counter(planned.values())
    assert all(held[node] <= rooms[node] for node in held)
    assert planned.keys() <= places.keys()
    assert len(planned) == min(len(places), sum(rooms.values()))


@given(_ROOMS, _PLACES)
def test_no_node_could_take_one_from_another_and_still_have_fewer(
    rooms: dict[str, int], places: dict[int, str | None]
) -> None:
    held = Counter(place(rooms, places).values())
    with_room = [node for node, room in rooms.items() if held[node] < room]
    assert all(held[full] - held[free] <= 1 for full, free in product(held, with_room))


@given(_ROOMS, _PLACES)
def test_what_is_well_placed_stays(rooms: dict[str, int], places: dict[int, str | None]) -> None:
    planned = place(rooms, places)
    assert place(rooms, planned | {shard: None for shard in places if shard not in planned}) == planned


@given(
    st.dictionaries(st.sampled_from("abc"), st.integers(0, 4), min_size=1),
    st.lists(st.none() | st.sampled_from("abcd"), max_size=4),
)
def test_no_even_plan_moves_fewer(rooms: dict[str, int], nodes: list[str | None]) -> None:
    places = dict(enumerate(nodes))
    planned = place(rooms, places)
    evenness = sorted(Counter(planned.values())[node] for node in rooms)

    def stay(plan: dict[int, str]) -> int:
        return sum(places[shard] == node for shard, node in plan.items())

    others = (
        {shard: node for shard, node in enumerate(chosen) if node is not None}
        for chosen in product([*rooms, None], repeat=len(nodes))
    )
    equals = [
        other
        for other in others
        if sorted(Counter(other.values())[node] for node in rooms) == evenness
        and all(count <= rooms[node] for node, count in Counter(other.values()).items())
    ]
    assert stay(planned) == max(map(stay, equals))


def test_a_node_that_joins_gets_its_share_and_the_others_keep_theirs() -> None:
    before = {0: "a", 1: "a", 2: "b", 3: "b"}
    planned = place({"a": 4, "b": 4, "c": 4}, before)
    moved = {shard for shard in before if planned[shard] != before[shard]}
    assert len(moved) == 1
    assert Counter(planned.values()) == {"a": 2, "b": 1, "c": 1} or Counter(planned.values()) == {"a": 1, "b": 2, "c": 1}


def test_a_node_that_goes_leaves_its_shards_to_the_others() -> None:
    assert place({"b": 4}, {0: "a", 1: "a", 2: "b", 3: "b"}) == {0: "b", 1: "b", 2: "b", 3: "b"}

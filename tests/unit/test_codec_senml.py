"""SenML: base fields, units, times, sums; as messages and as files, in JSON and in CBOR."""

import contextlib
from typing import Any

import cbor2
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.codecs import cbor_records
from fleet.codecs.decoded import Decoded
from fleet.codecs.files import senml as files
from fleet.codecs.files.reading import Content, Context, Found, ReadingSettings, Refusal, Rows, Unreadable
from fleet.codecs.files.refusals import WORDS
from fleet.codecs.files.registry import recognised
from fleet.codecs.registry import decode_raw
from fleet.codecs.senml import Resolved, Resolver
from fleet.errors import BadInput
from fleet.file_limits import FILE_ROWS_PER_BLOCK
from fleet.telemetry import RawMessage

T = 1_700_000_000_000
NOW = T + 60_000
JSON = b'[{"bn":"urn:dev:mac:0024be:inv1:","bt":1700000000,"n":"p","u":"W","v":1234.5},{"n":"e","u":"Wh","v":18250340}]'
CBOR = bytes.fromhex(
    "82a521781875726e3a6465763a6d61633a3030323462653a696e76313a221a6553f10000617001615702fb40934a0000000000a300616501625768021a01"
    "167a64"
)  # fmt: skip
LABELS = {
    "bver": -1, "bn": -2, "bt": -3, "bu": -4, "bv": -5, "bs": -6, "n": 0, "u": 1, "v": 2, "vs": 3, "vb": 4, "s": 5, "t": 6,
    "ut": 7, "vd": 8,
}  # fmt: skip


def cbor(pack: list[dict[str, Any]]) -> bytes:
    return cbor2.dumps([{LABELS.get(key, key): value for key, value in record.items()} for record in pack])


def take(pack: list[dict[str, Any]] | bytes, codec: str = "senml") -> list[Decoded]:
    body = pack if isinstance(pack, bytes) else msgspec.json.encode(pack)
    return decode_raw(codec, RawMessage(NOW, "any/topic", body))


def said(found: list[Decoded]) -> list[tuple[str | None, int, dict[str, float | None]]]:
    return [(serial, sample.t, sample.v) for serial, sample, _ in found]


def resolved(*pack: dict[str, Any]) -> list[Resolved]:
    resolver = Resolver(NOW)
    return [found for record in pack if (found := resolver.take(record)) is not None]


def read(raw: bytes, **settings: Any) -> list[Found]:
    content = Content(lambda: [raw[start : start + 50] for start in range(0, len(raw), 50)])
    return list(files.read(content, Context("f", "Europe/Paris", NOW, ReadingSettings(**settings))))


@pytest.mark.parametrize("raw", [JSON, CBOR, b" \n" + JSON + b"\n"])
@pytest.mark.parametrize("codec", ["senml", "any"])
def test_the_published_samples_are_the_same_in_both_forms(raw: bytes, codec: str) -> None:
    expected = [("0024be-inv1", T, {"pv_power_w": 1234.5, "pv_energy_wh": 18_250_340.0})]
    assert said(take(raw, codec)) == expected
    assert not take(raw, codec)[0].local


@pytest.mark.parametrize("raw", [JSON, CBOR, b"\xef\xbb\xbf" + JSON])
def test_the_published_samples_as_files(raw: bytes) -> None:
    found = recognised(raw)
    assert found is not None
    assert found.id == "senml"
    assert read(raw) == [Rows("0024be-inv1", ("pv_power_w", "pv_energy_wh"), [T], [[1234.5], [18_250_340.0]])]


def test_base_fields_hold_until_they_are_changed() -> None:
    pack = resolved(
        {"bn": "dev1/", "bt": 1.7e9, "bu": "W", "bv": 1000, "bs": 5},
        {"n": "p", "v": 1},
        {"n": "q", "u": "var", "v": 2, "t": 10},
        {"n": "p", "v": 3, "s": 1, "bn": "dev2/", "bv": 0, "bt": 1.7e9 + 60},
        {"n": "text", "vs": "on"},
    )
    assert [(each.name, each.unit, each.value, each.sum, (each.t - T) // 1000) for each in pack] == [
        ("dev1/p", "W", 1001.0, None, 0),
        ("dev1/q", "var", 1002.0, None, 10),
        ("dev2/p", "W", 3.0, 6.0, 60),
        ("dev2/text", "W", None, None, 60),
    ]


@pytest.mark.parametrize(
    ("record", "seconds"),
    [({}, 0), ({"t": 0}, 0), ({"t": -30.5}, -30.5), ({"bt": -60, "t": 5}, -55), ({"t": 2**28 - 1}, 2**28 - 1)],
)
def test_times_below_2_to_the_28_are_relative_to_now(record: dict[str, Any], seconds: float) -> None:
    assert resolved(record | {"n": "p", "v": 1})[0].t == NOW + seconds * 1000
    assert resolved({"n": "p", "v": 1, "t": 2**28})[0].t == 2**28 * 1000


@pytest.mark.parametrize(
    ("name", "unit", "value", "expected"),
    [
        ("solar/energy", "J", 3_600_000, {"pv_energy_wh": 1_000.0}),  # what a strict sender says
        ("solar/energy", "kWh", 1.5, {"pv_energy_wh": 1_500.0}),
        ("solar/power", "kW", 0.14e1, {"pv_power_w": 1_400.0}),
        ("grid/power", "W", -5, {"grid_power_w": -5.0}),
        ("grid/apparent", "kVA", 2, {"apparent_power_va": 2_000.0}),
        ("grid/reactive", "kvar", 2, {"reactive_power_var": 2_000.0}),
        ("battery/soc", "/", 0.64, {"battery_soc_pct": 64.0}),
        ("battery/soc", "%", 64, {"battery_soc_pct": 64.0}),
        ("inverter/temperature", "Cel", 41.5, {"inverter_temp_c": 41.5}),
        ("f", "Hz", 50.01, {"ac_frequency_hz": 50.01}),
        ("pv_power_w", "W", 7, {"pv_power_w": 7.0}),
        ("solar/energy", "VAs", 7, {}),
        ("kitchen/power", "W", 7, {}),
    ],
)
def test_units_and_names(name: str, unit: str, value: float, expected: dict[str, float]) -> None:
    found = take([{"bn": "urn:dev:ow:10e2073a01080063:", "n": name, "u": unit, "v": value}])
    assert [v for _, _, v in said(found)] == ([expected] if expected else [])


def test_a_sum_of_power_is_energy_in_joules() -> None:
    pack = [{"bn": "urn:dev:mac:0024befffe804ff1/pv:", "n": "p", "u": "kW", "v": 2, "s": 7_200}]
    assert said(take(pack))[0][2] == {"pv_power_w": 2_000.0, "pv_energy_wh": 2_000.0}


@pytest.mark.parametrize(
    ("record", "serial", "local"),
    [
        ({"bn": "urn:dev:mac:0024befffe804ff1/", "n": "solar power"}, None, None),  # no name
        ({"bn": "urn:dev:mac:0024befffe804ff1/", "n": "solar_power"}, "0024befffe804ff1", False),
        ({"bn": "urn:dev:mac:0024befffe804ff1", "n": "pv"}, "0024befffe804ff1", False),
        ({"n": "urn:dev:ow:10e2073a01080063:pv_power_w"}, "10e2073a01080063", False),
        ({"n": "house/roof/pv_power_w"}, "house/roof", True),
        ({"bn": "urn:dev:mac:0024befffe804ff1:", "n": "inv2/pv_power_w"}, "0024befffe804ff1/inv2", False),
        ({"bn": "roof/", "n": "dc1/pv_power_w"}, "roof", True),
        ({"n": "pv_power_w"}, None, False),
    ],
)
def test_whose_it_is(record: dict[str, Any], serial: str | None, local: bool | None) -> None:
    pack = [record | {"u": "W", "v": 1}]
    if local is None:
        with pytest.raises(BadInput):
            take(pack)
        return
    (found,) = take(pack)
    assert (found.serial, found.local) == (serial, local)


def test_a_pack_holds_many_instants_and_devices() -> None:
    pack = [{"bn": "inv1-77001122/", "bt": 1.7e9, "bu": "W"}]
    pack += [{"n": "pv_power_w", "v": n, "t": -n} for n in range(3)]
    pack += [{"bn": "inv2-77001123/", "n": "pv_power_w", "v": 9}]
    assert said(take(pack)) == [
        ("inv1-77001122", T, {"pv_power_w": 0.0}),
        ("inv1-77001122", T - 1_000, {"pv_power_w": 1.0}),
        ("inv1-77001122", T - 2_000, {"pv_power_w": 2.0}),
        ("inv2-77001123", T, {"pv_power_w": 9.0}),
    ]


def test_two_names_for_one_measure_are_none_unless_one_is_the_total() -> None:
    east, west = {"n": "solar/east/power", "u": "W", "v": 1}, {"n": "solar/west/power", "u": "W", "v": 2}
    base = {"bn": "d1234567/"}
    assert take([base | east, west]) == []
    assert said(take([base | east, west, {"n": "solar/total/power", "u": "W", "v": 3}]))[0][2] == {"pv_power_w": 3.0}


@pytest.mark.parametrize(
    ("pack", "code"),
    [
        ([{"bver": 11, "n": "p", "v": 1}], "senml_version"),
        ([{"bver": "x", "n": "p", "v": 1}], "senml_version"),
        ([{"n": "p", "v": 1}, {"n": "p", "v": 1, "lat_": 1}], "senml_field"),
        ([{"n": "p", "v": 1}, {"bt": "now"}], "senml_base"),
        ([{"n": "p", "v": 1}, {"bn": 5}], "senml_base"),
        ([{"n": "p", "v": "1"}], "senml_record"),
        ([{"n": "p", "v": True}], "senml_record"),
        ([{"n": "p", "v": 1, "vs": "x"}], "senml_record"),
        ([{"n": "p", "v": 1, "t": 1e300}], "senml_record"),
        ([{"n": "p", "v": 1, "u": 5}], "senml_record"),
        ([{"n": "p", "v": 10**400}], "senml_record"),
        ([{"n": "p", "v": 1}, {"n": "../p", "v": 1}], "senml_record"),
    ],
)
def test_what_is_no_senml_is_refused_by_name(pack: list[dict[str, Any]], code: str) -> None:
    body = repr(pack).replace("'", '"').replace("True", "true").encode()
    with pytest.raises(BadInput) as refused:
        take(body)
    assert refused.value.code == code
    if code == "senml_record":
        assert any(isinstance(each, Refusal) and each.code == code for each in read(body))
    else:
        with pytest.raises(Unreadable) as unreadable:
            read(body)
        assert unreadable.value.refusal.code == code


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"[]", b"[1]", b"[[]]", b"{}", b'[{"a": 1}]', b'[{"n": 5, "v": 1}]', b'[{"v": 1}]', b"[", b'["n"]', b"\x80",
        b"\x82\x01", b"\x81\xa1\x00\x01", b"\x92\x01\x02", b"\xff", JSON[:40], CBOR[:10], b'[{"n":"p","v":NaN}]',
    ],
)  # fmt: skip
def test_other_messages_and_files_are_left_alone(raw: bytes) -> None:
    assert take(raw) == []
    if raw not in {JSON[:40], CBOR[:10]}:
        assert not files.recognises(raw)


def test_a_pack_that_is_cut_off_or_goes_on_is_refused() -> None:
    for raw in (CBOR[:-3], CBOR + b"\x00", b"\x9f" + CBOR[1:]):
        with pytest.raises(BadInput) as refused:
            take(raw)
        assert refused.value.code == "bad_payload"
        with pytest.raises(Unreadable) as unreadable:
            read(raw)
        assert unreadable.value.refusal.code == "bad_cbor"
    for raw in (
        JSON[:-1],
        JSON + b"x",
        JSON[:-1] + b",]",
        JSON.replace(b"},{", b"} {"),
        JSON.replace(b"1234.5", b"[1]"),
        b"[]",
    ):
        with pytest.raises(Unreadable) as unreadable:
            read(raw)
        assert unreadable.value.refusal.code == "bad_json"
    assert take(b"\x9f" + CBOR[1:] + b"\xff") == take(CBOR)  # of a length that was not known before


def test_files_tell_what_they_leave_out_once_and_a_role_helps() -> None:
    pack: list[dict[str, Any]] = [{"bn": "meter-77001122/", "bt": 1.7e9, "bu": "W"}]
    pack += [{"n": "power", "v": n, "t": n} for n in range(3)] + [{"n": "mystery", "v": 1}] * 2 + [{"n": "p", "v": 1}]
    rows, unknown, twice = None, 0, 0
    for each in read(msgspec.json.encode(pack)):
        if isinstance(each, Rows):
            rows = each
        elif isinstance(each, Refusal):
            unknown += each.code == "unknown_column"
            twice += each.code == "column_twice"
            assert each.code in WORDS
    assert rows == Rows("meter-77001122", ("grid_power_w",), [T, T + 1_000, T + 2_000], [[0.0, 1.0, 2.0]])
    assert (unknown, twice) == (1, 1)
    nobodys = msgspec.json.encode([{"bn": "d-77001122/", "bt": 1.7e9, "n": "power", "u": "W", "v": 5}])
    assert [type(each) for each in read(nobodys)] == [Refusal]
    assert read(nobodys, role="pv") == [Rows("d-77001122", ("pv_power_w",), [T], [[5.0]])]


def test_instants_are_utc_and_do_not_know_summer_time() -> None:
    autumn, spring = 1_761_436_800, 1_774_742_400  # 2025-10-26 and 2026-03-29, 00:00 UTC
    for midnight in (autumn, spring):
        pack: list[dict[str, Any]] = [{"bn": "d-77001122/", "bt": midnight, "bu": "Wh"}]
        pack += [{"n": "pv_energy_wh", "v": 100 * n, "t": 900 * n} for n in range(12)]
        for raw in (msgspec.json.encode(pack), cbor(pack)):
            (rows,) = read(raw)
            assert isinstance(rows, Rows)
            assert rows.t == [(midnight + 900 * n) * 1000 for n in range(12)]


def test_a_long_file_comes_in_blocks() -> None:
    records = b",".join(b'{"n":"pv_power_w","v":%d,"t":%d}' % (n, n) for n in range(40_000))
    found = read(b'[{"bn":"d-77001122/","bt":1700000000,"bu":"W"},' + records + b"]")
    assert sum(len(rows.t) for rows in found if isinstance(rows, Rows)) == 40_000
    assert all(len(rows.t) <= FILE_ROWS_PER_BLOCK for rows in found if isinstance(rows, Rows))
    many = b",".join(b'{"n":"d%d/pv_power_w","v":1}' % n for n in range(600))
    with pytest.raises(Unreadable) as unreadable:
        read(b"[" + many + b"]")
    assert unreadable.value.refusal.code == "too_many_serials"


NUMBERS = st.integers(-(2**64), 2**64 - 1) | st.floats(allow_nan=False)
VALUES = st.none() | st.booleans() | NUMBERS | st.text(max_size=8) | st.binary(max_size=5)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.dictionaries(st.integers(-30, 300) | st.text("xyz", min_size=1), VALUES, min_size=1, max_size=6), max_size=5)
)
def test_cbor_is_read_as_the_reference_reads_it(pack: list[dict[Any, Any]]) -> None:
    labels = {number: f"#{number}" for number in range(-30, 301)}
    for raw in (cbor2.dumps(pack), cbor2.dumps(pack, canonical=True)):
        expected = [{labels.get(key, key): value for key, value in record.items()} for record in cbor2.loads(raw)]
        assert list(cbor_records.records(raw, labels)) == expected


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("c48221196ab3", 273.15),  # a decimal fraction, as in RFC 8949
        ("f93e00", 1.5),
        ("fa47c35000", 100_000.0),
        ("c11a514b67b0", 1_363_896_240),  # a tag that says nothing of use here
        ("3b7fffffffffffffff", -(2**63)),
    ],
)
def test_numbers_of_cbor(value: str, number: float) -> None:
    assert list(cbor_records.records(bytes.fromhex("81a202" + value + "07f4"), {2: "v"})) == [{"v": number}]


@pytest.mark.parametrize(
    "raw",
    ["81a1028101", "81a102a0", "81a1025f4101ff", "81a102f818", "81a10241", "81a102c4821903e801", "81a1f401", "81a1",
     "81a102d81c", "9ba1", "81bf0201", "81a102c1c101", "811fa0"],
)  # fmt: skip
def test_what_a_record_may_not_hold(raw: str) -> None:
    with pytest.raises(cbor_records.NotCbor):
        list(cbor_records.records(bytes.fromhex(raw), {2: "v"}))


def mutated(sample: bytes) -> st.SearchStrategy[bytes]:
    place = st.integers(0, len(sample) - 1)
    return st.tuples(place, place, st.binary(max_size=3)).map(lambda cut: sample[: cut[0]] + cut[2] + sample[cut[1] :])


@settings(max_examples=100, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=100), mutated(JSON), mutated(CBOR), st.binary(max_size=60).map(lambda tail: b"\x9f\xa2" + tail)
    )
)
def test_whatever_comes_is_samples_or_a_coded_refusal(raw: bytes) -> None:
    with contextlib.suppress(BadInput):
        take(raw)
    files.recognises(raw)
    try:
        codes = [each.code for each in read(raw) if isinstance(each, Refusal)]
    except Unreadable as unreadable:
        codes = [unreadable.refusal.code]
    assert set(codes) <= WORDS.keys()

"""Logs of French meters' customer output: frames, checksums, whose clock counts. Values are made up."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.codecs.files.reading import ReadingSettings
from fleet.codecs.files.refusals import words
from fleet.codecs.files.tic_log import FORMAT
from fleet.codecs.tic import checksum
from tests.file_reading import at, read


def historic(**labels: str) -> list[str]:
    return [f"{checked} {checksum(checked)}" for label, value in labels.items() for checked in [f"{label} {value}"]]


def standard(date: str | None, **labels: str) -> list[str]:
    checked = [f"{label}\t{value}\t" for label, value in labels.items()]
    if date is not None:
        checked.insert(int("ADSC" in labels), f"DATE\t{date}\t\t")
    return [f"{each}{checksum(each)}" for each in checked]


def framed(*frames: list[str]) -> bytes:
    return "".join("\x02" + "".join(f"\n{line}\r" for line in frame) + "\x03" for frame in frames).encode("latin-1")


def plain(*frames: list[str], end: str = "\n") -> bytes:
    return "".join(line + end for frame in frames for line in frame).encode("latin-1")


def linky(date: str | None, drawn: int, **more: str) -> list[str]:
    return standard(date, ADSC="041876097654", EAST=f"{drawn:09}", SINSTS="00910", **more)


NOON = linky("E240701120000", 12_345_678, EAIT="003210987", SINSTI="01840", IRMS1="008", URMS1="236", CCASN="\t00120")


@pytest.mark.parametrize("write", [framed, plain, lambda *frames: plain(*frames, end="\r\n")])
def test_standard_frames_are_timed_by_the_meter(write) -> None:
    raw = write(NOON, linky("E240701120002", 12_345_679))
    assert FORMAT.recognises(raw)
    found = read(FORMAT, raw)
    assert found.codes == []
    assert found.rows == {
        "041876097654": {
            at("2024-07-01T12:00:00+02:00"): {
                "import_energy_wh": 12_345_678.0,
                "export_energy_wh": 3_210_987.0,
                "apparent_power_va": 910.0,
                "export_apparent_power_va": 1_840.0,
                "ac_current_a_l1": 8.0,
                "ac_voltage_v_l1": 236.0,
            },
            at("2024-07-01T12:00:02+02:00"): {"import_energy_wh": 12_345_679.0, "apparent_power_va": 910.0},
        }
    }


def test_the_season_tells_the_hour_that_comes_twice() -> None:
    raw = framed(linky("E241027023000", 100), linky("H241027023000", 200), linky("H241027030000", 300))
    assert list(read(FORMAT, raw).rows["041876097654"]) == [
        at("2024-10-27T02:30:00+02:00"), at("2024-10-27T02:30:00+01:00"), at("2024-10-27T03:00:00+01:00"),
    ]  # fmt: skip


def test_a_wrong_checksum_costs_its_line_only() -> None:
    frame = list(NOON)
    frame[2] = frame[2][:-1] + chr(ord(frame[2][-1]) ^ 1)  # EAST
    found = read(FORMAT, framed(frame))
    assert found.codes == ["bad_checksum"]
    assert found.refusals[0].line == 4
    assert found.refusals[0].text.startswith("EAST\t012345678")
    assert found.rows["041876097654"][at("2024-07-01T12:00:00+02:00")]["apparent_power_va"] == 910.0


def test_a_checksum_can_be_a_space() -> None:
    lines = [*historic(ADCO="041876097654", HCHC="004500000"), "HCHP 006700000  ", *historic(PAPP="00910")]
    raw = plain([f"2024-07-01T12:00:00+02:00 {line}" for line in lines])
    found = read(FORMAT, raw)
    assert found.codes == []
    assert [each["import_energy_wh"] for each in found.rows["041876097654"].values()] == [11_200_000.0]


@pytest.mark.parametrize(
    "prefix",
    [
        "2024-07-01T12:00:00+02:00 ", "2024-07-01 10:00:00Z;", "[2024-07-01 12:00:00] ", "2024-07-01 12:00:00,000 - ",
        "2024-07-01T12:00:00\t", "2024-07-01 12:00:00+0200 | ", "[01/07/2024 12:00:00] ", "01.07.2024 12:00:00;",
    ],
)  # fmt: skip
def test_loggers_write_the_time_before_the_lines(prefix: str) -> None:
    lines = historic(ADCO="041876097654", OPTARIF="BBR( ", BASE="000123456", IINST="004", PAPP="00910")
    raw = plain([prefix + line for line in lines])
    assert FORMAT.recognises(raw)
    found = read(FORMAT, raw)
    assert found.codes == []
    assert found.rows == {
        "041876097654": {
            at("2024-07-01T12:00:00+02:00"): {"import_energy_wh": 123_456.0, "ac_current_a": 4.0, "apparent_power_va": 910.0}
        }
    }


def test_a_time_on_its_own_line_is_of_the_frame_below() -> None:
    frame = historic(ADCO="041876097654", BASE="000123456", PAPP="00910")
    raw = plain(["2024-07-01T12:00:00Z"], frame, ["2024-07-01T12:01:00Z"], frame)
    assert list(read(FORMAT, raw).rows["041876097654"]) == [at("2024-07-01T12:00:00+00:00"), at("2024-07-01T12:01:00+00:00")]


def test_naive_prefixes_are_the_zones_wall_clock() -> None:
    def day(*times: str) -> bytes:
        return plain(*[[f"{each} {line}" for line in historic(ADCO="041876097654", BASE="000123456")] for each in times])

    autumn = read(FORMAT, day("2024-10-27 02:30:00", "2024-10-27 02:59:00", "2024-10-27 02:00:00", "2024-10-27 02:30:00"))
    assert [t for _, t in autumn.order] == [
        at("2024-10-27T02:30:00+02:00"), at("2024-10-27T02:59:00+02:00"),
        at("2024-10-27T02:00:00+01:00"), at("2024-10-27T02:30:00+01:00"),
    ]  # fmt: skip
    spring = read(FORMAT, day("2024-03-31 01:59:00", "2024-03-31 02:30:00", "2024-03-31 03:00:00"))
    assert spring.codes == ["time_does_not_exist"]
    assert spring.refusals[0].gaps == {"zone": "Europe/Paris"}
    assert [t for _, t in spring.order] == [at("2024-03-31T01:59:00+01:00"), at("2024-03-31T03:00:00+02:00")]


def test_the_meters_clock_counts_unless_it_doubts_itself() -> None:
    lines = [*linky("E240701120000", 1), *linky("e240701120500", 2)]
    found = read(FORMAT, plain([f"2024-07-01T12:09:00+02:00 {line}" for line in lines]))
    assert [t for _, t in found.order] == [at("2024-07-01T12:00:00+02:00"), at("2024-07-01T12:09:00+02:00")]


@pytest.mark.parametrize("date", ["e240701120000", " 240701120000", "E240231120000"])
def test_a_clock_in_doubt_and_no_other(date: str) -> None:
    found = read(FORMAT, framed(linky(date, 1), NOON))
    assert found.codes == ["clock_in_doubt"]
    assert len(found.rows["041876097654"]) == 1


def test_historic_frames_without_any_time_are_no_curve() -> None:
    found = read(FORMAT, framed(historic(ADCO="041876097654", BASE="000123456", PAPP="00910")))
    assert found.unreadable is not None
    assert found.unreadable.code == "no_clock"
    assert "mode standard" in words(found.unreadable, french=True)


def test_the_rest_of_a_frame_at_the_files_beginning_is_left_out() -> None:
    found = read(FORMAT, framed(linky(None, 1), NOON))
    assert found.codes == ["frame_without_time"]
    assert len(found.rows["041876097654"]) == 1


def test_half_a_tariff_is_no_falling_counter() -> None:
    whole = historic(ADCO="041876097654", HCHC="004500000", HCHP="006700000", PAPP="00910")
    half = historic(ADCO="041876097654", HCHC="004500001", PAPP="00911")
    prefixed = [[f"2024-07-01T12:0{minute}:00Z {line}" for line in frame] for minute, frame in enumerate((whole, half))]
    rows = list(read(FORMAT, plain(*prefixed)).rows["041876097654"].values())
    assert rows == [{"import_energy_wh": 11_200_000.0, "apparent_power_va": 910.0}, {"apparent_power_va": 911.0}]


def test_frames_whose_address_was_damaged() -> None:
    other = standard("E240701120100", ADSC="041876097655", EAST="000000001")
    damaged = standard("E240701120200", EAST="000000002")
    assert set(read(FORMAT, framed(damaged, NOON)).rows) == {"041876097654"}
    several = read(FORMAT, framed(NOON, other, damaged))
    assert several.codes == ["frame_without_serial"]
    assert set(several.rows) == {"041876097654", "041876097655"}


def test_no_address_at_all_is_the_loggers_own_meter() -> None:
    assert set(read(FORMAT, framed(standard("E240701120000", EAST="000000001"))).rows) == {None}


def test_a_delivery_point_stands_in_no_text() -> None:
    damaged = "PRM\t12345678901234\t~"
    found = read(FORMAT, framed([*NOON, damaged]))
    assert found.codes == ["bad_checksum"]
    assert "1234567890" not in found.refusals[0].text


def test_what_else_a_log_says_is_refused_line_by_line() -> None:
    found = read(FORMAT, b"logger started\n\n" + framed(NOON) + b"\nbye\n")
    assert found.codes == ["bad_tic_line", "bad_tic_line"]
    assert len(found.rows["041876097654"]) == 1


@pytest.mark.parametrize(
    "head", [b"", b"\x02\x03", b"DATE;EAST;EAIT\n1;2;3\n", b"EAST\t012345678\t4\n" * 9, bytes(range(256))]
)
def test_other_files_are_not_recognised(head: bytes) -> None:
    assert not FORMAT.recognises(head)


FRAMES = [linky(f"E24070112{minute:02}00", 1_000 + minute, EAIT=f"{minute:09}") for minute in range(12)]


@given(order=st.permutations(FRAMES + FRAMES[:4]), chunk=st.integers(1, 400))
@settings(max_examples=40, deadline=None)
def test_order_repetition_and_pieces_change_nothing(order: list[list[str]], chunk: int) -> None:
    assert read(FORMAT, framed(*order), chunk=chunk).rows == read(FORMAT, framed(*FRAMES)).rows


@given(cut=st.integers(0, len(framed(*FRAMES))))
@settings(max_examples=80, deadline=None)
def test_a_file_that_was_cut_and_came_again_whole(cut: int) -> None:
    raw = framed(*FRAMES)
    first, whole = read(FORMAT, raw[:cut]), read(FORMAT, raw)
    for serial, rows in first.rows.items():
        for t, row in rows.items():
            assert row.items() <= whole.rows[serial or "041876097654"][t].items()


PIECES = [line.encode() for frame in FRAMES for line in frame] + [
    b"\x02", b"\x03", b"2024-10-27 02:30:00", b"PAPP 0 x", b"\xff\xfe", b"\t\t\t", b"[2024-99-99T99:99:99] x",
]  # fmt: skip


@given(raw=st.one_of(st.binary(max_size=400), st.lists(st.sampled_from(PIECES)).map(b"\n".join)))
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_refused_or_read(raw: bytes) -> None:
    FORMAT.recognises(raw)
    read(FORMAT, raw, settings=ReadingSettings(timezone="+01:00"))

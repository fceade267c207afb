"""However files of rows are cut, ordered and repeated, they say the same; whatever is done to them, nothing breaks."""

from collections.abc import Callable
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.codecs.files import enphase, huawei, own_csv, registry, schneider, shelly_csv, sma_csv, solar_log_csv
from fleet.codecs.files.reading import FileFormat, ReadingSettings
from tests.file_reading import Reading, read
from tests.samples.wide_samples import AUTUMN, SAMPLES, SBFSPOT_SPOT, SCHNEIDER, SMA_CSV1, SMA_MONTH, SPRING, clock, instants

_ODD = st.sampled_from([b"", b";", b",", b"\n", b'"', b"\r", b"\0", b"\xff", b"_", b"inf", b"-", b"9" * 20])
Said = set[tuple[str | None, int, str, float]]


class Case(NamedTuple):
    """A file's heading and its rows; fewest: rows that a piece must have to tell its own order in autumn, and its step."""

    file_format: FileFormat
    heading: str
    row: Callable[[int, int], str]
    fewest: int = 8
    newest_first: bool = False
    step: int = 15


CASES = {
    "own": Case(own_csv.FORMAT, "time,serial,pv_power_w\n", lambda t, n: f"{t},INV-{n % 3},{n}\n"),
    "own, local": Case(own_csv.FORMAT, "t,pv_power_w\n", lambda t, n: f"{clock(t, '%Y-%m-%dT%H:%M:%S')},{n}\n"),
    "huawei": Case(
        huawei.FORMAT, "#SmartLogger ESN:1021\n#INV1 ESN:21010001\n#Time;Pac;Eac;Cycle Time\n",
        lambda t, n: f"{clock(t, '%Y-%m-%d %H:%M:%S')};{n};1.5;15;\n", newest_first=True,
    ),
    "sma": Case(
        sma_csv.CSV1, SMA_CSV1[: SMA_CSV1.index("01.07.2024")],
        lambda t, n: f"{clock(t, '%d.%m.%Y %H:%M')};{n},25;1,5;{n},75;0,5\n",
    ),
    "solar-log": Case(
        solar_log_csv.FORMAT, "#Date;Time;INV;Pac;DaySum\n", lambda t, n: f"{clock(t, '%d/%m/%y;%I:%M:%S %p')};1;{n};1\n",
        newest_first=True,
    ),
    "enphase": Case(
        enphase.FORMAT, "Date/Time,Energy Produced (Wh)\n", lambda t, n: f"{clock(t, '%m/%d/%Y %H:%M')},{n}\n",
    ),
    "shelly": Case(
        shelly_csv.FORMAT, "Date/time UTC,Active energy Wh (A),Returned energy Wh (A)\n",
        lambda t, n: f"{clock(t, '%Y-%m-%d %H:%M', 'UTC')},{n},0\n", step=10,
    ),
    "schneider": Case(
        schneider.FORMAT, SCHNEIDER[: SCHNEIDER.index("0,120")],
        lambda t, n: f"0,{int(clock(t, '%z')[1:3]) * 60},{clock(t, '%d/%m/%Y %H:%M:%S')},{n},{n},,\n",
    ),
}  # fmt: skip


def said(found: Reading) -> Said:
    assert found.unreadable is None
    assert found.refusals == []
    return {
        (serial, t, measure, value)
        for serial, device in found.rows.items() for t, row in device.items() for measure, value in row.items()
    }  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@given(cuts=st.tuples(st.integers(0, 150), st.integers(0, 150)), day=st.sampled_from([SPRING, AUTUMN]), data=st.data())
@settings(max_examples=25, deadline=None)
def test_pieces_of_a_file_say_what_it_says(name: str, cuts: tuple[int, int], day: object, data: st.DataObject) -> None:
    case = CASES[name]
    rows = [case.row(t, n) for n, t in enumerate(instants(day, case.step))]  # type: ignore[arg-type]
    if case.newest_first:
        rows.reverse()
    first, second = sorted(min(max(cut, case.fewest), len(rows) - case.fewest) for cut in cuts)
    pieces = [piece for piece in (rows[:first], rows[first:second], rows[second:]) if len(piece) >= case.fewest]
    if sum(map(len, pieces)) < len(rows):
        pieces = [rows[:first], rows[first:]]
    whole = said(read(case.file_format, (case.heading + "".join(rows)).encode(), settings=ReadingSettings(date_order=None)))
    again = data.draw(st.permutations([*pieces, pieces[0]]))
    total: Said = set()
    for piece in again:
        total |= said(read(case.file_format, (case.heading + "".join(piece)).encode(), name=f"{day}.csv"))
    assert total == whole
    assert len({t for _, t, _, _ in whole}) == len(rows)


def test_each_sample_is_recognised_as_what_it_is_and_nothing_else() -> None:
    samples = [*SAMPLES.items(), ("sbfspot", SBFSPOT_SPOT), ("sma-csv1", SMA_MONTH)]
    for format_id, text in samples:
        for raw in (text.encode(), text.replace("\n", "\r\n").encode()):
            assert [each.id for each in registry.FORMATS if each.recognises(raw)] == [format_id]


@given(data=st.data(), chunk=st.sampled_from([1, 13, 1 << 16]))
@settings(max_examples=100, deadline=None)
def test_whatever_is_done_to_a_file_it_is_read_or_refused(data: st.DataObject, chunk: int) -> None:
    format_id = data.draw(st.sampled_from(sorted(SAMPLES)))
    file_format = registry.by_id(format_id)
    assert file_format is not None
    raw = bytearray(SAMPLES[format_id].encode())
    for _ in range(data.draw(st.integers(1, 6))):
        start = data.draw(st.integers(0, len(raw)))
        end = start + data.draw(st.sampled_from([0, 1, 2, 10, 200]))
        own = data.draw(
            st.sampled_from(
                [b"", b";", b",", b"\n", b'"', b"\r", b"\0", b"\xff", b"_", b"inf", b"-", b"99999999999999999999"]
            )
        )
        raw[start:end] = data.draw(st.one_of(st.just(own), st.just(bytes(raw[:80])), st.binary(max_size=5)))
    file_format.recognises(bytes(raw[:16_384]))
    read(
        file_format, bytes(raw), chunk=chunk, settings=ReadingSettings(date_order=data.draw(st.sampled_from(["dmy", None])))
    )


@given(st.binary(max_size=300))
@settings(max_examples=60, deadline=None)
def test_any_bytes_are_recognised_or_not(raw: bytes) -> None:
    for file_format in registry.FORMATS:
        if file_format.id in SAMPLES:
            file_format.recognises(raw)
            read(file_format, raw)

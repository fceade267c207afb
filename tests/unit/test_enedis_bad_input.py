"""Enedis's files when they are damaged or meant to do harm: refused with a reason, in little memory, at once."""

import contextlib
import json
import tracemalloc
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.codecs.files import enedis, refusals, registry
from fleet.codecs.files.reading import Content, Context, Refusal, Rows, Unreadable
from fleet.file_limits import FILE_CHUNK_BYTES
from fleet.measures import is_measure
from fleet.serials import is_serial
from tests.samples.enedis_files import (
    AUTUMN,
    CALENDAR,
    PARIS,
    PRM,
    R63,
    curve,
    flow,
    index,
    intervals,
    preamble,
    r4x,
    r4x_curve,
    r50,
    r63_csv,
    r63_json,
    read_as,
)

DAY = datetime(2024, 7, 1, tzinfo=PARIS)
TOLD = [each._replace(watts=None if position % 11 == 3 else each.watts) for position, each in enumerate(intervals(AUTUMN))]
EMAIL = "Date de la mesure;Heure de la mesure;Valeur;Statut de la mesure;PRM;Grandeur métier;Unité;Pas en minutes\n"
R64 = "Identifiant PRM;Grandeur physique;Grandeur metier;Unite;Horodate;Identifiant calendrier;Cadran;Valeur\n"
REGISTER = {"idClasseTemporelle": "HC", "valeur": [{"d": "2024-07-01 00:00:00", "v": 5, "iv": 0}]}
QUANTITY = {"grandeurMetier": "CONS", "grandeurPhysique": "EA", "unite": "Wh"}
PEAK = "2024-07-01T19:42:13+02:00;5820\n"
CELLS = f"{PRM};EA;CONS;Wh;2024-07-01 00:00:00;DI1"
READING = {"value": "5", "date": "2024-07-01 00:30:00", "interval_length": "PT30M"}
SAMPLES = {
    "enedis-curve": curve(TOLD),
    "enedis-index": index([("2024-07-01T01:00:00+02:00", 100), ("2024-07-02T01:00:00+02:00", None)]) + CALENDAR,
    "enedis-daily": preamble("Totaux")
    + "Date;Consommation (en kWh);Production (en kWh)\n01/06/2024;1,5;2\n02/06/2024;NA;3\n",
    "enedis-peaks": preamble("Puissance maximale quotidienne", unit="VA") + "Horodate;Valeur\n" + PEAK,
    "enedis-email": EMAIL + f"01/07/2024;00:00;5;R;{PRM};CONS;kW;10\n01/07/2024;00:10;5;R;;;;\n",
    "enedis-r6x-csv": r63_csv(TOLD) + r63_csv(TOLD[:5], words="PRI;CONS;BRUT;VAr", heading=False),
    "enedis-r64-csv": R64 + f"{CELLS};EA1;5\n{CELLS};EA2;7\n",
    "enedis-r6x-json": r63_json(TOLD),
    "enedis-r4x": r4x(r4x_curve(TOLD), r4x_curve(TOLD[:4], physical="E", unit="V")),
    "enedis-r50": r50({PRM: TOLD}),
    "enedis-r151": (
        f"<R151><PRM><Id_PRM>{PRM}</Id_PRM><Donnees_Releve><Date_Releve>2024-07-01</Date_Releve><Classe_Temporelle>"
        "<Id_Classe_Temporelle>HC</Id_Classe_Temporelle><Valeur>5</Valeur></Classe_Temporelle></Donnees_Releve></PRM></R151>"
    ),
    "enedis-r171": (
        f"<R171><serieMesuresDatees><prmId>{PRM}</prmId><grandeurPhysique>EA</grandeurPhysique><unite>Wh</unite>"
        "<mesureDatee><dateFin>2024-07-01T00:00:00</dateFin><valeur>5</valeur></mesureDatee></serieMesuresDatees></R171>"
    ),
    "enedis-data-connect": json.dumps(
        {"meter_reading": {"usage_point_id": PRM, "reading_type": {"unit": "W"}, "interval_reading": [READING]}}
    ),
}
CALENDARS = {"calendrier": [{"classeTemporelle": [REGISTER]}]}
R64_JSON = flow("R64", [{"idPrm": PRM, "contexte": [{"grandeur": [QUANTITY | CALENDARS]}]}])


def check(format_id: str, raw: bytes) -> None:
    """Whatever is in it: rows that can be stored, refusals that can be told, or one reason for all of it."""
    try:
        for each in read_as(format_id, raw):
            if isinstance(each, Rows):
                assert each.serial is None or is_serial(each.serial)
                assert all(map(is_measure, each.measures))
                assert {len(column) for column in each.values} == {len(each.t)}
            elif isinstance(each, Refusal):
                assert refusals.words(each, french=True)
                assert PRM not in f"{each}"
    except Unreadable as error:
        told = error.refusal
    else:
        return
    assert refusals.words(told, french=False)
    assert PRM not in f"{told}"


def test_every_format_has_a_sample_and_no_other_takes_it_for_its_own() -> None:
    assert set(SAMPLES) == {each.id for each in enedis.FORMATS}
    for format_id, sample in SAMPLES.items():
        head = sample.encode()[:16_384]
        assert [each.id for each in registry.FORMATS if each.recognises(head)] == [format_id]
        assert any(isinstance(each, Rows) for each in read_as(format_id, sample.encode())), format_id


@given(st.sampled_from(sorted(SAMPLES)), st.binary(max_size=300))
@settings(max_examples=100, deadline=None)
def test_bytes_at_random(format_id: str, raw: bytes) -> None:
    check(format_id, raw)
    for each in enedis.FORMATS:
        each.recognises(raw)


@given(st.sampled_from(sorted(SAMPLES)), st.data())
@settings(max_examples=100, deadline=None)
def test_samples_that_were_damaged(format_id: str, data: st.DataObject) -> None:
    raw = bytearray(SAMPLES[format_id].encode())
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(raw)))
        piece = data.draw(
            st.sampled_from([b"", b";", b"\n", b"\0", b"\xff", b'"', b"<", b"}", b"9" * 30, b"-", b"NaN", b"2024-99-99"])
        )
        raw[at : at + data.draw(st.integers(0, 9))] = piece
    check(format_id, bytes(raw))


@given(st.sampled_from(sorted(SAMPLES)), st.lists(st.integers(0, 40), min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_samples_whose_lines_were_moved_about(format_id: str, moves: list[int]) -> None:
    lines = SAMPLES[format_id].splitlines(keepends=True)
    for move in moves:
        lines.insert(move * 7 % (len(lines) + 1), lines.pop(move % len(lines)))
    check(format_id, "".join(lines).encode())


def test_samples_cut_anywhere() -> None:
    for format_id, sample in {**SAMPLES, "enedis-r6x-json": R64_JSON}.items():
        raw = sample.encode()
        for size in range(0, len(raw), max(1, len(raw) // 60)):
            check(format_id, raw[:size])


@pytest.mark.parametrize("format_id", ["enedis-r4x", "enedis-r50", "enedis-r151", "enedis-r171"])
@pytest.mark.parametrize(
    ("prolog", "code"),
    [
        ('<!DOCTYPE Courbe [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>', "xml_entities"),
        ('<!DOCTYPE Courbe SYSTEM "file:///etc/passwd">', "xml_entities"),
        ("<a>" * 100, "bad_xml"),
        ("".join(f"<n{number}/>" for number in range(1000)), "bad_xml"),
        ("&nothing;", "bad_xml"),
    ],
)
def test_xml_that_means_harm(format_id: str, prolog: str, code: str) -> None:
    sample = SAMPLES[format_id]
    root = sample.index("<R") if "<R1" in sample or "<R50" in sample else sample.index("<Courbe")
    inside = sample.index(">", root) + 1
    at = root if prolog.startswith("<!") else inside
    with pytest.raises(Unreadable, match=code):
        read_as(format_id, (sample[:at] + prolog + sample[at:]).encode())


@pytest.mark.parametrize(
    "text",
    [
        '{"header": {"codeFlux": "R63"}, "mesures": [' + "[" * 10_000,
        SAMPLES["enedis-r6x-json"].replace('"6000"', "NaN").replace('"v": "13"', '"v": NaN'),
        SAMPLES["enedis-r6x-json"].replace('"v": "13"', '"v": {"a": 1}'),
        SAMPLES["enedis-r6x-json"][:-40],
        '{"header": {"codeFlux": "R63"}, "mesures": "none"}',
    ],
)
def test_json_that_is_none(text: str) -> None:
    with pytest.raises(Unreadable, match="bad_json"):
        read_as("enedis-r6x-json", text.encode())


def streamed(format_id: str, chunks: Iterator[bytes]) -> int:
    """Reads what is made on the way; peak of the memory in bytes."""
    known = registry.by_id(format_id)
    assert known is not None
    tracemalloc.start()
    try:
        with contextlib.suppress(Unreadable):
            for _ in known.read(Content(lambda: chunks), Context("file", "Europe/Paris", 0)):
                pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def after(head: str, piece: bytes, times: int) -> Iterator[bytes]:
    yield head.encode()
    for _ in range(times):
        yield piece


@pytest.mark.parametrize("format_id", ["enedis-r4x", "enedis-r50"])
def test_one_token_without_end_is_not_waited_for(format_id: str) -> None:
    head = '<Courbe a="' if format_id == "enedis-r4x" else "<R50>"
    assert streamed(format_id, after(head, b"x" * FILE_CHUNK_BYTES, 200)) < 12 * 2**20


def test_a_line_without_end_is_not_waited_for() -> None:
    for format_id in ("enedis-curve", "enedis-r6x-csv", "enedis-r64-csv", "enedis-email"):
        assert streamed(format_id, after(R63, b"7" * FILE_CHUNK_BYTES, 200)) < 4 * 2**20


def test_a_curve_without_end_is_passed_on_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fleet.codecs.files.enedis.series.FILE_POINTS_HELD_MAX", 1_000)
    read = 0

    def years() -> Iterator[bytes]:
        nonlocal read
        yield curve([]).encode()
        for day in range(60):
            read += 288
            steps = (DAY + timedelta(days=day, minutes=5 * step) for step in range(288))
            yield "".join(f"{each:%Y-%m-%dT%H:%M:%S}+02:00;7\n" for each in steps).encode()

    known = registry.by_id("enedis-curve")
    assert known is not None
    told = 0
    for each in known.read(Content(years), Context("file", "Europe/Paris", 0)):
        assert isinstance(each, Rows)
        assert read - told < 1_600
        told += len(each.t)
    assert told == 60 * 288


def test_meters_without_number_are_bounded() -> None:
    rows = "".join(f"{number:014};a;b;PA;CONS;BRUT;W;2024-07-01 00:30:00;5;B;PT30M;0;0\n" for number in range(600))
    with pytest.raises(Unreadable, match="too_many_serials"):
        read_as("enedis-r6x-csv", (R63 + rows).encode())

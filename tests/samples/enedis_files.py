"""Files of Enedis, composed: shapes of the guides and of recorded files, values made up."""

import io
import json
import zipfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from fleet.codecs.files import refusals, registry
from fleet.codecs.files.reading import Content, Context, Found, ReadingSettings, Refusal, Rows
from fleet.codecs.files.unpack import members
from fleet.telemetry import UnixMs

PARIS = ZoneInfo("Europe/Paris")
PRM = "12345678901234"
OTHER_PRM = "09876543210987"
SPRING, AUTUMN = datetime(2024, 3, 31, tzinfo=PARIS), datetime(2024, 10, 27, tzinfo=PARIS)


class Interval(NamedTuple):
    """Between two instants this many W flowed; None: nobody knows."""

    start: datetime
    minutes: int
    watts: int | None

    @property
    def end(self) -> datetime:
        return self.start + timedelta(minutes=self.minutes)

    @property
    def wh(self) -> float | None:
        return None if self.watts is None else self.watts * self.minutes / 60


def day_after(day: datetime) -> datetime:
    return (day.replace(tzinfo=None) + timedelta(days=1)).replace(tzinfo=PARIS)


def intervals(day: datetime, minutes: int = 30, days: int = 1) -> list[Interval]:
    """Of local days: 46, 48 or 50 half-hours each."""
    until = day
    for _ in range(days):
        until = day_after(until)
    at, told = day.astimezone(UTC), list[Interval]()
    while at < until.astimezone(UTC):
        told.append(Interval(at, minutes, (len(told) * 7919 + 13) % 6000))
        at += timedelta(minutes=minutes)
    return told


def stamp(interval: Interval, named: str) -> str:
    """As the portal, R4x and R50 write it."""
    return (interval.start if named == "start" else interval.end).astimezone(PARIS).isoformat()


def legal(interval: Interval, named: str) -> str:
    """As R6x writes it: without an offset."""
    return f"{(interval.start if named == 'start' else interval.end).astimezone(PARIS):%Y-%m-%d %H:%M:%S}"


def preamble(kind: str = "Courbe de charge", direction: str = "Consommation", unit: str = "W", step: str = "30") -> str:
    quantity = "Puissance maximale atteinte" if "maximale" in kind else "Energie active"
    return (
        "Identifiant PRM;Type de donnees;Date de debut;Date de fin;Grandeur physique;Grandeur metier;Etape metier;Unite;"
        f"Pas en minutes\n{PRM};{kind};01/07/2024;02/07/2024;{quantity};{direction};Comptage Brut;{unit};{step}\n\n"
    )


def curve(told: Iterable[Interval], named: str = "end", **heading: str) -> str:
    rows = (f"{stamp(each, named)};{'' if each.watts is None else each.watts}\n" for each in told)
    return "\ufeff" + preamble(**heading) + "Horodate;Valeur\n" + "".join(rows)


REGISTERS = "Horodate;Type de releve;" + ";".join(f"EAS F{n}" for n in range(1, 11)) + ";EAS D1;EAS D2;EAS D3;EAS D4;EAS T\n"


def index_row(text: str, total: int | None) -> str:
    shown = "" if total is None else str(total)
    parts = ["", ""] if total is None else [str(total // 3), str(total - total // 3)]
    return f"{text};Arrêté quotidien;{parts[0]};{parts[1]};;;;;;;;;{shown};;;;{shown}\n"


def index(rows: Iterable[tuple[str, int | None]], direction: str = "Consommation") -> str:
    return "\ufeff" + preamble("Index", direction, "Wh", "") + REGISTERS + "".join(index_row(*each) for each in rows)


CALENDAR = (
    "Periode;Identifiant calendrier fournisseur;Libelle calendrier fournisseur;Identifiant classe temporelle 1\n"
    "Du 2024-01-01T00:00:00+01:00 au 2024-06-02T00:00:00+02:00;FC011827;Heures creuses;HC\n"
    "Du 2024-06-02T00:00:00+02:00 au;FC011827;Heures creuses;HC\n"
)

R63 = (
    "Identifiant PRM;Date de début;Date de fin;Grandeur physique;Grandeur métier;Etape métier;Unité;Horodate;Valeur;Nature;"
    "Pas;Indice de vraisemblance;Etat complémentaire\n"
)


def r63_csv(
    told: Iterable[Interval],
    named: str = "end",
    *,
    words: str = "PA;CONS;BRUT;W",
    meter: str = PRM,
    heading: bool = True,
) -> str:
    rows = (
        f"{meter};2024-07-01 00:00:00;2024-07-02 00:00:00;{words};{legal(each, named)};"
        f"{'' if each.watts is None else each.watts};B;PT{each.minutes}M;0;0\n"
        for each in told
    )
    return (R63 if heading else "") + "".join(rows)


def flow(code: str, measures: list[dict[str, Any]]) -> str:
    header = {"siDemandeur": "SGE", "typeDestinataire": "SI", "codeFlux": code, "idDemande": "M053Q0D3", "format": "JSON"}
    return json.dumps({"header": header, "mesures": measures})


def r63_json(told: Iterable[Interval], named: str = "end", *, stage: str = "BRUT", words: str = "CONS;PA;W") -> str:
    direction, physical, unit = words.split(";")
    points = [
        {
            "v": None if each.watts is None else str(each.watts),
            "d": legal(each, named),
            "p": f"PT{each.minutes}M",
            "n": "B",
            "iv": 0,
        }
        for each in told
    ]
    quantity = {"grandeurMetier": direction, "grandeurPhysique": physical, "unite": unit, "points": points}
    return flow("R63", [{"idPrm": PRM, "etapeMetier": stage, "modeCalcul": "MESURE", "grandeur": [quantity]}])


def r4x_curve(
    told: Iterable[Interval], *, direction: str | None = "CONS", physical: str = "EA", unit: str = "kW", status: str = "R"
) -> str:
    steps = list(told)
    points = "".join(
        f'<Donnees_Point_Mesure Horodatage="{stamp(each, "start")}"'
        + (f' Valeur_Point="{each.watts}"' if each.watts is not None else "")
        + f' Statut_Point="{status}"/>\n'
        for each in steps
    )
    metier = "" if direction is None else f"<Grandeur_Metier>{direction}</Grandeur_Metier>"
    return (
        f"<Donnees_Courbe><Horodatage_Debut>{stamp(steps[0], 'start')}</Horodatage_Debut>"
        f"<Granularite>{steps[0].minutes}</Granularite><Unite_Mesure>{unit}</Unite_Mesure>{metier}"
        f"<Grandeur_Physique>{physical}</Grandeur_Physique>\n{points}</Donnees_Courbe>"
    )


def r4x(*curves: str, nature: str = "Brute") -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<Courbe><Entete><Identifiant_Flux>R4x</Identifiant_Flux>'
        f"<Nature_De_Courbe_Demandee>{nature}</Nature_De_Courbe_Demandee></Entete>"
        f"<Corps><Identifiant_PRM>{PRM}</Identifiant_PRM>{''.join(curves)}</Corps></Courbe>\n"
    )


def r50(meters: dict[str, Iterable[Interval]]) -> str:
    def points(told: Iterable[Interval]) -> Iterator[str]:
        for each in told:
            value = "" if each.watts is None else f"<V>{each.watts}</V>"
            yield f"<PDC><H>{stamp(each, 'end')}</H>{value}<IV>0</IV></PDC>\n"

    prms = "".join(
        f"<PRM><Id_PRM>{meter}</Id_PRM><Donnees_Releve><Date_Releve>2024-07-01</Date_Releve>{''.join(points(told))}"
        "</Donnees_Releve></PRM>"
        for meter, told in meters.items()
    )
    return (
        "<R50><En_Tete_Flux><Identifiant_Flux>R50</Identifiant_Flux><Pas_Publication>30</Pas_Publication></En_Tete_Flux>"
        f"{prms}</R50>"
    )


def zipped(entries: dict[str, str]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in entries.items():
            archive.writestr(name, text)
    return packed.getvalue()


def found(text: str | bytes, name: str = "file", **settings: Any) -> list[Found]:
    """As the importer would: unpacked, recognised, read. Raises Unreadable."""
    raw = text if isinstance(text, bytes) else text.encode()
    told: list[Found] = []
    for member in members(io.BytesIO(raw), name):
        head = b"".join(member.content.chunks())[:16_384]
        known = registry.recognised(head)
        assert known is not None, head[:200]
        # whatever zone the logger is in: Enedis's is Paris
        context = Context(member.name, "America/Cayenne", 0, ReadingSettings(**settings))
        told += known.read(member.content, context)
    return told


def read_as(format_id: str, raw: bytes, **settings: Any) -> list[Found]:
    known = registry.by_id(format_id)
    assert known is not None
    pieces = [raw[start : start + 1000] for start in range(0, len(raw), 1000)]
    return list(known.read(Content(lambda: pieces), Context("file", "Europe/Paris", 0, ReadingSettings(**settings))))


def rows(told: Iterable[Found]) -> list[Rows]:
    return [each for each in told if isinstance(each, Rows)]


def ms(at: datetime) -> int:
    return round(at.timestamp()) * 1000


def format_of(text: str) -> str | None:
    known = registry.recognised(text.encode())
    return None if known is None else known.id


def codes(told: Iterable[Found]) -> list[str]:
    """Of the refusals, in their order. Each has words, and none shows the meter's number."""
    refused = refusals_of(told)
    for each in refused:
        assert refusals.words(each, french=True)
        assert refusals.words(each, french=False)
        assert PRM not in f"{each}"
    return [each.code for each in refused]


def refusals_of(told: Iterable[Found]) -> list[Refusal]:
    return [each for each in told if isinstance(each, Refusal)]


def points(told: Iterable[Found], measure: str = "import_interval_wh", serial: str | None = PRM) -> dict[UnixMs, float]:
    """What the file says of one measure of one meter, by time."""
    by_time: dict[UnixMs, float] = {}
    for block in rows(told):
        if block.serial == serial and measure in block.measures:
            column = block.values[block.measures.index(measure)]
            by_time |= {t: value for t, value in zip(block.t, column, strict=True) if value is not None}
    return by_time


def energy_of(told: Iterable[Interval]) -> dict[UnixMs, float]:
    """What points() should find of these intervals."""
    return {round(each.end.timestamp()) * 1000: each.wh for each in told if each.wh is not None}

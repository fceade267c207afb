"""Enedis's flows of registers by tariff: R64, R151, R171."""

import random
from datetime import datetime, timedelta
from typing import Any

import pytest

from fleet.codecs.files.reading import Unreadable
from tests.samples.enedis_files import (
    OTHER_PRM,
    PARIS,
    PRM,
    codes,
    flow,
    format_of,
    found,
    ms,
    points,
    rows,
    zipped,
)

DAY = datetime(2024, 7, 1, tzinfo=PARIS)


def values(first: int) -> list[dict[str, Any]]:
    return [{"d": f"2024-0{month}-01 00:00:00", "v": first + month, "iv": 0} for month in (3, 7)]


def r64_json(**more: Any) -> str:
    tariffs = {
        "DI000002": [("HC", 100), ("HP", 300)],
        "FC011827": [("HCWE", 30), ("HPWE", 60), ("HC", 110)],
    }
    calendars = [
        {"idCalendrier": calendar, "libelleCalendrier": "", "classeTemporelle":
         [{"idClasseTemporelle": name, "valeur": values(first)} for name, first in told]}
        for calendar, told in reversed(tariffs.items())
    ]  # fmt: skip
    quantity = {"grandeurMetier": "CONS", "grandeurPhysique": "EA", "unite": "Wh", "calendrier": calendars} | more
    peak = {"grandeurMetier": "CONS", "grandeurPhysique": "PMA", "unite": "VA", "cadranTotalisateur": {"valeur": values(9)}}
    context = {"etapeMetier": "BRUT", "contexteReleve": "COL", "typeReleve": "AQ", "grandeur": [quantity, peak]}
    return flow("R64", [{"idPrm": PRM, "contexte": [context, context | {"contexteReleve": "CRD"}]}])


MARCH, JULY = ms(datetime(2024, 3, 1, tzinfo=PARIS)), ms(datetime(2024, 7, 1, tzinfo=PARIS))


def test_r64_sums_the_tariffs_of_one_calendar_in_one_context() -> None:
    told = found(r64_json())
    assert points(told, "import_energy_wh") == {MARCH: 406, JULY: 414}
    assert codes(told) == ["series_not_kept"]
    assert format_of(r64_json()) == "enedis-r6x-json"


def test_r64_prefers_the_meters_own_total() -> None:
    told = found(r64_json(cadranTotalisateur={"codeCadran": "T", "valeur": values(1000)}))
    assert points(told, "import_energy_wh") == {MARCH: 1003, JULY: 1007}
    kwh = found(r64_json(cadranTotalisateur={"valeur": values(1000)}, grandeurMetier="PROD", unite="kWh"))
    assert points(kwh, "export_energy_wh") == {MARCH: 1_003_000, JULY: 1_007_000}


R64 = (
    "Identifiant PRM;Date de début;Date de fin;Grandeur physique;Grandeur metier;Etape metier;Unite;Horodate;"
    "Contexte de relève;Type de releve;Motif de relève;Grille;Identifiant calendrier;Libellé calendrier;"
    "Identifiant classe temporelle;Libellé classe temporelle;Cadran;Valeur;Indice de vraisemblance\n"
)


def r64_row(
    day: str, calendar: str, tariff: str, value: object, physical: str = "EA", context: str = "COL", meter: str = PRM
) -> str:
    return f"{meter};a;b;{physical};CONS;BRUT;Wh;{day} 00:00:00;{context};AQ;;;{calendar};;{tariff};;x;{value};0\n"


R64_ROWS = [
    r64_row(day, calendar, tariff, value, context=context)
    for context in ("COL", "CRD")
    for calendar, tariff, first in (("FC01", "HC", 50), ("DI02", "HC", 100), ("DI02", "HP", 300), ("FC01", "HP", 350))
    for day, value in (("2024-03-01", first + 3), ("2024-07-01", first + 7))
]  # fmt: skip


def test_r64_as_csv_in_any_order_and_repeated() -> None:
    shuffled = R64_ROWS * 2
    random.Random(3).shuffle(shuffled)
    for varied in (R64_ROWS, R64_ROWS[::-1], shuffled):
        text = R64 + "".join(varied)
        assert format_of(text) == "enedis-r64-csv"
        assert points(found(text), "import_energy_wh") == {MARCH: 406, JULY: 414}


def test_r64_without_one_of_its_tariffs_is_no_total() -> None:
    text = R64 + r64_row("2024-03-01", "DI000002", "HC", 100) + r64_row("2024-03-01", "DI000002", "HP", "")
    assert points(found(text), "import_energy_wh") == {}
    assert points(found(text + r64_row("2024-03-01", "FC01", "BASE", 430)), "import_energy_wh") == {MARCH: 430}


def test_r64_refuses_row_by_row() -> None:
    text = (
        R64 + r64_row("2024-03-01", "", "", 100) + r64_row("2024-03-xx", "", "", 1) + r64_row("2024-07-01", "", "", "a lot")
    )
    text += r64_row("2024-07-01", "", "", 5, "ER") + r64_row("2024-07-02", "", "", 5, "ER") + f"{PRM};a;b\n"
    told = found(text)
    assert codes(told) == ["bad_time", "bad_number", "series_not_kept", "wrong_field_count"]
    assert points(told, "import_energy_wh") == {MARCH: 100}


def test_r64_of_many_meters_is_summed_up_meter_by_meter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fleet.codecs.files.enedis.registers.REGISTER_VALUES_HELD_MAX", 3)
    text = R64 + "".join(
        r64_row(day, "DI1", "HC", 1, meter=meter) for meter in (PRM, OTHER_PRM) for day in ("2024-03-01", "2024-07-01")
    )
    assert len(points(found(text), "import_energy_wh")) == len(points(found(text), "import_energy_wh", OTHER_PRM)) == 2
    with pytest.raises(Unreadable, match="too_many_registers"):
        found(text + r64_row("2024-07-02", "DI1", "HC", 1))


# R151, R171


def test_r151_sums_the_operators_tariffs_at_midnight() -> None:
    def tariff(tag: str, name: str, value: int) -> str:
        return f"<{tag}><Id_Classe_Temporelle>{name}</Id_Classe_Temporelle><Valeur>{value}</Valeur></{tag}>"

    text = (
        "<R151><En_Tete_Flux><Identifiant_Flux>R151</Identifiant_Flux><Unite_Mesure_Index>Wh</Unite_Mesure_Index></En_Tete_Flux>"
        f"<PRM><Id_PRM>{PRM}</Id_PRM><Donnees_Releve><Date_Releve>2024-07-01</Date_Releve>"
        + tariff("Classe_Temporelle_Distributeur", "HCB", 1000)
        + tariff("Classe_Temporelle_Distributeur", "HPB", 500)
        + tariff("Classe_Temporelle", "BASE", 1490)
        + "<Puissance_Maximale><Valeur>7452</Valeur></Puissance_Maximale></Donnees_Releve></PRM></R151>"
    )
    told = found(zipped({"r151.xml": text}))
    assert format_of(text) == "enedis-r151"
    assert points(told, "import_energy_wh") == {ms(DAY): 1500}
    assert {measure for block in rows(told) for measure in block.measures} == {"import_energy_wh"}


def test_r171_sums_the_operators_tariffs_in_legal_time() -> None:
    def series(meter: str, physical: str, calendar: str, tariff: str, unit: str, value: int) -> str:
        return (
            f"<serieMesuresDatees><prmId>{meter}</prmId><type>INDEX</type><grandeurMetier>CONS</grandeurMetier>"
            f"<grandeurPhysique>{physical}</grandeurPhysique><typeCalendrier>{calendar}</typeCalendrier>"
            f"<codeClasseTemporelle>{tariff}</codeClasseTemporelle><unite>{unit}</unite><mesuresDateesListe><mesureDatee>"
            f"<dateFin>2024-07-01T00:51:11</dateFin><valeur>{value}</valeur></mesureDatee></mesuresDateesListe></serieMesuresDatees>"
        )

    text = (
        '<ns2:R171 xmlns:ns2="http://www.enedis.fr/stm/R171"><entete><flux>R171</flux></entete><serieMesuresDateesListe>'
        + series(PRM, "EA", "D", "HPH", "Wh", 1320)
        + series(PRM, "EA", "D", "HCH", "Wh", 80)
        + series(PRM, "EA", "F", "B", "Wh", 9)
        + series(OTHER_PRM, "EA", "D", "HPH", "kWh", 7)
        + series(PRM, "PMA", "D", "HPH", "VA", 5)
        + series(PRM, "TF", "D", "P", "s", 5)
        + "</serieMesuresDateesListe></ns2:R171>"
    )  # fmt: skip
    told = found(text)
    at = ms(DAY + timedelta(minutes=51, seconds=11))
    assert format_of(text) == "enedis-r171"
    assert points(told, "import_energy_wh") == {at: 1400}
    assert points(told, "import_energy_wh", OTHER_PRM) == {at: 7000}
    assert codes(told) == ["series_not_kept", "series_not_kept"]

"""One file of each format, and of each of its shapes that read differently: composed, values made up.

For what has to hold of all formats together: tests of bad input, and the fuzzer (tests/fuzz).
"""

import json
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from fleet.codecs.tic import checksum
from tests.samples import wide_samples
from tests.samples.enedis_files import (
    AUTUMN,
    CALENDAR,
    PARIS,
    PRM,
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
)


class Sample(NamedTuple):
    """A file as it comes. name, definitions: as in fleet.codecs.files.reading.Context."""

    format_id: str
    raw: bytes
    name: str = "export"
    definitions: Mapping[str, str] = MappingProxyType({})

    @property
    def is_text(self) -> bool:
        """Of lines: it may be written with other line ends and in other encodings."""
        return self.raw[:1] not in b"\x02\x82"


def _tic(date: str | None, before: str = "", **labels: str) -> str:
    """A meter's frame: labels, values, checksums. before: what the logger writes at the beginning of each line."""
    gap = " " if date is None else "\t"
    stated = [f"{label}{gap}{value}" for label, value in labels.items()]
    if date is not None:
        stated = [f"{each}\t" for each in (stated[0], f"DATE\t{date}\t", *stated[1:])]
    # historic frames leave the last gap out of the sum, standard ones do not
    return "".join(f"{before}{each}{gap if date is None else ''}{checksum(each)}\n" for each in stated)


def _linky(date: str, drawn: int) -> str:
    return _tic(date, ADSC="041876097654", EAST=f"{drawn:09}", EAIT="003210987", SINSTS="00910", SINSTI="00000")


def _framed(frame: str) -> str:
    return "\x02" + "".join(f"\n{line}\r" for line in frame.splitlines()) + "\x03"


def _fronius(data: Any, **arguments: str) -> bytes:
    head = {"RequestArguments": arguments, "Status": {"Code": 0}, "Timestamp": "2024-07-01T12:10:00+02:00"}
    return json.dumps({"Head": head, "Body": {"Data": data}}).encode()


def _channels(**values: dict[str, float | None]) -> dict[str, Any]:
    units = {"NodeType": 97, "Start": "2024-07-01T00:00:00+02:00", "End": "2024-07-01T23:59:59+02:00"}
    return units | {"Data": {name: {"Unit": "Wh", "Values": each} for name, each in values.items()}}


_TOLD: Final = [each._replace(watts=None if n % 11 == 3 else each.watts) for n, each in enumerate(intervals(AUTUMN))]
_ENEDIS: Final = {
    "enedis-curve": curve(_TOLD),
    "enedis-index": index([("2024-07-01T01:00:00+02:00", 100), ("2024-07-02T01:00:00+02:00", None)]) + CALENDAR,
    "enedis-daily": preamble("Totaux")
    + "Date;Consommation (en kWh);Production (en kWh)\n01/06/2024;1,5;2\n02/06/2024;NA;3\n",
    "enedis-peaks": preamble("Puissance maximale quotidienne", unit="VA")
    + "Horodate;Valeur\n2024-07-01T19:42:13+02:00;5820\n",
    "enedis-email": "Date de la mesure;Heure de la mesure;Valeur;Statut de la mesure;PRM;Grandeur métier;Unité;"
    "Pas en minutes\n"
    f"01/07/2024;00:00;5;R;{PRM};CONS;kW;10\n01/07/2024;00:10;5;R;;;;\n",
    "enedis-r6x-csv": r63_csv(_TOLD[:20]) + r63_csv(_TOLD[:5], words="PRI;CONS;BRUT;VAr", heading=False),
    "enedis-r64-csv": "Identifiant PRM;Grandeur physique;Grandeur metier;Unite;Horodate;Identifiant calendrier;Cadran;"
    "Valeur\n"
    f"{PRM};EA;CONS;Wh;2024-07-01 00:00:00;DI1;EA1;5\n{PRM};EA;CONS;Wh;2024-07-01 00:00:00;DI1;EA2;7\n",
    "enedis-r6x-json": r63_json(_TOLD[:20]),
    "enedis-r4x": r4x(r4x_curve(_TOLD[:20]), r4x_curve(_TOLD[:4], physical="E", unit="V")),
    "enedis-r50": r50({PRM: intervals(datetime(2024, 7, 1, tzinfo=PARIS))[:20]}),
    "enedis-r151": f"<R151><PRM><Id_PRM>{PRM}</Id_PRM><Donnees_Releve><Date_Releve>2024-07-01</Date_Releve>"
    "<Classe_Temporelle><Id_Classe_Temporelle>HC</Id_Classe_Temporelle><Valeur>5</Valeur></Classe_Temporelle>"
    "</Donnees_Releve></PRM></R151>",
    "enedis-r171": f"<R171><serieMesuresDatees><prmId>{PRM}</prmId><grandeurPhysique>EA</grandeurPhysique><unite>Wh</unite>"
    "<mesureDatee><dateFin>2024-07-01T00:00:00</dateFin><valeur>5</valeur></mesureDatee></serieMesuresDatees></R171>",
    "enedis-data-connect": json.dumps({
        "meter_reading": {
            "usage_point_id": PRM,
            "reading_type": {"unit": "W"},
            "interval_reading": [
                {"value": "5", "date": f"2024-07-01 {hour:02}:{minute:02}:00", "interval_length": "PT30M"}
                for hour in range(1, 4) for minute in (0, 30)
            ],
        }
    }),
}  # fmt: skip
_R64_JSON: Final = flow(
    "R64",
    [{"idPrm": PRM, "contexte": [{"grandeur": [{
        "grandeurMetier": "CONS", "grandeurPhysique": "EA", "unite": "Wh",
        "calendrier": [{"classeTemporelle": [
            {"idClasseTemporelle": "HC", "valeur": [{"d": "2024-07-01 00:00:00", "v": 5, "iv": 0}]},
        ]}],
    }]}]}],
)  # fmt: skip

INI: Final = "1;Pac;;;Pac;W;10;0;4\n2;Et;;;E-Total;kWh;0.1;0;4\n3;T;;;Temperature;°C;0.1;-40;4\n"
PM: Final = (
    "modbusTCP;Inverter;Maker;Model 9\n1;3;40001;2;;AC power;PAC;10;0;W;2\n2;3;40003;2;;Total energy;;1;;Wh;4\n"
    "3;3;40005;2;;State;;1;0;;8\n4;3;40007;2;;Nominal power;;1;0;W;1\n"
)
_TABLE: Final = (
    "# Packets\nModbus_RequestsTables={\n1;request;3;0;0;4;1;2\n}\nModbus_VariablesTables={\n1;1;Pac;3;2;1;;;1;0;W;4\n}\n"
)
_WEBDYN: Final = (
    "SNINV;2110012345;001\nTypeINV;maker.ini\n3;1;2;3\n01/07/24-12:10:00;402;81230;903\n01/07/24-12:20:00;408;81300;898\n"
    "SNINV;ADDR08;002\nTypeINV;maker.ini\n3;1;2;3\n01/07/24-12:10:00;399;77100;901\n"
)
_WEBDYN_PM: Final = "DEVICEINDEX;0\nmodbusTCP;pm.csv\n3;1;2;3\n01/07/24-12:10:00;300;400;350;8123;512\n"
_WEBDYN_TIC: Final = (
    "SNTIC;041876097654;001\nTypeTIC;tic.csv\n4;EAST;EAIT;SINSTS;NGTF\n01/07/24-12:10:00;012345678;003210987;00910;BASE\n"
)
_SOLAR_LOG: Final = (
    'm[mi++]="01.07.24 12:05:00|3120;1590;1600;14250;402;398|2980;3050;13980;405"\n'
    'm[mi++]="01.07.24 12:00:00|3098;1580;1590;13990;401;399|2950;3020;13735;406"\n'
)
_SOLAR_LOG_PLANT: Final = (
    "var AnlagenKWP=9300\nvar AnzahlWR = 2\nvar WRInfo = new Array(AnzahlWR)\n"
    'WRInfo[0]=new Array("WR42MS05","1100082120",4100,1,"Süddach, oben",2,null,null,4200,null,1,0,0,972,null)\n'
    'WRInfo[0][6]=new Array("Orange","Grün")\n'
    'WRInfo[1]=new Array("WR21TL06","2000132324",2100,1,"SB 2100TL",1,null,null,2100,null,1,0,0,972,null)\n'
)
_SENML: Final = (
    b'[{"bn":"urn:dev:mac:0024be:inv1:","bt":1700000000,"n":"p","u":"W","v":1234.5},{"n":"e","u":"Wh","v":18250340}]'
)
_SENML_CBOR: Final = bytes.fromhex(
    "82a521781875726e3a6465763a6d61633a3030323462653a696e76313a221a6553f10000617001615702fb40934a0000000000a300616501625768"
    "021a01167a64"
)
_POWERFLOW: Final = {"Site": {"P_PV": 3_000, "P_Grid": -1_200.5, "P_Load": -800, "P_Akku": None, "E_Total": 9_000_000}}
_MADE: Final = {"inverter/1": _channels(EnergyReal_WAC_Sum_Produced={"43200": 251.5, "43500": 249.0, "43800": None})}
_METER: Final = {
    "meter:15480258": _channels(
        EnergyReal_WAC_Plus_Absolute={"43200": 1_739_327}, EnergyReal_WAC_Minus_Absolute={"43200": 739_014}
    )
}

# By a name for each; those that are the typical one of a format have the format's.
FILES: Final[dict[str, Sample]] = {
    **{each: Sample(each, text.encode()) for each, text in (wide_samples.SAMPLES | _ENEDIS).items()},
    "sma-csv1-month": Sample("sma-csv1", wide_samples.SMA_MONTH.encode()),
    "sbfspot-spot": Sample("sbfspot", wide_samples.SBFSPOT_SPOT.encode()),
    "enedis-r64-json": Sample("enedis-r6x-json", _R64_JSON.encode()),
    "tic-log": Sample("tic-log", (_linky("E240701120000", 12_345_678) + _linky("E240701120002", 12_345_679)).encode()),
    "tic-log-framed": Sample("tic-log", (_framed(_linky("E240701120000", 12_345_678)) * 2).encode()),
    "tic-log-historic": Sample(
        "tic-log",
        "".join(
            _tic(None, f"2024-07-01T12:0{n}:00+02:00 ", ADCO="041876097654", HCHC="004500000", HCHP=f"00670000{n}")
            for n in range(3)
        ).encode(),
    ),
    "webdyn": Sample("webdyn", _WEBDYN.encode(), "WPM0A1B2C_INV_240702_000512.csv", {"maker.ini": INI}),
    "webdyn-pm": Sample("webdyn", _WEBDYN_PM.encode(), "WPM0A1B2C_MODBUS_240702_000512.csv", {"pm.csv": PM}),
    "webdyn-tic": Sample("webdyn", _WEBDYN_TIC.encode(), "WPM0A1B2C_TIC_240702_000512.csv"),
    "webdyn-definition": Sample("webdyn-definition", INI.encode(), "DEF/maker.ini"),
    "webdyn-definition-pm": Sample("webdyn-definition", PM.encode(), "DEF/pm.csv"),
    "webdyn-definition-table": Sample("webdyn-definition", _TABLE.encode(), "DEF/table.ini"),
    "webdyn-notice": Sample("webdyn-notice", b"24/07/01-12:00:00;GATEWAY;POWER OFF\n24/07/01-12:10:00;IO;Slave 1;12\n"),
    "webdyn-notice-config": Sample("webdyn-notice", b"NTP_TimeZone=1\nFTP_Addr=192.0.2.1\nFTP_Login=x\n"),
    "solar-log": Sample("solar-log", _SOLAR_LOG.encode(), definitions={"base_vars": _SOLAR_LOG_PLANT}),
    "solar-log-plant": Sample("solar-log", _SOLAR_LOG_PLANT.encode()),
    "solar-log-days": Sample("solar-log", b'da[dx++]="01.07.24|61200;4800|58110;4700"\nda[dx++]="31.03.24|23000;3000|"\n'),
    "fronius": Sample("fronius", _fronius(_MADE)),
    "fronius-meter": Sample("fronius", _fronius(_METER)),
    "fronius-now": Sample("fronius", _fronius(_POWERFLOW)),
    "senml": Sample("senml", _SENML),
    "senml-cbor": Sample("senml", _SENML_CBOR),
}  # fmt: skip

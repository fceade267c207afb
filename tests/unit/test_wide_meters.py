"""Enphase, Shelly EM, Schneider, and SolarPerform's own CSV. Values are made up."""

import pytest

from fleet.codecs.files import enphase, own_csv, schneider, shelly_csv
from fleet.codecs.files.reading import FileFormat, ReadingSettings
from tests.file_reading import Reading, at, read
from tests.samples.wide_samples import AUTUMN, ENPHASE, OWN, SCHNEIDER, SHELLY, SPRING, clock, instants, values

NOON = at("2024-07-01T12:00:00+02:00")
HOUR, MINUTE = 3_600_000, 60_000


def told(file_format: FileFormat, text: str | bytes, *, chunk: int = 1 << 16, **kept: object) -> Reading:
    raw = text.encode() if isinstance(text, str) else text
    return read(file_format, raw, chunk=chunk, settings=ReadingSettings(**kept))  # type: ignore[arg-type]


# Enphase ----------------------------------------------------------------------------------------------------------


def test_enphase_times_begin_their_hour() -> None:
    found = told(enphase.FORMAT, ENPHASE)
    assert found.refusals == []
    assert found.rows[None] == {
        at(f"2024-07-14T{hour}:00:00+02:00"): {
            "pv_interval_wh": pv, "import_interval_wh": drawn, "export_interval_wh": fed, "interval_s": 3600.0
        }
        for hour, pv, drawn, fed in ((13, 1500.0, 100.0, 700.0), (14, 1600.0, 0.0, 800.0), (15, 1400.0, 0.0, 600.0))
    }  # fmt: skip


def test_enphase_quarters_days_and_offsets() -> None:
    quarters = "Date/Time,Energy Produced (Wh)\n" + "".join(f"07/14/2024 12:{minute},5\n" for minute in ("00", "15", "30"))
    assert {row["interval_s"] for row in told(enphase.FORMAT, quarters).rows[None].values()} == {900.0}
    days = "Date/Time,Energy Produced (Wh)\n2016-07-29 00:00:00 -0500,2956\n2016-07-30 00:00:00 -0500,9468\n"
    assert told(enphase.FORMAT, days).rows[None] == {
        at("2016-07-30T00:00:00-05:00"): {"pv_interval_wh": 2956.0, "interval_s": 86_400.0},
        at("2016-07-31T00:00:00-05:00"): {"pv_interval_wh": 9468.0, "interval_s": 86_400.0},
    }


@pytest.mark.parametrize("kind", ["AC Batteries", "batteries"])
def test_enphase_what_batteries_took_and_gave(kind: str) -> None:
    text = (
        f"Date/Time,Energy Produced (Wh),Energy Consumed (Wh),Stored in {kind} (Wh),Discharged from {kind} (Wh)\n"
        "2024-07-01 12:00:00 +0000,250,20,41,0\n2024-07-01 12:15:00 +0000,0,20,0,35\n"
    )
    found = told(enphase.FORMAT, text)
    assert found.refusals == []
    assert values(found, "charge_interval_wh") == [41.0, 0.0]
    assert values(found, "discharge_interval_wh") == [0.0, 35.0]


def test_enphase_day_or_month_first() -> None:
    def hours(*dates: str) -> str:
        return "Date/Time,Energy Produced (Wh)\n" + "".join(
            f"{date} {hour:02}:00,1\n" for date in dates for hour in range(24)
        )

    assert min(told(enphase.FORMAT, hours("14/07/2024")).rows[None]) == at("2024-07-14T01:00:00+02:00")
    assert min(told(enphase.FORMAT, hours("07/01/2024", "07/02/2024", "07/03/2024")).rows[None]) == at(
        "2024-07-01T01:00:00+02:00"
    )
    doubtful = told(enphase.FORMAT, hours("07/01/2024"))
    assert doubtful.unreadable is not None
    assert (doubtful.unreadable.code, doubtful.unreadable.text) == ("ambiguous_date", "07/01/2024 00:00")
    assert min(told(enphase.FORMAT, hours("07/01/2024"), date_order="dmy").rows[None]) == at("2024-01-07T01:00:00+01:00")


@pytest.mark.parametrize(("day", "hours"), [(SPRING, 23), (AUTUMN, 25)])
def test_enphase_the_hour_from_two(day: object, hours: int) -> None:
    starts = instants(day, 60)  # type: ignore[arg-type]
    text = "Date/Time,Energy Produced (Wh)\n" + "".join(f"{clock(t, '%m/%d/%Y %H:%M')},{n}\n" for n, t in enumerate(starts))
    found = told(enphase.FORMAT, text)
    assert len(starts) == hours
    assert found.rows[None] == {t + HOUR: {"pv_interval_wh": float(n), "interval_s": 3600.0} for n, t in enumerate(starts)}


# Shelly -----------------------------------------------------------------------------------------------------------


def test_shelly_in_utc_ten_minutes_then_one_glued_and_repeated() -> None:
    found = told(shelly_csv.FORMAT, SHELLY)
    ten = at("2024-07-01T10:00:00+00:00")
    assert found.rows[None] == {
        ten + 10 * MINUTE: {"import_interval_wh": 100.5, "export_interval_wh": 0.0, "interval_s": 600.0},
        ten + 20 * MINUTE: {"import_interval_wh": 90.0, "export_interval_wh": 1.0, "interval_s": 600.0},
        ten + 21 * MINUTE: {"import_interval_wh": 9.0, "export_interval_wh": 0.5, "interval_s": 60.0},
        ten + 22 * MINUTE: {"import_interval_wh": 8.0, "export_interval_wh": 0.25, "interval_s": 60.0},
        ten + 23 * MINUTE: {"import_interval_wh": 7.0, "export_interval_wh": 0.0, "interval_s": 60.0},
    }


def test_shelly_what_a_clamp_measures_is_set() -> None:
    assert "pv_interval_wh" in next(iter(told(shelly_csv.FORMAT, SHELLY, role="pv").rows[None].values()))
    battery = next(iter(told(shelly_csv.FORMAT, SHELLY, role="battery").rows[None].values()))
    assert {"charge_interval_wh", "discharge_interval_wh"} <= battery.keys()
    load = told(shelly_csv.FORMAT, SHELLY, role="load")
    assert load.unreadable is not None
    assert load.unreadable.code == "role_without_energy"


def test_shelly_phases_are_added_up_or_are_clamps_of_their_own() -> None:
    three = "Date/time UTC," + ",".join(f"Active energy Wh ({phase}),Returned energy Wh ({phase})" for phase in "ABC") + "\n"
    rows = "".join(f"2024-07-01 10:0{minute},1,0,2,0,3,0.5\n" for minute in range(3))
    assert values(told(shelly_csv.FORMAT, three + rows), "import_interval_wh") == [6.0] * 3
    assert values(told(shelly_csv.FORMAT, three + rows), "export_interval_wh") == [0.5] * 3
    alone = told(shelly_csv.FORMAT, SHELLY.replace("(A)", "(B)"))
    assert alone.rows.keys() == {"phase-B"}


def test_shelly_em_numbers_its_clamps() -> None:
    text = "Date/time UTC,Active energy Wh (1),Returned energy Wh (1),Min V,Max V\n" + "".join(
        f"2024-07-01 10:{minute}0,12.50,0.25,231.0,234.0\n" for minute in range(3)
    )
    assert shelly_csv.FORMAT.recognises(text.encode())
    ten_past = at("2024-07-01T10:10:00+00:00")
    assert told(shelly_csv.FORMAT, text).rows[None][ten_past] == {
        "import_interval_wh": 12.5, "export_interval_wh": 0.25, "interval_s": 600.0,
    }  # fmt: skip
    assert told(shelly_csv.FORMAT, text.replace("(1)", "(2)")).rows.keys() == {"clamp-2"}
    assert told(shelly_csv.FORMAT, text.replace(" (1)", "")).rows.keys() == {None}
    local = shelly_csv.FORMAT.local
    assert local is not None
    assert all(local.fullmatch(serial) for serial in ("clamp-2", "phase-B"))  # every house has such


def test_shelly_has_no_summer_time() -> None:
    starts = instants(SPRING, 10)
    text = SHELLY.splitlines()[0] + "\n" + "".join(f"{clock(t, '%Y-%m-%d %H:%M', 'UTC')},1,0\n" for t in starts)
    assert sorted(told(shelly_csv.FORMAT, text, timezone="Europe/Paris").rows[None]) == [t + 10 * MINUTE for t in starts]


# Schneider --------------------------------------------------------------------------------------------------------


def test_schneider_local_time_less_its_offset() -> None:
    found = told(schneider.FORMAT, SCHNEIDER)
    assert found.refusals == []  # an invalid row without values says nothing
    assert found.rows == {
        "00001/modbus-3": {
            at("2024-07-01T12:10:00+02:00"): {
                "import_energy_wh": 15203100.0,
                "grid_power_w": 8120.0,
                "ac_voltage_v_l1": 230.1,
            }
        }
    }


def test_schneider_without_the_lines_above() -> None:
    bare = SCHNEIDER[SCHNEIDER.index("Error,") :]
    assert schneider.FORMAT.recognises(bare.encode())
    assert told(schneider.FORMAT, bare).rows == {None: told(schneider.FORMAT, SCHNEIDER).rows["00001/modbus-3"]}


def test_schneider_what_the_meter_measures_is_set() -> None:
    row = next(iter(told(schneider.FORMAT, SCHNEIDER, role="pv").rows["00001/modbus-3"].values()))
    assert row == {"pv_energy_wh": 15203100.0, "pv_power_w": 8120.0, "ac_voltage_v_l1": 230.1}
    both = SCHNEIDER.replace(
        "Active Energy (Wh),Active Power (W)",
        "Active Energy Delivered (Into Load) (kWh),Active Energy Received (Out of Load) (kWh)",
    )
    row = next(iter(told(schneider.FORMAT, both).rows["00001/modbus-3"].values()))
    assert (row["import_energy_wh"], row["export_energy_wh"]) == (15203100000.0, 8120000.0)


def test_schneider_invalid_rows_and_bad_offsets() -> None:
    found = told(
        schneider.FORMAT,
        SCHNEIDER + "19,120,2024-07-01 12:30:00,5,,,\n0,x,2024-07-01 12:40:00,5,,,\n0,120,nonsense,5,,,\n0,12",
    )
    assert [(each.code, each.line) for each in found.refusals] == [
        ("marked_invalid", 10), ("bad_time", 11), ("bad_time", 12), ("wrong_field_count", 13),
    ]  # fmt: skip


@pytest.mark.parametrize("day", [SPRING, AUTUMN])
@pytest.mark.parametrize("form", ["%Y-%m-%d %H:%M:%S", "%d/%m/%Y %H:%M:%S", "%d-%m-%Y %H:%M:%S"])
def test_schneider_the_hours_of_summer_time(day: object, form: str) -> None:
    expected = instants(day, 10)  # type: ignore[arg-type]
    above = SCHNEIDER[: SCHNEIDER.index("0,120")]
    rows = "".join(f"0,{int(clock(t, '%z')[1:3]) * 60},{clock(t, form)},{n},,,\n" for n, t in enumerate(expected))
    found = told(schneider.FORMAT, above + rows)
    assert values(found, "import_energy_wh", "00001/modbus-3") == [float(n) for n in range(len(expected))]
    assert sorted(found.rows["00001/modbus-3"]) == expected


# own --------------------------------------------------------------------------------------------------------------


def test_own_measures_by_their_names() -> None:
    unix = told(
        own_csv.FORMAT,
        "time;serial;pv_power_w;pv_energy_wh\n1719828000000;INV-1;1500.5;18231445\n1719828000000;INV-2;;18000000\n",
    )
    assert unix.rows == {
        "INV-1": {NOON: {"pv_power_w": 1500.5, "pv_energy_wh": 18231445.0}},
        "INV-2": {NOON: {"pv_energy_wh": 18000000.0}},
    }
    iso = "time,pv_power_w\n2024-07-01T12:00:00+02:00,1\n2024-07-01T10:05:00Z,2\n2024-07-01T10:10:00.000+00:00,3\n"
    assert told(own_csv.FORMAT, iso).rows == {None: {NOON + n * 300_000: {"pv_power_w": n + 1.0} for n in range(3)}}


@pytest.mark.parametrize("chunk", [1 << 16, 20, 1])
@pytest.mark.parametrize("before", ["", "\n \n", "yesterday,INV-1,3,\n", "1719828000000.0,INV-1,3,\n"])
def test_own_times_are_of_unix_or_of_a_calendar_row_by_row(before: str, chunk: int) -> None:
    """Also where the row that shows how times are written is none, and however the file is cut into pieces."""
    found = told(own_csv.FORMAT, OWN.replace("2024", before + "2024", 1), chunk=chunk)
    assert found.codes == (["bad_time"] if before.startswith("yesterday") else [])
    assert sorted(found.rows["INV-1"]) == [NOON, NOON + 5 * MINUTE]


def test_own_times_with_an_offset_and_without_do_not_mix() -> None:
    text = "time,pv_power_w\n2024-07-01 12:00:00,1\n1719828300000,2\n2024-07-01T12:10:00Z,2\n20240701,5\n"
    found = told(own_csv.FORMAT, text)
    assert (found.codes, list(found.rows[None])) == (["bad_time", "bad_time"], [NOON, at("2024-07-01T00:00:00+02:00")])


def test_own_local_times_are_the_loggers() -> None:
    starts = instants(AUTUMN, 15)
    text = "time,pv_power_w\n" + "".join(f"{clock(t, '%Y-%m-%dT%H:%M:%S')},{n}\n" for n, t in enumerate(starts))
    found = told(own_csv.FORMAT, text)
    assert found.rows[None] == {t: {"pv_power_w": float(n)} for n, t in enumerate(starts)}


def test_own_refuses_line_by_line() -> None:
    text = (
        "time,serial,pv_power_w\n1719828000000,INV-1,1\n1719828060000,INV-1,x\n1719828120000,INV-1\nyesterday,INV-1,3\n"
        "1719828180000,INV-1,inf\n1719828240000,INV_2,4\n-5,INV-1,5\n99999999999999999999,INV-1,5\n1719828300000,,6\n17198283"
    )
    for chunk in (1 << 16, 40):
        found = told(own_csv.FORMAT, text, chunk=chunk)
        assert sorted((each.line, each.code) for each in found.refusals) == [
            (3, "bad_number"), (4, "wrong_field_count"), (5, "bad_time"), (6, "bad_number"), (8, "bad_time"),
            (9, "bad_time"), (11, "wrong_field_count"),
        ]  # fmt: skip
        assert (values(found, "pv_power_w", "INV-1"), values(found, "pv_power_w", "INV_2")) == ([1.0], [4.0])
        assert values(found, "pv_power_w") == [6.0]


def test_own_glued_files_bring_their_headings() -> None:
    text = "time,pv_power_w\n1719828000000,1\n\ufefftime,grid_power_w,pv_power_w\n1719828060000,5,2\n"
    for chunk in (1 << 16, 30):
        found = told(own_csv.FORMAT, text, chunk=chunk)
        assert found.rows == {None: {NOON: {"pv_power_w": 1.0}, NOON + MINUTE: {"grid_power_w": 5.0, "pv_power_w": 2.0}}}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "time\n",
        "time,apples\n",
        "time,serial\n",
        "pv_power_w,time\n",
        "time,pv_power_w,pv_power_w\n",
        "a;b\n",
        "TIME;\n",
    ],
)
def test_own_is_strict_about_its_heading(text: str) -> None:
    assert not own_csv.FORMAT.recognises(text.encode())
    assert told(own_csv.FORMAT, text).unreadable is not None


def test_own_many_devices_many_rows() -> None:
    rows = [f"{1_700_000_000_000 + n * 1000},D-{n % 7},{n}" for n in range(50_000)]
    found = told(own_csv.FORMAT, "t\tserial\tpv_power_w\n" + "\n".join(rows).replace(",", "\t"))
    assert sum(len(device) for device in found.rows.values()) == len(found.order) == 50_000
    assert found.rows["D-3"][1_700_000_003_000] == {"pv_power_w": 3.0}
    too_many = "time,serial,pv_power_w\n" + "".join(f"1719828000000,D-{n},1\n" for n in range(501))
    refused = told(own_csv.FORMAT, too_many)
    assert refused.unreadable is not None
    assert refused.unreadable.code == "too_many_serials"

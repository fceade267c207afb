"""Composed files of the formats of rows and columns, with made-up values; and local times of a whole day to fill more."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from fleet.calendar import day_bounds
from fleet.codecs.files.reading import ReadingSettings
from fleet.codecs.files.wide_csv import WideCsv, wide_format
from tests.file_reading import Reading, read

PARIS = "Europe/Paris"
SPRING, AUTUMN = date(2024, 3, 31), date(2024, 10, 27)

OWN = """time,serial,pv_power_w,pv_energy_wh
2024-07-01T12:00:00+02:00,INV-1,1500.5,18231445
2024-07-01T12:00:00+02:00,INV-2,,18000000
1719828300000,INV-1,1490,18231570
"""
HUAWEI_COLUMNS = (
    "#Time;Upv1;Upv2;Ipv1;Ipv2;Uac1;Uac2;Uac3;Iac1;Iac2;Iac3;Status;Error;Temp;cos;fac;Pac;Qac;Eac;E-Day;E-Total;Cycle Time"
)
HUAWEI = f"""#SmartLogger ESN:102100000001
#INV1 ESN:210100000000000001
{HUAWEI_COLUMNS}
2024-07-01 12:05:00;601.2;598.8;4.1;4.0;230.1;229.8;230.4;28.2;28.0;27.9;512;0;48.1;0.999;50.01;19.210;0.000;1.58;61.20;150610.40;5;
2024-07-01 12:00:00;600.9;597.7;4.1;4.0;230.0;229.9;230.2;28.1;28.0;27.8;512;0;48.0;0.999;50.00;19.105;0.000;1.60;59.62;150608.82;5;
#INV2 ESN:210100000000000002
#Time;Upv1;Ipv1;Pac;Eac;Cycle Time
2024-07-01 12:05:00;601.2;4.1;9.210;0.77;5;
2024-07-01 12:00:00;600.9;4.1;9.105;0.76;5;
2024-07-01 06:00:00;600.9;4.1;0.105;0.02;295;
2024-07-01 00:00:00;0;0;0;0;0;
#EMI1 ESN:310100000000000001
#Time;Irradiance;Tamb
2024-07-01 12:05:00;801;24;
2024-07-01 12:00:00;802;24;
"""  # noqa: E501 - lines of the file
SMA_CSV1 = """sep=;
Version CSV1|Tool SE|Linebreaks CR/LF|Delimiter semicolon|Decimalpoint comma|Precision 3

;SN: 2100000001;SN: 2100000001;SN: 2100000002;SN: 2100000002
;SB 5000TL-20;SB 5000TL-20;SB 3000TL-21;SB 3000TL-21
;2100000001;2100000001;2100000002;2100000002
;Gesamtertrag;Leistung;Gesamtertrag;Leistung
;Counter;Analog;Counter;Analog
dd.MM.yyyy HH:mm;kWh;kW;kWh;kW
01.07.2024 00:00;12340,000
01.07.2024 12:00;12345,678;3,204;9345,678;2,204
01.07.2024 12:05;12345,940;3,144;;
"""
SMA_MONTH = """sep=;
Version CSV1|Tool SE|Linebreaks CR/LF|Delimiter semicolon|Decimalpoint dot|Precision 3

;SN: 2100000001;SN: 2100000001
;SB 5000TL-20;SB 5000TL-20
;2100000001;2100000001
;Total yield;Day yield
;Counter;Analog
dd/MM/yyyy;kWh;kWh
30/03/2024;7510.496;6.423
31/03/2024;7523.845;13.349
27/10/2024;9523.845;3.349
"""
SMA_CSV3 = """\ufeffsep=,
Version CSV3|Tool WebUI|Linebreaks CR/LF|Delimiter comma

,SN: 3000000001,SN: 3000000001,SN: 3000000001,SN: 3000000001,SN: 3000000001
,STP 8.0,STP 8.0,STP 8.0,STP 8.0,STP 8.0
,3000000001,3000000001,3000000001,3000000001,3000000001
,Metering.TotWhOut,GridMs.TotW (Avg),DcMs.Watt,DcMs.Watt,Operation.Health
,Analog,Analog,Analog,Analog,Status
DD.MM.YYYY hh:mm:ss,[Wh],[W],[W],[W],
01.07.2024 14:00:00,1000450,3000.5,1500,1600,Ok
01.07.2024 14:05:00,1000700,NaN,NaNStt,NoneMsg,Ok
"""
SBFSPOT = """sep=;
Version CSV1|Tool SBFspot3.9.7 (Linux)|Linebreaks LF|Delimiter semicolon|Decimalpoint comma|Precision 3

;SN2100000001;SN2100000001
;SB 5000TL-20;SB 5000TL-20
;2100000001;2100000001
;Total yield;Power
;Counter;Analog
dd/MM/yyyy HH:mm:ss;kWh;kW
01/07/2024 12:00:00;12345,678;3,204
01/07/2024 12:05:00;12345,940;3,144
"""
SBFSPOT_SPOT = """sep=;
Version CSV1|Tool SBFspot3.9.7 (Linux)|Linebreaks LF|Delimiter semicolon|Decimalpoint comma|Precision 3

;;;;Watt;Amp;Volt;Watt;kWh;kWh;Hz;degC
dd/MM/yyyy HH:mm:ss;DeviceName;DeviceType;Serial;Pdc1;Idc1;Udc1;PacTot;EToday;ETotal;Frequency;Temperature
01/07/2024 12:00:00;SN2100000001;SB 5000TL-20;2100000001;1500,000;3,800;395,100;2950,000;12,340;12345,940;50,010;41,200
01/07/2024 12:00:00;SN2100000002;SB 3000TL-21;2100000002;1400,000;3,700;394,100;1350,000;9,340;9345,940;50,010;40,200
"""
SOLAR_LOG_CSV = (
    "#Date;Time;INV;Pac;DaySum;Status;Error;Pdc1;Udc1;Uac;Idc1;Iac;INV;Pac;DaySum;Status;Error;Pdc1;Udc1;Uac;Idc1;Iac\r\n"
    "01/07/24;2:30:00 PM;1;941;4546;7;0;990;228;252;4457;3720;2;900;4000;7;0;950;220;250;4300;3600\r\n"
    "01/07/24;2:35:00 PM;1;951;4625;7;0;990;229;252;4457;3720;2;910;4075;7;0;950;221;250;4300;3600\r\n"
)
ENPHASE = """Date/Time,Energy Produced (Wh),Energy Consumed (Wh),Exported to Grid (Wh),Imported from Grid (Wh)
07/14/2024 12:00,1500,900,700,100
07/14/2024 13:00,1600,800,800,0
07/14/2024 14:00,1400,800,600,0
Total,4500,2500,2100,100
"""
SHELLY = """Date/time UTC,Active energy Wh (A),Returned energy Wh (A)
2024-07-01 10:00,100.5,0.0
2024-07-01 10:10,90.0,1.0
2024-07-01 10:20,9.0,0.5
2024-07-01 10:21,8.0,0.25
2024-07-01 10:22,7.0,0.0
2024-07-01 10:00,100.5,0.0
2024-07-01 10:10,90.0,1.0
"""
SCHNEIDER = """Gateway Name,Gateway SN,Gateway IP Address,Gateway MAC Address,Device Name,Device Local ID,Device Type ID,Device Type Name,Logging Interval,Historical Intervals
PAS600,00001,192.0.2.5,00:00:00:00:00:00,Meter PV,modbus:3,x,y,10,0

,,,Topic ID1,Topic ID2,Topic ID3,Topic ID4
,,,1603,1703,1020,1003

Error,UTC Offset (minutes),Local Time Stamp,Active Energy (Wh),Active Power (W),Voltage L1-N,Active Power Demand (W)
0,120,2024-07-01 12:10:00,15203100,8120,230.1,8000
19,120,2024-07-01 12:20:00,,,,
"""  # noqa: E501 - one line of the file
SAMPLES = {
    "solarperform-csv": OWN,
    "huawei-smartlogger": HUAWEI,
    "sma-csv1": SMA_CSV1,
    "sma-csv3": SMA_CSV3,
    "sbfspot": SBFSPOT,
    "solar-log-csv": SOLAR_LOG_CSV,
    "enphase-report": ENPHASE,
    "shelly-em-csv": SHELLY,
    "schneider-panel-server": SCHNEIDER,
}


def instants(day: date, step_minutes: int, zone: str = PARIS) -> list[int]:
    start, end = day_bounds(day, zone)
    return list(range(start, end, step_minutes * 60_000))


def clock(t: int, form: str, zone: str = PARIS) -> str:
    """What a clock on the wall shows then."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=t)).astimezone(ZoneInfo(zone)).strftime(form)


def told(declaration: WideCsv, text: str | bytes, *, chunk: int = 1 << 16, **kept: object) -> Reading:
    raw = text if isinstance(text, bytes) else text.encode()
    return read(wide_format("x", "x", "x", "logger", declaration), raw, chunk=chunk, settings=ReadingSettings(**kept))  # type: ignore[arg-type]


def values(found: Reading, measure: str, serial: str | None = None) -> list[float]:
    rows = found.rows.get(serial, {})
    return [rows[t][measure] for t in sorted(rows) if measure in rows[t]]

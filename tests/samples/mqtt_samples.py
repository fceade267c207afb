"""One house's messages in each format that needs no memory: shapes as documented, values made up. By the codec's name."""

from typing import Any

import msgspec

Messages = list[tuple[str, bytes]]


def _json(topic: str, told: Any) -> tuple[str, bytes]:
    return topic, msgspec.json.encode(told)


EM = {"id": 0, "a_act_power": -812.4, "a_voltage": 236.1, "total_act_power": -812.4, "n_current": None}
PLUG = {
    "id": "0", "output": True, "apower": -412.5, "voltage": 236.0, "current": 1.78, "freq": 50.0,
    "aenergy": {"total": 12_345.678, "by_minute": [0.0, 1.0, 2.0], "minute_ts": 1_719_828_300},
    "ret_aenergy": {"total": 12_000.5, "by_minute": [0.0, 1.0, 2.0], "minute_ts": 1_719_828_300},
}  # fmt: skip
ZLINKY = {
    "current_date": "E240701143005", "current_summ_delivered": 12345.68, "current_summ_received": 3210.99,
    "current_tier1_summ_delivered": 7000, "current_tier2_summ_delivered": 5345.68, "apparent_power": 0,
    "injected_v_a": 1840, "active_power": 312, "active_power_ph_b": 290, "rms_voltage": 236, "linkquality": 120,
}  # fmt: skip
TASMOTA_ENERGY = {
    "TotalStartTime": "2024-01-01T00:00:00", "Total": 123.456, "Yesterday": 1.2, "Today": 0.8, "Period": 12,
    "Power": -812, "ApparentPower": 830, "ReactivePower": 120, "Factor": 0.98, "Voltage": 236, "Current": 3.4,
}  # fmt: skip
TIC = {
    "ADCO": "021528603314", "OPTARIF": "HC..", "ISOUSC": 30, "HCHC": 4_500_000, "HCHP": "006700000", "PTEC": "HP..",
    "IINST": 4, "PAPP": "00910", "HHPHC": "A",
}  # fmt: skip
BERNAERTS = {
    "METER": {"PH": 1, "ISUB": 45, "PSUB": 9000, "P": 0, "W": 0, "I": 7.8, "U1": 236, "P1": 0, "W1": 0, "I1": 7.8,
              "PP": 1840, "PW": 1712, "TDAY": 1_200, "PTDAY": 9_300},
    "CONTRACT": {"serial": "021528603314", "name": "TEMPO", "period": "HPJB", "CONSO": 12_345_678, "PROD": 3_210_987,
                 "HPJB": 7_000_000},
}  # fmt: skip
TELEINFO2MQTT = {
    "ADSC": {"raw": "021528603314", "value": 21528603314},
    "DATE": {"raw": "", "value": "", "timestamp": {"date": "2024-07-01T14:30:00.000Z", "dst": "summer"}},
    "EAST": {"raw": "012345678", "value": 12345678},
    "EAIT": {"raw": "003210987", "value": 3210987},
    "SINSTS": {"raw": "00000", "value": 0},
    "SINSTI": {"raw": "01840", "value": 1840},
    "URMS1": {"raw": "236", "value": 236},
    "PREF": {"raw": "09000", "value": 9000},
    "SMAXSN": {"raw": "02740", "value": 2740, "timestamp": {"date": "2024-07-01T08:05:31.000Z", "dst": "summer"}},
}
SBFSPOT = {
    "Timestamp": "01/07/2024 12:05:00", "SunRise": "01/07/2024 06:00:00", "InvSerial": 2100000001,
    "InvName": "SN: 2100000001", "InvStatus": "OK", "EToday": 12.340, "ETotal": 12345.940, "PACTot": 3144.000, "UDC1": 410.2,
    "IDC1": 4.1, "PDC1": 1682.0, "UAC1": 235.1, "GridFreq": 50.01, "InvTemperature": 41.2,
}  # fmt: skip
GROTT = {
    "device": "NLDDB2A0XY", "time": "2024-07-01T12:05:00", "buffered": "no",
    "values": {"datalogserial": "JPC281833B", "pvserial": "NLDDB2A0XY", "pvstatus": 1, "pvpowerin": 18_030,
               "pv1voltage": 4102, "pv1current": 44, "pv1watt": 18_030, "pv2watt:": 0, "pvpowerout": 17_490,
               "pvfrequentie": 5001, "pvgridvoltage": 2361, "pvenergytoday": 74, "pvenergytotal": 16_010,
               "totworktime": 58_000_000, "pvtemperature": 412},
}  # fmt: skip
SENML = [
    {"bn": "urn:dev:mac:0024be0000a1:", "bt": 1_719_828_600, "n": "pv_power", "u": "W", "v": 1234.5},
    {"n": "pv_energy", "u": "Wh", "v": 18_250_340},
]
WEBDYN = [
    {"device": "INV1", "serialNumber": "SN-00123", "category": "inverter", "date": "24/07/01-12:10:00",
     "timestamp": 1_719_828_600_000, "values": [
         {"name": "AC power", "value": 4021, "unit": "W"}, {"name": "Total energy", "value": 18.25, "unit": "MWh"},
     ]},
]  # fmt: skip

MESSAGES: dict[str, Messages] = {
    "opendtu": [
        ("solar/114182940773/0/power", b"312.4"),
        ("solar/114182940773/0/yieldtotal", b"1234.567"),
        ("solar/114182940773/2/voltage", b"34.1"),
    ],
    "victron": [
        _json("N/c0619ab1d2e3/grid/40/Ac/Power", {"value": -512.5}),
        _json("N/c0619ab1d2e3/pvinverter/30/Ac/Energy/Forward", {"value": 812.34}),
        _json("N/c0619ab1d2e3/battery/512/Soc", {"value": 64, "min": 0, "max": 100}),
    ],
    "shelly": [
        _json(
            "roof-em/events/rpc", {"src": "shellypro3em-0a0b", "method": "NotifyStatus", "params": {"ts": 1.0, "em:0": EM}}
        ),
        _json("roof-em/status/em:0", EM),
        _json("shellyplugsg3-0a0b0c0d0e0f/status/switch:0", PLUG),
        _json(
            "app/rpc", {"id": 1, "src": "shellyproem50-0a0b0c0d0e0f", "dst": "app", "result": {"id": 1, "act_power": 90.5}}
        ),
        ("shellies/shellyem-A1B2C3/emeter/0/power", b"-812.41"),
        ("shellies/shellyem-A1B2C3/emeter/1/total", b"18250340.2"),
        ("shellies/shellyplug-s-A1B2C3/relay/0/power", b"412.5"),
    ],
    "evcc": [
        ("evcc/site/grid/power", b"-812.4"),
        ("evcc/site/gridPower", b"-812.4"),
        ("evcc/site/pv/1/energy", b"1234.567"),
        ("evcc/site/battery/power", b"500"),
        ("evcc/site/batterySoc", b"64"),
    ],
    "ahoy": [
        ("inverter/HM-800/ch0/P_AC", b"312.4"),
        ("inverter/HM-800/ch2/U_DC", b"34.1"),
        _json("inverter/HM-800/ch0", {"U_AC": 233.3, "P_AC": 71.0, "YieldDay": 51.0, "YieldTotal": 465.294, "Temp": 19.8}),
    ],
    "tasmota": [
        _json("tele/plug/SENSOR", {"Time": "2024-07-01T12:05:00", "ENERGY": TASMOTA_ENERGY}),
        _json("stat/plug/STATUS10", {"StatusSNS": {"Time": "2024-07-01T12:05:00", "ENERGY": TASMOTA_ENERGY}}),
        _json("tele/reader/SENSOR", {"Time": "2024-07-01T12:05:00", "SML": {"Total_in": 12345.678, "Power_curr": -812}}),
        _json("tele/linky/SENSOR", {"Time": "2024-07-01T12:05:00", "ENERGY": {"Total": 1.0, "Load": 6}, "TIC": TIC}),
        _json("tele/linky/SENSOR", {"TIC": {"PAPP": 905}}),
        _json("linky/tele/SENSOR", {"Time": "2024-07-01T12:05:00", **BERNAERTS}),
        _json("tele/linky/TIC", {"ADSC": "021528603314", "EAST": "012345678", "SINSTS": "00905"}),
        _json("tele/linky/LIVE", {"METER": BERNAERTS["METER"]}),
    ],
    "tic": [
        ("teleinfokit-A1B2C3/data/PAPP", b"01580"),
        ("house/teleinfokit-A1B2C3/data/EAST", b"012345678"),
        ("WTeleInfo/021528603314/BASE", b"012345678"),
        ("teleinfokit/papp", b"1580"),
    ],
    "zlinky": [
        _json("zigbee2mqtt/linky", ZLINKY),
        _json("maison/zigbee/compteur", {"currentSummDelivered": 12_345_680, "currentSummReceived": 3_210_990}),
    ],
    "teleinfo2mqtt": [_json("teleinfo/021528603314", TELEINFO2MQTT)],
    "sbfspot": [_json("sbfspot_2100000001", SBFSPOT), _json("home/pv", SBFSPOT)],
    "grott": [_json("energy/growatt", GROTT)],
    "senml": [_json("sensors/pv", SENML)],
    "webdyn": [
        _json("WPM0A1B2C/data", WEBDYN),
        _json(
            "WPM0A1B2C/plain", {"INV1": [{"AC power": 4021, "date": "24/07/01-12:10:00", "timestamp": 1_719_828_600_000}]}
        ),
    ],
}

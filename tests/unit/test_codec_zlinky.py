"""A Linky through ZLinky and Zigbee2MQTT: tiers without a total, three phases, a clock that stands. Values are made up."""

from typing import Any

import msgspec
import pytest

from fleet.codecs.registry import decode_raw
from fleet.telemetry import RawMessage, Sample

T = 1_719_837_607_000  # 2024-07-01 12:40:07 UTC
ARRIVED = 1_719_837_600_000
TEN_MINUTES_EARLIER = 1_719_837_000_000  # 14:30 legal time


def said(told: dict[str, Any], t: int = T) -> Sample | None:
    found = decode_raw("any", RawMessage(t, "zigbee2mqtt/linky", msgspec.json.encode(told)))
    assert [each.serial for each in found] in ([], ["linky"])
    return found[0].sample if found else None


def values(told: dict[str, Any]) -> dict[str, float | None]:
    found = said(told)
    return {} if found is None else found.v


TIERS = {"current_tier1_summ_delivered": 20_479.25, "current_tier2_summ_delivered": 16_637.5}


@pytest.mark.parametrize(
    ("told", "counted"),
    [
        ({"current_tarif": "HC..", **TIERS}, 37_116_750.0),
        ({"current_tarif": "EJP.", "current_summ_delivered": None, **TIERS}, 37_116_750.0),
        ({"current_tarif": "HC..", "current_tier1_summ_delivered": 20_479.25}, None),  # the other one was not read yet
        ({"current_tarif": "HC..", "current_tier1_summ_delivered": 20_479.25, "current_tier2_summ_delivered": None}, None),
        ({"current_tarif": "BBR(", **TIERS}, None),  # four of six are missing
        ({"current_tarif": "BBR(", **{f"current_tier{n}_summ_delivered": n for n in range(1, 7)}}, 21_000.0),
        ({"current_tarif": "H PLEINE/CREUSE", **TIERS}, None),  # there is a total, which was not read yet
        ({"current_summ_delivered": 0, "current_tier1_summ_delivered": 20_479.25}, None),
        ({"currentTarif": "HC..", "currentTier1SummDelivered": 20_479, "currentTier2SummDelivered": 16_637}, 37_116.0),
    ],
)
def test_a_historic_contract_has_tiers_and_no_total(told: dict[str, Any], counted: float | None) -> None:
    assert values({**told, "apparent_power": 590}).get("import_energy_wh") == counted


PHASES = {"rms_current": 3, "rms_current_ph_b": 9, "rms_current_ph_c": 1}
VOLTAGES = {"rms_voltage": 235, "rms_voltage_ph_b": 240, "rms_voltage_ph_c": 239}


@pytest.mark.parametrize(
    ("told", "va"),
    [
        ({**PHASES, **VOLTAGES, "apparent_power": 705, "total_apparent_power": 3104}, 3104.0),
        ({**PHASES, **VOLTAGES, "apparent_power": 705}, None),  # of the first phase
        ({**PHASES, "apparent_power": 3104}, 3104.0),  # historic: of all
        ({"rms_current": 3, "rms_voltage": 235, "apparent_power": 705, "total_apparent_power": 0}, 705.0),
    ],
)
def test_on_three_phases_the_apparent_power_is_that_of_all(told: dict[str, Any], va: float | None) -> None:
    assert values({"current_summ_delivered": 12_345, **told}).get("apparent_power_va") == va


@pytest.mark.parametrize(
    ("more", "arrival", "t"),
    [
        ({}, T, TEN_MINUTES_EARLIER),
        ({}, T + 3_600_000, ARRIVED + 3_600_000),  # it stands still
        ({}, T + 7 * 86_400_000, TEN_MINUTES_EARLIER),  # recorded, and told once more
        ({"last_seen": "2024-07-01T14:40:05+02:00"}, T, TEN_MINUTES_EARLIER),
        ({"last_seen": "2024-07-02T12:40:05Z"}, T + 7 * 86_400_000, ARRIVED + 86_400_000),
    ],
)
def test_a_clock_that_stands_still_is_none(more: dict[str, Any], arrival: int, t: int) -> None:
    found = said({"current_summ_delivered": 5, "current_date": "E240701143000", **more}, arrival)
    assert found is not None
    assert found.t == t

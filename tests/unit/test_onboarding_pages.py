"""Onboarding's pages without a server: forms as they are typed, choices of profiles, checks and corrections in words."""

from itertools import product

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.guard.alarms import CODES
from fleet.commissioning import Check, CheckState, Evidence, PvArray
from fleet.errors import BadInput
from fleet.profiles import shipped
from fleet.storage.revocations import RevocationReason
from web.language import Language
from web.pages import check_words, measures, onboarding_words
from web.pages.forms import number, request_id_of
from web.pages.profile_choice import grouped, likely_profiles
from web.pages.profiles import definition_of, typed_of
from web.pages.site_form import ARRAYS_MAX, checked, compass, direction_of, form_of

LANGUAGES: tuple[Language, ...] = ("fr", "en")
STATES: tuple[CheckState, ...] = ("ok", "failed", "waiting", "later")
NOW = 1_763_800_000_000
SPACE = "\u00a0"
TYPED = {
    "name": "Martin, Crest", "owner_email": "claire@example.org", "owner_name": "Claire Martin", "owner_locale": "fr",
    "street": "12 rue des Alpes", "postcode": "26400", "town": "Crest", "latitude": "44,73", "longitude": "5.02",
    "timezone": "Europe/Paris", "pdl": "12 345 678 901 234",
    "array-0-peak_kw": "6,02", "array-0-azimuth": "135", "array-0-tilt": "30",
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("6,02", 6.02),
        ("1 234.5", 1234.5),
        ("−3", None),
        ("-3", -3.0),
        ("", None),
        ("six", None),
        ("nan", None),
        ("1e99", None),
    ],
)
def test_numbers_as_people_type_them(text: str, value: float | None) -> None:
    assert number(text) == value


def test_a_site_as_it_was_typed() -> None:
    typed, errors = checked(form_of(TYPED, "request-1"))
    assert errors == {}
    assert typed is not None
    assert (typed.address, typed.department, typed.pdl) == ("12 rue des Alpes, 26400 Crest", "26", "12345678901234")
    assert (typed.latitude, typed.longitude) == (44.73, 5.02)
    assert typed.arrays == [PvArray(6020.0, 135.0, 30.0)]


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("name", ""), ("name", "x" * 121), ("owner_email", "claire"), ("owner_name", ""), ("postcode", "2640"), ("town", ""),
        ("latitude", ""), ("latitude", "north"), ("latitude", "95"), ("longitude", "181"), ("pdl", "1234"),
        ("timezone", "Mars/Olympus"), ("array-0-peak_kw", "0"), ("array-0-azimuth", "400"), ("array-0-tilt", "-5"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_beside_its_field(field: str, text: str) -> None:
    typed, errors = checked(form_of(TYPED | {field: text}, "request-1"))
    assert typed is None
    assert list(errors) == [field]


def test_a_removed_roof_leaves_no_hole() -> None:
    fields = TYPED | {"array-4-peak_kw": "3", "array-4-azimuth": "270", "array-4-tilt": "45"}
    typed, _ = checked(form_of(fields, "request-1"))
    assert typed is not None
    assert [array.azimuth_deg for array in typed.arrays] == [135.0, 270.0]
    many = form_of({f"array-{index}-peak_kw": "1" for index in range(100)}, "request-1")
    assert len(many.arrays) == ARRAYS_MAX


@given(st.dictionaries(st.sampled_from([*TYPED, "array-1-tilt", "array-99-peak_kw"]), st.text(max_size=40)))
def test_no_form_is_too_strange_to_come_back(fields: dict[str, str]) -> None:
    typed, errors = checked(form_of(fields, "request-1"))
    assert (typed is None) == bool(errors)


def test_the_same_form_keeps_its_name() -> None:
    assert request_id_of({"request_id": "a1b2c3d4e5"}) == "a1b2c3d4e5"
    assert request_id_of({}) != request_id_of({})
    assert len(request_id_of({"request_id": "short"})) == 32


def test_directions_have_names() -> None:
    assert [direction.azimuth_deg for direction in compass()] == [315, 0, 45, 270, 90, 225, 180, 135]
    assert [direction_of(azimuth) for azimuth in (0, 359, 22, 140, 200, 360)] == [
        "north", "north", "north", "south-east", "south", "north",
    ]  # fmt: skip


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_shipped_profile_can_be_chosen(language: Language) -> None:
    groups = grouped(shipped(), language)
    assert {choice.id for group in groups for choice in group.choices} == {profile.id for profile in shipped()}
    assert all(group.choices[0].generic or not any(each.generic for each in group.choices) for group in groups)


def test_a_waiting_serial_is_guessed_by_what_it_measures() -> None:
    known = {profile.id: profile for profile in shipped()}
    measured = ["pv_power_w"]
    assert likely_profiles(known.values(), measured, known["victron-gx"])[0].id == "victron-pv"
    assert all(profile.kind != "gateway" for profile in likely_profiles(known.values(), measured, None))
    assert likely_profiles(known.values(), ["not_a_measure"], None) == []
    assert likely_profiles(known.values(), ["battery_power_w"], known["gateway"])[0].id == "battery"
    assert likely_profiles(known.values(), ["battery_power_w"], known["gateway"], "g-1/evcc/battery")[0].id == "evcc-battery"


AC = "ac_voltage_v ac_current_a ac_frequency_hz"
DC = "dc_voltage_v_1 dc_current_a_1 dc_power_w_1"
METER = "grid_power_w import_energy_wh export_energy_wh"
HYBRID = f"pv_power_w pv_energy_wh battery_soc_pct charge_energy_wh discharge_energy_wh {METER}"


@pytest.mark.parametrize(
    ("codec", "serial", "measured", "profile"),
    [
        ("shelly", "g-1/roof-em", f"{METER} ac_voltage_v_l1 ac_current_a", "shelly-em"),
        ("shelly", "g-1/plug", f"{METER} pv_power_w pv_energy_wh {AC}", "shelly-pv"),
        ("tasmota", "g-1/plug", "grid_power_w import_energy_wh pv_power_w pv_energy_wh ac_voltage_v", "tasmota-pv"),
        ("tasmota", "g-1/reader", f"{METER} ac_voltage_v_l1", "tasmota-meter"),
        ("tasmota", "g-1/tasmota_0A0B0C", "import_energy_wh apparent_power_va ac_current_a_l1", "linky-tic"),
        ("teleinfo2mqtt", "021528603314", "import_energy_wh apparent_power_va ac_current_a", "linky-tic"),
        ("tic", "teleinfokit-A1B2C3", "import_energy_wh apparent_power_va", "linky-tic"),
        ("zlinky", "g-1/compteur", "import_energy_wh export_energy_wh apparent_power_va ac_voltage_v", "linky"),
        ("opendtu", "114182940773", f"pv_power_w pv_energy_wh {AC} {DC}", "opendtu-inverter"),
        ("ahoy", "g-1/HM-600", f"pv_power_w pv_energy_wh {AC} {DC}", "ahoy-inverter"),
        ("victron", "c0619ab1d2e3/multi/0", "pv_power_w pv_energy_wh dc_voltage_v_2", "victron-pv"),
        ("victron", "c0619ab1d2e3/grid/40", f"{METER} ac_voltage_v_l1", "victron-grid"),
        ("victron", "c0619ab1d2e3/battery/512", "battery_power_w battery_soc_pct dc_voltage_v_1", "victron-battery"),
        ("evcc", "g-1/evcc/grid", "grid_power_w import_energy_wh", "evcc-grid"),
        ("evcc", "g-1/evcc/pv", "pv_power_w pv_energy_wh", "evcc-pv"),
        ("evcc", "g-1/evcc/battery", "battery_power_w battery_soc_pct", "evcc-battery"),
        ("grott", "NLDDB2A0XY", f"pv_power_w pv_energy_wh {AC} {DC} inverter_temp_c", "growatt-inverter"),
        ("grott", "NLDDB2A0XY", f"{HYBRID} battery_power_w {DC}", "growatt-hybrid"),
        ("grott", "JPC281833B", f"{METER} {AC}", "mqtt-meter"),
        ("sbfspot", "2100000001", f"pv_power_w pv_energy_wh inverter_temp_c {DC}", "sbfspot-inverter"),
        ("webdyn", "SN-00123", "pv_power_w pv_energy_wh power_factor reactive_power_var state", "mqtt-inverter"),
        ("webdyn", "MTR1", f"{METER} power_factor reactive_power_var", "mqtt-meter"),
        ("homeassistant", "g-1/inverter", f"{HYBRID} pv_day_energy_wh ac_voltage_v_l1", "mqtt-hybrid"),
        ("homeassistant", "g-1/meter0", f"{METER} ac_frequency_hz", "mqtt-meter"),
        ("sparkplug", "PLANT/INV1", "pv_power_w pv_energy_wh", "mqtt-inverter"),
        ("senml", "0024be0000a1", "irradiance_w_m2 module_temp_c", "mqtt-sensor"),
    ],
)
def test_what_waits_is_guessed_by_its_format_too(codec: str, serial: str, measured: str, profile: str) -> None:
    known = {each.id: each for each in shipped()}
    heard = measured.split()
    first = likely_profiles(known.values(), heard, known["gateway"], serial, codec)[0]
    assert first.id == profile
    # of a plug that is both, one half is left
    left = set(heard) & set(first.channels)
    assert left & {
        "pv_power_w",
        "grid_power_w",
        "battery_power_w",
        "apparent_power_va",
        "irradiance_w_m2",
        "battery_soc_pct",
    }


def test_a_file_of_a_whole_installation_is_no_plug() -> None:
    known = {each.id: each for each in shipped()}
    heard = ["pv_power_w", "grid_power_w", "import_energy_wh"]
    assert likely_profiles(known.values(), heard, known["logger"])[0].id == "imported-site"


def test_a_plug_is_the_grids_or_an_inverters() -> None:
    known = {profile.id: profile for profile in shipped()}
    measured = ["grid_power_w", "import_energy_wh", "pv_power_w", "pv_energy_wh", "ac_voltage_v", "ac_current_a"]
    likely = [each.id for each in likely_profiles(known.values(), measured, known["gateway"], "shellyplug-s-A1B2C3")]
    assert likely[:2] == ["shelly-pv", "shelly-em"]


@pytest.mark.parametrize(("language", "profile"), list(product(LANGUAGES, shipped())), ids=str)
def test_every_measure_has_its_name_and_unit(language: Language, profile: object) -> None:
    for measure in getattr(profile, "channels", ()):
        assert "_" not in measures.label(measure, language), measure
        assert measures.figure(measure, 12.0, language).text


def test_powers_stand_first() -> None:
    found = measures.readings(
        {"state": 4.0, "pv_energy_wh": 12_000.0, "pv_power_w": 4_310.0, "dc_voltage_v_2": 401.25}, "fr"
    )
    assert [str(reading.figure) for reading in found] == [
        f"4,31{SPACE}kW", f"12,0{SPACE}kWh", "4", f"401,2{SPACE}V",
    ]  # fmt: skip
    assert found[-1].label == "Tension chaîne 2"


@pytest.mark.parametrize(("language", "state"), list(product(LANGUAGES, STATES)))
def test_a_check_without_figures_still_speaks(language: Language, state: CheckState) -> None:
    for code in ("sign", "unit", "clock", "sun", "consumption"):
        said = check_words.check(Check(code, state), "Europe/Paris", NOW, language)
        assert said.title
        assert said.finding
        assert "%(" not in said.finding
        assert bool(said.todo) == (state == "failed")


def test_a_check_says_what_it_rests_on() -> None:
    evidence: Evidence = {"reason": "negative", "consumption_w": -2_400.0, "grid_power_w": -2_400.0}
    said = check_words.check(Check("consumption", "failed", evidence), "Europe/Paris", NOW, "fr")
    assert said.finding == f"La consommation ressort négative{SPACE}: -2,40{SPACE}kW."
    zone = check_words.check(
        Check("clock", "failed", {"reason": "time_zone", "clock_ahead_s": 7_200.0}), "Europe/Paris", NOW, "en"
    )
    assert zone.finding == "Its clock is wrong by +2 h: a time zone."
    dark = Check("sun", "later", {"reason": "dark", "again_at_ms": float(NOW + 3_600_000)})
    assert "Possible again from" in check_words.check(dark, "Europe/Paris", NOW, "en").finding


def test_corrections_say_what_they_do() -> None:
    def said(kind: str, measure: str, value: float) -> str:
        return onboarding_words.correction(kind, measure, value, "en")

    assert said("sign", "grid_power_w", -1) == "turn the direction of “Grid” around"
    assert said("factor", "pv_power_w", 1_000) == "multiply “Production” by 1,000"
    assert said("factor", "pv_power_w", 0.001) == "multiply “Production” by 1/1,000"
    assert said("offset", "module_temp_c", 2.5) == f"add +2.5{SPACE}°C to “Panel temperature”"
    assert said("clock", "", -7_200) == f"move its clock by −2{SPACE}h"
    assert said("clock", "", 90_061) == f"move its clock by +1{SPACE}d 1{SPACE}h 1{SPACE}min 1{SPACE}s"


@pytest.mark.parametrize("language", LANGUAGES)
def test_reasons_and_alarms_have_words(language: Language) -> None:
    for reason in RevocationReason.__args__:  # type: ignore[attr-defined]
        assert onboarding_words.revocation_reason(reason, language) != reason
    for code in CODES:
        assert "_" not in onboarding_words.alarm(code, language)
        assert onboarding_words.alarm(code, language) != code.replace("_", " ").capitalize()


@pytest.mark.parametrize("profile", shipped(), ids=lambda profile: profile.id)
def test_a_profile_comes_out_of_its_form_as_it_went_in(profile: object) -> None:
    definition = msgspec.convert(msgspec.to_builtins(profile), type(shipped()[0]))
    assert definition_of(typed_of(definition)) == definition


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "toaster"}, {"channels": "pv_power_w\nfoo_w"}, {"interval_s": "often"}, {"default_config": "{"},
        {"default_config": "[1]"}, {"site_registers": "pv_power_w"},
    ],
)  # fmt: skip
def test_a_profile_that_is_none_is_refused(change: dict[str, str]) -> None:
    typed = msgspec.structs.replace(typed_of(shipped()[0]), **change)
    with pytest.raises(BadInput):
        definition_of(typed)

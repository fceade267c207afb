"""Onboarding's pure parts: places, profiles' changes, readable ids, kept codes, the report's words and layout."""

from random import Random

import msgspec
import pytest

from certs import texts as enrolment_texts
from fleet import claim_code
from fleet.commissioning import PvArray
from fleet.corrections import Correction
from fleet.errors import BadInput, Conflict
from fleet.ids import DeviceId, SiteId, site_id
from fleet.limits import FRESH_CODE_S, FRESH_CODES_MAX
from fleet.places import ZONES, checked_zone, department_of
from fleet.profile_changes import check_profile, check_successor
from fleet.profiles import DeviceProfile, shipped
from web import report_texts
from web.errors import Taken, problem_of
from web.fresh_codes import FreshCodes
from web.new_sites import readable_id
from web.press import Press
from web.report_content import ReportCertificate, ReportCheck, ReportContent, ReportDevice, ReportSite
from web.report_print import printable, sheet

NOW = 1_763_800_000_000
METER = next(profile for profile in shipped() if profile.id == "meter")
EVIL = 'Toit "sud" #let x = 1 $y$ \\ *b* _i_ `c` @ref <l> // /* #panic() \x00\x1b ' + "é" * 1_900


@pytest.mark.parametrize(
    ("address", "department"),
    [
        ("1 rue Haute, 26400 Crest", "26"),
        ("75011 Paris", "75"),
        ("Route 12345 A, 97410 Saint-Pierre", "974"),
        ("98800 Nouméa", "988"),
        ("20000 Ajaccio", "2A"),
        ("20200 Bastia", "2B"),
        ("01000 Bourg-en-Bresse", "01"),
        ("00123 Nulle part", None),
        ("1234567 rue", None),
        ("", None),
    ],
)
def test_the_department_follows_from_the_postcode(address: str, department: str | None) -> None:
    assert department_of(address) == department


def test_time_zones_are_chosen_from_a_list_with_all_of_france() -> None:
    assert {"Europe/Paris", "Indian/Reunion", "Pacific/Noumea", "America/Martinique"} <= set(ZONES)
    assert checked_zone("Indian/Mayotte") == "Indian/Mayotte"
    with pytest.raises(BadInput, match="unknown_timezone"):
        checked_zone("Mars/Olympus")


@pytest.mark.parametrize("name", ["Mairie, toit sud", "École d'Été n° 4", "北京", "---", "x" * 120, "A"])
def test_ids_are_readable_valid_and_never_twice_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("web.new_sites.secrets", Random(7))  # of fifty real ones two are alike once in eight hundred times
    made = {readable_id(name) for _ in range(50)}
    assert len(made) == 50
    for each in made:
        assert site_id(each) == each
    assert readable_id("Mairie, toit sud").startswith("mairie-toit-sud-")
    assert readable_id("École d'Été").startswith("ecole-d-ete-")


@pytest.mark.parametrize("profile", shipped(), ids=lambda profile: profile.id)
def test_every_shipped_profile_is_sound(profile: DeviceProfile) -> None:
    check_profile(profile)


@pytest.mark.parametrize(
    "change",
    [
        {"id": "Bad Id"},
        {"label_en": "  "},
        {"channels": (*METER.channels, METER.channels[0])},
        {"interval_s": 0},
        {"interval_s": float("nan")},
        {"counter_step_wh": 0},
        {"commands": tuple(f"c{number}" for number in range(51))},
        {"default_config": {"x": "y" * 40_000}},
    ],
    ids=str,
)
def test_an_unsound_profile_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(BadInput):
        check_profile(msgspec.structs.replace(METER, **change))


def test_channels_are_only_extended_at_the_end() -> None:
    check_successor(METER, msgspec.structs.replace(METER, channels=(*METER.channels, "ac_frequency_hz"), interval_s=5))
    for channels in (METER.channels[:-1], METER.channels[::-1], ("ac_frequency_hz", *METER.channels)):
        with pytest.raises(Conflict, match="profile_channels"):
            check_successor(METER, msgspec.structs.replace(METER, channels=channels, site_registers=()))
    with pytest.raises(Conflict, match="profile_identity"):
        check_successor(METER, msgspec.structs.replace(METER, kind="inverter"))


def test_codes_are_kept_for_minutes_and_in_a_bounded_number() -> None:
    codes, first = FreshCodes(), claim_code.make()
    codes.keep(first, 0.0)
    assert codes.find(first.id, FRESH_CODE_S) == first
    assert codes.find(first.id, FRESH_CODE_S + 1) is None
    for number in range(FRESH_CODES_MAX):
        codes.keep(claim_code.make(), 1.0 + number / 1e6)
    assert codes.find(first.id, 1.0) is None


def test_who_has_the_serial_is_named_in_both_languages() -> None:
    error = Taken("serial_taken", "serial A1 is in use at this site: Compteur, met-1", "Compteur, met-1")
    for language in ("fr", "en"):
        problem = problem_of(error, language)
        assert problem.status == 409
        assert problem.detail.count("Compteur, met-1") == 1


def test_the_report_speaks_both_languages() -> None:
    french, english = report_texts.keys()
    assert french == english


def test_enrolment_has_words_for_what_a_claim_can_fail_by() -> None:
    for code in ("claim_wrong_code", "claim_locked", "csr_weak_key", "serial_taken"):
        french, english = enrolment_texts.text_of(code, "fr"), enrolment_texts.text_of(code, "en")
        assert french != english
        assert french != enrolment_texts.text_of("refused", "fr"), code


def test_text_in_print_has_no_control_characters_and_can_be_broken() -> None:
    shown = printable(EVIL)
    assert not any(ord(each) < 32 for each in shown)
    assert max(len(word) for part in shown.split("\u200b") for word in part.split()) <= 24


@pytest.mark.parametrize("language", ["fr", "en"])
async def test_whatever_people_typed_is_printed_as_text(language: str) -> None:
    document = await Press().print("report.typ", sheet(content(language, EVIL)))
    assert document.startswith(b"%PDF-")
    assert len(document) > 10_000
    printed = sheet(content(language, "Mairie"))
    assert printed.title == {"fr": "Rapport de mise en service n° 3", "en": "Commissioning report no. 3"}[language]
    assert ("Position", "44,70000" if language == "fr" else "44.70000") not in printed.site
    assert [check.state for check in printed.devices[0].checks] == ["ok", "failed"], "nothing of what does not concern it"
    assert any("HQ123" in value for _, value in printed.devices[0].facts)
    draft = sheet(msgspec.structs.replace(content(language, "Mairie"), signed_at=None, signed_name=""))
    assert draft.title != printed.title
    assert len(draft.signature) == 1


@pytest.mark.parametrize(
    ("language", "serial", "sun", "clock", "sign", "moved"),
    [
        ("fr", "inconnu", "1,23 kW", "+2 h", "(Production 3,00 kW)", "déplacées de -2 h"),
        ("en", "not known", "1.23 kW", "+2 h", "(Production 3.00 kW)", "moved by -2 h"),
    ],
)
def test_a_check_says_what_it_rests_on_and_an_unknown_serial_that_it_is(
    language: str, serial: str, sun: str, clock: str, sign: str, moved: str
) -> None:
    one = content(language, "Mairie")
    checks = [
        ReportCheck("sign", "ok", {"pv_power_w": 3_000.0, "bound_w": 9.0, "language": "x", "battery_power_w": None}),
        ReportCheck("clock", "failed", {"reason": "time_zone", "clock_ahead_s": 7_200.0}),
        ReportCheck("sun", "ok", {"pv_power_w": 1_234.0, "clear_sky_power_w": 4_000.0}),
    ]
    undone = [Correction("c1", DeviceId("inv-1"), "clock", "", -7_200, NOW, NOW)]
    device = msgspec.structs.replace(one.devices[0], serial=None, checks=checks, corrections=undone)
    printed = sheet(msgspec.structs.replace(one, devices=[device])).devices[0]
    assert serial in [value for _, value in printed.facts]
    for check, told in zip(printed.checks, (sign, clock, sun), strict=True):
        assert told in check.found.replace("\u00a0", " ")
    assert moved in printed.corrections[0]


def test_a_copy_for_others_masks_the_grid_connection_and_says_so() -> None:
    signed, copy = (dict(page.site + page.signature) for page in (
        sheet(content("en", "Mairie")), sheet(content("en", "Mairie"), masked=True)
    ))  # fmt: skip
    assert signed["Grid connection (PDL)"] == "12345678901234"
    assert copy["Grid connection (PDL)"] == "··········1234"
    assert ("Copy" in signed, "Copy" in copy) == (False, True)


async def test_a_large_site_is_printed_in_time() -> None:
    one = content("fr", "Parc")
    many = msgspec.structs.replace(one, devices=one.devices * 500)
    assert (await Press().print("report.typ", sheet(many))).startswith(b"%PDF-")


def content(language: str, text: str) -> ReportContent:
    corrections = [
        Correction("c1", DeviceId("inv-1"), "sign", "grid_power_w", -1, NOW, NOW),
        Correction("c2", DeviceId("inv-1"), "clock", "", 3_600, NOW, NOW),
        Correction("c3", DeviceId("inv-1"), "factor", "pv_power_w", 1_000, NOW, NOW),
    ]
    device = ReportDevice(
        id=DeviceId("inv-1"), name=text, kind="inverter", profile="inverter", label_fr="Onduleur", label_en="Inverter",
        serial="HQ123", gateway=text, certificate=ReportCertificate("ab" * 20, NOW, NOW + 10**10), first_at=NOW,
        first={"pv_power_w": 1_234.5}, readings_at=NOW, readings={"pv_power_w": 1_234.5, "ac_voltage_v_l1": 230.1},
        checks=[ReportCheck("sign", "ok"), ReportCheck("sun", "failed", {"reason": text}),
                ReportCheck("consumption", "not_applicable")], corrections=corrections,
    )  # fmt: skip
    site = ReportSite(
        id=SiteId("site-a"), name=text, address=text, latitude=44.7, longitude=5.0, timezone="Europe/Paris",
        peak_power_w=9_000, arrays=[PvArray(6_000, 180, 30)], pdl="12345678901234", owner=text, installer=text,
    )  # fmt: skip
    return ReportContent(
        number=3, language="en" if language == "en" else "fr", made_at=NOW, site=site, technician=text,
        technician_email="a@b.c", devices=[device], notes=text, signed_name=text, signed_at=NOW,
    )  # fmt: skip

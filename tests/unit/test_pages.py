"""What pages are made of: figures, words, periods, shares."""

import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir
from hypothesis import given
from hypothesis import strategies as st

import web
from fleet.calendar import quarter_starts
from fleet.detectors import RULES
from fleet.energy.day import SiteDay
from fleet.ids import SiteId
from fleet.views import HEALTH_ORDER
from web.i18n import say, translations
from web.language import Language
from web.pages import figures, times, words
from web.pages.assets import Assets, built_assets
from web.pages.energy import Totals, bar_series, day_series, hour_rows, summed, totals_of_day, totals_of_registers
from web.pages.labels import labels_json
from web.pages.periods import PERIODS, shown
from web.pages.rendering import Frame, environment

WEB = Path(web.__file__).parent
DAY = date(2026, 6, 21)
LANGUAGES: tuple[Language, ...] = ("fr", "en")
CASES = json.loads((WEB / "assets/test/figures.json").read_text())


@pytest.mark.parametrize("kind", ["power", "energy", "percent"])
def test_figures_read_as_they_do_in_the_islands(kind: str) -> None:
    for value, french, english in CASES[kind]:
        assert str(getattr(figures, kind)(value, "fr")) == french
        assert str(getattr(figures, kind)(value, "en")) == english


def test_every_text_has_its_french() -> None:
    method_map = [("pages/**.py", "python"), ("templates/**.html", "jinja2.ext:babel_extract")]
    keywords = {"_": None, "N_": None, "say": (2,), "say_count": (2, 3), "ngettext": (1, 2)}
    options = {"templates/**.html": {"trimmed": "true"}}
    found = {
        message[0] if isinstance(message, tuple) else message
        for _, _, message, _, _ in extract_from_dir(WEB, method_map, options, keywords)
    }
    assert len(found) > 150
    catalogue = translations("fr")._catalog
    missing = [text for text in found if text not in catalogue and (text, 0) not in catalogue]
    assert missing == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_words_stand_for_every_code_of_the_domain(language: Language) -> None:
    assert len({words.health(status, language).icon for status in HEALTH_ORDER}) == len(
        HEALTH_ORDER
    )  # shapes, not only colours
    for rule in RULES:
        assert "_" not in words.rule(rule, language)
        assert words.advice(rule, language)
    assert words.rule("new_rule", language) == "New rule"
    assert words.reason("night", "asleep", "fr") == "En veille — il fait nuit, c’est normal"


def test_labels_keep_their_gaps_in_french() -> None:
    english, french = json.loads(labels_json("en")), json.loads(labels_json("fr"))
    assert english.keys() == french.keys()
    for key, text in english.items():
        assert text.count("{") == french[key].count("{"), key


def test_moments_in_the_zone_of_the_site() -> None:
    now = 1_782_036_000_000  # 2026-06-21 10:00 UTC
    assert times.moment(now - 3_600_000, now, "Europe/Paris", "fr") == "11:00"
    assert times.moment(now - 86_400_000, now, "Europe/Paris", "fr") == "20 juin, 12:00"
    assert times.moment(now - 86_400_000, now, "America/Cayenne", "en") == "20 Jun, 07:00"
    assert times.duration(3 * 86_400, "fr") == "3 j"


@given(
    period=st.sampled_from(PERIODS),
    day=st.dates(date(2020, 1, 1), date(2030, 12, 31)),
    today=st.dates(date(2024, 1, 1), date(2027, 12, 31)),
    since=st.dates(date(2022, 1, 1), date(2024, 1, 1)),
)
def test_periods_tile_the_life_of_a_site(period: times.Period, day: date, today: date, since: date) -> None:
    here = shown(period, day, today=today, since=since)
    assert here.first <= here.last
    if here.before is not None:
        earlier = shown(period, here.before, today=today, since=since)
        assert earlier.until == here.first
    if here.after is not None:
        assert shown(period, here.after, today=today, since=since).first == here.until
    if day <= today and day >= since:
        assert here.first <= day <= here.last


def site_day(**registers: Sequence[float | None]) -> SiteDay:
    """Each register's values repeat until the day is full. `imported` stands for import, which Python keeps for itself."""
    count = len(quarter_starts(DAY, "Europe/Paris"))
    filled: dict[str, tuple[float | None, ...]] = {}
    for name, values in registers.items():
        filled[f"{name.replace('imported', 'import')}_energy_wh"] = (tuple(values) * count)[:count]
    return SiteDay(SiteId("a"), DAY, "Europe/Paris", filled, (1,) * count)


def test_shares_without_a_battery() -> None:
    totals = totals_of_day(site_day(pv=[100.0], imported=[20.0], export=[60.0]))
    assert totals.self_consumption == pytest.approx(0.4)
    assert totals.self_sufficiency == pytest.approx(40 / 60)


def test_solar_that_the_battery_keeps_is_self_consumed() -> None:
    totals = totals_of_day(site_day(pv=[100.0], imported=[0.0], export=[0.0], charge=[70.0], discharge=[0.0]))
    assert totals.self_consumption == 1.0
    assert totals.balance.own_wh == pytest.approx(96 * 30)
    assert totals.balance.pv_battery_wh == pytest.approx(96 * 70)


def test_there_is_no_rate_where_there_is_nothing_to_divide_by() -> None:
    night = totals_of_day(site_day(pv=[0.0], imported=[0.0], export=[0.0]))
    assert (night.self_consumption, night.self_sufficiency) == (None, None)
    assert Totals().empty
    assert totals_of_day(site_day(pv=[None], imported=[None], export=[None])).empty


FLOWS = st.lists(st.one_of(st.none(), st.floats(0, 5_000)), min_size=96, max_size=96)


@given(pv=FLOWS, imported=FLOWS, export=FLOWS, charge=FLOWS, discharge=FLOWS)
def test_shares_always_add_up(
    pv: list[float | None],
    imported: list[float | None],
    export: list[float | None],
    charge: list[float | None],
    discharge: list[float | None],
) -> None:
    """Whatever the meters say: no share is negative, and the consumption's parts are the consumption."""
    day = site_day(pv=pv, imported=imported, export=export, charge=charge, discharge=discharge)
    for totals in (totals_of_day(day), totals_of_registers(day.totals_wh, (0, 96, 0, 0))):
        balance = totals.balance
        parts = (balance.own_wh, balance.pv_battery_wh, balance.pv_export_wh, balance.battery_load_wh, balance.grid_load_wh)
        assert min(parts) >= -1e-6
        assert balance.own_wh + balance.battery_load_wh + balance.grid_load_wh == pytest.approx(balance.load_wh, abs=1e-6)
        assert balance.own_wh + balance.pv_battery_wh + balance.pv_export_wh <= balance.pv_wh + 1e-6
        for rate in (totals.self_consumption, totals.self_sufficiency):
            assert rate is None or -1e-9 <= rate <= 1 + 1e-9


def test_rates_of_longer_times_come_from_sums() -> None:
    sunny = totals_of_day(site_day(pv=[100.0], imported=[0.0], export=[90.0]))
    dull = totals_of_day(site_day(pv=[10.0], imported=[50.0], export=[0.0]))
    assert summed([sunny, dull]).self_consumption == pytest.approx(20 / 110)
    assert summed([]) == Totals()


def test_a_day_without_a_row_is_blank_for_as_long_as_its_clock_runs() -> None:
    for day, quarters in ((date(2026, 3, 29), 92), (date(2026, 10, 25), 100), (DAY, 96)):
        series = day_series(None, day, "Europe/Paris", 0)
        assert len(series.quality) == len(series.load) == quarters
        assert set(series.quality) == {0}


def test_the_running_quarter_is_not_drawn_as_a_drop() -> None:
    day = site_day(pv=[100.0], imported=[0.0], export=[0.0])
    now = quarter_starts(DAY, "Europe/Paris")[40] + 60_000
    series = day_series(day, DAY, "Europe/Paris", now)
    assert series.pv is not None
    assert (series.pv[39], series.pv[40], len(series.pv)) == (100.0, None, 96)
    assert series.load[40] is None
    assert day_series(day, DAY, "Europe/Paris", now + 86_400_000).pv == day.registers["pv_energy_wh"]


def test_the_table_holds_what_the_curve_holds() -> None:
    day = site_day(pv=[100.0, None], imported=[0.0], export=[0.0])
    rows = hour_rows(day, "Europe/Paris")
    assert len(rows) == 24
    assert rows[0].pv_wh == 200.0


def test_a_bar_of_nothing_known_is_no_bar() -> None:
    assert bar_series([("1", "1", None)]).own == [None]


def test_without_a_build_a_page_says_so_and_stays_readable(tmp_path: Path) -> None:
    assert built_assets(tmp_path) == Assets()
    html = (
        environment("fr")
        .get_template("login.html")
        .render(
            frame=Frame("fr", "auto", "/login", demo=False, person=None),
            assets=Assets(), labels="{}", doors=[], next_path="/", email="", refusal=None,
        )
    )  # fmt: skip
    assert "npm run build" in html
    assert "<script" not in html
    assert "Se connecter" in html


def test_an_untranslated_text_stays_english() -> None:
    assert say("fr", "never seen before") == "never seen before"

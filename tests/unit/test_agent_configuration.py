"""What the agent runs: told from afar, changed on site, and whichever way it was cut short."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.agent import files, on_site
from edge.agent.configuration import CONFIG_FILE, Configuration, SiteChanges, known_keys, obeyed, site_file
from edge.agent.home import Home
from edge.agent.inputs import InputSettings, MqttSettings, SimulatedSettings, SunspecSettings
from edge.obeying import INTERVAL
from fleet.device_setting import Setting
from fleet.errors import BadInput
from fleet.order_messages import DesiredConfig, ReportedConfig
from fleet.profiles import shipped

SETTINGS = (
    *known_keys("nobody-ships-this", ["mqtt"], 60.0),
    Setting("limit_pct", "number", "", "", 90.0, unit="%", minimum=0, maximum=100, grid_maximum=90, grid_code="here"),
    Setting("limit_enabled", "boolean", "", "", False),
    Setting("limit_w", "number", "", "", 0.0, unit="W", minimum=0, needs={"limit_enabled": True}),
    Setting("note", "text", "", "", ""),
)
DEFAULTS = {INTERVAL: 60.0, "input.mqtt": True, "limit_pct": 90.0, "limit_enabled": False, "limit_w": 0.0, "note": ""}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("LC_ALL", "C")
    return Home(tmp_path)


def opened(home: Home, **at_first: Any) -> Configuration:
    return Configuration(home.folder / CONFIG_FILE, SETTINGS, at_first)


def change(home: Home, key: str, typed: str) -> str:
    """As the command line does it: another process, which reads everything anew."""
    with on_site.Turn(home):
        return on_site.change(home, opened(home), key, typed)


# Told from afar


def test_before_anybody_says_anything_it_runs_its_defaults_and_says_so(home: Home) -> None:
    config = opened(home)
    assert config.running == ReportedConfig(0, DEFAULTS)
    assert config.report_interval_s is None  # each input keeps its own pace
    assert opened(home, report_interval_s=1.0).running.values == DEFAULTS | {INTERVAL: 1.0}
    assert opened(home, report_interval_s=1.0).report_interval_s is None


def test_it_is_taken_whole_or_not_at_all(home: Home) -> None:
    config = opened(home)
    assert config.take(DesiredConfig(2, {INTERVAL: 30, "input.mqtt": False})).version == 2
    assert config.running.values == DEFAULTS | {INTERVAL: 30.0, "input.mqtt": False}
    assert config.report_interval_s == 30.0
    assert not config.runs("mqtt")
    refused = config.take(DesiredConfig(3, {INTERVAL: 0.1, "input.mqtt": "no", "limit_w": 5.0, "limit_pct": 95.0}))
    assert (refused.version, refused.values) == (2, config.told)
    assert refused.rejected is not None
    assert refused.rejected.version == 3
    codes = {key: why.partition(":")[0] for key, why in refused.rejected.errors.items()}
    assert codes == {INTERVAL: "out_of_range", "input.mqtt": "wrong_type", "limit_w": "needs", "limit_pct": "grid_code"}
    assert config.running.rejected == refused.rejected  # told again whenever it is asked
    assert config.take(DesiredConfig(1, {})).version == 2  # an older one that comes late
    again = opened(home)
    assert again.running == msgspec.structs.replace(config.running, rejected=None)
    accepted = config.take(DesiredConfig(4, {}))
    assert accepted == ReportedConfig(4, DEFAULTS)


def test_what_the_machine_cannot_do_is_refused_as_well(home: Home) -> None:
    config = opened(home)
    said = config.take(DesiredConfig(1, {"limit_pct": 50.0}), lambda values: {"limit_pct": "no inverter obeys"})
    assert said.version == 0
    assert said.rejected is not None
    assert said.rejected.errors == {"limit_pct": "no inverter obeys"}
    assert opened(home).version == 0


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"version":"x","values":{}}', b"\xff"])
def test_files_that_nobody_can_read_are_as_if_they_were_not_there(home: Home, content: bytes) -> None:
    (home.folder / CONFIG_FILE).write_bytes(content)
    site_file(home.folder / CONFIG_FILE).write_bytes(content)
    config = opened(home)
    assert config.running == ReportedConfig(0, DEFAULTS)
    assert config.take(DesiredConfig(1, {"note": "well"})).version == 1


def test_values_of_what_is_no_longer_there_are_not_said_to_run(home: Home) -> None:
    files.replace(home.folder / CONFIG_FILE, msgspec.json.encode(ReportedConfig(3, {"input.gone": False, "note": "x"})))
    assert opened(home).running == ReportedConfig(3, DEFAULTS | {"note": "x"})


def test_every_shipped_profile_can_be_run_and_told_its_defaults(home: Home) -> None:
    for profile in shipped():
        known = known_keys(profile.id, ["a", "b"], profile.interval_s)
        assert len({each.key for each in known}) == len(known)
        config = Configuration(home.folder / f"{profile.id}.json", known)
        said = config.take(DesiredConfig(1, config.told))
        assert said.rejected is None, (profile.id, said.rejected)
        assert INTERVAL in said.values


def test_what_no_input_can_bring_about_is_refused_whoever_wants_it(home: Home) -> None:
    known = known_keys("inverter", ["roof"], 10.0)

    def said(*inputs: InputSettings, **values: Any) -> dict[str, str]:
        config = Configuration(home.folder / "never-written.json", obeyed(known, inputs))
        rejected = config.take(DesiredConfig(1, config.told | values), lambda _: {"": "not written"}).rejected
        assert rejected is not None
        return {key: why.partition(":")[0] for key, why in rejected.errors.items()}

    house = MqttSettings(host="localhost", topics=("#",), name="roof")
    roof, sky = SunspecSettings(host="localhost", name="roof"), SimulatedSettings(name="roof")
    taken = {"": "not written"}
    limit, trip = {"active_power_limit_pct": 50.0}, {"overvoltage_trip_v": 255.0}
    assert said(house) == said(roof) == said(sky) == taken  # the defaults
    assert said(house, **limit) == {"active_power_limit_pct": "read_only"}
    assert said(roof, **limit) == said(sky, **limit) == said(sky, **trip) == taken
    assert said(roof, **trip) == {"overvoltage_trip_v": "read_only"}


# Changed on site


def test_a_change_on_site_is_found_reported_kept_and_overwritten(home: Home) -> None:
    config = opened(home)
    config.take(DesiredConfig(2, {INTERVAL: 30.0}))
    assert not config.heed_site()
    assert "report_interval_s = 5 s" in change(home, INTERVAL, "5")
    assert config.heed_site()
    assert not config.heed_site()  # found once
    assert config.running == ReportedConfig(2, DEFAULTS | {INTERVAL: 5.0})
    assert config.report_interval_s == 5.0
    assert opened(home).running == config.running  # over a restart
    change(home, "input.mqtt", "off")
    assert config.heed_site()
    assert config.changed_on_site == {INTERVAL: 5.0, "input.mqtt": False}
    assert config.take(DesiredConfig(2, {INTERVAL: 30.0})).values[INTERVAL] == 5.0  # the same version again
    newer = config.take(DesiredConfig(3, {INTERVAL: 30.0}))
    assert newer == ReportedConfig(3, DEFAULTS | {INTERVAL: 30.0})
    assert not config.heed_site()
    assert opened(home).running == newer  # what was changed stays overwritten
    change(home, "note", "bonjour")
    assert config.heed_site()
    assert config.changed_on_site == {"note": "bonjour"}


def test_a_change_can_be_taken_back(home: Home) -> None:
    config = opened(home)
    change(home, INTERVAL, "5")
    config.heed_site()
    assert "as the platform wants it" in change(home, INTERVAL, "60")
    assert config.heed_site()
    assert config.running == ReportedConfig(0, DEFAULTS)


def test_a_rejected_version_does_not_undo_what_was_changed_on_site(home: Home) -> None:
    change(home, INTERVAL, "5")
    config = opened(home)
    said = config.take(DesiredConfig(1, {"colour": "red"}))
    assert said.values[INTERVAL] == 5.0
    assert said.rejected is not None


@pytest.mark.parametrize(
    ("key", "typed", "said"),
    [
        ("colour", "red", "There is no colour; there are: input.mqtt"),
        ("report_interval", "5", "report_interval_s is meant"),
        (INTERVAL, "soon", "is written like this: 123 s"),
        (INTERVAL, "nan", "is written like this: 123 s"),
        (INTERVAL, "0", "must be 1 … 3600 s"),
        ("limit_pct", "95", "must be ≤ 90 % (here): the grid code says so"),
        ("limit_w", "5", "needs limit_enabled = true"),
        ("limit_enabled", "perhaps", "true, false"),
        ("note", "x" * 300, "characters"),
    ],
)
def test_what_cannot_be_is_refused_with_what_would_be_right(home: Home, key: str, typed: str, said: str) -> None:
    with pytest.raises(BadInput, match="bad_value") as raised:
        change(home, key, typed)
    assert said in raised.value.detail
    assert not opened(home).changed_on_site


@pytest.mark.parametrize(
    ("key", "typed", "value"),
    [(INTERVAL, " 5 s", 5.0), (INTERVAL, "2,5", 2.5), ("limit_enabled", "Oui", True), ("input.mqtt", "off", False),
     ("note", "5", "5"), ("limit_pct", "50%", 50.0)],
)  # fmt: skip
def test_values_are_typed_as_people_type_them(home: Home, key: str, typed: str, value: object) -> None:
    change(home, key, typed)
    assert opened(home).changed_on_site == {key: value}


def test_a_file_that_somebody_wrote_by_hand_is_checked(home: Home) -> None:
    config = opened(home)
    file = site_file(home.folder / CONFIG_FILE)
    files.replace(file, msgspec.json.encode(SiteChanges(0, {INTERVAL: 0.001})))
    assert not config.heed_site()
    files.replace(file, msgspec.json.encode(SiteChanges(0, {INTERVAL: 7.0})))
    assert not config.heed_site(lambda values: {INTERVAL: "impossible"})
    assert config.running == ReportedConfig(0, DEFAULTS)


def test_what_runs_is_listed_in_both_languages(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    change(home, INTERVAL, "5")
    english = "\n".join(on_site.lines(home, opened(home)))
    assert "none from the platform yet" in english
    assert "report_interval_s = 5 s   (changed on site; the platform wants 60 s)" in english
    assert "limit_enabled = false" in english
    opened(home).take(DesiredConfig(4, {}))
    monkeypatch.setenv("LC_ALL", "fr_FR.UTF-8")
    french = "\n".join(on_site.lines(home, opened(home)))
    assert "version 4 de la plateforme" in french
    assert "changé sur place" not in french


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("told"), st.integers(0, 6), st.sampled_from([5.0, 30.0, 0.0])),
        st.tuples(st.just("site"), st.integers(0, 0), st.sampled_from([5.0, 7.0, 60.0, 0.0])),
        st.tuples(st.just("restart"), st.integers(0, 0), st.just(0.0)),
    ),
    max_size=10,
)


@settings(deadline=None)  # every example writes files, and waits for the disk
@given(_STEPS)
def test_whatever_comes_in_whichever_order_the_newest_version_stands_and_site_goes_before_it(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, float]]
) -> None:
    home = Home(tmp_path_factory.mktemp("agent"))
    config = opened(home)
    version, told, site = 0, 60.0, None
    for what, number, value in steps:
        if what == "told":
            said = config.take(DesiredConfig(number, {INTERVAL: value}) if number else DesiredConfig(1, {INTERVAL: value}))
            wanted = number or 1
            if wanted > version and value >= 1:
                version, told, site = wanted, value, None
            elif wanted > version:
                assert said.rejected is not None
        elif what == "site":
            try:
                change(home, INTERVAL, f"{value}")
            except BadInput:
                assert value == 0
            else:
                site = value if value != told else None
            config.heed_site()
        else:
            config = opened(home)
        assert (config.version, config.running.values[INTERVAL]) == (version, told if site is None else site)

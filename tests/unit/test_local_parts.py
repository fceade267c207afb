"""The launcher's pure parts: who owns what in the demonstration, portions, stamps, arguments, progress."""

import argparse
import io
from collections import Counter
from pathlib import Path

import pytest

from actors.local import cli, demo, smtp_options
from actors.local.assets import source_stamp
from actors.local.configuration import Options, ray_folder
from actors.local.launch import greeting
from actors.local.layout import Layout
from actors.local.load_history import columns
from actors.local.progress import Progress
from actors.local.system import Ready, System
from fleet.fleet_plan import HistoryBlock, PlannedSite, SiteUse
from fleet.ids import device_id, site_id
from fleet.limits import BULK_SAMPLES_MAX, PASSWORD_CHARS_MIN
from fleet.settings import SmtpSettings
from fleet.telemetry import Sample


def site(number: int, use: SiteUse) -> PlannedSite:
    return PlannedSite(
        id=site_id(f"s-{number:04d}"),
        name=f"Site {number}",
        latitude=44.7,
        longitude=5.0,
        timezone="Europe/Paris",
        peak_power_w=6000,
        tilt_deg=30,
        azimuth_deg=180,
        department="26",
        annual_load_kwh=5000,
        battery_wh=None,
        devices=[],
        use=use,
    )


def test_each_kind_of_site_has_its_kind_of_customer() -> None:
    uses: list[SiteUse] = ["school", "home", "home", "farm", "home", "public"]
    owners = [owned.customer_organisation_id for owned in demo.owned([site(number, use) for number, use in enumerate(uses)])]
    assert owners == [demo.COMMUNE, demo.FAMILY, demo.FAMILY, demo.FARMERS, demo.NEIGHBOURS, demo.COMMUNE]


def test_both_installers_have_clients_and_every_organisation_exists() -> None:
    sites = demo.owned([site(number, "home") for number in range(9)])
    assert Counter(each.installer_organisation_id for each in sites) == {demo.INSTALLERS[0]: 6, demo.INSTALLERS[1]: 3}
    known = {organisation.id for organisation in demo.ORGANISATIONS}
    assert {each.installer_organisation_id for each in sites} | {person.organisation_id for person in demo.PEOPLE} <= known


def test_a_login_per_role_that_the_portal_would_accept() -> None:
    logins = demo.logins()
    assert set(logins) == {"customer", "energy_manager", "installer", "ops", "admin"}
    assert all(len(login.password) >= PASSWORD_CHARS_MIN for login in logins.values())


def test_history_keeps_every_sample_and_the_bound() -> None:
    samples = [Sample(t=at, v={"grid_power_w": 1.0}) for at in range(2 * BULK_SAMPLES_MAX + 1)]
    blocks = list(columns(HistoryBlock(site_id("s"), device_id("d"), samples)))
    assert [len(block.t) // 8 for block in blocks] == [BULK_SAMPLES_MAX, BULK_SAMPLES_MAX, 1]
    assert b"".join(block.t for block in blocks) == b"".join(at.to_bytes(8, "little") for at in range(len(samples)))
    assert list(columns(HistoryBlock(site_id("s"), device_id("e"), []))) == []


def test_the_stamp_follows_names_and_contents_but_not_packages(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    file = tmp_path / "src" / "main.ts"
    file.write_text("one")
    first = source_stamp(tmp_path)
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / "package.js").write_text("theirs")
    assert source_stamp(tmp_path) == first
    file.write_text("two")
    second = source_stamp(tmp_path)
    file.rename(tmp_path / "src" / "other.ts")
    assert len({first, second, source_stamp(tmp_path)}) == 3


def test_ray_s_sockets_fit_into_a_path() -> None:
    assert ray_folder(Path("/srv/sp")) == Path("/srv/sp/ray")
    deep = ray_folder(Path("/srv/projects/of-somebody/solarperform/.solarperform"))
    assert len(str(deep)) <= 30
    assert deep != ray_folder(Path("/srv/projects/of-somebody/solarperform/.other-folder"))


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--sites", "0"], "--sites"),
        (["--port", "0"], "--port"),
        (["--mqtt-port", "99999"], "--mqtt-port"),
        (["--est-port", "-1"], "--est-port"),
        (["--est-port", "8883"], "--port, --mqtt-port, --est-port and --sftp-port"),
    ],
)
def test_impossible_arguments_are_named(arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["demo", *arguments]) == 1
    assert capsys.readouterr().err.startswith(f"solarperform: {named}")


def test_this_machine_alone_unless_a_host_is_given() -> None:
    own = Options(Path("data"), 8080, 8883)
    assert (own.url, own.device_name) == ("http://localhost:8080", "localhost")
    assert own.certificate_names() == ["--name", "localhost", "--ip", "127.0.0.1"]


@pytest.mark.parametrize(("host", "kind"), [("192.0.2.20", "--ip"), ("solar.example", "--name")])
def test_devices_find_the_host_that_was_given_in_the_certificate(host: str, kind: str) -> None:
    shared = Options(Path("data"), 8080, 8883, host="192.0.2.10", device_host=host)
    assert (shared.url, shared.device_name) == ("http://192.0.2.10:8080", host)
    assert shared.certificate_names() == ["--name", "localhost", "--ip", "127.0.0.1", kind, host]
    assert shared.est_url == f"https://{host}:8443"


def test_the_demonstration_keeps_its_known_passwords_on_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["demo", "--host", "192.0.2.10"])
    assert "--host" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--smtp-port", "25"], "--smtp-port: says nothing without --smtp-host"),
        (["--smtp-host", "mx.example"], "--smtp-sender: needed"),
        (["--smtp-host", "mx.example", "--smtp-sender", "a@b\nBcc: c@d"], "--smtp-sender: not an e-mail address"),
        (["--smtp-host", "mx.example", "--smtp-sender", "a@b.example", "--smtp-security", "none"], "--smtp-security: "),
        (["--smtp-host", "mx.example", "--smtp-sender", "a@b.example", "--smtp-port", "0"], "--smtp-port must be between"),
        (
            [
                "--smtp-host",
                "m.example",
                "--smtp-sender",
                "a@b.example",
                "--smtp-user",
                "u",
                "--smtp-password-file",
                "/none",
            ],
            "--smtp-password-file: ",
        ),
        (
            ["--smtp-host", "mx.example", "--smtp-sender", "a@b.example", "--smtp-password-file", "/none"],
            "--smtp-password-file: needs --smtp-user",
        ),
    ],
)
def test_a_mail_server_that_cannot_be_meant_is_named(
    arguments: list[str], named: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert cli.main(["up", "--data-dir", str(tmp_path / "data"), *arguments]) == 1
    assert capsys.readouterr().err.startswith(f"solarperform: {named}")


def test_a_mail_server_s_port_follows_its_security(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret")
    parser = argparse.ArgumentParser()
    smtp_options.add_to(parser)
    given = ["--smtp-host", "mx.example", "--smtp-sender", "sp@example.net"]
    assert smtp_options.settings_of(parser.parse_args([])) is None
    assert smtp_options.settings_of(parser.parse_args(given)) == SmtpSettings("mx.example", 587, "sp@example.net")
    given += ["--smtp-security", "tls", "--smtp-user", "sp", "--smtp-password-file", str(tmp_path / "password")]
    assert smtp_options.settings_of(parser.parse_args(given)) == SmtpSettings(
        "mx.example", 465, "sp@example.net", "tls", "sp", tmp_path / "password"
    )


@pytest.mark.parametrize("lang", ["C", "fr_FR.UTF-8"])
def test_the_greeting_says_how_to_play_a_device(lang: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", lang)
    monkeypatch.chdir(tmp_path)
    system = System(Options(tmp_path / "data", 8080, 8883, 20), Layout(tmp_path / "data"), Progress(io.StringIO()))
    sftp: dict[str, str | int] = {"host": "s", "port": 22, "host_key": "k", "user": "logger", "password": "sun"}
    ready = Ready(
        "http://p",
        "http://p/api",
        {"host": "m", "port": 1},
        {"url": "https://e", "ca": "/ca"},
        sftp,
        1,
        logins=demo.logins(),
    )
    said = greeting(system, ready, 1.0)
    assert "solarperform-agent enrol --state data/agent --server https://e --ca /ca --claim CODE" in said
    assert "solarperform-agent run --state data/agent --simulate" in said
    assert "sftp -P 22 logger@s" in said
    assert "(sun)" in said
    assert demo.logins()["installer"].email in said
    assert str(tmp_path / "data" / "mail") in said


def test_progress_marks_what_went_well_and_what_did_not() -> None:
    out = io.StringIO()
    progress = Progress(out)
    with progress.step("first"):
        pass
    with pytest.raises(ValueError, match="broken"), progress.step("second"):
        raise ValueError("broken")
    assert [line.split()[:2] for line in out.getvalue().splitlines()] == [["✓", "first"], ["✗", "second"]]

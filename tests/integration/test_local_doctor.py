"""doctor: certificates by what they say themselves, and the whole round."""

import asyncio
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from actors.local import cli, onboarding_checks
from actors.local.doctor import certificates
from actors.local.layout import Layout
from actors.local.ports import free_port
from fleet import settings
from fleet.limits import CRL_LIFE_S
from fleet.settings import NotifierSettings, SmtpSettings
from fleet.storage.database import connect
from tests.servers import Database, Pki

NOW = datetime.now(UTC)


def test_before_the_first_start(tmp_path: Path) -> None:
    assert certificates(tmp_path / "pki", NOW).well


@pytest.mark.parametrize(
    ("days", "well", "part"), [(0, True, "valid"), (70, True, "next start renews it"), (100, False, "has ended")]
)
def test_certificates_are_judged_by_their_end(
    pki: Pki, monkeypatch: pytest.MonkeyPatch, days: int, well: bool, part: str
) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    finding = certificates(pki.folder, NOW + timedelta(days=days))
    assert finding.well is well
    assert part in finding.what


@pytest.mark.parametrize(
    ("seconds", "well", "part"),
    [(-CRL_LIFE_S, True, "good until"), (-3_600, False, "is not renewed"), (600, False, "has ended")],
)
def test_the_revocation_list_is_judged_by_its_end(
    pki: Pki, monkeypatch: pytest.MonkeyPatch, seconds: float, well: bool, part: str
) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    """seconds: after the end of the list, which was made some time after this file was read."""
    ends = x509.load_pem_x509_crl((pki.folder / "trust" / "devices.crl.pem").read_bytes()).next_update_utc
    assert ends is not None
    now = ends + timedelta(seconds=seconds)
    finding = onboarding_checks.revocation_list(pki.folder, now)
    assert finding.well is well
    assert part in finding.what
    assert onboarding_checks.revocation_list(pki.folder, now, running=False).well


@pytest.fixture
def running(tmp_path: Path) -> Layout:
    """What a launcher leaves for others to see, by our own number."""
    layout = Layout(tmp_path / "data")
    layout.make()
    layout.ready_file.write_text(f'{{"pid": {os.getpid()}}}')
    return layout


def mail_settings(database: Database, layout: Layout, smtp: SmtpSettings | None = None) -> None:
    told = NotifierSettings(database.sp_notifier, layout.mail, layout.run / "notifier.ready", smtp)
    settings.save(layout.settings / "notifier.json", told)


def test_mail_that_could_not_be_sent_is_shown(database: Database, running: Layout) -> None:
    mail_settings(database, running)
    assert onboarding_checks.post(running).well
    asyncio.run(lay_down(database, "450 try later"))
    finding = onboarding_checks.post(running)
    assert not finding.well
    assert "450 try later" in finding.what


async def lay_down(database: Database, problem: str) -> None:
    connection = await connect(database.owner)
    try:
        await connection.execute(
            "INSERT INTO accounts.mail (recipient, subject, body, problem) VALUES ('a@b.example', 's', 'b', $1)", problem
        )
    finally:
        await connection.close()


def test_a_mail_server_that_does_not_answer_is_named(database: Database, running: Layout) -> None:
    port = free_port()
    mail_settings(database, running, SmtpSettings("127.0.0.1", port, "sp@example.net"))
    finding = onboarding_checks.post(running)
    assert not finding.well
    assert f"127.0.0.1:{port}" in finding.what


def test_names_every_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    cli.main(["doctor", "--data-dir", str(tmp_path / "data")])
    said = capsys.readouterr().out
    for part in (
        "Python",
        "PostgreSQL) 18",
        "mosquitto version",
        "certificates",
        "Ray",
        "clock",
        "disk",
        "front end",
        "EST",
        "revocation list",
        "mail",
        "drop box (SFTP)",
        "importer",
    ):
        assert part in said

"""doctor: certificates by what they say themselves, and the whole round."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from actors.local import cli
from actors.local.doctor import certificates
from tests.servers import Pki

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


def test_names_every_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    cli.main(["doctor", "--data-dir", str(tmp_path / "data")])
    said = capsys.readouterr().out
    for part in ("Python", "PostgreSQL) 18", "mosquitto version", "certificates", "Ray", "clock", "disk", "front end"):
        assert part in said

"""deploy/observability/alertmanager/run.sh: Alertmanager is told what `.env` means, or why it cannot be meant."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

SCRIPT = Path(__file__).parents[2] / "deploy" / "observability" / "alertmanager" / "run.sh"
MAIL = {"SP_SMTP_HOST": "mail.example.org", "SP_SMTP_FROM": "solar@example.org", "SP_ALERTS_TO": "ops@example.org"}


def told(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "SP_ALERTMANAGER_FILE": str(folder / "alertmanager.yml"), **variables}
    return subprocess.run(["sh", SCRIPT, "--print"], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("security", "port", "starttls"),
    [("starttls", "587", True), ("tls", "465", False), ("none", "25", False)],
)
def test_only_starttls_is_demanded_as_starttls(tmp_path: Path, security: str, port: str, starttls: bool) -> None:
    """On port 465 Alertmanager speaks TLS from the first byte, and would demand STARTTLS within it all the same."""
    done = told(tmp_path, **MAIL, SP_SMTP_SECURITY=security, SP_SMTP_PORT=port)
    assert (done.returncode, done.stderr) == (0, "")
    settings: dict[str, Any] = yaml.safe_load(done.stdout)["global"]
    assert settings["smtp_smarthost"] == f"mail.example.org:{port}"
    assert settings["smtp_require_tls"] is starttls


@pytest.mark.parametrize(("security", "port"), [("tls", "587"), ("starttls", "465"), ("none", "465"), ("ssl", "465")])
def test_what_alertmanager_cannot_do_is_refused_before_an_alert_is_lost(tmp_path: Path, security: str, port: str) -> None:
    done = told(tmp_path, **MAIL, SP_SMTP_SECURITY=security, SP_SMTP_PORT=port)
    assert done.returncode == 1
    assert done.stdout == ""
    assert '"code":"bad_settings"' in done.stderr
    assert f"SP_SMTP_SECURITY={security}" in done.stderr


def test_whoever_mails_nobody_is_not_asked_how(tmp_path: Path) -> None:
    done = told(tmp_path, SP_SMTP_SECURITY="tls", SP_SMTP_PORT="587")
    assert done.returncode == 0
    assert "mailed to nobody" in done.stderr
    assert "email_configs" not in yaml.safe_load(done.stdout)["receivers"][-1]

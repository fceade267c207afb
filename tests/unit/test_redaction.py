"""What a support bundle lets through: our own words, small numbers, times; nothing that belongs to somebody."""

import msgspec
import pytest

from actors.keeping.redaction import Redactor

SECRETS = (
    "zoe.canari@example.net",
    "Canari",
    "Zoé",
    "kw7Qx-93Lmz_44",
    "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "AGE-SECRET-KEY-1L4R9QQQQQQQQQQQQQ",
    "12345678901234",
    "+33612345678",
    "192.0.2.77",
    "2001:db8::77",
    "44.73456",
    "AbCdEfGhIjKlMnOp",
    "210100000000000001",
    "Lilas-Blancs",
    "MC4CAQAwBQYDK2VwBCIEIKanari",
)


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "line",
    [
        "{}",
        "the upload of {} was refused: not signed in",
        '{{"event": "mail_sent", "to": "{}", "attempts": 2}}',
        '{{"event": "x", "{}": 1}}',
        "password={}",
        "https://{}/sites?token={}",
        'File "/home/{}/x.py", line 12',
        "DETAIL:  Key (email)=({}) already exists.",
        "2026-11-28 10:00:00 UTC [12] sp_web@solarperform ERROR: '{}'",
    ],
)
def test_nothing_of_anybody_passes(line: str, secret: str) -> None:
    said = Redactor().lines(line.format(secret, secret).encode()).decode()
    assert secret.lower() not in said.lower()


def test_what_helps_passes() -> None:
    redactor = Redactor()
    line = {
        "event": "commit_failed",
        "level": "warning",
        "timestamp": "2026-11-28T10:00:00.1Z",
        "attempts": 3,
        "seconds": 1.5,
    }
    assert msgspec.json.decode(redactor.lines(msgspec.json.encode(line))) == line
    text = "2026-11-28 10:00:00 UTC ERROR: the broker refused 12 messages after 3.25 s, see 0004_remote.sql"
    assert redactor.text(text) == text


def test_the_same_is_the_same_within_a_bundle_only() -> None:
    redactor, other = Redactor(), Redactor()
    first, second = redactor.text("from 192.0.2.77 to 192.0.2.78"), redactor.text("at 192.0.2.77")
    assert first.split()[1] == second.split()[1]
    assert first.split()[1] != first.split()[3]
    assert other.text("at 192.0.2.77") != second


def test_what_a_telling_key_says_never_passes() -> None:
    told = {"latitude": 44, "pdl": 1, "smtp_password": "message", "at": [{"token": "message"}], "password_file": None}
    said = Redactor().value(told)
    assert all(str(said[key]).startswith("~") for key in ("latitude", "pdl", "smtp_password"))
    assert said["at"][0]["token"].startswith("~")
    assert said["password_file"] is None

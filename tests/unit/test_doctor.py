"""What the doctor of an installation from images makes of what it has seen."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from string import Formatter

import pytest

from actors.cluster import ray_room
from actors.cluster.ray_room import Room
from actors.doctor import database_checks, door_checks
from actors.doctor.finding import Check, Finding, examined
from actors.doctor.texts import ENGLISH, FRENCH, told
from certs.tls import broker_fault
from fleet.errors import BadInput, FleetError, Unavailable
from fleet.limits import CRL_ALARM_BEFORE_S, SLOTS
from fleet.settings import BrokerSettings

NOW = datetime(2026, 5, 1, tzinfo=UTC)
NOW_S = NOW.timestamp()


def test_both_languages_say_the_same_things_with_the_same_values() -> None:
    def gaps(sentence: str) -> set[str]:
        return {name for _, name, _, _ in Formatter().parse(sentence) if name}

    assert {key: gaps(sentence) for key, sentence in ENGLISH.items()} == {key: gaps(each) for key, each in FRENCH.items()}


@pytest.mark.parametrize(("lang", "part"), [("fr", "mot de passe"), ("en", "password")])
def test_an_error_is_told_in_the_readers_language_with_what_was_found(
    monkeypatch: pytest.MonkeyPatch, lang: str, part: str
) -> None:
    monkeypatch.setenv("LC_ALL", lang)
    said = told(BadInput("database_refused", "exactly this"))
    assert part in said
    assert "exactly this [database_refused]" in said
    assert told(BadInput("of_tomorrow", "exactly this")) == "exactly this [of_tomorrow]"


@pytest.mark.parametrize(
    ("judge", "figures", "state"),
    [
        (database_checks.slots, {("leased_slots", ""): SLOTS}, "ok"),
        (database_checks.slots, {("leased_slots", ""): SLOTS - 1}, "broken"),
        (database_checks.slots, {}, "broken"),
        (database_checks.crl, {}, "broken"),
        (database_checks.crl, {("crl_end_time", ""): NOW_S - 1}, "broken"),
        (database_checks.crl, {("crl_end_time", ""): NOW_S + CRL_ALARM_BEFORE_S - 1}, "broken"),
        (database_checks.crl, {("crl_end_time", ""): NOW_S + CRL_ALARM_BEFORE_S + 1}, "warning"),
        (
            database_checks.crl,
            {("crl_end_time", ""): NOW_S + CRL_ALARM_BEFORE_S + 1, ("crl_proven_time", ""): NOW_S},
            "ok",
        ),
        (database_checks.guard, {}, "ok"),
        (database_checks.guard, {("revocation_alarms", "broker_open"): 1}, "broken"),
        (database_checks.device_certificates, {("device_certificates", "in_force"): 3}, "ok"),
        (database_checks.device_certificates, {("device_certificates", "ended"): 1}, "warning"),
        (database_checks.files, {("files", "received"): 2, ("files_oldest_s", ""): 899}, "ok"),
        (database_checks.files, {("files", "received"): 2, ("files_oldest_s", ""): 901}, "broken"),
        (database_checks.mails, {}, "ok"),
        (database_checks.mails, {("mails", "waiting"): 1, ("mail_oldest_s", ""): 901}, "broken"),
        (database_checks.mails, {("mails", "given_up"): 1}, "warning"),
    ],
)
def test_figures(judge: database_checks.Judge, figures: database_checks.Figures, state: str) -> None:
    assert judge(figures, NOW).state == state


@pytest.mark.parametrize(("asked", "state"), [(None, "ok"), ("192.0.2.0/24", "ok"), ("*", "warning")])
def test_a_web_that_believes_everybody_is_told(monkeypatch: pytest.MonkeyPatch, asked: str | None, state: str) -> None:
    for name in ("SP_PUBLIC_URL", "SP_EST_URL", "SP_DEVICES_HOST"):
        monkeypatch.setenv(name, "example.org")
    monkeypatch.setenv("SP_SFTP_PORT", "2222")
    if asked is not None:
        monkeypatch.setenv("SP_TRUSTED_PROXIES", asked)
    shipped = Path(__file__).parents[2] / "deploy" / "settings" / "web.json"
    assert door_checks.proxies(shipped).state == state


def test_nodes_of_another_release() -> None:
    line = 'solarperform_cluster_nodes{{ours="{}",release="{}"}} {}\n'
    ours, foreign = line.format("yes", "0.2.0", "2.0"), line.format("no", "0.1.0", "1.0")
    assert door_checks.judged_nodes(ours).state == "ok"
    mixed = door_checks.judged_nodes(ours + foreign)
    assert mixed.state == "warning"
    assert "0.1.0" in mixed.what
    assert door_checks.judged_nodes(foreign).state == "broken"


def test_backups(tmp_path: Path) -> None:
    assert door_checks.backup(tmp_path / "nowhere", NOW_S).state == "warning"
    assert door_checks.backup(tmp_path, NOW_S).state == "warning"
    file = tmp_path / "backup-20270101T031700Z-0.1.0.tar.zst.age"
    file.touch()
    for other in ("devices.crl.pem", "heads.json", "support-20270101T040000Z.tar.gz"):
        (tmp_path / other).touch()  # newer, and no backup
    for age, state in ((timedelta(hours=20), "ok"), (timedelta(days=3), "warning")):
        made_s = (NOW - age).timestamp()
        os.utime(file, (made_s, made_s))
        assert door_checks.backup(tmp_path, NOW_S).state == state


def test_a_check_that_stumbles_is_a_finding_and_the_others_go_on() -> None:
    def stumbles(error: Exception) -> Finding:
        raise error

    checks = [
        Check("coded", lambda: stumbles(Unavailable("away", "it is away"))),
        Check("system", lambda: stumbles(PermissionError(13, "no"))),
        Check("well", lambda: Finding(True, "good")),
    ]
    lines = examined(checks)
    assert [line.state for line in lines] == ["broken", "broken", "ok"]
    assert lines[0].what == "it is away"


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate has expired (_ssl.c:1006)",
         "broker_certificate_expired"),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate is not yet valid (_ssl.c:1006)",
         "broker_certificate_early"),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: Hostname mismatch, certificate is not valid for 'b'.",
         "broker_name_wrong"),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: unable to get local issuer certificate (_ssl.c:1)",
         "broker_unknown"),
        ("[SSL: TLSV1_ALERT_UNKNOWN_CA] tlsv1 alert unknown ca (_ssl.c:2580)", "broker_refuses_us"),
        ("[Errno 111] Connection refused", "broker_away"),
        ("", "broker_away"),
    ],
)  # fmt: skip
def test_what_openssl_says_has_a_code(said: str, code: str) -> None:
    fault = broker_fault(BrokerSettings("b", 8884, Path("ca"), Path("c"), Path("k")), said)
    assert fault.code == code
    assert "b:8884" in fault.detail


def code_of(shards: int, found: Room) -> str | None:
    try:
        ray_room.require_room(80_000_000, shards, found)
    except FleetError as error:
        return error.code
    return None


def test_room_for_ray(tmp_path: Path) -> None:
    plenty = Room(4_000_000_000, 256_000_000)
    assert code_of(2, plenty) is None
    assert code_of(2, plenty._replace(shared=64_000_000)) == "no_shared_memory"
    assert code_of(2, plenty._replace(memory=500_000_000)) == "no_memory"
    assert ray_room.room(shm=tmp_path / "none").shared == 0
    assert ray_room.room().shared > 0


def test_a_containers_limit_counts_where_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("100000000\n")
    (tmp_path / "memory.current").write_text("90000000\n")
    (tmp_path / "memory.stat").write_text("anon 60000000\ninactive_file 20000000\n")
    assert ray_room.room(cgroup=tmp_path).memory == 30_000_000
    (tmp_path / "memory.max").write_text("max\n")
    assert ray_room.room(cgroup=tmp_path).memory > 30_000_000

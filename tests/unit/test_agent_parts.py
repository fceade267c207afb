"""The agent's parts, each by itself: what it keeps, what it refuses, how long it waits."""

import string
from pathlib import Path

import msgspec
import pytest

from edge.agent import enrolment, files, presence, settings, trust, unit
from edge.agent.cli import main
from edge.agent.commands import Commands
from edge.agent.inputs import SimulatedSettings
from edge.agent.journal import Entry, Journal
from edge.agent.recorder import Recorder
from edge.agent.renewal import Terms, first_wait_s, next_wait_s
from edge.agent.texts import ENGLISH, FRENCH
from edge.limits import (
    AGENT_COMMANDS_KEPT,
    AGENT_MESSAGE_BYTES_MAX,
    AGENT_PENDING_SAMPLES_MAX,
    AGENT_RENEWAL_WAIT_MAX_S,
    AGENT_REVOKED_WAIT_S,
)
from edge.outbox import Outbox
from edge.spool import DiskSpool
from fleet import claim_code
from fleet.errors import BadInput, Unavailable
from fleet.ids import device_id, site_id
from fleet.limits import SAMPLES_PER_MESSAGE_MAX
from fleet.order_messages import Command
from fleet.profiles import DeviceProfile
from fleet.telemetry import RawMessage, Sample, State, Telemetry

SITE, DEVICE = site_id("s-1"), device_id("s-1-gw")
DAY_S = 86_400.0
LIFE = Terms(renew_in_s=0.0, ends_in_s=30 * DAY_S, life_s=90 * DAY_S)


class Wire:
    """Stands where the link stands."""

    room = 10_000

    def __init__(self) -> None:
        self.said: list[Telemetry] = []

    def publish(self, topic: str, payload: bytes) -> None:
        assert len(payload) < 64 * 1024
        self.said.append(msgspec.json.decode(payload, type=Telemetry))


class Desk:
    def __init__(self, folder: Path) -> None:
        self.wire = Wire()
        self.spool = DiskSpool(folder / "spool.sqlite", 1 << 24)
        self.outbox = Outbox(
            SITE, DEVICE, wire=self.wire, spool=self.spool, state=State(online=True), monotonic=lambda: 0.0, window=9_999
        )
        self.recorder = Recorder(self.outbox, self.spool)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


# texts, links, codes


def test_both_languages_have_the_same_sentences_with_the_same_places() -> None:
    def places(text: str) -> set[str | None]:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}

    assert ENGLISH.keys() == FRENCH.keys()
    assert [key for key in ENGLISH if places(ENGLISH[key]) != places(FRENCH[key])] == []


def test_the_link_of_a_qr_code_is_read() -> None:
    code = claim_code.make()
    link = f"https://pki.example:8444/#{code.typed}.{'ab' * 16}"
    assert enrolment.read_link(f" {link}\n") == ("https://pki.example:8444", code.typed, "ab" * 16)
    assert enrolment.read_link(link.replace("/#", "#"))[0] == "https://pki.example:8444"
    for other in ("http://pki.example/#A.ab", "WIFI:S:roof;;", "https://pki.example/", "BEGIN:VCARD"):
        with pytest.raises(BadInput, match="bad_link"):
            enrolment.read_link(other)


@pytest.mark.parametrize(
    ("typed", "said"),
    [("ABCD", "has 4"), ("!" * 28, "letters and digits only"), ("U" * 28, "no U"), ("0" * 28, "typing error")],
)
def test_what_is_wrong_with_a_code_is_said(monkeypatch: pytest.MonkeyPatch, typed: str, said: str) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    with pytest.raises(BadInput, match=said):
        enrolment.read_code(typed)


def test_a_fingerprint_may_be_typed_as_people_type(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = "0123456789abcdef" * 4
    assert trust.read_fingerprint(whole) == whole[:32]
    assert trust.read_fingerprint(" ".join([whole[:16].upper(), whole[16:32]])) == whole[:32]
    for bad in ("", "0123", "g" * 32, whole[:40]):
        with pytest.raises(BadInput, match="bad_fingerprint"):
            trust.read_fingerprint(bad)


# files


def test_a_file_is_replaced_as_a_whole_and_nobody_else_may_read_it(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    (tmp_path / "key.pem.new").write_text("of a write that was cut short")
    files.replace(file, b"one")
    files.replace(file, b"two")
    assert file.read_bytes() == b"two"
    assert file.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["key.pem"]


def test_the_presence_of_a_dead_agent_is_none(tmp_path: Path) -> None:
    assert presence.read(tmp_path) is None
    presence.note(tmp_path, up=True, failure="", held=3)
    found = presence.read(tmp_path)
    assert found
    assert (found.up, found.held) == (True, 3)
    (tmp_path / "running.json").write_bytes(msgspec.json.encode(msgspec.structs.replace(found, pid=2**22 - 1)))
    assert presence.read(tmp_path) is None


# settings


def test_settings_name_the_key_that_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "agent.toml"
    file.write_text('[[inputs]]\ntype = "simulated"\n[[inputs]]\ntype = "sunspec"\nhost = "192.0.2.1"\n')
    read = settings.read(file)
    assert [each.name for each in read.inputs] == ["simulated", "sunspec"]
    assert isinstance(read.inputs[0], SimulatedSettings)
    for text, said in (
        ("spool_bytes_max = 1\n", "spool_bytes_max"),
        ("colour = 1\n", "colour"),
        ('[[inputs]]\ntype = "steam"\n', "steam"),
        ('[[inputs]]\ntype = "simulated"\n' * 2, "simulated"),
        ("= nothing", "agent.toml"),
    ):
        file.write_text(text)
        with pytest.raises(BadInput, match=said) as raised:
            settings.read(file)
        assert raised.value.code == "bad_settings"


def test_the_service_unit_restarts_always_and_may_write_its_folder_only() -> None:
    program = ["/opt/solarperform/bin/solarperform-agent", "run"]
    text = unit.text(program)
    for line in (
        "ExecStart=/opt/solarperform/bin/solarperform-agent run",
        "Restart=always",
        "User=solarperform-agent",
        "StateDirectory=solarperform-agent",
        "ProtectSystem=strict",
    ):
        assert line in text.splitlines()
    elsewhere = unit.text(program, Path("/srv/agent"), "pi").splitlines()
    assert "User=pi" in elsewhere
    assert "ReadWritePaths=/srv/agent" in elsewhere
    assert "DynamicUser=yes" not in elsewhere


def test_the_command_line_prints_a_unit_and_helps(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["unit"]) == 0
    assert "ExecStart=" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    assert "enrol" in capsys.readouterr().out


# recorder


def test_samples_go_by_source_and_raw_messages_together(desk: Desk) -> None:
    desk.recorder.samples([Sample(1, {"pv_power_w": 1.0})], "SN-1")
    desk.recorder.samples([Sample(2, {"grid_power_w": 2.0})], None)
    desk.recorder.samples([Sample(3, {"pv_power_w": 3.0})], "SN-1")
    desk.recorder.raw([RawMessage(4, "solar/power", b"\x00\xff")])
    desk.recorder.write()
    first, own, raw = desk.wire.said
    assert (first.source, [sample.t for sample in first.samples]) == ("SN-1", [1, 3])
    assert (own.source, [sample.t for sample in own.samples]) == (None, [2])
    assert raw.raw[0].payload == b"\x00\xff"
    assert [said.seq for said in desk.wire.said] == [1, 2, 3]
    desk.recorder.write()
    assert len(desk.wire.said) == 3  # nothing twice


def test_no_message_is_larger_than_the_platform_takes(desk: Desk) -> None:
    desk.recorder.samples([Sample(t, {"pv_power_w": 1.0}) for t in range(SAMPLES_PER_MESSAGE_MAX + 1)], None)
    desk.recorder.raw([RawMessage(t, "solar/power", bytes(6_000)) for t in range(30)])
    desk.recorder.write()
    counts = [len(said.samples) for said in desk.wire.said if said.samples]
    assert counts == [SAMPLES_PER_MESSAGE_MAX, 1]
    raws = [said.raw for said in desk.wire.said if said.raw]
    assert sum(map(len, raws)) == 30
    assert max(sum(len(each.payload) for each in raw) for raw in raws) < AGENT_MESSAGE_BYTES_MAX


def test_a_full_disk_keeps_the_newest_in_memory_and_loses_no_number(desk: Desk) -> None:
    desk.recorder.samples([Sample(1, {"pv_power_w": 1.0})], None)
    desk.recorder.write()
    pages = desk.spool._db.execute("pragma page_count").fetchone()[0]
    desk.spool._db.execute(f"pragma max_page_count = {pages}")
    for t in range(2, AGENT_PENDING_SAMPLES_MAX + 12):
        desk.recorder.samples([Sample(t, {"pv_power_w": 1.0})], None)
        if t % 500 == 0:
            desk.recorder.write()
    assert desk.recorder.lost == 10
    assert desk.spool.shelf(DEVICE).last == 1
    desk.spool._db.execute("pragma max_page_count = 100000")
    desk.recorder.write()
    said = [sample.t for message in desk.wire.said for sample in message.samples]
    assert said == [1, *range(12, AGENT_PENDING_SAMPLES_MAX + 12)]
    assert [message.seq for message in desk.wire.said] == list(range(1, len(desk.wire.said) + 1))


# commands


def entry(number: int, expires_at: int) -> Command:
    return Command(f"c-{number}", "blink", expires_at)


def test_a_command_is_forgotten_only_after_it_has_expired(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "commands.json")
    for number in range(AGENT_COMMANDS_KEPT):
        journal.close(journal.open(entry(number, 1_000), "accepted", None, 0), "succeeded", None)
    with pytest.raises(Unavailable, match="too_many_commands"):
        journal.open(entry(999, 1_000), "accepted", None, 999)
    journal.open(entry(999, 5_000), "accepted", None, 1_001)
    assert journal.find("c-0") is None
    again = Journal(tmp_path / "commands.json")
    assert again.find("c-1")
    assert [each.id for each in again.unfinished()] == ["c-999"]


async def test_what_was_taken_before_a_power_cut_is_not_done_again(tmp_path: Path) -> None:
    done: list[str] = []
    told: list[tuple[str, str]] = []

    async def blink(_command: Command) -> None:
        done.append("blink")

    def tell(entry: Entry) -> None:
        told.append((entry.id, entry.status))

    journal = Journal(tmp_path / "commands.json")
    journal.open(entry(1, 10**15), "accepted", None, 0)
    journal.open(Command("r", "restart", 10**15), "accepted", None, 0)
    profile = DeviceProfile("p", "gateway", "p", "p", (), (), 10.0, commands=("blink",))
    commands = Commands(Journal(tmp_path / "commands.json"), profile, {"blink": blink}, tell=tell, now=lambda: 5)
    commands.take(entry(1, 10**15))
    commands.take(Command("r", "restart", 10**15))
    commands.take(entry(2, 4))
    assert told == [("c-1", "failed"), ("r", "succeeded"), ("c-2", "failed")]
    assert done == []


# renewal


def test_renewal_is_tried_daily_then_hourly_and_rarely_without_hope() -> None:
    def waits(of: Terms, code: str = "server_unreachable") -> list[float]:
        return [next_wait_s(of, code) for _ in range(200)]

    assert max(waits(LIFE)) <= AGENT_RENEWAL_WAIT_MAX_S
    assert min(waits(LIFE)) >= AGENT_RENEWAL_WAIT_MAX_S / 2
    assert 1_800 <= min(waits(LIFE._replace(ends_in_s=3_600))) <= max(waits(LIFE._replace(ends_in_s=3_600))) <= 3_600
    assert min(waits(LIFE, "certificate_revoked")) >= AGENT_REVOKED_WAIT_S / 2
    assert min(waits(LIFE._replace(ends_in_s=-5))) >= AGENT_REVOKED_WAIT_S / 2
    assert len(set(waits(LIFE))) > 100  # a fleet does not ask in step


def test_the_first_try_is_at_two_thirds_and_never_at_once_after_another() -> None:
    early = LIFE._replace(renew_in_s=30 * DAY_S)
    assert 30 * DAY_S <= first_wait_s(early, just_renewed=False) <= 31 * DAY_S
    overdue = LIFE._replace(renew_in_s=-40 * DAY_S)
    assert first_wait_s(overdue, just_renewed=False) == 0
    assert first_wait_s(overdue, just_renewed=True) >= 3_600

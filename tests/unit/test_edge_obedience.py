"""A simulated device that is told things: what it answers, what it does, and what it knows after its power was cut."""

import struct
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.channels import DeviceModel
from edge.curtailment import Curtailment
from edge.limits import AGENT_COMMANDS_KEPT
from edge.obedience import Obedience
from edge.obeying import answer, factory_config
from edge.order_book import OrderBook
from edge.outbox import Outbox
from edge.plan import make_fleet
from edge.session import Delivered
from edge.site_model import SiteModel
from edge.spool import DiskSpool
from fleet import profiles, topics
from fleet.configuration import settings_of
from fleet.limits import COMMAND_DETAIL_BYTES_MAX
from fleet.order_messages import Command, CommandResult, DesiredConfig, ReportedConfig
from fleet.telemetry import State

NOW = 1_782_036_000_000  # noon in summer
LATER = NOW + 60_000
PLAN = make_fleet(1, 1, NOW, 1)
SITE = PLAN.sites[0]
INVERTER = next(device for device in SITE.devices if device.profile_id == "inverter")
PROFILE = next(profile for profile in profiles.shipped() if profile.id == "inverter")
SETTINGS = settings_of(PROFILE)
MODEL = SiteModel(SITE, seed=PLAN.seed, history_from=PLAN.history_from)
DOWN = topics.down(SITE.id, INVERTER.id)


class Line:
    """Stands where the link stands."""

    def __init__(self) -> None:
        self.up = True
        self.room = 1_000
        self.reconnects = 0
        self.said: list[ReportedConfig | CommandResult | State] = []
        self._told: list[Delivered] = []

    def publish(self, topic: str, payload: bytes, delivered: Delivered | None = None) -> None:
        kinds: dict[str, Any] = {"config": ReportedConfig, "result": CommandResult, "state": State}
        kind = kinds.get(topic.rpartition("/")[2])
        if kind is not None:
            self.said.append(msgspec.json.decode(payload, type=kind))
        if delivered is not None:
            self._told.append(delivered)

    def reconnect(self) -> None:
        self.reconnects += 1

    def take(self, *, is_heard: bool = True) -> None:
        """The broker has taken everything so far. is_heard: the platform listens."""
        for told in self._told:
            told(is_heard)
        self._told.clear()


class Box:
    """One inverter on a disk. cut(): its power is gone, and with it what was not committed."""

    def __init__(self, folder: Path) -> None:
        self.now = NOW
        self._folder = folder
        self.start()

    def start(self) -> None:
        self.line = Line()
        self.spool = DiskSpool(self._folder / "spool.sqlite")
        book = OrderBook(self.spool)
        self.curtailment = Curtailment(MODEL, [INVERTER.id], book.withheld(SITE.id))
        state = State(online=True, model="Simulated", firmware="1", boot="b0")
        outbox = Outbox(SITE.id, INVERTER.id, wire=self.line, spool=self.spool, state=state, monotonic=lambda: 0.0)
        self.obedience = Obedience(
            SITE.id,
            INVERTER.id,
            PROFILE,
            line=self.line,
            outbox=outbox,
            spool=self.spool,
            book=book,
            curtailment=self.curtailment,
            state=state,
            now=lambda: self.now,
        )
        self.outbox = outbox

    def cut(self) -> None:
        self.spool.abandon()
        self.spool.close()
        self.start()

    def connect(self) -> None:
        self.outbox.ready()
        self.obedience.ready()

    def configure(self, version: int, **values: Any) -> None:
        self.obedience.message(DOWN.config, msgspec.json.encode(DesiredConfig(version, values)))

    def order(self, command_id: str, name: str, expires_at: int = LATER, **args: Any) -> None:
        self.obedience.message(DOWN.command, msgspec.json.encode(Command(command_id, name, expires_at, args)))

    def results(self, command_id: str) -> list[Any]:
        return [said for said in self.line.said if isinstance(said, CommandResult) and said.id == command_id]

    def statuses(self, command_id: str) -> list[str]:
        return [said.status for said in self.results(command_id)]

    @property
    def config(self) -> ReportedConfig:
        return [said for said in self.line.said if isinstance(said, ReportedConfig)][-1]

    @property
    def power_w(self) -> float:
        shown = DeviceModel(MODEL, INVERTER, PROFILE, seed=PLAN.seed).sample(self.now, self.curtailment)
        return shown.v["pv_power_w"] or 0.0


@pytest.fixture
def box(tmp_path: Path) -> Box:
    made = Box(tmp_path)
    made.connect()
    return made


# Configuration


def test_it_says_what_it_runs_although_nobody_has_told_it_anything(box: Box) -> None:
    assert box.config == factory_config(SETTINGS)
    assert box.obedience.interval_s is None


def test_it_runs_what_it_is_told_also_after_a_power_cut(box: Box) -> None:
    box.configure(3, report_interval_s=30.0, active_power_limit_pct=10.0)
    assert box.config.version == 3
    assert box.config.values["report_interval_s"] == 30.0
    limited_w = box.power_w
    box.cut()
    box.connect()
    assert box.config.version == 3
    assert box.obedience.interval_s == 30.0
    assert box.power_w == limited_w
    box.configure(4)
    assert box.power_w > limited_w


def test_one_bad_value_refuses_all_and_an_older_version_changes_nothing(box: Box) -> None:
    box.configure(3, report_interval_s=30.0)
    box.configure(4, report_interval_s=20.0, active_power_limit_pct=120.0)
    assert (box.config.version, box.config.values["report_interval_s"]) == (3, 30.0)
    assert box.config.rejected
    assert (box.config.rejected.version, list(box.config.rejected.errors)) == (4, ["active_power_limit_pct"])
    box.configure(2, report_interval_s=20.0)
    said = box.config
    assert said.rejected is None
    assert (said.version, box.obedience.interval_s) == (3, 30.0)


def test_somebody_on_site_changes_one_thing_once(box: Box) -> None:
    box.obedience.change_on_site(NOW, seed=1)
    changed = {key for key, value in box.config.values.items() if factory_config(SETTINGS).values[key] != value}
    assert (box.config.version, len(changed)) == (0, 1)
    after = box.config
    box.cut()
    box.connect()
    box.configure(1, **after.values | factory_config(SETTINGS).values)  # and the platform puts it right
    box.obedience.change_on_site(NOW, seed=1)
    assert box.config.values == factory_config(SETTINGS).values


@given(
    st.dictionaries(
        st.sampled_from([*(each.key for each in SETTINGS), "colour"]), st.none() | st.booleans() | st.floats() | st.text()
    )
)
def test_whatever_it_is_told_it_runs_all_or_nothing(values: dict[str, Any]) -> None:
    running = factory_config(SETTINGS)
    said = answer(running, DesiredConfig(1, values), SETTINGS)
    if said.rejected is None:
        assert (said.version, said.values) == (1, running.values | values)
    else:
        assert (said.version, said.values) == (0, running.values)
        assert said.rejected.errors.keys() <= values.keys()


def test_what_is_no_configuration_and_no_command_is_survived(box: Box) -> None:
    for payload in (b"", b"{", b"[]", b'{"version":0,"values":{}}', b'{"version":1}', b"\xff"):
        box.obedience.message(DOWN.config, payload)
        box.obedience.message(DOWN.command, payload)
    assert box.obedience.message(DOWN.ack, b"{}") is False
    box.order("c-1", "blink")
    assert box.statuses("c-1") == ["accepted", "succeeded"]


# Commands


def test_a_command_is_done_once_and_its_answer_repeated(box: Box) -> None:
    box.order("c-1", "set_power_limit", active_power_limit_pct=0, duration_s=600)
    box.line.take()
    box.now += 300_000
    box.order("c-1", "set_power_limit", active_power_limit_pct=0, duration_s=600)
    assert box.statuses("c-1") == ["accepted", "succeeded", "succeeded"]
    box.now = NOW + 600_000
    assert box.power_w > 0  # the repetition has not begun anew
    box.cut()
    box.connect()
    box.order("c-1", "set_power_limit", active_power_limit_pct=0, duration_s=600)
    assert set(box.statuses("c-1")) == {"succeeded"}
    assert box.power_w > 0


def test_a_power_limit_holds_for_its_time_over_a_power_cut_and_under_the_configurations(box: Box) -> None:
    box.order("c-1", "set_power_limit", active_power_limit_pct=5, duration_s=600)
    limited_w = box.power_w
    assert box.results("c-1")[-1].detail["active_power_limit_pct"] == 5
    box.cut()
    box.connect()
    assert box.power_w == limited_w
    box.configure(1, active_power_limit_pct=2.0)
    assert box.power_w < limited_w
    box.configure(2, active_power_limit_pct=50.0)
    assert box.power_w == limited_w
    box.now += 600_000
    assert box.power_w > limited_w


def test_a_restart_has_worked_when_it_is_back_under_another_boot(box: Box) -> None:
    box.order("c-1", "restart")
    assert (box.statuses("c-1"), box.line.reconnects) == (["accepted"], 1)
    box.connect()
    assert box.statuses("c-1")[-1] == "succeeded"
    boots = [said.boot for said in box.line.said if isinstance(said, State)]
    assert len(set(boots)) == 2
    box.order("c-1", "restart")
    assert box.line.reconnects == 1
    box.order("c-2", "restart")
    box.cut()  # comes to the same
    box.connect()
    assert box.statuses("c-2") == ["succeeded"]


def test_what_nobody_heard_is_said_again(box: Box) -> None:
    box.line.take(is_heard=False)
    box.line.said.clear()
    box.obedience.sweep()
    assert box.config == factory_config(SETTINGS)
    box.line.take()
    box.line.said.clear()
    box.obedience.sweep()
    assert box.line.said == []


def test_what_was_not_told_is_told_when_it_is_back(box: Box) -> None:
    box.line.room = 0
    box.order("c-1", "blink")
    assert box.statuses("c-1") == []
    box.line.room = 10
    box.obedience.sweep()
    assert box.statuses("c-1") == ["succeeded"]
    box.line.take()
    box.obedience.sweep()
    assert box.statuses("c-1") == ["succeeded"]


@pytest.mark.parametrize(
    ("name", "args", "why"),
    [
        ("explode", {}, "unknown command"),
        ("blink", {"duration_s": -1}, "duration_s: out_of_range"),
        ("read_registers", {"address": 1}, "registers are 40000 to 400"),
        ("set_power_limit", {"active_power_limit_pct": "half"}, "active_power_limit_pct: wrong_type"),
    ],
)
def test_what_cannot_be_done_says_why(box: Box, name: str, args: dict[str, Any], why: str) -> None:
    box.order("c-1", name, **args)
    assert box.statuses("c-1")[-1] == "failed"
    assert box.results("c-1")[-1].detail.startswith(why)
    box.order("late", "blink", expires_at=NOW - 1)
    assert box.results("late")[-1] == CommandResult("late", "failed", "expired")


def test_registers_are_what_it_shows(box: Box) -> None:
    box.obedience.measure = DeviceModel(MODEL, INVERTER, PROFILE, seed=PLAN.seed).sample
    box.order("c-1", "read_registers", address=40_000, count=2)
    high, low = box.results("c-1")[-1].detail["registers"]
    assert box.power_w == pytest.approx(_float(high, low), rel=1e-6)
    box.order("c-2", "read_registers", address=40_010, count=100)
    assert box.statuses("c-2") == ["accepted", "failed"]


def _float(high: int, low: int) -> float:
    (value,) = struct.unpack(">f", struct.pack(">HH", high, low))
    return float(value)


def test_its_log_and_its_state_fit_into_an_answer(box: Box) -> None:
    for number in range(100):
        box.order(f"c-{number}", "blink")
    box.order("log", "take_log", lines=500)
    detail = box.results("log")[-1].detail
    assert "command blink c-99" in detail["lines"][-2]
    assert len(msgspec.json.encode(detail)) <= COMMAND_DETAIL_BYTES_MAX
    box.order("info", "read_info")
    assert box.results("info")[-1].detail["active_power_limit_pct"] == 100.0


def test_only_what_has_expired_is_forgotten(box: Box) -> None:
    for number in range(AGENT_COMMANDS_KEPT):
        box.order(f"c-{number:03}", "blink")
    box.order("more", "blink")
    assert box.statuses("more") == ["failed"]
    box.now = LATER + 1
    box.order("after", "blink", expires_at=LATER + 60_000)
    assert box.statuses("after") == ["accepted", "succeeded"]
    box.order("c-000", "blink")
    assert box.results("c-000")[-1].detail == "expired"

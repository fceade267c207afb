"""What the agent does with a command, apart from its process: refusals, limits and their end, its own log."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.agent.commands import Commands, Deed, blink
from edge.agent.journal import Entry, Journal
from edge.agent.log_tail import LogTail
from edge.agent.power_limit import PowerLimit
from edge.limits import AGENT_LOG_LINE_CHARS_MAX, AGENT_LOG_LINES_KEPT
from fleet.device_setting import Setting
from fleet.errors import Unavailable
from fleet.limits import COMMAND_DETAIL_BYTES_MAX
from fleet.order_messages import Command
from fleet.profiles import DeviceProfile

NOW = 1_790_000_000_000
LATER = NOW + 60_000
PROFILE = DeviceProfile(
    "p", "inverter", "p", "p", ("pv_power_w",), (), 10.0,
    settings=(Setting("active_power_limit_pct", "number", "l", "l", 100.0, minimum=0, maximum=100, grid_minimum=30),),
    commands=("blink", "resend", "set_power_limit", "take_log"),
)  # fmt: skip


class Desk:
    """Commands of an agent whose deeds only note what they are called with."""

    def __init__(self, folder: Path, answer: Any = None, *, unable: bool = False) -> None:
        self.done: list[Command] = []
        self.told: list[tuple[str, str, Any]] = []
        self.answer, self.unable = answer, unable
        deeds: dict[str, Deed] = dict.fromkeys((*PROFILE.commands, "restart"), self.deed)
        self.commands = Commands(Journal(folder / "commands.json"), PROFILE, deeds, tell=self.tell, now=lambda: NOW)

    async def deed(self, command: Command) -> Any:
        self.done.append(command)
        if self.unable:
            raise Unavailable("away", "the inverter is away")
        return self.answer

    def tell(self, entry: Entry) -> None:
        self.told.append((entry.id, entry.status, entry.detail))

    async def work(self) -> None:
        """Until all that waits is done."""
        waiting = self.commands._waiting
        while not waiting.empty():
            await self.commands.one()


def order(name: str, expires_at: int = LATER, **args: object) -> Command:
    return Command(f"c-{name}", name, expires_at, args)


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (order("explode"), "unknown command; known are blink, resend, set_power_limit, take_log"),
        (order("restart"), "unknown command"),  # the agent could, but its profile does not list it
        (order("blink", NOW - 1), "expired"),
        (order("blink", duration_s=999), "duration_s: out_of_range"),
        (order("blink", seconds=3), "seconds: "),
        (order("resend", from_seq="all"), "from_seq: wrong_type"),
        (order("set_power_limit", active_power_limit_pct=10), "active_power_limit_pct: grid_code"),
        (order("set_power_limit", active_power_limit_pct=float("nan")), "active_power_limit_pct: wrong_type"),
        (order("take_log", lines=True), "lines: wrong_type"),
        (order("blink", padding="x" * 9_000), "arguments of more than"),
        (order("b" * 9_000), "unknown command"),
    ],
)
async def test_what_cannot_be_obeyed_is_refused_with_its_reason_and_the_next_one_is_done(
    command: Command, why: str, tmp_path: Path
) -> None:
    desk = Desk(tmp_path)
    desk.commands.take(command)
    desk.commands.take(Command("next", "blink", LATER))
    await desk.work()
    (_, status, detail), *rest = desk.told
    assert status == "failed"
    assert detail.startswith(why)
    assert len(detail) <= 500
    assert rest == [("next", "accepted", None), ("next", "succeeded", None)]
    assert [(done.id, done.args) for done in desk.done] == [("next", {"duration_s": 10})]


async def test_a_detail_that_is_too_long_is_not_sent(tmp_path: Path) -> None:
    desk = Desk(tmp_path, answer="x" * COMMAND_DETAIL_BYTES_MAX)
    desk.commands.take(order("take_log"))
    await desk.work()
    assert len(msgspec.json.encode(desk.told[-1])) < COMMAND_DETAIL_BYTES_MAX


async def test_a_deed_that_fails_says_why(tmp_path: Path) -> None:
    desk = Desk(tmp_path, unable=True)
    desk.commands.take(order("resend"))
    await desk.work()
    assert desk.told[-1] == ("c-resend", "failed", "the inverter is away [away]")


async def test_without_a_light_blinking_says_so() -> None:
    said = await blink(None)(Command("c", "blink", LATER, {"duration_s": 300}))
    assert "led_file" in said


# The limit


class Clock:
    def __init__(self) -> None:
        self.now = NOW
        self.configured: float | None = None

    def limit(self, folder: Path) -> PowerLimit:
        return PowerLimit(folder / "limit.json", lambda: self.configured, lambda: self.now)


def test_a_limit_holds_for_its_time_also_over_a_restart_and_then_the_configurations_own(tmp_path: Path) -> None:
    clock = Clock()
    assert clock.limit(tmp_path).pct is None  # whatever is set at the device
    clock.limit(tmp_path).hold("c-1", 40.0, NOW + 10_000)
    clock.now += 9_999
    again = clock.limit(tmp_path)
    assert (again.pct, again.last_command, again.full_power_in_s) == (40.0, "c-1", 0.001)
    clock.configured = 60.0
    assert (again.pct, again.full_power_in_s) == (40.0, None)  # the inverter must not come back to full power by itself
    clock.configured = 30.0
    assert again.pct == 30.0
    clock.configured = 60.0
    clock.now += 1
    assert (again.pct, again.full_power_in_s) == (60.0, None)
    clock.configured = None
    assert clock.limit(tmp_path).pct == 100.0  # what it limited is given free, whoever was away when it ended


def test_a_limit_that_no_device_took_is_none(tmp_path: Path) -> None:
    clock = Clock()
    limit = clock.limit(tmp_path)
    limit.hold("c-1", 40.0, NOW + 10_000)
    limit.release("c-1")
    assert (limit.pct, clock.limit(tmp_path).pct) == (100.0, 100.0)  # one of two may have taken it: it is given free


def test_what_fails_leaves_the_limit_that_another_command_holds(tmp_path: Path) -> None:
    clock = Clock()
    limit = clock.limit(tmp_path)
    limit.hold("c-1", 30.0, NOW + 10_000)
    for failing in ("c-2", "c-3", "c-4"):
        limit.hold(failing, 50.0, NOW + 3_000)
        assert (limit.pct, limit.last_command) == (50.0, failing)
        limit.release(failing)
        for each in (limit, clock.limit(tmp_path)):
            assert (each.pct, each.last_command, each.full_power_in_s) == (30.0, "c-1", 10.0)
    limit.release("c-4")  # once more: it holds nothing any more
    assert limit.pct == 30.0


def test_what_fails_after_the_earlier_limit_has_ended_leaves_full_power(tmp_path: Path) -> None:
    clock = Clock()
    limit = clock.limit(tmp_path)
    limit.hold("c-1", 30.0, NOW + 1_000)
    limit.hold("c-2", 50.0, NOW + 60_000)
    clock.now += 2_000
    limit.release("c-2")
    assert (limit.pct, clock.limit(tmp_path).pct) == (100.0, 100.0)


def test_a_power_cut_before_it_is_known_whether_it_was_taken_can_be_undone_however_long_it_lasted(tmp_path: Path) -> None:
    clock = Clock()
    limit = clock.limit(tmp_path)
    limit.hold("c-1", 30.0, NOW + 10_000)
    limit.hold("c-2", 50.0, NOW + 1_000)
    clock.now += 5_000
    again = clock.limit(tmp_path)
    assert again.last_command == "c-2"  # over by now, and still not the one that holds
    again.release("c-2")
    assert (again.pct, clock.limit(tmp_path).pct) == (30.0, 30.0)


def test_only_the_limit_before_is_remembered(tmp_path: Path) -> None:
    clock = Clock()
    limit = clock.limit(tmp_path)
    sizes = []
    for number in range(9):
        limit.hold(f"c-{number}", 30.0 + number, NOW + 10_000)
        sizes.append((tmp_path / "limit.json").stat().st_size)
    assert sizes[1:] == [sizes[1]] * 8
    limit.release("c-8")
    assert (limit.pct, limit.last_command) == (37.0, "c-7")


def test_a_disk_that_takes_nothing_does_not_keep_a_limit_that_failed(tmp_path: Path) -> None:
    clock = Clock()
    limit = clock.limit(tmp_path)
    limit.hold("c-1", 30.0, NOW + 10_000)
    limit.hold("c-2", 50.0, NOW + 10_000)
    (tmp_path / "limit.json.new").mkdir()
    with pytest.raises(OSError, match=r"limit\.json\.new"):
        limit.release("c-2")
    assert limit.pct == 30.0
    with pytest.raises(OSError, match=r"limit\.json\.new"):
        limit.hold("c-3", 60.0, NOW + 10_000)
    assert limit.pct == 30.0


def test_the_file_of_the_release_before_is_read_and_reads_the_new_one(tmp_path: Path) -> None:
    class Before(msgspec.Struct):
        command: str
        pct: float
        until: int

    file = tmp_path / "limit.json"
    file.write_bytes(msgspec.json.encode(Before("c-1", 40.0, NOW + 10_000)))
    limit = Clock().limit(tmp_path)
    assert (limit.pct, limit.last_command) == (40.0, "c-1")
    limit.hold("c-2", 50.0, NOW + 10_000)
    assert msgspec.json.decode(file.read_bytes(), type=Before) == Before("c-2", 50.0, NOW + 10_000)
    limit.release("c-2")
    assert msgspec.json.decode(file.read_bytes(), type=Before) == Before("c-1", 40.0, NOW + 10_000)


def test_a_damaged_file_limits_nothing(tmp_path: Path) -> None:
    (tmp_path / "limit.json").write_text("{")
    assert Clock().limit(tmp_path).pct is None


@settings(deadline=None, max_examples=50)  # each writes to the disk
@given(st.one_of(st.none(), st.floats(0, 100)), st.floats(0, 100), st.integers(-5, 5))
def test_the_limit_is_never_above_any_that_holds(
    tmp_path_factory: pytest.TempPathFactory, configured: float | None, pct: float, seconds: int
) -> None:
    clock = Clock()
    clock.configured = configured
    limit = clock.limit(tmp_path_factory.mktemp("limit"))
    limit.hold("c", pct, NOW + seconds * 1_000)
    assert limit.pct is not None
    assert limit.pct <= (100.0 if configured is None else configured)
    assert seconds <= 0 or limit.pct <= pct


# The log


def test_the_newest_lines_are_taken_in_their_order_and_as_many_as_fit() -> None:
    tail = LogTail()
    for number in range(AGENT_LOG_LINES_KEPT + 50):
        tail(None, "info", {"event": "e", "number": number})
    assert [msgspec.json.decode(line)["number"] for line in tail.newest(3, 10_000)] == [547, 548, 549]
    assert len(tail.newest(10_000, 10**9)) == AGENT_LOG_LINES_KEPT
    fitting = tail.newest(10_000, 1_000)
    assert 950 < len(msgspec.json.encode(fitting)) <= 1_000
    assert fitting == tail.newest(10_000, 10**9)[-len(fitting) :]
    assert tail.newest(5, 10) == []


@given(st.dictionaries(st.text(), st.one_of(st.text(), st.floats(), st.binary(), st.none(), st.text(max_size=1).map(Path))))
def test_whatever_is_logged_is_kept_and_passed_on_as_it_was(event: dict[str, Any]) -> None:
    tail = LogTail()
    assert tail(None, "info", event) is event
    (line,) = tail.newest(1, 10**6)
    assert len(line) <= AGENT_LOG_LINE_CHARS_MAX + 3
    assert tail.newest(1, 10**6) == msgspec.json.decode(msgspec.json.encode([line]))

"""Orders in a storm: a thousand seeds, in each of which the shard, the web, the broker and the agents die at any step.

0 commands lost, 0 executed twice, 0 wrong states; the newest configuration runs or was refused; the journal is whole.
"""

import pytest

from fleet import profiles
from fleet.commands import OPEN_STATES, STATES, IssuedCommand
from fleet.configuration import settings_of
from fleet.ids import DeviceId
from fleet.receipts import Verifier
from fleet.telemetry import UnixMs
from tests.order_simulation.clients import Clients, Web
from tests.order_simulation.device import SimulatedDevice
from tests.order_simulation.shard import Shard
from tests.order_simulation.world import PARTS, STORM_MS, Broker, Database, PartName, World

SEEDS = 1_200
BLOCKS = 3
PATIENCE_MS = 400_000  # after the storm: a device's commands are done one by one
PEACE_MS = 15_000  # until all have found each other again
PROFILE = next(profile for profile in profiles.shipped() if profile.id == "gateway")


class Simulation:
    def __init__(self, seed: int, spared: frozenset[int] = frozenset()) -> None:
        self.world = world = World(seed, spared)
        self.database, self.broker = Database(), Broker(world)
        names = [DeviceId("device-1"), DeviceId("device-2")]
        self.devices = [
            SimulatedDevice(
                world,
                self.broker,
                name,
                settings_of(PROFILE),
                stubborn=world.luck.random() < 0.3,
                skew_ms=world.luck.randint(-2_000, 2_000),
            )
            for name in names
        ]
        self.shard = self._new_shard()
        self.web = Web(world, lambda: self.shard)
        self.clients = Clients(world, self.web, self.database, names)
        self.clients.plan(commands=world.luck.randint(2, 8), changes=world.luck.randint(0, 4))
        world.states = self._states
        for _ in range(world.luck.randint(0, 6)):
            world.later(0, STORM_MS, self._kill_somebody)
        world.later(100, 100, self._watch_shard)

    def run(self) -> None:
        world = self.world
        while world.now < world.storm_ends_at:
            world.run_one()
        world.calm = True
        while not self._is_quiet():
            assert world.now < world.storm_ends_at + PATIENCE_MS, f"still open: {self._open()}"
            for _ in range(20):
                world.run_one()
        for _ in range(100):  # what has been told last arrives
            world.run_one()

    def _new_shard(self) -> Shard:
        return Shard(self.world, self.database, self.broker, [device.id for device in self.devices], PROFILE)

    def _watch_shard(self) -> None:
        """As the launcher does: a dead one is started again after a while."""
        if not self.shard.alive:
            self.shard = self._new_shard()
        self.world.later(50, 1_000, self._watch_shard)

    def _kill_somebody(self) -> None:
        part = self.world.luck.choice(PARTS)
        if part == "shard" and self.world.luck.random() < 0.3:  # taken for dead, it works on until it wants to write
            self.shard = self._new_shard()
            return
        device = self.world.luck.choice(self.devices)
        parts: dict[PartName, Shard | Web | Broker | SimulatedDevice] = {
            "shard": self.shard,
            "web": self.web,
            "broker": self.broker,
            "agent": device,
        }
        victim = parts[part]
        if victim.alive:
            self.world.kill(victim)

    def _states(self) -> set[str]:
        return {command.state for command in self.database.commands.values()}

    def _open(self) -> list[str]:
        commands = [f"{each.id} {each.state}" for each in self.database.commands.values() if each.state in OPEN_STATES]
        configs = [f"{name} {each.status}" for name, each in self.database.configs.items() if each.status == "applying"]
        return [*commands, *configs, f"{self.clients.waiting} clients"]

    def _is_quiet(self) -> bool:
        return (
            self.clients.waiting == 0
            and not any(command.is_open for command in self.database.commands.values())
            and not any(config.status in ("pending", "applying") for config in self.database.configs.values())
            and all(device.is_idle for device in self.devices)
            and not self.broker.held
            and self.shard.alive
            and self.shard.is_idle
        )


def check(simulation: Simulation) -> None:
    database, devices = simulation.database, {device.id: device for device in simulation.devices}
    for key, command_id in simulation.clients.accepted.items():
        assert command_id in database.commands, f"{key}: {command_id} is lost"
    for command in database.commands.values():
        check_command(command, devices[command.device], simulation)
    for device in devices.values():
        numbers = [database.commands[command_id].number for command_id in device.executed]
        assert numbers == sorted(numbers), f"{device.id} executed {device.executed} out of order"
        check_config(database, device)
    for name, version in simulation.clients.changed:
        assert (name, version) in database.changes, f"version {version} of {name} is lost"
    check_receipts(database)


def check_command(command: IssuedCommand, device: SimulatedDevice, simulation: Simulation) -> None:
    where = f"{command.id} is {command.state}"
    assert not command.is_open, f"{where}: it never ended"
    executed = device.times[command.id]
    assert executed <= 1, f"{where}, and was executed {executed} times"
    assert not executed or command.sent_at, f"{where}, was executed and never sent"
    entry = device.journal.find(command.id)
    said = None if entry is None else entry.status
    match command.state:
        case "succeeded":
            assert executed == 1, f"{where}, and was not executed"
            assert said == "succeeded", f"{where}, and the device says {said}"
        case "failed":
            assert said == "failed", f"{where}, and the device says {said}"
        case "expired" | "cancelled":
            assert entry is None, f"{where}, and the device knows it"
        case "timed_out":
            late = None if command.late is None else command.late.status
            was_lost = was_lost_for_good(command, device, simulation.world)
            assert late == said or was_lost, f"{where}, late {late}, and the device says {said}"
            knew_at = device.ended.get(command.id, command.ended_at or 0)
            had_peace = not had_no_peace(knew_at, command.ended_at or 0, device, simulation.world)
            assert not (knew_at < (command.ended_at or 0) and had_peace), f"{where}, and there was time to hear how it ended"
    if command.id in simulation.clients.cancelled:
        assert command.state == "cancelled", f"{where}, and somebody was told that it is cancelled"


def was_lost_for_good(command: IssuedCommand, device: SimulatedDevice, world: World) -> bool:
    """The broker had taken the answer and died with it, and there was no peace to ask again before time was up."""
    lost_at, ended_at = world.lost.get(command.id), command.ended_at or 0
    return lost_at is not None and (lost_at > ended_at or had_no_peace(lost_at, ended_at, device, world))


def had_no_peace(since: UnixMs, until: UnixMs, device: SimulatedDevice, world: World) -> bool:
    """Whether something was dead, or had died lately, at the end of that time."""
    died_lately = any(since <= trouble <= until < trouble + PEACE_MS for trouble in [since, *world.troubles])
    return died_lately or any(died <= until < back + PEACE_MS for died, back in device.gone)


def check_config(database: Database, device: SimulatedDevice) -> None:
    config = database.configs.get(device.id)
    if config is None or config.desired is None:
        assert not any(name == device.id for name, _ in database.changes)
        return
    newest = max(version for name, version in database.changes if name == device.id)
    assert config.version == newest, f"{device.id} has version {newest}, and {config.version} is in force"
    if config.status == "in_sync":
        assert device.running.version == newest
        assert device.running.values == config.desired.values
    else:
        assert config.status == "rejected", f"{device.id} is {config.status}"
        assert config.reported is not None
        assert config.reported.rejected is not None
        assert config.reported.rejected.version == newest
        assert device.running.version < newest


def check_receipts(database: Database) -> None:
    verifier = Verifier(0)
    assert [broken for line in database.lines if (broken := verifier.check(line))] == []
    told = [(line.device, line.kind, line.subject) for line in database.lines]
    once = {step for step in told if step[1] != "config.reported" and step[1] != "command.late"}
    assert len(once) == sum(step in once for step in told), "a step has two receipts"
    for command in database.commands.values():
        assert (command.device, f"command.{command.state}", command.id) in once
    for name, version in database.changes:
        assert (name, "config.desired", str(version)) in once


def failure(seed: int, spared: frozenset[int] = frozenset()) -> tuple[AssertionError, Simulation] | None:
    simulation = Simulation(seed, spared)
    try:
        simulation.run()
        check(simulation)
    except AssertionError as error:
        return error, simulation
    return None


def explained(seed: int, error: AssertionError, simulation: Simulation) -> str:
    """With as few kills as it takes."""
    spared: frozenset[int] = frozenset()
    number = 1
    while number <= simulation.world.kills:
        fewer = failure(seed, spared | {number})
        if fewer is not None:
            spared |= {number}
            error, simulation = fewer
        number += 1
    log = "\n".join(simulation.world.log[-80:])
    return f"seed {seed}, spared {sorted(spared)}: {error}\n{log}"


def blocks() -> list[range]:
    size = SEEDS // BLOCKS
    return [range(first, first + size) for first in range(0, SEEDS, size)]


@pytest.mark.parametrize("seeds", blocks(), ids=lambda seeds: f"from {seeds[0]}")
def test_nothing_is_lost_done_twice_or_told_wrongly(seeds: range) -> None:
    covered = set()
    for seed in seeds:
        simulation = Simulation(seed)
        try:
            simulation.run()
            check(simulation)
        except AssertionError as error:
            pytest.fail(explained(seed, error, simulation), pytrace=False)
        covered |= simulation.world.coverage
    missing = {(part, state) for part in PARTS for state in STATES} - covered
    assert not missing, f"never killed while a command was in that state: {missing}"

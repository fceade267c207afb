"""python -m edge: a made-up fleet (plan), its past (history), its life (simulate), and load for benchmarks (load)."""

import argparse
import asyncio
import contextlib
import resource
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import uvloop

from edge.labels import demo_fault, fault_labels
from edge.limits import DEMO_HISTORY_DAYS, HANDSHAKES_AT_ONCE, LOAD_WINDOW_CLOSED, LOAD_WINDOW_OPEN
from edge.link import Endpoint
from edge.load import Load, LoadReport, LoadSettings
from edge.plan import make_fleet
from edge.wiring import Certificates
from fleet.errors import BadInput, FleetError
from fleet.fleet_plan import FleetPlan


def main(arguments: Sequence[str] | None = None) -> int:
    chosen = _parser().parse_args(arguments)
    try:
        match chosen.command:
            case "plan":
                _plan(chosen)
            case "history":
                _history(chosen)
            case "simulate":
                _allow_open_files()
                uvloop.run(_simulate(chosen))
            case _:
                _allow_open_files()
                uvloop.run(_load(chosen))
    except (FleetError, OSError) as error:
        print(f"edge: {error}", file=sys.stderr)
        return 1
    return 0


def _plan(chosen: argparse.Namespace) -> None:
    plan = make_fleet(chosen.sites, chosen.seed, _now_ms(), chosen.history_days)
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_bytes(msgspec.json.format(msgspec.json.encode(plan), indent=1))
    print(f"{len(plan.sites)} sites, {sum(len(site.devices) for site in plan.sites)} devices in {chosen.out}")


def _history(chosen: argparse.Namespace) -> None:
    from edge.history import write_history  # noqa: PLC0415 - pvlib and pandas take seconds; the other commands need neither

    plan = _read_plan(chosen.plan)
    for path in write_history(plan, days=chosen.days, step_s=chosen.step_s, now=_now_ms(), folder=chosen.out):
        print(path, flush=True)


async def _simulate(chosen: argparse.Namespace) -> None:
    from edge.simulator import Simulator, SimulatorSettings  # noqa: PLC0415 - as above

    plan = _read_plan(chosen.plan)
    chosen.state.mkdir(parents=True, exist_ok=True)
    labels = fault_labels(plan, chosen.state / "faults.json", chosen.fault, _now_ms())
    if chosen.demo_fault:
        labels = demo_fault(plan, chosen.state / "faults.json", labels, _now_ms())
    settings = SimulatorSettings(_endpoint(chosen), Certificates(chosen.certs, chosen.ca), chosen.state, chosen.interval_s)
    simulator = Simulator(plan, settings, labels)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, simulator.stop)
    await simulator.run()


async def _load(chosen: argparse.Namespace) -> None:
    settings = LoadSettings(
        _endpoint(chosen),
        Certificates(chosen.certs, chosen.ca),
        rate=chosen.rate,
        seconds=chosen.seconds,
        window=chosen.window or (LOAD_WINDOW_OPEN if chosen.rate else LOAD_WINDOW_CLOSED),
        samples_per_message=chosen.samples_per_message,
        burst=chosen.burst,
        drain_s=chosen.drain_s,
        connections=chosen.connections,
        first=chosen.first,
        handshakes=chosen.handshakes,
    )
    load = Load(_read_plan(chosen.plan), settings)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, load.stop)
    report = await load.run()
    if chosen.report:
        chosen.report.write_bytes(msgspec.json.encode(report))
    print(msgspec.json.encode(_without_devices(report)).decode())


def _without_devices(report: LoadReport) -> LoadReport:
    return msgspec.structs.replace(report, devices=[])


def _read_plan(path: Path) -> FleetPlan:
    try:
        return msgspec.json.decode(path.read_bytes(), type=FleetPlan)
    except msgspec.DecodeError as error:
        raise BadInput("bad_plan", f"{path} is not a fleet plan: {error}") from None


def _endpoint(chosen: argparse.Namespace) -> Endpoint:
    return Endpoint(chosen.broker_host, chosen.broker_port, chosen.server_name)


def _allow_open_files() -> None:
    """As many as the machine lets us have: each connection is one, and many a shell allows 1,024."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with contextlib.suppress(ValueError, OSError):  # macOS says "unlimited" and means 10,240
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m edge", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    _add_plan(commands.add_parser("plan", help="make up a fleet"))
    _add_history(commands.add_parser("history", help="write the fleet's past, one file per site"))
    _add_simulate(commands.add_parser("simulate", help="run every device of the fleet, each on its own connection"))
    _add_load(commands.add_parser("load", help="send as the fleet's devices at a given rate, and report"))
    return parser


def _add_plan(command: argparse.ArgumentParser) -> None:
    command.add_argument("--sites", type=int, required=True)
    command.add_argument("--seed", type=int, default=1)
    command.add_argument(
        "--history-days", type=int, default=DEMO_HISTORY_DAYS, help="how long ago the fleet went into service"
    )
    command.add_argument("--out", type=Path, required=True)


def _add_history(command: argparse.ArgumentParser) -> None:
    command.add_argument("--plan", type=Path, required=True)
    command.add_argument("--days", type=float, default=DEMO_HISTORY_DAYS)
    command.add_argument("--step-s", type=int, default=300)
    command.add_argument("--out", type=Path, required=True, help="folder")


def _add_connection(command: argparse.ArgumentParser) -> None:
    command.add_argument("--plan", type=Path, required=True)
    command.add_argument("--certs", type=Path, required=True, help="folder with <device>/chain.pem and key.pem")
    command.add_argument("--ca", type=Path, required=True, help="whom to trust as the broker")
    command.add_argument("--broker-host", required=True)
    command.add_argument("--broker-port", type=int, required=True)
    command.add_argument("--server-name", help="what the broker's certificate is for, when not the host")


def _add_simulate(command: argparse.ArgumentParser) -> None:
    _add_connection(command)
    command.add_argument("--state", type=Path, required=True, help="folder for what is not acked yet, fault labels, `ready`")
    command.add_argument("--interval-s", type=float, help="between two reports of a device, instead of its profile's")
    command.add_argument(
        "--fault", action="append", default=[], metavar="LABEL:SITE_INDEX[:DEVICE_KIND]", help="from now on"
    )
    command.add_argument(
        "--demo-fault", action="store_true", help="one site has lost its connection, another's meter was set otherwise"
    )


def _add_load(command: argparse.ArgumentParser) -> None:
    _add_connection(command)
    command.add_argument(
        "--rate", type=float, required=True, help="messages/s over all devices; 0 = as many as windows allow"
    )
    command.add_argument("--seconds", type=float, required=True)
    command.add_argument("--samples-per-message", type=int, default=1)
    command.add_argument("--window", type=int, help="messages of a device that may wait for the platform's ack")
    command.add_argument("--burst", type=int, default=1, help="messages that a device sends at once")
    command.add_argument("--connections", type=int, help="use so many devices of the plan")
    command.add_argument("--first", type=int, default=0, help="from this one on; default: %(default)s")
    command.add_argument("--handshakes", type=int, default=HANDSHAKES_AT_ONCE, help="at once; default: %(default)s")
    command.add_argument("--drain-s", type=float, default=15.0, help="how long to wait for the last acks")
    command.add_argument("--report", type=Path)


if __name__ == "__main__":
    sys.exit(main())

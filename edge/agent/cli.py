"""solarperform-agent: makes this machine a device of the platform (enrol), and works as one (run)."""

import argparse
import asyncio
import getpass
import os
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from edge.agent import enrolment, on_site, settings, status, unit
from edge.agent.configuration import configuration_of
from edge.agent.enrolment import Wish
from edge.agent.home import Home
from edge.agent.inputs import SimulatedSettings
from edge.agent.log_tail import LogTail
from edge.agent.server import Server
from edge.agent.settings import AgentSettings
from edge.agent.texts import text
from edge.agent.trust import read_fingerprint
from edge.limits import AGENT_ENROL_PATIENCE_S
from fleet.errors import BadInput, FleetError, Unavailable
from fleet.runtime.logs import set_up_logs

FAILED, REFUSED, UNTRUSTED, UNREACHABLE, CLOCK, OTHER_CLAIM, NOT_ENROLLED, INTERRUPTED = 1, 3, 4, 5, 6, 7, 8, 130
_CODES = {
    "server_untrusted": UNTRUSTED,
    "server_other_name": UNTRUSTED,
    "server_certificate_dates": UNTRUSTED,
    "other_fingerprint": UNTRUSTED,
    "clock_wrong": CLOCK,
    "other_claim": OTHER_CLAIM,
    "not_enrolled": NOT_ENROLLED,
    "bad_settings": FAILED,
    "bad_state": FAILED,
    "bad_value": REFUSED,
}
_STATE = Path("/var/lib/solarperform-agent")
_CONFIG = Path("/etc/solarperform-agent.toml")


def main(arguments: Sequence[str] | None = None) -> int:
    chosen = _parser().parse_args(arguments)
    try:
        return _run(chosen, Home(chosen.state))
    except KeyboardInterrupt:
        _say(text("interrupted") if chosen.command == "enrol" else "")
        return INTERRUPTED
    except FleetError as error:
        _say(f"solarperform-agent: {error}")
        return _CODES.get(error.code, UNREACHABLE if isinstance(error, Unavailable) else REFUSED)
    except OSError as error:
        _say(f"solarperform-agent: {error}")
        return FAILED


def _run(chosen: argparse.Namespace, home: Home) -> int:
    match chosen.command:
        case "enrol":
            return _enrol(chosen, home)
        case "run":
            log_tail = LogTail()
            set_up_logs(log_tail)
            return asyncio.run(_work(home, _settings(chosen), log_tail))
        case "status":
            print("\n".join(status.lines(home, datetime.now(UTC))))
        case "config":
            print("\n".join(on_site.lines(home, configuration_of(home, _settings(chosen)))))
        case "set":
            home.enrolled()
            with on_site.Turn(home):
                print(on_site.change(home, configuration_of(home, _settings(chosen)), chosen.key, chosen.value))
        case _:
            print(_unit(chosen), end="")
    return 0


def _enrol(chosen: argparse.Namespace, home: Home) -> int:
    server, code, fingerprint = chosen.server, chosen.claim, chosen.fingerprint
    if chosen.link:
        server, code, in_link = enrolment.read_link(chosen.link)
        fingerprint = fingerprint or in_link
    if not server or not code:
        raise BadInput("no_target", text("no_target"))
    wanted = read_fingerprint(fingerprint) if fingerprint and not chosen.ca else None
    wish = Wish(Server(server), enrolment.read_code(code), chosen.ca, wanted, chosen.again)
    done = enrolment.enrol(home, wish, say=_say, now=lambda: datetime.now(UTC), patience_s=chosen.patience_s)
    said = text("enrolled" if done.new else "already_enrolled", **_who(done.connection))
    print(f"{said}\n{text('next_steps')}")
    return 0


async def _work(home: Home, chosen: AgentSettings, log_tail: LogTail) -> int:
    from edge.agent.agent import Agent  # noqa: PLC0415 - the other commands need neither MQTT nor a disk to queue on

    agent = Agent(home, chosen, log_tail)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, agent.stop)
    return await agent.run()


def _settings(chosen: argparse.Namespace) -> AgentSettings:
    path = chosen.config or next((file for file in (chosen.state / "agent.toml", _CONFIG) if file.exists()), None)
    read = settings.read(path) if path else AgentSettings()
    if chosen.simulate and not any(isinstance(each, SimulatedSettings) for each in read.inputs):
        return msgspec.structs.replace(read, inputs=(*read.inputs, SimulatedSettings()))
    return read


def _unit(chosen: argparse.Namespace) -> str:
    arguments = ["run"]
    folder = None if chosen.state == _STATE else chosen.state.absolute()
    if folder:
        arguments += ["--state", str(folder)]
    if chosen.config:
        arguments += ["--config", str(chosen.config.absolute())]
    program = Path(sys.argv[0]).absolute()
    command = [str(program)] if program.suffix != ".py" else [sys.executable, "-m", "edge.agent"]
    return unit.text([*command, *arguments], folder, folder.owner() if folder and folder.exists() else getpass.getuser())


def _who(connection: object) -> dict[str, object]:
    found = msgspec.structs.asdict(connection)  # type: ignore[arg-type] # a struct, as its type says
    return {key: found[key] for key in ("name", "device", "site")}


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="solarperform-agent", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str, said: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=said, description=said)
        added.add_argument(
            "--state",
            type=Path,
            default=Path(os.environ.get("STATE_DIRECTORY") or _STATE),
            metavar="DIR",
            help="where keys, certificates and what waits to be sent are kept (%(default)s)",
        )
        return added

    enrol = command("enrol", "become a device of the platform, with the code on the installer's screen")
    enrol.add_argument(
        "link", nargs="?", metavar="LINK", help="what the QR code says: https://server:port/#CODE.FINGERPRINT"
    )
    enrol.add_argument("--server", metavar="URL")
    enrol.add_argument("--claim", metavar="CODE")
    enrol.add_argument("--ca", type=Path, metavar="FILE", help="trust anchor of the server, PEM")
    enrol.add_argument("--fingerprint", metavar="HEX", help="of the trust anchor, from the installer's screen")
    enrol.add_argument("--again", action="store_true", help="become another device than this machine is now")
    enrol.add_argument(
        "--patience-s",
        type=float,
        default=AGENT_ENROL_PATIENCE_S,
        help="how long to go on asking a silent server (%(default)s)",
    )
    config_help = f"agent.toml in the state folder, or {_CONFIG}"
    for name, said in (
        ("run", "publish what the inputs read, until stopped"),
        ("config", "what it runs: the platform's version, every value, and what was changed on site"),
        ("set", "change one value on site; the platform is told of it, and its next version goes before it"),
    ):
        added = command(name, said)
        added.add_argument("--config", type=Path, metavar="FILE", help=config_help)
        added.add_argument("--simulate", action="store_true", help="add an input that plays this device")
        if name == "set":
            added.add_argument("key", metavar="KEY", help="as `config` lists them, such as report_interval_s")
            added.add_argument("value", metavar="VALUE")
    command("status", "who this is, until when, and how it goes")
    command("unit", "print a service unit for systemd").add_argument("--config", type=Path, metavar="FILE")
    return parser


if __name__ == "__main__":
    sys.exit(main())

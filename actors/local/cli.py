"""solarperform: the command that `./run` hands over to."""

import argparse
import errno
import getpass
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from actors.local import audit, checks, doctor, keeping, launch, smtp_options, support
from actors.local.configuration import Options
from actors.local.disk import disk_full
from actors.local.layout import Layout
from actors.local.ports import LOOPBACK
from actors.local.texts import text
from fleet.errors import BadInput, FleetError
from fleet.limits import DEMO_SITES_MAX


def main(arguments: Sequence[str] | None = None) -> int:
    """0 = all went well. Whatever is in the way is one sentence on standard error, never a traceback."""
    parser = _parser()
    chosen, rest = parser.parse_known_args(arguments)
    if rest and chosen.command not in checks.WITH_ARGUMENTS:
        parser.error(f"unrecognised: {' '.join(rest)}")
    try:
        return _run(chosen, rest)
    except FleetError as error:
        sentence = error.detail
    except KeyboardInterrupt:
        return launch.STOPPED_BY_HAND
    except OSError as error:
        folder = getattr(chosen, "data_dir", Path.cwd())
        if error.errno == errno.ENOSPC:
            sentence = disk_full(folder)
        elif isinstance(error, PermissionError):
            sentence = text("no_permission", folder=error.filename or folder, user=getpass.getuser())
        else:
            raise
    print(f"solarperform: {sentence}", file=sys.stderr)
    return 1


def _run(chosen: argparse.Namespace, rest: list[str]) -> int:
    match chosen.command:
        case "demo" | "up":
            return launch.run(_options(chosen))
        case "doctor":
            return doctor.examine(Layout(chosen.data_dir))
        case "audit":
            return audit.verify(Layout(chosen.data_dir), save=chosen.save, against=chosen.against)
        case "backup" | "restore" | "support-bundle":
            return _say(_keeping(chosen))
        case "check":
            return checks.check()
        case _:
            return checks.WITH_ARGUMENTS[chosen.command](rest)


def _keeping(chosen: argparse.Namespace) -> Iterable[str]:
    if chosen.command == "support-bundle":
        return support.make(Layout(chosen.data_dir), chosen.to)
    return keeping.act(chosen)


def _say(sentences: Iterable[str]) -> int:
    for sentence in sentences:
        print(sentence)
    return 0


def _options(chosen: argparse.Namespace) -> Options:
    sites = chosen.sites if chosen.command == "demo" else None
    if sites is not None and not 1 <= sites <= DEMO_SITES_MAX:
        raise BadInput("bad_sites", text("bad_sites", most=DEMO_SITES_MAX))
    ports = {
        "--port": chosen.port,
        "--mqtt-port": chosen.mqtt_port,
        "--est-port": chosen.est_port,
        "--sftp-port": chosen.sftp_port,
    }
    if chosen.sftp_legacy_port is not None:
        ports["--sftp-legacy-port"] = chosen.sftp_legacy_port
    for option, port in ports.items():
        if not 1 <= port <= 65_535:
            raise BadInput("bad_port", text("bad_port", option=option))
    if len(set(ports.values())) < len(ports):
        raise BadInput("same_port", text("same_port"))
    host, device_host = (LOOPBACK if name == "localhost" else name for name in (chosen.host, chosen.device_host))
    smtp = smtp_options.settings_of(chosen) if chosen.command == "up" else None
    return Options(
        chosen.data_dir,
        chosen.port,
        chosen.mqtt_port,
        sites,
        host,
        device_host,
        chosen.est_port,
        smtp,
        chosen.sftp_port,
        tuple(chosen.pull_network),
        chosen.sftp_legacy_port,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="solarperform", description="The open platform that runs fleets of solar sites.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, what: str, *, folder: bool = False) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=what, description=what)
        if folder:
            added.add_argument("--data-dir", type=Path, default=Path(".solarperform"), help="default: %(default)s")
        return added

    for name, what in (("demo", "start everything with simulated sites"), ("up", "start everything, without demo data")):
        start = command(name, what, folder=True)
        start.add_argument("--port", type=int, default=8080, help="of the web server; default: %(default)s")
        start.add_argument("--mqtt-port", type=int, default=8883, help="of the broker, for devices; default: %(default)s")
        start.add_argument("--est-port", type=int, default=8443, help="where devices enrol; default: %(default)s")
        start.add_argument("--sftp-port", type=int, default=2222, help="where loggers put files; default: %(default)s")
        start.add_argument(
            "--device-host",
            metavar="HOST",
            default=LOOPBACK,
            help="this machine's address or name for devices on the network; default: %(default)s, this machine only",
        )
        start.add_argument(
            "--sftp-legacy-port",
            type=int,
            help="the same with older algorithms, for loggers that are marked for it; default: there is none",
        )
        start.add_argument(
            "--pull-network",
            action="append",
            metavar="CIDR",
            default=[],
            help="a private network in which customers' SFTP servers may be fetched from; may be given several times",
        )
        if name == "demo":
            start.add_argument("--sites", type=int, default=20, help="how many; default: %(default)s")
            start.set_defaults(host=LOOPBACK)  # everyone knows the demonstration's passwords
        else:
            start.add_argument(
                "--host",
                default=LOOPBACK,
                help="the same for browsers, without TLS: put a gateway before it; default: %(default)s, this machine only",
            )
            smtp_options.add_to(start)
    command("doctor", "check what the platform needs on this machine", folder=True)
    audit.add_to(command("audit", "verify the journal of what devices were told to be and to do", folder=True))
    keeping.add_backup_to(
        command("backup", "everything of an installation into one sealed file, while it runs", folder=True)
    )
    keeping.add_restore_to(command("restore", "a backup into a new data folder, or to try it out"))
    support.add_to(
        command("support-bundle", "what somebody who helps needs to know, without secrets and names", folder=True)
    )
    command("check", "format, lint, types and import layers")
    command("test", "run every test; arguments go to pytest")
    command("bench", "run benchmarks: all, or those named")
    commands.add_parser("recette", help="the acceptance record as PDF, from tests that ran", add_help=False)
    return parser


if __name__ == "__main__":
    sys.exit(main())

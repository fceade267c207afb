"""python -m certs: makes the PKI, issues certificates, serves. Repeating a command changes nothing that is still good."""

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from certs import crl, last_list
from certs.authority import Pki, alone_in
from fleet import settings as files
from fleet.errors import BadInput, FleetError
from fleet.settings import PkiSettings

_REASONS: Final = ("lost", "stolen", "compromised", "replaced", "retired", "other")


def main(arguments: Sequence[str] | None = None) -> int:
    chosen = _parser().parse_args(arguments)
    try:
        if chosen.command in ("serve", "revoke"):
            return _with_database(chosen)
        if chosen.command == "init":
            chosen.folder.mkdir(parents=True, exist_ok=True)
        with alone_in(chosen.folder):
            told = _run(chosen, datetime.now(UTC))
        print(told)
        return _with_database(chosen) if chosen.command == "list" and chosen.settings is not None else 0
    except (FleetError, OSError) as error:
        print(f"certs: {error}", file=sys.stderr)
        return 1


def _run(chosen: argparse.Namespace, now: datetime) -> str:
    if chosen.command == "init":
        pki = Pki.create(chosen.folder, now)
        last_list.ensure(pki, now)
        return f"PKI in {pki.folder}"
    pki = Pki(chosen.folder)
    match chosen.command:
        case "issue-server":
            return _told("server", [pki.issue_server(chosen.name, chosen.ip, now)])
        case "issue-platform":
            return _told("platform", [pki.issue_platform(name, now) for name in chosen.names])
        case "issue-device":
            return _told("device", [pki.issue_device(device, now) for device in chosen.ids + _ids_in(chosen.ids_file)])
        case "crl":
            return _list_told(pki)
        case _:
            return "\n".join(f"{kind:9} {name:32} until {end:%Y-%m-%d %H:%M} UTC" for kind, name, end in pki.leaves())


def _with_database(chosen: argparse.Namespace) -> int:
    from certs import running  # noqa: PLC0415 - its packages take most of a second, and init needs none of them

    if chosen.command == "serve":
        return running.serve(chosen.settings)
    settings = files.load(chosen.settings, PkiSettings)
    match chosen.command:
        case "revoke":
            print(running.revoke(settings, chosen.device, chosen.reason, chosen.note))
        case _:
            print(running.ledger(settings))
    return 0


def _told(kind: str, issued: list[bool]) -> str:
    return f"{kind} certificates: {sum(issued)} issued, {len(issued) - sum(issued)} kept"


def _list_told(pki: Pki) -> str:
    """Raises BadInput (bad_crl)."""
    last = last_list.standing(pki.devices, pki.folder)
    if last is None:
        raise BadInput("bad_crl", f"{last_list.path(pki.folder)} holds no revocation list; init makes the first one")
    form = "%Y-%m-%d %H:%M:%S UTC"
    head = f"list {crl.number_of(last)} of {last.last_update_utc:{form}}, until {last.next_update_utc:{form}}"
    return "\n".join([head, *(f"{entry.serial_number:x} {entry.revocation_date_utc:{form}}" for entry in last)])


def _ids_in(path: Path | None) -> list[str]:
    """One id per line. Raises BadInput (bad_ids_file)."""
    if path is None:
        return []
    try:
        return path.read_text().split()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput("bad_ids_file", f"{path} cannot be read: {error}") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m certs", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.add_argument("folder", type=Path, metavar="FOLDER")
        return added

    command("init", "make the authorities, or keep those that stand")
    server = command("issue-server", "a certificate that a server shows")
    server.add_argument("--name", action="append", required=True, help="host name; the first also names its folder")
    server.add_argument("--ip", action="append", default=[], help="address at which it is reached")
    command("issue-platform", "certificates of the platform's own services").add_argument("names", nargs="+", metavar="NAME")
    device = command("issue-device", "certificates of devices")
    device.add_argument("ids", nargs="*", default=[], metavar="ID")
    device.add_argument("--ids-file", type=Path, help="more ids, one per line")
    command("crl", "the last revocation list: its number, times and entries")
    listed = command("list", "what was issued, and until when it lasts")
    listed.add_argument("--settings", type=Path, metavar="FILE", help="also the ledger of what devices were given")
    _add_database_commands(commands)
    return parser


def _add_database_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    serve = commands.add_parser("serve", help="the authority's process: enrolment, renewal, revocation lists")
    revoke = commands.add_parser("revoke", help="revoke a device's certificates, and sign the list that says so")
    for added in (serve, revoke):
        added.add_argument("--settings", type=Path, required=True, metavar="FILE", help="JSON file of the authority")
    revoke.add_argument("device", metavar="DEVICE")
    revoke.add_argument("--reason", required=True, choices=_REASONS)
    revoke.add_argument("--note", default="")


if __name__ == "__main__":
    sys.exit(main())

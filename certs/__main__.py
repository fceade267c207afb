"""python -m certs: makes the PKI and issues certificates. Repeating a command changes nothing that is still good."""

import argparse
import fcntl
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from certs.authority import Pki
from fleet.errors import BadInput, FleetError, NotFound


def main(arguments: Sequence[str] | None = None) -> int:
    chosen = _parser().parse_args(arguments)
    try:
        if chosen.command == "init":
            chosen.folder.mkdir(parents=True, exist_ok=True)
        with _alone_in(chosen.folder):
            print(_run(chosen, datetime.now(UTC)))
    except (FleetError, OSError) as error:
        print(f"certs: {error}", file=sys.stderr)
        return 1
    return 0


def _run(chosen: argparse.Namespace, now: datetime) -> str:
    if chosen.command == "init":
        return f"PKI in {Pki.create(chosen.folder, now).folder}"
    pki = Pki(chosen.folder)
    match chosen.command:
        case "issue-server":
            return _told("server", [pki.issue_server(chosen.name, chosen.ip, now)])
        case "issue-platform":
            return _told("platform", [pki.issue_platform(name, now) for name in chosen.names])
        case "issue-device":
            return _told("device", [pki.issue_device(device, now) for device in chosen.ids + _ids_in(chosen.ids_file)])
        case _:
            return "\n".join(f"{kind:9} {name:32} until {end:%Y-%m-%d %H:%M} UTC" for kind, name, end in pki.leaves())


def _told(kind: str, issued: list[bool]) -> str:
    return f"{kind} certificates: {sum(issued)} issued, {len(issued) - sum(issued)} kept"


def _ids_in(path: Path | None) -> list[str]:
    """One id per line. Raises BadInput (bad_ids_file)."""
    if path is None:
        return []
    try:
        return path.read_text().split()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput("bad_ids_file", f"{path} cannot be read: {error}") from None


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Two commands at once would give one certificate the key of another."""
    if not folder.is_dir():
        raise NotFound("no_pki", f"there is no folder {folder}; `python -m certs init {folder}` makes it")
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


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
    command("list", "what was issued, and until when it lasts")
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""python -m actors.keeping: backup, restore and support bundle of an installation from images, beside its PostgreSQL.

backup   while everything runs
restore  into one whose PostgreSQL runs and is empty; nothing else may be running
bundle   what others say is read from standard input: docker compose logs | … bundle --to FILE
audit    the journal of what devices were told to be and to do, as on one machine
"""

import argparse
import asyncio
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from actors.keeping import backup, bundle, options, sealing, words
from actors.keeping.bundle import Piece
from actors.keeping.redaction import Redactor
from actors.keeping.restore import How, restore
from actors.keeping.texts import text
from actors.local import audit
from fleet.errors import FleetError
from fleet.limits import BUNDLE_LOG_BYTES_MAX
from fleet.settings import KeepingSettings, load
from fleet.storage.database import AWAY


def main(arguments: Sequence[str] | None = None) -> int:
    chosen = _parser().parse_args(arguments)
    try:
        if chosen.command == "audit":
            told = load(chosen.settings, KeepingSettings)
            return audit.verify_in(told.database, save=chosen.save, against=chosen.against)
        for sentence in _done(chosen):
            print(sentence, flush=True)
    except (FleetError, *AWAY) as error:
        print(f"{chosen.command}: {str(error) or type(error).__name__}", file=sys.stderr)
        return 1
    return 0


def _done(chosen: argparse.Namespace) -> Iterator[str]:
    if chosen.command == "make-key":
        yield text("key_made", recipient=sealing.make_key(chosen.file), file=chosen.file)
        return
    told = load(chosen.settings, KeepingSettings)
    match chosen.command:
        case "backup":
            seal = options.seal_of(chosen, told.recipient)
            yield from words.made(asyncio.run(backup.back_up(told, seal, keep=chosen.keep)), told)
        case "restore":
            yield from _restored(told, chosen)
        case _:
            yield from _bundled(told, chosen.settings.parent, chosen.to)


def _restored(told: KeepingSettings, chosen: argparse.Namespace) -> Iterator[str]:
    opener = options.opener_of(chosen)
    how = How(chosen.set_aside, chosen.verify, chosen.crl)
    done = asyncio.run(restore(told, chosen.file, opener, how))
    yield from words.restored(done, told.database.name)
    yield from words.warnings(done)


def _bundled(told: KeepingSettings, settings: Path, to: Path | None) -> Iterator[str]:
    redactor = Redactor()
    file = to or told.archives / f"support-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.tar.gz"
    pieces = [bundle.versions(), asyncio.run(bundle.database(told.database, redactor))]
    pieces += [bundle.certificates(told.pki, redactor), *bundle.settings_in(settings, redactor)]
    if not sys.stdin.isatty():
        said = bytearray()
        while piece := sys.stdin.buffer.read(BUNDLE_LOG_BYTES_MAX):
            said = (said + piece)[-8 * BUNDLE_LOG_BYTES_MAX :]  # the end of it
        pieces.append(Piece("logs.txt", redactor.lines(bytes(said))))
    yield text("bundle_done", file=file, size_kb=bundle.write(file, pieces) / 1e3)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m actors.keeping", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("make-key", help="a key to seal backups for").add_argument("file", type=Path, metavar="FILE")
    made = commands.add_parser("backup", help="everything of an installation into one sealed file")
    options.add_seal_to(made)
    back = commands.add_parser("restore", help="a backup into an empty installation")
    options.add_opening_to(back)
    back.add_argument(
        "--set-aside", action="store_true", help="set aside the database and the files that there are: an upgrade's way back"
    )
    support = commands.add_parser("bundle", help="what somebody who helps needs to know, without secrets and names")
    support.add_argument("--to", type=Path, metavar="FILE", help="default: among the archives")
    journal = commands.add_parser("audit", help="whether the journal of what devices were told is as it was written")
    audit.add_to(journal)
    for each in (made, back, support, journal):
        each.add_argument("--settings", type=Path, required=True, metavar="FILE")
    return parser


if __name__ == "__main__":
    sys.exit(main())

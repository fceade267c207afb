"""audit verify: whether the journal of receipts is as it was written, and tells of every step that is stored."""

import argparse
import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from actors.local.configuration import DATABASE
from actors.local.layout import Layout
from actors.local.onboarding_checks import is_running
from actors.local.ports import LOOPBACK
from actors.local.postgres import SUPERUSER, PostgresServer
from actors.local.texts import text
from fleet import settings
from fleet.errors import BadInput, FleetError, NotFound, Unavailable
from fleet.limits import RECEIPTS_NAMED_MAX
from fleet.receipts import Broken, Head, Verifier
from fleet.settings import DatabaseSettings, TwinsSettings
from fleet.storage import receipts
from fleet.storage.database import AWAY, Connection, connect
from fleet.storage.receipts import Unreceipted
from fleet.telemetry import UnixMs

_ROLE = "sp_twins"  # it sees every site's lines, and cannot change one
_HASH_CHARS = 12  # of a hash, for the eye


class SavedHead(msgspec.Struct, frozen=True):
    """hash: hexadecimal."""

    chain: int
    seq: int
    hash: str


class SavedHeads(msgspec.Struct, frozen=True):
    """What --save writes."""

    saved_at: UnixMs
    heads: list[SavedHead]


class Chain(msgspec.Struct, frozen=True):
    """As far as it holds. newest_at 0: there is no line."""

    head: Head
    newest_at: UnixMs
    broken: Broken | None


class Findings(msgspec.Struct, frozen=True):
    """lacking: how many stored steps have no receipt; named: the oldest of them."""

    chains: list[Chain]
    lacking: int
    named: list[Unreceipted]
    seconds: float

    @property
    def lines(self) -> int:
        return sum(chain.head.seq for chain in self.chains)

    @property
    def broken(self) -> int:
        return sum(chain.broken is not None for chain in self.chains)

    @property
    def is_whole(self) -> bool:
        return not self.broken and not self.lacking


def add_to(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "what", choices=("verify",), help="verify: go along every chain, and look for steps without a receipt"
    )
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the chains' heads to it, to be kept elsewhere")
    parser.add_argument("--against", type=Path, metavar="FILE", help="heads that were saved: they must still stand")


def verify(layout: Layout, *, save: Path | None = None, against: Path | None = None) -> int:
    """Prints a line per chain. 0 = all is whole. Raises FleetError with what is in the way."""
    with _database(layout) as database:
        try:
            return verify_in(database, save=save, against=against)
        except FleetError as error:
            if error.code not in ("no_database", "database_refused"):
                raise
            raise Unavailable("no_journal", text("audit_too_old")) from None  # the first start was cut short


def verify_in(database: DatabaseSettings, *, save: Path | None = None, against: Path | None = None) -> int:
    """The same beside a PostgreSQL that runs. By a role that sees every site's lines."""
    saved = _load(against) if against is not None else []
    try:
        found = asyncio.run(examined(database, saved))
    except AWAY as error:
        raise Unavailable("database_away", text("audit_away", port=database.port, why=error)) from None
    _tell(found)
    if save is not None:
        if found.is_whole:
            _save(save, [chain.head for chain in found.chains])
        print(text("audit_saved" if found.is_whole else "audit_not_saved", file=save))
    return 0 if found.is_whole else 1


async def examined(database: DatabaseSettings, saved: Sequence[Head] = ()) -> Findings:
    """All in one transaction's view, whatever is written meanwhile. Raises Unavailable (no_journal)."""
    began = time.monotonic()
    connection = await connect(database)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            if not await receipts.exists(connection):
                raise Unavailable("no_journal", text("audit_too_old"))
            heads = {head.chain: head for head in await receipts.heads(connection)}
            for each in saved:
                heads.setdefault(each.chain, Head(each.chain, 0, Verifier(each.chain).head))
            by_chain = {each.chain: each for each in saved}
            chains = [await _walked(connection, head, by_chain.get(chain)) for chain, head in sorted(heads.items())]
            seconds = time.monotonic() - began
            lacking, named = await receipts.unreceipted(connection, RECEIPTS_NAMED_MAX)
    finally:
        await connection.close()
    return Findings(chains, lacking, named, seconds)


async def _walked(connection: Connection, head: Head, saved: Head | None) -> Chain:
    """Up to its end, or to where it breaks."""
    verifier = Verifier(head.chain)
    newest_at = 0
    broken = None
    async for piece in receipts.lines(connection, head.chain):
        for line in piece:
            broken = verifier.check(line) or (saved and verifier.against(saved))
            if broken is not None:
                return Chain(Head(head.chain, verifier.seq, verifier.head), newest_at, broken)
            newest_at = line.at
    broken = verifier.end(head.seq, head.hash)
    if broken is None and saved is not None and saved.seq > verifier.seq:
        broken = Broken(head.chain, verifier.seq + 1, "cut_end")  # with its head
    return Chain(Head(head.chain, verifier.seq, verifier.head), newest_at, broken)


def _tell(found: Findings) -> None:
    for chain in found.chains:
        at = f"{datetime.fromtimestamp(chain.newest_at / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC" if chain.newest_at else "-"
        head = chain.head.hash.hex()[:_HASH_CHARS]
        line = text("audit_chain", chain=chain.head.chain, lines=chain.head.seq, at=at, head=head)
        why = f" - {text(f'audit_{chain.broken.code}', seq=chain.broken.seq)}" if chain.broken is not None else ""
        print(f"  {'✗' if chain.broken else '✓'} {line}{why}")
    for step in found.named:
        print(f"  ✗ {text('audit_without_receipt', **step._asdict())}")
    if found.lacking > len(found.named):
        print(f"  ✗ {text('audit_more', number=found.lacking - len(found.named))}")
    if not found.is_whole:
        print(text("audit_broken", broken=found.broken, chains=len(found.chains), lacking=found.lacking))
    elif not found.lines:
        print(text("audit_empty"))
    else:
        speed = found.lines / max(found.seconds, 1e-6)
        print(text("audit_whole", lines=found.lines, chains=len(found.chains), lines_per_s=speed))


@contextmanager
def _database(layout: Layout) -> Iterator[DatabaseSettings]:
    """The running platform's; or PostgreSQL alone, for as long as this takes."""
    if not layout.postgres.is_dir():
        raise NotFound("no_data", text("audit_no_data", folder=layout.folder))
    if is_running(layout):
        yield settings.load(layout.settings / "twins.json", TwinsSettings).database
        return
    with layout.locked():
        server = PostgresServer(
            layout.postgres, port=0, password_file=layout.secret(SUPERUSER), log_file=layout.log("postgres")
        )
        try:
            server.start()
            yield DatabaseSettings(LOOPBACK, server.port, DATABASE, _ROLE, layout.secret(_ROLE))
        finally:
            server.stop()


def _load(file: Path) -> list[Head]:
    """Raises BadInput (bad_heads)."""
    try:
        saved = msgspec.json.decode(file.read_bytes(), type=SavedHeads)
        return [Head(each.chain, each.seq, bytes.fromhex(each.hash)) for each in saved.heads]
    except (OSError, ValueError) as error:
        raise BadInput("bad_heads", text("audit_bad_heads", file=file, why=error)) from None


def _save(file: Path, heads: Sequence[Head]) -> None:
    """Whole or not at all."""
    saved = SavedHeads(time.time_ns() // 1_000_000, [SavedHead(head.chain, head.seq, head.hash.hex()) for head in heads])
    fresh = file.with_name(f".{file.name}.new")
    fresh.write_bytes(msgspec.json.format(msgspec.json.encode(saved), indent=2) + b"\n")
    fresh.rename(file)

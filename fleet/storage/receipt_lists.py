"""The journal of receipts as people see it: of one device, the newest first, below row-level security."""

from typing import Annotated, Any, Final

import msgspec

from fleet.ids import DeviceId, SiteId
from fleet.storage.database import Connection
from fleet.telemetry import UnixMs

_RECEIPTS: Final = """
    SELECT chain, seq, at, kind, subject, detail, encode(hash, 'hex') AS hash FROM remote.receipt
    WHERE site_id = $1 AND device_id = $2 AND kind LIKE $3 AND ($4::bigint IS NULL OR (at, chain, seq) < ($4, $5, $6))
    ORDER BY at DESC, chain DESC, seq DESC LIMIT $7
"""


class ReceiptRow(msgspec.Struct, frozen=True):
    """One line of a chain. seq: its place there; hash: over it and the hash of the line before; detail: as it was hashed."""

    chain: int
    seq: int
    at: UnixMs
    kind: str
    subject: str
    detail: dict[str, Any]
    hash: str


class ReceiptCursor(msgspec.Struct, frozen=True, array_like=True):
    """The last line of a page."""

    at: Annotated[UnixMs, msgspec.Meta(ge=0, lt=2**60)]
    chain: Annotated[int, msgspec.Meta(ge=0, lt=2**15)]
    seq: Annotated[int, msgspec.Meta(ge=0, lt=2**60)]


async def receipts_of(
    connection: Connection, site: SiteId, device: DeviceId, *, about: str = "", after: ReceiptCursor | None, limit: int
) -> list[ReceiptRow]:
    """about: "config" or "command"; "": both."""
    position = (after.at, after.chain, after.seq) if after is not None else (None, None, None)
    rows = await connection.fetch(_RECEIPTS, site, device, f"{about}.%" if about else "%", *position, limit)
    return [msgspec.convert(dict(row) | {"detail": msgspec.json.decode(row["detail"])}, ReceiptRow) for row in rows]


def cursor_after(row: ReceiptRow) -> ReceiptCursor:
    """For the page that follows this line."""
    return ReceiptCursor(row.at, row.chain, row.seq)

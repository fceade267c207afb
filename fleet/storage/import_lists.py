"""Files and what became of them, as their keepers see them: below row-level security, newest first."""

from collections.abc import Sequence
from typing import Annotated, Final, Literal

import asyncpg
import msgspec

from fleet.codecs.files.reading import ReadingSettings
from fleet.errors import Conflict, NotFound
from fleet.ids import DeviceId, SiteId
from fleet.storage.database import Connection
from fleet.telemetry import UnixMs

FileState = Literal["received", "reading", "storing", "imported", "partly", "quarantined", "same", "undoing", "undone"]
FileVia = Literal["sftp", "pull", "upload"]
# What a list can be narrowed to: a state, or several that ask the same of people.
Show = Literal["active", "imported", "partly", "quarantined", "waiting", "undone"]


_STATES: Final[dict[Show, tuple[FileState, ...]]] = {
    "active": ("received", "reading", "storing", "undoing"),
    "imported": ("imported", "same"),
    "partly": ("partly",),
    "quarantined": ("quarantined",),
    "waiting": ("imported", "partly"),  # of whose rows some wait for a device
    "undone": ("undone",),
}


class FileRow(msgspec.Struct, frozen=True):
    """A line of imports.file; the table says what each column means. person: a name, while it may be seen. has_rows: some of
    its rows are stored.
    """

    number: int
    id: str
    site: SiteId
    site_name: str
    timezone: str
    device: DeviceId | None
    device_name: str | None
    via: FileVia
    person: str | None
    name: str
    size_bytes: int
    sha256: str
    received_at: UnixMs
    state: FileState
    state_at: UnixMs
    finished_at: UnixMs | None
    settings: ReadingSettings
    format_id: str | None
    problem_code: str | None
    problem_gaps: dict[str, str]
    problem_line: int | None
    blocks: int | None
    blocks_done: int
    bytes_read: int
    rows_read: int
    rows_new: int
    rows_same: int
    rows_corrected: int
    rows_waiting: int
    rows_late: int
    lines_refused: int
    first_at: UnixMs | None
    last_at: UnixMs | None
    has_original: bool
    has_rows: bool

    @property
    def active(self) -> bool:
        """Something is being done with it, or will be by itself."""
        return self.state in _STATES["active"]


class RefusalRow(msgspec.Struct, frozen=True):
    """position: in the file's order, and where a page of them goes on."""

    position: int
    line: int
    cell: int | None
    code: str
    gaps: dict[str, str]
    text: str


class SerialRow(msgspec.Struct, frozen=True):
    """A device that a file tells of. waiting: its rows are not stored yet, since no device of the site has the serial.

    NOBODYS, or the logger's own id: the file does not tell whose they are.
    """

    serial: str
    device: DeviceId | None
    device_name: str | None
    rows: int
    measures: list[str]
    waiting: bool


class LoggerFile(msgspec.Struct, frozen=True):
    """The newest file of a device."""

    device: DeviceId
    id: str
    name: str
    received_at: UnixMs
    state: FileState


class ConcernRow(msgspec.Struct, frozen=True):
    """A logger that needs somebody, until it is well again."""

    device: DeviceId
    device_name: str
    kind: Literal["failing", "missing", "pull_failing"]
    since: UnixMs


class KeptSite(msgspec.Struct, frozen=True):
    id: SiteId
    name: str


class NewUpload(msgspec.Struct, frozen=True):
    """logger: as if it had sent the file. settings None: the logger's own."""

    id: str
    site: SiteId
    logger: DeviceId | None
    person_id: str
    name: str
    size_bytes: int
    sha256: bytes
    settings: ReadingSettings | None


Number = Annotated[int, msgspec.Meta(ge=1, lt=2**62)]

_COLUMNS: Final = """
    f.number, f.id, f.site_id AS site, s.name AS site_name, s.timezone, f.device_id AS device, d.name AS device_name, f.via,
    p.name AS person, f.name, f.size_bytes, encode(f.sha256, 'hex') AS sha256,
    (extract(epoch FROM f.received_at) * 1000)::bigint AS received_at, f.state,
    (extract(epoch FROM f.state_at) * 1000)::bigint AS state_at,
    (extract(epoch FROM f.finished_at) * 1000)::bigint AS finished_at, f.settings, f.format_id, f.problem_code,
    f.problem_gaps, f.problem_line, f.blocks, f.blocks_done, f.bytes_read, f.rows_read, f.rows_new, f.rows_same,
    f.rows_corrected, f.rows_waiting, f.rows_late, f.lines_refused,
    (extract(epoch FROM f.first_at) * 1000)::bigint AS first_at, (extract(epoch FROM f.last_at) * 1000)::bigint AS last_at,
    f.original_gone_at IS NULL AS has_original, f.stored_with IS NOT NULL AS has_rows
"""
_NAMES: Final = """
    JOIN registry.site s ON s.id = f.site_id
    LEFT JOIN registry.device d ON d.id = f.device_id
    LEFT JOIN accounts.person p ON p.id = f.person_id
"""
_WANTED: Final = """
    ($2::text[] IS NULL OR f.state = ANY($2)) AND (NOT $3 OR f.rows_waiting > 0) AND ($4::text IS NULL OR f.device_id = $4)
    AND ($5::bigint IS NULL OR f.number < $5) ORDER BY f.number DESC LIMIT $6
"""
# Site by site, so that each takes the head of its own index, however many files the whole platform has.
_OF_SITES: Final = f"""
    SELECT {_COLUMNS} FROM (
        SELECT newest.* FROM unnest($1::text[]) kept(id)
        CROSS JOIN LATERAL (SELECT f.* FROM imports.file f WHERE f.site_id = kept.id AND {_WANTED}) newest
        ORDER BY newest.number DESC LIMIT $6
    ) f {_NAMES} ORDER BY f.number DESC
"""  # noqa: S608 - put together from constants
_OF_ALL: Final = f"""
    SELECT {_COLUMNS} FROM (SELECT f.* FROM imports.file f WHERE $1::text[] IS NULL AND {_WANTED}) f
    {_NAMES} ORDER BY f.number DESC
"""  # noqa: S608 - put together from constants
_ONE: Final = f"SELECT {_COLUMNS} FROM imports.file f {_NAMES} WHERE f.id = $1"  # noqa: S608 - put together from constants


async def files(
    connection: Connection,
    *,
    sites: Sequence[SiteId] | None,
    show: Show | None = None,
    device: DeviceId | None = None,
    before: int | None = None,
    limit: int,
) -> list[FileRow]:
    """Newest first. sites None: all that the acting person may see. before: a row's number, where a page ends."""
    states = _STATES[show] if show else None
    rows = await connection.fetch(
        _OF_ALL if sites is None else _OF_SITES,
        None if sites is None else list(sites),
        states,
        show == "waiting",
        device,
        before,
        limit,
    )
    return [_row(row) for row in rows]


async def file(connection: Connection, file_id: str) -> FileRow:
    """Raises NotFound (unknown_import), also for one that the acting person may not see."""
    row = await connection.fetchrow(_ONE, file_id)
    if row is None:
        raise NotFound("unknown_import", f"no file {file_id[:40]}")
    return _row(row)


async def refusals(connection: Connection, row: FileRow, *, after: int | None, limit: int) -> list[RefusalRow]:
    """In the file's order, from the one behind `after` on."""
    found = await connection.fetch(
        "SELECT position, line, cell, code, gaps, text FROM imports.refusal"
        " WHERE site_id = $1 AND file_number = $2 AND ($3::int IS NULL OR position > $3) ORDER BY position LIMIT $4",
        row.site,
        row.number,
        after,
        limit,
    )
    return [msgspec.convert(dict(each), RefusalRow, strict=False) for each in found]


async def serials(connection: Connection, row: FileRow) -> list[SerialRow]:
    """Those that wait come first. A device that has got the serial since is named, although its rows may still wait."""
    found = await connection.fetch(
        "SELECT r.serial, coalesce(r.device_id, h.id) AS device, coalesce(d.name, h.name) AS device_name, r.rows,"
        " r.measures, r.waiting FROM imports.file_serial r LEFT JOIN registry.device d ON d.id = r.device_id"
        " LEFT JOIN registry.device h ON h.site_id = r.site_id AND h.serial = r.serial AND h.retired_at IS NULL"
        " WHERE r.site_id = $1 AND r.file_number = $2 ORDER BY r.waiting DESC, r.serial",
        row.site,
        row.number,
    )
    return [msgspec.convert(dict(each), SerialRow) for each in found]


async def kept_sites(connection: Connection, limit: int) -> list[KeptSite]:
    """Those that the acting person keeps, by name."""
    found = await connection.fetch(
        'SELECT id, name FROM registry.site WHERE registry.keeps(id) ORDER BY name COLLATE "C", id LIMIT $1', limit
    )
    return [KeptSite(*each.values()) for each in found]


async def newest_files(connection: Connection, site: SiteId) -> dict[DeviceId, LoggerFile]:
    """Of each device of the site that ever sent one."""
    found = await connection.fetch(
        "SELECT n.device_id AS device, n.id, n.name, (extract(epoch FROM n.received_at) * 1000)::bigint AS received_at,"
        " n.state FROM registry.device d CROSS JOIN LATERAL (SELECT f.* FROM imports.file f WHERE f.device_id = d.id"
        " ORDER BY f.number DESC LIMIT 1) n WHERE d.site_id = $1 AND d.retired_at IS NULL",
        site,
    )
    return {each["device"]: msgspec.convert(dict(each), LoggerFile) for each in found}


async def concerns(connection: Connection, site: SiteId) -> list[ConcernRow]:
    """The oldest first."""
    found = await connection.fetch(
        "SELECT c.device_id AS device, d.name AS device_name, c.kind,"
        " (extract(epoch FROM c.since) * 1000)::bigint AS since FROM imports.concern c"
        " JOIN registry.device d ON d.id = c.device_id WHERE c.site_id = $1 ORDER BY c.since, c.device_id",
        site,
    )
    return [msgspec.convert(dict(each), ConcernRow) for each in found]


async def newest_read_by(connection: Connection, formats: Sequence[str]) -> dict[str, str]:
    """Format → the newest file that was read by it and is still kept."""
    found = await connection.fetch(
        "SELECT wanted.id AS format_id, newest.id FROM unnest($1::text[]) wanted(id) CROSS JOIN LATERAL ("
        "SELECT id FROM imports.file WHERE format_id = wanted.id AND original_gone_at IS NULL ORDER BY number DESC LIMIT 1"
        ") newest",
        list(formats),
    )
    return {each["format_id"]: each["id"] for each in found}


async def company_format_names(connection: Connection, ids: Sequence[str]) -> dict[str, str]:
    found = await connection.fetch("SELECT id, name FROM imports.company_format WHERE id = ANY($1::text[])", list(ids))
    return {each["id"]: each["name"] for each in found}


async def add_upload(connection: Connection, new: NewUpload) -> None:
    """A file that lies in the intake's folder by now."""
    await connection.execute(
        "INSERT INTO imports.file (id, site_id, device_id, via, person_id, name, size_bytes, sha256, settings)"
        " SELECT $1, $2, $3, 'upload', $4, $5, $6, $7,"
        " coalesce($8::jsonb, (SELECT a.settings FROM imports.account a WHERE a.device_id = $3), '{}'::jsonb)",
        *msgspec.structs.astuple(new),
    )


async def read_again(connection: Connection, row: FileRow, settings: ReadingSettings) -> None:
    """Raises Conflict (import_busy, original_gone)."""
    if not row.has_original:
        raise Conflict("original_gone", "the file itself is not kept any more")
    done = await connection.fetchval(
        "UPDATE imports.file SET state = 'received', settings = $2 WHERE number = $1"
        " AND state NOT IN ('reading', 'storing', 'undoing') RETURNING true",
        row.number,
        settings,
    )
    if done is None:
        raise Conflict("import_busy", "the file is being read now: wait until that is done")


async def try_again(connection: Connection, organisation: str, limit: int) -> int:
    """Files of the sites that this company keeps, of which nobody knew the format; of all sites for the platform's own."""
    found = await connection.fetch(
        "UPDATE imports.file SET state = 'received' WHERE number IN (SELECT f.number FROM imports.file f"
        " JOIN registry.site s ON s.id = f.site_id WHERE f.state = 'quarantined' AND f.problem_code = 'unknown_format'"
        " AND f.original_gone_at IS NULL AND (s.installer_organisation_id = $1 OR $1 = 'platform')"
        " ORDER BY f.number DESC LIMIT $2) RETURNING number",
        organisation,
        limit,
    )
    return len(found)


async def undo(connection: Connection, row: FileRow) -> None:
    """The importer takes its rows out again. Raises Conflict (not_imported, import_busy)."""
    if not row.has_rows:
        raise Conflict("not_imported", "nothing of the file is stored")
    done = await connection.fetchval(
        "UPDATE imports.file SET state = 'undoing' WHERE number = $1"
        " AND state NOT IN ('reading', 'storing', 'undoing') RETURNING true",
        row.number,
    )
    if done is None:
        raise Conflict("import_busy", "the file is being worked at: wait until that is done")


def _row(row: asyncpg.Record) -> FileRow:
    return msgspec.convert(dict(row), FileRow, strict=False)  # gaps may have been stored as numbers

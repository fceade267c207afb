"""Files on their way in, as the importer sees them: what arrived, how far it is, what became of it."""

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

import msgspec

from fleet.codecs.files.reading import ReadingSettings, Refusal, refusal
from fleet.columns import BulkReport
from fleet.file_limits import SMALL_FILE_BYTES, WAITING_SERIALS_PER_SITE_MAX
from fleet.ids import DeviceId, SiteId
from fleet.limits import WAITING_SOURCES_PER_GATEWAY_MAX
from fleet.storage.database import Connection
from fleet.storage.import_retention import bound_refusals
from fleet.storage.waiting import Sighting, note_sources
from fleet.telemetry import UnixMs


class Arrival(NamedTuple):
    """A file that lies in the originals by now. device: the logger that sent it; its account's settings count."""

    id: str
    site: SiteId
    device: DeviceId | None
    via: str
    name: str
    size_bytes: int
    sha256: bytes


class Job(msgspec.Struct, frozen=True):
    """A file with something to do. company: that keeps its site; else the site. stored_with: what its rows were stored with
    before; None: it has none stored. logger_serial: of the logger that sent it, where that measures nothing itself.
    """

    company: str
    number: int
    id: str
    site: SiteId
    device: DeviceId | None
    via: str
    name: str
    size_bytes: int
    sha256: bytes
    received_at: UnixMs
    state: str
    settings: ReadingSettings
    stored_with: dict[str, object] | None
    attempts: int
    blocks: int | None
    blocks_done: int
    timezone: str
    first_at: UnixMs | None
    last_at: UnixMs | None
    logger_serial: str | None = None


class SerialRows(msgspec.Struct, frozen=True):
    """How many rows a file has of a device. device None: no device of the site has that serial, they wait."""

    serial: str
    device: DeviceId | None
    rows: int
    measures: list[str]


class Backlog(NamedTuple):
    """Files that are not at an end, and for how long the oldest of them has been here."""

    files: int
    oldest_s: float


_ADD: Final = """
    INSERT INTO imports.file (id, site_id, device_id, via, name, size_bytes, sha256, settings)
    SELECT $1, $2, $3, $4, $5, $6, $7,
           coalesce((SELECT a.settings FROM imports.account a WHERE a.device_id = $3), '{}'::jsonb)
    ON CONFLICT (id) DO NOTHING
"""
_ACTIVE: Final = "('received', 'reading', 'storing', 'undoing')"
# The sites with something to do are found one after the other in their index, however many files wait for each.
_NEXT_JOB: Final = f"""
    WITH RECURSIVE due(site_id) AS (
        (SELECT site_id FROM imports.file WHERE state IN {_ACTIVE} ORDER BY site_id LIMIT 1)
        UNION ALL
        SELECT (SELECT f.site_id FROM imports.file f WHERE f.state IN {_ACTIVE} AND f.site_id > due.site_id
                ORDER BY f.site_id LIMIT 1) FROM due WHERE due.site_id IS NOT NULL
    ), oldest AS (
        SELECT f.number FROM due CROSS JOIN LATERAL (
            SELECT number FROM imports.file WHERE site_id = due.site_id AND state IN {_ACTIVE}
                AND (size_bytes <= $3) = $2 AND number <> ALL($1::bigint[]) ORDER BY number LIMIT 1) f
        JOIN registry.site k ON k.id = due.site_id
        ORDER BY coalesce(array_position($4::text[], coalesce(k.installer_organisation_id, k.id)), 0),
                 coalesce(array_position($5::text[], k.id), 0), f.number LIMIT 1
    )
    SELECT coalesce(s.installer_organisation_id, s.id) AS company, f.number,
           f.id, f.site_id AS site, f.device_id AS device, f.via, f.name, f.size_bytes, f.sha256,
           (extract(epoch FROM f.received_at) * 1000)::bigint AS received_at, f.state, f.settings, f.stored_with, f.attempts,
           f.blocks, f.blocks_done, s.timezone, (extract(epoch FROM f.first_at) * 1000)::bigint AS first_at,
           (extract(epoch FROM f.last_at) * 1000)::bigint AS last_at,
           CASE WHEN jsonb_array_length(p.definition->'channels') = 0 THEN d.serial END AS logger_serial
    FROM imports.file f JOIN registry.site s ON s.id = f.site_id LEFT JOIN registry.device d ON d.id = f.device_id
    LEFT JOIN registry.profile p ON p.id = d.profile_id WHERE f.number = (SELECT number FROM oldest)
"""  # noqa: S608 - put together from constants
_BACKLOG: Final = f"""
    SELECT count(*), coalesce(extract(epoch FROM now() - min(state_at))::float8, 0) FROM imports.file
    WHERE state IN {_ACTIVE}
"""  # noqa: S608 - put together from constants
_ACTIVE_OF: Final = f"SELECT number FROM imports.file WHERE number = ANY($1::bigint[]) AND state IN {_ACTIVE}"  # noqa: S608 - a constant
_TWIN: Final = """
    SELECT id FROM imports.file
    WHERE site_id = $1 AND sha256 = $2 AND number < $3 AND state IN ('imported', 'partly') AND settings = $4
          AND device_id IS NOT DISTINCT FROM $5 AND rows_waiting = 0 LIMIT 1
"""
_FINISH: Final = """
    UPDATE imports.file SET state = $2, problem_code = $3, problem_gaps = $4, problem_line = $5, finished_at = now(),
        attempts = 0 WHERE number = $1
"""
_COUNTED: Final = """
    UPDATE imports.file SET blocks_done = $2, rows_new = rows_new + $3, rows_same = rows_same + $4,
        rows_corrected = rows_corrected + $5, rows_late = rows_late + $6
    WHERE number = $1
"""
_UNATTACHED: Final = """
    SELECT w.file_number AS number FROM imports.file_serial w
    JOIN imports.file f ON f.number = w.file_number AND f.state IN ('imported', 'partly') AND f.original_gone_at IS NULL
    JOIN registry.device d ON d.site_id = w.site_id AND d.retired_at IS NULL AND (d.serial = w.serial OR d.id = w.serial)
    JOIN registry.profile p ON p.id = d.profile_id AND jsonb_array_length(p.definition->'channels') > 0
    WHERE w.waiting LIMIT $1
"""
_MEASURING: Final = """
    SELECT d.id, d.serial FROM registry.device d
    JOIN registry.profile p ON p.id = d.profile_id AND jsonb_array_length(p.definition->'channels') > 0
    WHERE d.site_id = $1 AND d.retired_at IS NULL
"""
_MAY_WAIT: Final = """
    SELECT count(*) < $2 FROM (SELECT FROM imports.file_serial WHERE site_id = $1 AND waiting LIMIT $2) standing
"""
_DESCRIBED: Final = """
    SELECT DISTINCT f.number FROM imports.file f JOIN registry.site s ON s.id = f.site_id
    JOIN imports.company_format c ON c.organisation_id IN (s.installer_organisation_id, 'platform') AND c.removed_at IS NULL
    WHERE f.state = 'quarantined' AND f.problem_code = 'unknown_format' AND f.original_gone_at IS NULL
          AND c.updated_at > f.finished_at LIMIT $1
"""


async def account_site(connection: Connection, device: DeviceId) -> SiteId | None:
    """Of a logger; None when it has no account (any more)."""
    site: SiteId | None = await connection.fetchval("SELECT site_id FROM imports.account WHERE device_id = $1", device)
    return site


async def add(connection: Connection, arrival: Arrival) -> None:
    await connection.execute(_ADD, *arrival)


async def refuse_arrival(connection: Connection, file_id: str, problem: Refusal) -> None:
    """In the transaction that adds it: it is kept, and not read."""
    await connection.execute(
        "UPDATE imports.file SET state = 'quarantined', problem_code = $2, problem_gaps = $3, finished_at = now()"
        " WHERE id = $1 AND state = 'received'",
        file_id,
        problem.code,
        problem.gaps,
    )


async def next_job(
    connection: Connection, *, small: bool, but: Iterable[int], spent: Sequence[str], served: Sequence[SiteId]
) -> Job | None:
    """The oldest of the site whose turn it is: whoever sends a thousand files, or some that take long, keeps nobody else
    waiting for their end.

    small: whether of at most SMALL_FILE_BYTES. but: numbers that are passed over. spent: companies on which time was spent,
    that with most at the end. served: sites that had their turn, the last one at the end.
    """
    row = await connection.fetchrow(_NEXT_JOB, list(but), small, SMALL_FILE_BYTES, list(spent), list(served))
    if row is None:
        return None
    try:
        return msgspec.convert(dict(row), Job)
    except msgspec.ValidationError as error:  # settings of another version than ours
        await finish(connection, row["number"], "quarantined", refusal("settings_unknown", 0, why=str(error)[:200]))
        return None


async def backlog(connection: Connection) -> Backlog:
    row = await connection.fetchrow(_BACKLOG)
    assert row is not None  # noqa: S101 - an aggregate always has a row
    return Backlog(*row.values())


async def imported_twin(connection: Connection, job: Job) -> str | None:
    """The file with these very bytes that is imported already, read the same way."""
    found: str | None = await connection.fetchval(_TWIN, job.site, job.sha256, job.number, job.settings, job.device)
    return found


async def begin_reading(connection: Connection, number: int) -> None:
    """What is known of it from an earlier reading is forgotten."""
    await connection.execute("DELETE FROM imports.refusal WHERE file_number = $1", number)
    await connection.execute(
        "UPDATE imports.file SET state = 'reading', started_at = now(), finished_at = NULL,"
        " problem_code = NULL, problem_gaps = '{}', problem_line = NULL, blocks = NULL, blocks_done = 0, bytes_read = 0,"
        " rows_read = 0, rows_new = 0, rows_same = 0, rows_corrected = 0, rows_waiting = 0, rows_late = 0, lines_refused = 0"
        " WHERE number = $1",
        number,
    )


async def count_loss(connection: Connection, number: int) -> int:
    """Its reader was lost. Returns how often that has happened."""
    attempts: int = await connection.fetchval(
        "UPDATE imports.file SET attempts = attempts + 1 WHERE number = $1 RETURNING attempts", number
    )
    return attempts


async def note_progress(connection: Connection, number: int, bytes_read: int, rows_read: int) -> None:
    await connection.execute(
        "UPDATE imports.file SET bytes_read = $2, rows_read = $3 WHERE number = $1", number, bytes_read, rows_read
    )


async def was_read(
    connection: Connection,
    number: int,
    *,
    format_id: str | None,
    blocks: int,
    rows: int,
    late: int,
    lines_refused: int,
    first_at: UnixMs | None,
    last_at: UnixMs | None,
    refusals: Iterable[Refusal],
) -> None:
    """Within a transaction: everything that the reading found out, and the state 'storing'."""
    row = await connection.fetchrow(
        "UPDATE imports.file SET state = 'storing', format_id = $2, blocks = $3, blocks_done = 0, rows_read = $4,"
        " rows_late = $5, lines_refused = $6, first_at = $7, last_at = $8, bytes_read = size_bytes"
        " WHERE number = $1 RETURNING site_id, device_id",
        number,
        format_id,
        blocks,
        rows,
        late,
        lines_refused,
        _time(first_at),
        _time(last_at),
    )
    assert row is not None  # noqa: S101 - files are not forgotten while they are worked at
    await connection.executemany(
        "INSERT INTO imports.refusal (site_id, file_number, position, line, cell, code, gaps, text)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
        [
            (row["site_id"], number, position, each.line, each.column, each.code, each.gaps, each.text)
            for position, each in enumerate(refusals)
        ],
    )
    if lines_refused:
        await bound_refusals(connection, row["site_id"], row["device_id"])


async def note_serials(connection: Connection, job: Job, serials: Sequence[SerialRows]) -> None:
    """Within a transaction: whose rows it has. Those that wait are shown beside the logger's other unknown serials, too.

    Once too many of a site wait, further ones do so only in name: their file has to be read again by hand.
    """
    await connection.execute("DELETE FROM imports.file_serial WHERE site_id = $1 AND file_number = $2", job.site, job.number)
    waiting = [each for each in serials if each.device is None]
    taken_up = bool(waiting) and await connection.fetchval(_MAY_WAIT, job.site, WAITING_SERIALS_PER_SITE_MAX)
    await connection.executemany(
        "INSERT INTO imports.file_serial (site_id, file_number, serial, device_id, rows, measures, waiting)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7)",
        [(job.site, job.number, s.serial, s.device, s.rows, s.measures, s.device is None and taken_up) for s in serials],
    )
    await connection.execute(
        "UPDATE imports.file SET rows_waiting = $2 WHERE number = $1", job.number, sum(each.rows for each in waiting)
    )
    if job.device is not None:
        now = time.time_ns() // 1_000_000
        named = [each for each in waiting if each.serial != job.device]
        shown = named[:WAITING_SOURCES_PER_GATEWAY_MAX]
        await note_sources(connection, [Sighting(job.site, job.device, s.serial, now, s.measures) for s in shown])


async def note_stored(connection: Connection, number: int, blocks_done: int, report: BulkReport) -> None:
    late = report.late + report.future
    same = report.same + report.useless
    await connection.execute(_COUNTED, number, blocks_done, report.new, same, report.corrected, late)


async def note_stored_with(connection: Connection, number: int, how: Mapping[str, object] | None) -> None:
    await connection.execute("UPDATE imports.file SET stored_with = $2 WHERE number = $1", number, how)


async def finish(connection: Connection, number: int, state: str, problem: Refusal | None = None) -> None:
    if problem is None:
        await connection.execute(_FINISH, number, state, None, {}, None)
    else:
        await connection.execute(_FINISH, number, state, problem.code, problem.gaps, problem.line or None)


async def receive_again(connection: Connection, numbers: Sequence[int]) -> None:
    """To be read once more, such as when a device has come for what waits."""
    await connection.execute(
        "UPDATE imports.file SET state = 'received' WHERE number = ANY($1::bigint[])"
        " AND state IN ('imported', 'partly', 'quarantined', 'storing')",
        list(numbers),
    )


async def attached(connection: Connection, limit: int) -> list[int]:
    """Files of whose rows some wait although a device has that serial by now."""
    return sorted({row["number"] for row in await connection.fetch(_UNATTACHED, limit)})


async def described(connection: Connection, limit: int) -> list[int]:
    """Files that nobody could read, of whose company somebody has described a format since."""
    return [row["number"] for row in await connection.fetch(_DESCRIBED, limit)]


async def active(connection: Connection, numbers: Iterable[int]) -> set[int]:
    """Those of these that are not at an end."""
    rows = await connection.fetch(_ACTIVE_OF, list(numbers))
    return {row["number"] for row in rows}


async def known_ids(connection: Connection, ids: Sequence[str]) -> set[str]:
    """Those of these that are files."""
    rows = await connection.fetch("SELECT id FROM imports.file WHERE id = ANY($1::text[])", list(ids))
    return {row["id"] for row in rows}


async def devices_by_serial(connection: Connection, site: SiteId) -> dict[str, DeviceId]:
    """Also by their own ids. Without those that measure nothing: rows that only name their logger wait for an owner."""
    rows = await connection.fetch(_MEASURING, site)
    return {row["id"]: row["id"] for row in rows} | {row["serial"]: row["id"] for row in rows if row["serial"] is not None}


async def span(connection: Connection, number: int) -> tuple[UnixMs | None, UnixMs | None]:
    """Of its samples."""
    row = await connection.fetchrow(
        "SELECT (extract(epoch FROM first_at) * 1000)::bigint, (extract(epoch FROM last_at) * 1000)::bigint"
        " FROM imports.file WHERE number = $1",
        number,
    )
    assert row is not None  # noqa: S101 - files are not forgotten while they are worked at
    return row[0], row[1]


async def devices_of_file(connection: Connection, job: Job) -> list[DeviceId]:
    """For which it has rows stored."""
    rows = await connection.fetch(
        "SELECT DISTINCT device_id FROM imports.file_serial"
        " WHERE site_id = $1 AND file_number = $2 AND device_id IS NOT NULL",
        job.site,
        job.number,
    )
    return [row["device_id"] for row in rows]


async def overlapping(connection: Connection, job: Job) -> list[int]:
    """Other files that tell of a time that this one tells of, and can be read again."""
    rows = await connection.fetch(
        "SELECT f.number FROM imports.file f JOIN imports.file g ON g.number = $2"
        " WHERE f.site_id = $1 AND f.number <> $2 AND f.state IN ('imported', 'partly') AND f.original_gone_at IS NULL"
        " AND f.first_at <= g.last_at AND f.last_at >= g.first_at",
        job.site,
        job.number,
    )
    return [row["number"] for row in rows]


def _time(ms: UnixMs | None) -> datetime | None:
    return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC)

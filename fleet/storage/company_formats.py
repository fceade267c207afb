"""A company's own file formats, made in the portal: below row-level security, every change a version further."""

from typing import Any, Final, NamedTuple

import asyncpg
import msgspec

from fleet.errors import Conflict, NotFound
from fleet.file_limits import COMPANY_FORMATS_BYTES_MAX, COMPANY_FORMATS_MAX
from fleet.ids import SiteId
from fleet.storage.database import Connection
from fleet.telemetry import UnixMs


class CompanyFormat(NamedTuple):
    """definition: fleet.codecs.files.wide_csv.WideCsv, as JSON."""

    id: str
    name: str
    version: int
    definition: Any


class FormatRow(msgspec.Struct, frozen=True):
    """definition: fleet.codecs.files.wide_csv.WideCsv, as JSON."""

    id: str
    organisation: str
    organisation_name: str | None
    name: str
    definition: dict[str, object]
    version: int
    created_at: UnixMs
    updated_at: UnixMs


_ROW: Final = """
    SELECT c.id, c.organisation_id AS organisation, o.name AS organisation_name, c.name, c.definition, c.version,
           (extract(epoch FROM c.created_at) * 1000)::bigint AS created_at,
           (extract(epoch FROM c.updated_at) * 1000)::bigint AS updated_at
    FROM imports.company_format c LEFT JOIN accounts.organisation o ON o.id = c.organisation_id
    WHERE c.removed_at IS NULL
"""
_KEPT_BY: Final = "(SELECT installer_organisation_id FROM registry.site WHERE id = $1 UNION SELECT 'platform')"
_OF_SITE: Final = f"{_ROW} AND c.organisation_id IN {_KEPT_BY} ORDER BY lower(c.name), c.id"
_READABLE: Final = f"""
    SELECT c.id, c.name, c.version, c.definition FROM imports.company_format c
    WHERE c.removed_at IS NULL AND c.organisation_id IN {_KEPT_BY} ORDER BY c.created_at, c.id
"""  # noqa: S608 - put together from constants


async def formats(connection: Connection) -> list[FormatRow]:
    """All that the acting person may see, by name."""
    return [_row(row) for row in await connection.fetch(f"{_ROW} ORDER BY lower(c.name), c.id LIMIT 2000")]


async def formats_of_site(connection: Connection, site: SiteId) -> list[FormatRow]:
    """Those that the site's files are read by: of the company that keeps it, and of the platform."""
    rows = await connection.fetch(_OF_SITE, site)
    return [_row(row) for row in rows]


async def readable(connection: Connection, site: SiteId) -> list[CompanyFormat]:
    """The same, for the importer."""
    return [CompanyFormat(*row.values()) for row in await connection.fetch(_READABLE, site)]


async def format_(connection: Connection, format_id: str) -> FormatRow:
    """Raises NotFound (no_such_format)."""
    row = await connection.fetchrow(f"{_ROW} AND c.id = $1", format_id)
    if row is None:
        raise NotFound("no_such_format", f"no format {format_id[:40]!r}")
    return _row(row)


async def organisation_for(connection: Connection, site: SiteId | None) -> str:
    """Whose a new format is: of the company that keeps the site; without one, of the acting person's own."""
    found: str = await connection.fetchval(
        "SELECT coalesce((SELECT installer_organisation_id FROM registry.site WHERE id = $1),"
        " (SELECT organisation_id FROM accounts.person WHERE id = accounts.acting_person_id()))",
        site,
    )
    return found


async def add(
    connection: Connection, *, format_id: str, organisation: str, name: str, definition: object, person_id: str
) -> FormatRow:
    """Raises Conflict (too_many_formats)."""
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('formats ' || $1, 0))", organisation)
    standing = await connection.fetchval(
        "SELECT count(*) FROM imports.company_format WHERE organisation_id = $1 AND removed_at IS NULL", organisation
    )
    if standing >= COMPANY_FORMATS_MAX:
        raise Conflict("too_many_formats", f"a company has {COMPANY_FORMATS_MAX} formats at the most")
    await connection.execute(
        "INSERT INTO imports.company_format (id, organisation_id, name, definition, created_by) VALUES ($1, $2, $3, $4, $5)",
        format_id,
        organisation,
        name,
        definition,
        person_id,
    )
    await _check_size(connection, organisation)
    return await format_(connection, format_id)


async def change(connection: Connection, format_id: str, *, version: int, name: str, definition: object) -> FormatRow:
    """version: the one that was read and changed. Raises NotFound (no_such_format), Conflict (format_changed,
    too_many_formats).
    """
    before = await format_(connection, format_id)
    done = await connection.fetchval(
        "UPDATE imports.company_format SET name = $3, definition = $4, version = version + 1, updated_at = now()"
        " WHERE id = $1 AND version = $2 AND removed_at IS NULL RETURNING true",
        format_id,
        version,
        name,
        definition,
    )
    if done is None:
        raise Conflict("format_changed", f"the format has version {before.version} by now, and you changed {version}")
    await _check_size(connection, before.organisation)
    return await format_(connection, format_id)


async def remove(connection: Connection, format_id: str) -> None:
    """No further file is read by it; what was read stays. Raises NotFound (no_such_format)."""
    await format_(connection, format_id)
    await connection.execute("UPDATE imports.company_format SET removed_at = now() WHERE id = $1", format_id)


async def _check_size(connection: Connection, organisation: str) -> None:
    bytes_ = await connection.fetchval(
        "SELECT sum(octet_length(definition::text)) FROM imports.company_format"
        " WHERE organisation_id = $1 AND removed_at IS NULL",
        organisation,
    )
    if bytes_ > COMPANY_FORMATS_BYTES_MAX:
        raise Conflict("too_many_formats", f"a company's formats have {COMPANY_FORMATS_BYTES_MAX} bytes at the most")


def _row(row: asyncpg.Record) -> FormatRow:
    return msgspec.convert(dict(row), FormatRow)

"""Customers' own SFTP servers, from which the importer fetches files on a schedule.

The web makes them, below row-level security, for those who keep the site; actors/puller fetches. The way for a person:
`host_keys.current` shows the server's key, the person confirms its fingerprint, `create_pull_source` pins it.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Annotated, Final, Literal

import msgspec

from fleet import ssh_keys
from fleet.errors import BadInput, Conflict, NotFound
from fleet.file_limits import PULL_EVERY_S_MAX, PULL_EVERY_S_MIN, PULL_REMEMBERED_MAX, PULL_SOURCES_PER_SITE_MAX
from fleet.ids import DeviceId, SiteId
from fleet.storage.database import Connection
from fleet.telemetry import UnixMs

PullAuth = Literal["password", "key"]

HostName = Annotated[str, msgspec.Meta(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9.:-]+$")]
Port = Annotated[int, msgspec.Meta(ge=1, le=65_535)]
_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]


class PullForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to fetch, and from where. folder: on that server; pattern: of names in it, with * and ?. every_s: how often."""

    host: HostName
    username: _Text
    port: Port = 22
    folder: _Text = "."
    pattern: _Text = "*"
    every_s: Annotated[int, msgspec.Meta(ge=PULL_EVERY_S_MIN, le=PULL_EVERY_S_MAX)] = 3_600


class PullSource(msgspec.Struct, frozen=True):
    """As people see it: never its secret.

    fingerprint   of the pinned host key
    public_key    auth 'key': the line that the server's owner puts into authorized_keys
    problem_code  what the last try failed by; None: it worked, or there was none yet. fleet.pull_problems has words for it
    failures      in a row
    """

    id: str
    site: SiteId
    device: DeviceId
    host: str
    port: int
    username: str
    fingerprint: str
    auth: PullAuth
    public_key: str | None
    folder: str
    pattern: str
    every_s: int
    created_at: UnixMs
    due_at: UnixMs
    last_ok_at: UnixMs | None
    problem_code: str | None
    problem_at: UnixMs | None
    failures: int


class DuePull(msgspec.Struct, frozen=True):
    """All that fetching needs. host_key: pinned line; secret: sealed (fleet.storage.pull_secrets). company: that keeps the
    site; else the site."""

    id: str
    site: SiteId
    device: DeviceId
    host: str
    port: int
    username: str
    host_key: str
    auth: PullAuth
    secret: bytes
    folder: str
    pattern: str
    every_s: int
    failures: int
    company: str


class PulledFile(msgspec.Struct, frozen=True):
    """What was taken: it comes again when size or time (seconds, the server's) change."""

    name: str
    size_bytes: int
    mtime: int


_ROW: Final = """SELECT id, site_id AS site, device_id AS device, host, port, username, host_key, auth, public_key, folder,
    pattern, every_s, (extract(epoch FROM created_at) * 1000)::bigint AS created_at,
    (extract(epoch FROM due_at) * 1000)::bigint AS due_at, (extract(epoch FROM last_ok_at) * 1000)::bigint AS last_ok_at,
    problem_code, (extract(epoch FROM problem_at) * 1000)::bigint AS problem_at, failures FROM imports.pull_source"""


# the web, below row-level security --------------------------------------------------------------------------------


async def create_pull_source(
    connection: Connection,
    *,
    source_id: str,
    device: DeviceId,
    form: PullForm,
    host_key: str,
    auth: PullAuth,
    secret: bytes,
    public_key: str | None,
    person_id: str | None,
) -> PullSource:
    """Files become those of `device`, a logger with an account (fleet.storage.drop_accounts). Fetched at once, then every_s.

    source_id: any new random id. host_key: the line whose fingerprint the person has confirmed.
    secret: pull_secrets.seal(password), or what pull_secrets.new_key gave; public_key: of the latter.
    Raises NotFound (unknown_account), BadInput (bad_ssh_key, weak_ssh_key, bad_pattern), Conflict (account_closed,
    too_many_sources).
    """
    pinned = ssh_keys.parse(host_key)
    check_pattern(form.pattern)
    row = await connection.fetchrow("SELECT site_id, closed_at FROM imports.account WHERE device_id = $1 FOR UPDATE", device)
    if row is None:
        raise NotFound("unknown_account", f"device {device} has no drop box")
    if row["closed_at"] is not None:
        raise Conflict("account_closed", f"the drop box of {device} was closed; open a new one")
    standing = await connection.fetchval(
        "SELECT count(*) FROM imports.pull_source WHERE site_id = $1 AND removed_at IS NULL", row["site_id"]
    )
    if standing >= PULL_SOURCES_PER_SITE_MAX:
        raise Conflict("too_many_sources", f"this site fetches from {standing} servers already; remove some first")
    await connection.execute(
        "INSERT INTO imports.pull_source (id, site_id, device_id, host, port, username, host_key, auth, secret, public_key,"
        " folder, pattern, every_s, created_by) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        source_id,
        row["site_id"],
        device,
        form.host,
        form.port,
        form.username,
        pinned.line,
        auth,
        secret,
        public_key,
        form.folder,
        form.pattern,
        form.every_s,
        person_id,
    )
    return await pull_source(connection, source_id)


async def pull_source(connection: Connection, source_id: str) -> PullSource:
    """Raises NotFound (unknown_source)."""
    row = await connection.fetchrow(f"{_ROW} WHERE id = $1 AND removed_at IS NULL", source_id)
    if row is None:
        raise NotFound("unknown_source", "no such server to fetch from")
    return _seen(dict(row))


async def pull_sources_of(connection: Connection, site: SiteId) -> list[PullSource]:
    """In the order of their making."""
    rows = await connection.fetch(f"{_ROW} WHERE site_id = $1 AND removed_at IS NULL ORDER BY created_at, id", site)
    return [_seen(dict(row)) for row in rows]


async def remove_pull_source(connection: Connection, source_id: str) -> None:
    """Its secret is forgotten. Raises NotFound (unknown_source)."""
    done = await connection.execute(
        "UPDATE imports.pull_source SET removed_at = clock_timestamp(), secret = '' WHERE id = $1 AND removed_at IS NULL",
        source_id,
    )
    if done == "UPDATE 0":
        raise NotFound("unknown_source", "no such server to fetch from")


async def pin_host_key(connection: Connection, source_id: str, host_key: str) -> PullSource:
    """The server has a new key, and a person has confirmed it: tried again at once.

    Raises NotFound (unknown_source), BadInput (bad_ssh_key, weak_ssh_key).
    """
    pinned = ssh_keys.parse(host_key)
    await connection.execute(
        "UPDATE imports.pull_source SET host_key = $2, due_at = now() WHERE id = $1 AND removed_at IS NULL",
        source_id,
        pinned.line,
    )
    return await pull_source(connection, source_id)


async def pull_now(connection: Connection, source_id: str) -> PullSource:
    """Without waiting for its time. Raises NotFound (unknown_source)."""
    await connection.execute("UPDATE imports.pull_source SET due_at = now() WHERE id = $1 AND removed_at IS NULL", source_id)
    return await pull_source(connection, source_id)


def check_pattern(pattern: str) -> None:
    """Raises BadInput (bad_pattern): names have no folders, and brackets mean themselves to nobody."""
    if "/" in pattern or "[" in pattern:
        raise BadInput("bad_pattern", "a pattern is a file name with * and ? in it, such as *.csv")


def wanted(name: str, pattern: str) -> bool:
    return fnmatchcase(name.lower(), pattern.lower())


def _seen(row: dict[str, object]) -> PullSource:
    row["fingerprint"] = ssh_keys.parse(str(row.pop("host_key"))).fingerprint
    return msgspec.convert(row, PullSource)


# the importer -----------------------------------------------------------------------------------------------------


async def take_due(connection: Connection, *, lease_s: float, but: Collection[str]) -> DuePull | None:
    """The longest due; nobody else gets it before the lease is over, also when whoever took it dies.

    One whose logger is closed, revoked or retired is not fetched for. but: companies that have to wait.
    """
    row = await connection.fetchrow(
        "UPDATE imports.pull_source s SET due_at = now() + make_interval(secs => $1) FROM ("
        " SELECT p.id, coalesce(k.installer_organisation_id, k.id) AS company FROM imports.pull_source p"
        " JOIN imports.account a ON a.device_id = p.device_id JOIN registry.device d ON d.id = p.device_id"
        " JOIN registry.site k ON k.id = p.site_id WHERE p.removed_at IS NULL AND p.due_at <= now()"
        " AND a.closed_at IS NULL AND d.retired_at IS NULL AND d.revoked_at IS NULL"
        " AND coalesce(k.installer_organisation_id, k.id) <> ALL($2::text[])"
        " ORDER BY p.due_at LIMIT 1 FOR UPDATE OF p SKIP LOCKED) due WHERE s.id = due.id"
        " RETURNING s.id, s.site_id AS site, s.device_id AS device, s.host, s.port, s.username, s.host_key, s.auth,"
        " s.secret, s.folder, s.pattern, s.every_s, s.failures, due.company",
        lease_s,
        list(but),
    )
    return None if row is None else msgspec.convert(dict(row), DuePull)


async def taken(connection: Connection, source_id: str, names: Sequence[str]) -> dict[str, PulledFile]:
    """Of these, by name."""
    rows = await connection.fetch(
        "SELECT name, size_bytes, mtime FROM imports.pulled_file WHERE source_id = $1 AND name = ANY($2)",
        source_id,
        list(names),
    )
    return {row["name"]: PulledFile(*row.values()) for row in rows}


async def mark_taken(connection: Connection, source_id: str, file: PulledFile) -> None:
    await connection.execute(
        "INSERT INTO imports.pulled_file (source_id, name, size_bytes, mtime) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT (source_id, name) DO UPDATE SET size_bytes = $3, mtime = $4, taken_at = now()",
        source_id,
        file.name,
        file.size_bytes,
        file.mtime,
    )


async def forget_gone(connection: Connection, source_id: str, names: Sequence[str], before: datetime) -> None:
    """What the server no longer has, and was taken before then, need not be remembered; nor is any of it when it has always
    other names. names: what it has.
    """
    await connection.execute(
        "DELETE FROM imports.pulled_file WHERE source_id = $1 AND name <> ALL($2) AND (taken_at < $3"
        " OR (SELECT count(*) FROM imports.pulled_file WHERE source_id = $1) > $4)",
        source_id,
        list(names),
        before,
        PULL_REMEMBERED_MAX,
    )


async def mark_pulled(connection: Connection, source_id: str, *, again_in_s: float) -> None:
    await connection.execute(
        "UPDATE imports.pull_source SET last_ok_at = now(), failures = 0, problem_code = NULL, problem_at = NULL,"
        " due_at = now() + make_interval(secs => $2) WHERE id = $1",
        source_id,
        again_in_s,
    )


async def mark_pull_failed(connection: Connection, source_id: str, code: str, *, again_in_s: float) -> None:
    await connection.execute(
        "UPDATE imports.pull_source SET failures = failures + 1, problem_code = $2, problem_at = now(),"
        " due_at = now() + make_interval(secs => $3) WHERE id = $1",
        source_id,
        code,
        again_in_s,
    )

"""Customers' own SFTP servers: a person looks at the key that one shows, confirms it, and files are fetched from then on."""

import asyncio
import time
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import uuid4

import msgspec
from litestar import Request, Router, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from fleet.errors import BadInput, NotFound, Unavailable
from fleet.file_limits import SSH_KEY_LINE_CHARS_MAX
from fleet.ids import DeviceId
from fleet.runtime import reach
from fleet.storage import audit, drop_accounts, host_keys, pull_secrets, pull_sources, registry
from fleet.storage.pull_sources import HostName, Port, PullForm, PullSource
from web.device_ids import parse_device
from web.paging import Page
from web.services import Services
from web.sites import parse_site, site_keepers
from web.visits import Visit, client_address

_Line = Annotated[str, msgspec.Meta(min_length=1, max_length=SSH_KEY_LINE_CHARS_MAX)]


class Host(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    host: HostName
    port: Port = 22


class ShownKey(msgspec.Struct, frozen=True):
    """host_key: to be sent back once a person has compared the fingerprint with that of the server's owner."""

    host: str
    port: int
    kind: str
    fingerprint: str
    host_key: str


class NewSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """auth `key`: a key of ours is made for it, whose public half the server's owner puts into authorized_keys."""

    server: PullForm
    host_key: _Line
    auth: Literal["password", "key"] = "password"
    password: str = ""


class PinnedKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    host_key: _Line


def parse_source(text: str) -> str:
    """Raises NotFound: what cannot be an id names no server."""
    if not (text.isascii() and text.isalnum() and len(text) <= 40):
        raise NotFound("unknown_source", "no such server to fetch from")
    return text


async def shown_key(services: Services, visit: Visit, device: DeviceId, host: Host) -> ShownKey:
    """What the server shows now. Raises NotFound (unknown_account), TooMany, BadInput (host_not_allowed, ...),
    Unavailable (server_away, no_pulling).
    """
    _key_file(services)
    async with visit.enter() as connection:
        account = await drop_accounts.account(connection, device)
        await visit.must_keep(connection, account.site)
    _reach(services, visit)
    key = await host_keys.current(host.host, host.port, reach.networks(services.settings.pull_networks))
    return ShownKey(host.host, host.port, key.kind, key.fingerprint, key.line)


async def make_source(services: Services, visit: Visit, device: DeviceId, new: NewSource, address: str) -> PullSource:
    """Raises as pull_sources.create_pull_source; TooMany (too_many_requests), BadInput (bad_secret),
    Unavailable (no_pulling).
    """
    file = _key_file(services)
    _reach(services, visit)
    public_key = None
    if new.auth == "key":
        sealed = await asyncio.to_thread(pull_secrets.new_key, file)
        secret, public_key = sealed.secret, sealed.public_key
    else:
        secret = await asyncio.to_thread(pull_secrets.seal, file, new.password)
    async with visit.enter() as connection:
        account = await drop_accounts.account(connection, device)
        await visit.must_keep(connection, account.site)
        made = await pull_sources.create_pull_source(
            connection,
            source_id=uuid4().hex,
            device=device,
            form=new.server,
            host_key=new.host_key,
            auth=new.auth,
            secret=secret,
            public_key=public_key,
            person_id=visit.person.id,
        )
        detail = {"site": made.site, "device": device, "host": made.host, "port": made.port, "fingerprint": made.fingerprint}
        await audit.record(
            connection, "pull.make", person_id=visit.person.id, subject=made.id, detail=detail, address=address
        )
    return made


async def pin(visit: Visit, source_id: str, host_key: str, address: str) -> PullSource:
    """The server has a new key, and somebody has compared it. Raises NotFound (unknown_source), BadInput."""
    async with visit.enter() as connection:
        before = await pull_sources.pull_source(connection, source_id)
        await visit.must_keep(connection, before.site)
        pinned = await pull_sources.pin_host_key(connection, source_id, host_key)
        detail = {"site": before.site, "before": before.fingerprint, "fingerprint": pinned.fingerprint}
        await audit.record(
            connection, "pull.pin", person_id=visit.person.id, subject=source_id, detail=detail, address=address
        )
    return pinned


async def fetch_now(services: Services, visit: Visit, source_id: str) -> PullSource:
    """Raises NotFound (unknown_source), TooMany (too_many_requests)."""
    _reach(services, visit)
    async with visit.enter() as connection:
        row = await pull_sources.pull_source(connection, source_id)
        await visit.must_keep(connection, row.site)
        return await pull_sources.pull_now(connection, source_id)


async def remove_source(visit: Visit, source_id: str, address: str) -> PullSource:
    """Returns what it was. Raises NotFound (unknown_source)."""
    async with visit.enter() as connection:
        row = await pull_sources.pull_source(connection, source_id)
        await visit.must_keep(connection, row.site)
        await pull_sources.remove_pull_source(connection, source_id)
        detail = {"site": row.site, "host": row.host}
        await audit.record(
            connection, "pull.remove", person_id=visit.person.id, subject=source_id, detail=detail, address=address
        )
    return row


def _reach(services: Services, visit: Visit) -> None:
    """Each time we log in somewhere, or look who is there: nobody's passwords are tried through us by the thousand.

    Raises TooMany (too_many_requests).
    """
    services.reached.take(visit.claims.person_id, time.monotonic())


def _key_file(services: Services) -> Path:
    """Raises Unavailable (no_pulling)."""
    if services.settings.pull_key_file is None:
        raise Unavailable("no_pulling", "fetching from other servers is not set up on this platform")
    return services.settings.pull_key_file


def form_of(fields: dict[str, object]) -> PullForm:
    """Raises BadInput (bad_source)."""
    try:
        return msgspec.convert(fields, PullForm)
    except msgspec.ValidationError as error:
        raise BadInput("bad_source", str(error)) from None


@get(
    "/sites/{site:str}/pull-sources", operation_id="listPullSources", summary="Servers to fetch from", guards=[site_keepers]
)
async def list_sources(site: FromPath[str], visit: NamedDependency[Visit]) -> Page[PullSource]:
    site_id = parse_site(site)
    async with visit.enter() as connection:
        await registry.site_timezone(connection, site_id)
        return Page(await pull_sources.pull_sources_of(connection, site_id), None)


@post(
    "/loggers/{device:str}/pull-sources/host-key",
    status_code=200,
    operation_id="showHostKey",
    summary="The key that an SFTP server shows now",
    guards=[site_keepers],
)
async def post_host_key(
    device: FromPath[str],
    data: JSONBody[Host],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
) -> ShownKey:
    """Compare its fingerprint with the server's owner before you send it back."""
    return await shown_key(services, visit, parse_device(device), data)


@post(
    "/loggers/{device:str}/pull-sources", operation_id="makePullSource", summary="Fetch from a server", guards=[site_keepers]
)
async def post_source(
    device: FromPath[str],
    data: JSONBody[NewSource],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
) -> PullSource:
    """Its files become those of this logger. The password is kept sealed and never shown again."""
    return await make_source(services, visit, parse_device(device), data, client_address(request))


@post(
    "/pull-sources/{source:str}/host-key",
    status_code=200,
    operation_id="pinHostKey",
    summary="Confirm a server's new key",
    guards=[site_keepers],
)
async def post_pin(
    source: FromPath[str], data: JSONBody[PinnedKey], request: Request[Any, Any, Any], visit: NamedDependency[Visit]
) -> PullSource:
    return await pin(visit, parse_source(source), data.host_key, client_address(request))


@post(
    "/pull-sources/{source:str}/fetch", status_code=202, operation_id="fetchNow", summary="Fetch now", guards=[site_keepers]
)
async def post_fetch(
    source: FromPath[str], visit: NamedDependency[Visit], services: NamedDependency[Services]
) -> PullSource:
    return await fetch_now(services, visit, parse_source(source))


@delete("/pull-sources/{source:str}", operation_id="removePullSource", summary="Fetch no longer", guards=[site_keepers])
async def delete_source(source: FromPath[str], request: Request[Any, Any, Any], visit: NamedDependency[Visit]) -> None:
    """Its password or key is forgotten; what was fetched stays."""
    await remove_source(visit, parse_source(source), client_address(request))


router = Router(
    "/",
    route_handlers=[list_sources, post_host_key, post_source, post_pin, post_fetch, delete_source],
    tags=["loggers"],
)

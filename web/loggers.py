"""Data loggers that send files by SFTP: accounts in the drop box, what opens them, and how their files are read."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

import msgspec
from litestar import Request, Router, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import UNSET, UnsetType

from fleet import ssh_keys
from fleet.codecs.files.reading import ReadingSettings
from fleet.errors import BadInput, Unavailable
from fleet.file_limits import (
    DROP_EXPECTED_EVERY_S_MAX,
    DROP_EXPECTED_EVERY_S_MIN,
    DROP_KEYS_PER_ACCOUNT_MAX,
    SSH_KEY_LINE_CHARS_MAX,
)
from fleet.ids import DeviceId, SiteId
from fleet.storage import audit, drop_accounts, registry
from fleet.storage.database import Connection
from fleet.storage.drop_accounts import AccountChange, DropAccount, DropKey
from web.device_ids import free_id, parse_device
from web.import_changes import check_settings
from web.paging import Page
from web.serials import DeviceName
from web.services import Services
from web.sites import parse_site, site_keepers
from web.visits import Visit, client_address

T = TypeVar("T")

KeyLine = Annotated[str, msgspec.Meta(min_length=1, max_length=SSH_KEY_LINE_CHARS_MAX)]
ExpectedEvery = Annotated[int, msgspec.Meta(ge=DROP_EXPECTED_EVERY_S_MIN, le=DROP_EXPECTED_EVERY_S_MAX)]
Fingerprint = Annotated[
    str, QueryParameter(name="fingerprint", max_length=100, description="As OpenSSH prints it: SHA256:…")
]


class DropBox(msgspec.Struct, frozen=True):
    """Where loggers put their files. host_keys: its fingerprints, SHA256:…, to be compared at the first log-in."""

    host: str
    port: int
    host_keys: list[str]


class NewLogger(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """It needs a password or a key to log in. expected_every_s: after that long without a file, somebody is told."""

    name: DeviceName
    with_password: bool = True
    public_keys: Annotated[tuple[KeyLine, ...], msgspec.Meta(max_length=DROP_KEYS_PER_ACCOUNT_MAX)] = ()
    settings: ReadingSettings = ReadingSettings()
    expected_every_s: ExpectedEvery | None = None
    legacy: bool = False


class LoggerChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is left out stays. settings hold for files that come from now on. legacy: may come with older algorithms."""

    settings: ReadingSettings | UnsetType = UNSET
    expected_every_s: ExpectedEvery | UnsetType | None = UNSET
    legacy: bool | UnsetType = UNSET


class NewKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    public_key: KeyLine


class LoggerOpened(msgspec.Struct, frozen=True):
    """The logger's user name is its device id. password: in this answer only; null when it has keys alone."""

    logger: DropAccount
    password: str | None
    drop_box: DropBox


class LoggerPassword(msgspec.Struct, frozen=True):
    """In this answer only."""

    password: str


def drop_box(services: Services) -> DropBox:
    """Raises Unavailable (no_drop_box)."""
    settings = services.settings
    if settings.sftp_public_host is None or settings.sftp_port is None:
        raise Unavailable("no_drop_box", "this platform has no SFTP drop box")
    return DropBox(settings.sftp_public_host, settings.sftp_port, _host_keys(services))


def _host_keys(services: Services) -> list[str]:
    """None while the drop box has not made any yet."""
    file = services.settings.sftp_host_key_file
    if file is None or not file.exists():
        return []
    return [ssh_keys.parse(line).fingerprint for line in file.read_text().splitlines() if line.strip()]


async def open_logger(services: Services, visit: Visit, site: SiteId, new: NewLogger, address: str) -> LoggerOpened:
    """For installers, ops and admins.

    Raises NotFound (unknown_site), Forbidden (not_allowed), Unavailable (no_drop_box), BadInput, Conflict as
    drop_accounts.open_account.
    """
    box = drop_box(services)
    async with visit.enter() as connection:
        await registry.site_timezone(connection, site)
        await visit.must_keep(connection, site)
        await check_settings(connection, new.settings)
        opened = await drop_accounts.open_account(
            connection,
            site=site,
            device=await free_id(connection, "gateway"),
            name=new.name,
            person_id=visit.person.id,
            with_password=new.with_password,
            public_keys=new.public_keys,
            settings=new.settings,
            expected_every_s=new.expected_every_s,
            legacy=new.legacy,
        )
        account = opened.account
        detail = {
            "site": site,
            "name": new.name,
            "password": new.with_password,
            "keys": [k.fingerprint for k in account.keys],
        }
        await _record(connection, visit, "logger.open", account.device, detail, address)
    services.later(services.door.forget(site))
    return LoggerOpened(account, opened.password, box)


async def change_logger(visit: Visit, device: DeviceId, change: LoggerChange, address: str) -> DropAccount:
    """Raises NotFound (unknown_account), Conflict (account_closed), BadInput (bad_zone, no_such_format, bad_expectation)."""

    async def work(connection: Connection) -> tuple[DropAccount, dict[str, object]]:
        if change.settings is not UNSET:
            await check_settings(connection, change.settings)
        changed = await drop_accounts.change_account(connection, device, AccountChange(**msgspec.structs.asdict(change)))
        given = msgspec.to_builtins(change)
        return changed, given if isinstance(given, dict) else {}

    return await _kept(visit, device, "logger.change", work, address)


async def new_password(visit: Visit, device: DeviceId, address: str) -> str:
    """The one before is worth nothing from now on. Raises NotFound (unknown_account), Conflict (account_closed)."""

    async def work(connection: Connection) -> tuple[str, dict[str, object]]:
        return await drop_accounts.new_password(connection, device), {}

    return await _kept(visit, device, "logger.password", work, address)


async def remove_password(visit: Visit, device: DeviceId, address: str) -> DropAccount:
    """Keys only. Raises NotFound (unknown_account), Conflict (account_closed), BadInput (no_credential)."""

    async def work(connection: Connection) -> tuple[DropAccount, dict[str, object]]:
        if not (await drop_accounts.account(connection, device)).keys:
            raise BadInput("no_credential", "without a password it needs a key: add one first")
        await drop_accounts.remove_password(connection, device)
        return await drop_accounts.account(connection, device), {}

    return await _kept(visit, device, "logger.password_remove", work, address)


async def add_key(visit: Visit, device: DeviceId, line: str, address: str) -> DropKey:
    """Raises as drop_accounts.add_key."""

    async def work(connection: Connection) -> tuple[DropKey, dict[str, object]]:
        key = await drop_accounts.add_key(connection, device, line, visit.person.id)
        return key, {"fingerprint": key.fingerprint}

    return await _kept(visit, device, "logger.key_add", work, address)


async def remove_key(visit: Visit, device: DeviceId, fingerprint: str, address: str) -> None:
    """Raises NotFound (unknown_account, unknown_key)."""

    async def work(connection: Connection) -> tuple[None, dict[str, object]]:
        await drop_accounts.remove_key(connection, device, fingerprint)
        return None, {"fingerprint": fingerprint}

    await _kept(visit, device, "logger.key_remove", work, address)


async def close_logger(visit: Visit, device: DeviceId, address: str) -> DropAccount:
    """For good; what it has sent stays. Raises NotFound (unknown_account)."""

    async def work(connection: Connection) -> tuple[DropAccount, dict[str, object]]:
        return await drop_accounts.close_account(connection, device), {}

    return await _kept(visit, device, "logger.close", work, address)


Work = Callable[[Connection], Awaitable[tuple[T, dict[str, object]]]]


async def _kept(visit: Visit, device: DeviceId, action: str, work: Work[T], address: str) -> T:
    """Of a logger whose site the person keeps (row-level security hides the others), with its entry in the journal."""
    async with visit.enter() as connection:
        account = await drop_accounts.account(connection, device)
        await visit.must_keep(connection, account.site)
        result, detail = await work(connection)
        await _record(connection, visit, action, device, {"site": account.site, **detail}, address)
    return result


async def _record(
    connection: Connection, visit: Visit, action: str, device: str, detail: dict[str, Any], address: str
) -> None:
    await audit.record(connection, action, person_id=visit.person.id, subject=device, detail=detail, address=address)


@get("/drop-box", operation_id="getDropBox", summary="Where loggers put their files", guards=[site_keepers])
async def get_drop_box(visit: NamedDependency[Visit], services: NamedDependency[Services]) -> DropBox:
    async with visit.enter():
        return drop_box(services)


@get("/sites/{site:str}/loggers", operation_id="listLoggers", summary="A site's data loggers", guards=[site_keepers])
async def list_loggers(site: FromPath[str], visit: NamedDependency[Visit]) -> Page[DropAccount]:
    """In the order of their making, closed ones included."""
    site_id = parse_site(site)
    async with visit.enter() as connection:
        await registry.site_timezone(connection, site_id)
        return Page(await drop_accounts.accounts_of(connection, site_id, closed_too=True), None)


@post("/sites/{site:str}/loggers", operation_id="openLogger", summary="An account for a data logger", guards=[site_keepers])
async def post_logger(
    site: FromPath[str],
    data: JSONBody[NewLogger],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
) -> LoggerOpened:
    """The password is in this answer only: the platform keeps its hash."""
    return await open_logger(services, visit, parse_site(site), data, client_address(request))


@get("/loggers/{device:str}", operation_id="getLogger", summary="A data logger's account", guards=[site_keepers])
async def get_logger(device: FromPath[str], visit: NamedDependency[Visit]) -> DropAccount:
    async with visit.enter() as connection:
        return await drop_accounts.account(connection, parse_device(device))


@patch("/loggers/{device:str}", operation_id="changeLogger", summary="How its files are read", guards=[site_keepers])
async def patch_logger(
    device: FromPath[str], data: JSONBody[LoggerChange], request: Request[Any, Any, Any], visit: NamedDependency[Visit]
) -> DropAccount:
    return await change_logger(visit, parse_device(device), data, client_address(request))


@delete(
    "/loggers/{device:str}",
    status_code=200,
    operation_id="closeLogger",
    summary="Close a data logger's account",
    guards=[site_keepers],
)
async def delete_logger(
    device: FromPath[str], request: Request[Any, Any, Any], visit: NamedDependency[Visit]
) -> DropAccount:
    """For good, within seconds. What it has sent stays."""
    return await close_logger(visit, parse_device(device), client_address(request))


@post("/loggers/{device:str}/password", operation_id="newLoggerPassword", summary="A new password", guards=[site_keepers])
async def post_password(
    device: FromPath[str], request: Request[Any, Any, Any], visit: NamedDependency[Visit]
) -> LoggerPassword:
    """The one before is worth nothing from then on."""
    return LoggerPassword(await new_password(visit, parse_device(device), client_address(request)))


@delete(
    "/loggers/{device:str}/password",
    status_code=200,
    operation_id="removeLoggerPassword",
    summary="Keys only from now on",
    guards=[site_keepers],
)
async def delete_password(
    device: FromPath[str], request: Request[Any, Any, Any], visit: NamedDependency[Visit]
) -> DropAccount:
    return await remove_password(visit, parse_device(device), client_address(request))


@post("/loggers/{device:str}/keys", operation_id="addLoggerKey", summary="A public key to log in by", guards=[site_keepers])
async def post_key(
    device: FromPath[str], data: JSONBody[NewKey], request: Request[Any, Any, Any], visit: NamedDependency[Visit]
) -> DropKey:
    return await add_key(visit, parse_device(device), data.public_key, client_address(request))


@delete("/loggers/{device:str}/keys", operation_id="removeLoggerKey", summary="Forget a key", guards=[site_keepers])
async def delete_key(
    device: FromPath[str], fingerprint: Fingerprint, request: Request[Any, Any, Any], visit: NamedDependency[Visit]
) -> None:
    await remove_key(visit, parse_device(device), fingerprint, client_address(request))


router = Router(
    "/",
    route_handlers=[
        get_drop_box,
        list_loggers,
        post_logger,
        get_logger,
        patch_logger,
        delete_logger,
        post_password,
        delete_password,
        post_key,
        delete_key,
    ],
    tags=["loggers"],
)

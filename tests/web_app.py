"""The web on a seeded database, with twins that live in this process: two tenants, and people of every role."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import asyncpg
import msgspec
from argon2 import PasswordHasher
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from httpx import ASGITransport, AsyncClient
from litestar import Litestar

from fleet.errors import NotFound, Unavailable
from fleet.ids import DeviceId, SiteId
from fleet.orders import CommandAnswer, CommandWish, ConfigAnswer, ConfigWish
from fleet.placement import slot_of
from fleet.profiles import shipped
from fleet.settings import BrokerSettings, DatabaseSettings, RaySettings, WebSettings
from fleet.storage import pull_secrets
from fleet.storage.database import Pool, connect, open_pool
from fleet.views import AlertView, DeviceLive, Health, PowerFlow, ShardStats, SiteLive, SiteSummary
from tests.servers import Database
from web.app import create_app
from web.live import LiveFeed
from web.pages.routes import PAGE_ROUTES
from web.passwords import Passwords
from web.ports import Twins
from web.services import Services
from web.tokens import Tokens
from web.twins_door import TwinsDoor

NOW = 1_763_800_000_000
PASSWORD = "correct horse battery"
BASE_URL = "http://testserver.local"
EST_URL = "https://enrol.test:8443"
HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)  # tests check what is checked, not how slowly
HASH = HASHER.hash(PASSWORD)
ALPHA, BETA = SiteId("site-alpha"), SiteId("site-beta")
ALPHA_METER, BETA_METER = DeviceId("meter-alpha"), DeviceId("meter-beta")

# email → (organisation, role)
PEOPLE = {
    "alice@example.org": ("alpha", "customer"),
    "bob@example.org": ("beta", "customer"),
    "emma@example.org": ("alpha", "energy_manager"),
    "ines@example.org": ("installer", "installer"),
    "otto@example.org": ("platform", "ops"),
    "ada@example.org": ("platform", "admin"),
}


@dataclass
class TwinsInMemory:
    """web.ports.Twins without Ray."""

    sites: dict[SiteId, SiteLive] = field(default_factory=dict)
    alerts: dict[str, AlertView] = field(default_factory=dict)
    away: bool = False
    forgotten: list[SiteId] = field(default_factory=list)
    corrections: list[tuple[SiteId, DeviceId, int, float]] = field(default_factory=list)
    placed: list[tuple[SiteId, str]] = field(default_factory=list)

    async def site_live(self, site: SiteId) -> SiteLive:
        self._must_answer()
        if site not in self.sites:
            raise NotFound("unknown_site", f"no site {site}")
        return self.sites[site]

    async def site_summaries(self, sites: Sequence[SiteId]) -> list[SiteSummary]:
        self._must_answer()
        return [
            SiteSummary(live.site, live.flow, live.health, len(live.devices), len(live.devices), len(live.alerts))
            for live in (self.sites[site] for site in sites if site in self.sites)
        ]

    async def shard_stats(self) -> list[ShardStats]:
        self._must_answer()
        return [shard_stats()]

    async def acknowledge_alert(self, site: SiteId, alert_id: str, person_id: str) -> AlertView:
        self._must_answer()
        if alert_id not in self.alerts:
            raise NotFound("unknown_alert", f"no open alert {alert_id}")
        self.alerts[alert_id] = msgspec.structs.replace(self.alerts[alert_id], acked_at=NOW, acked_by=person_id)
        return self.alerts[alert_id]

    async def forget_site(self, site: SiteId) -> None:
        self.forgotten.append(site)

    async def corrected(self, site: SiteId, device: DeviceId, since: int, clock_shift_s: float = 0.0) -> None:
        self._must_answer()
        self.corrections.append((site, device, since, clock_shift_s))

    async def place_waiting(self, site: SiteId, serial: str) -> int:
        self._must_answer()
        self.placed.append((site, serial))
        return 0

    async def change_configs(self, wishes: Sequence[ConfigWish]) -> list[ConfigAnswer]:
        self._must_answer()
        return [ConfigAnswer(wish.device, 1, changed=True, status="pending", there=False) for wish in wishes]

    async def issue_commands(self, wishes: Sequence[CommandWish]) -> list[CommandAnswer]:
        self._must_answer()
        return [CommandAnswer(wish.id, "queued") for wish in wishes]

    async def cancel_command(self, site: SiteId, device: DeviceId, command_id: str, person_id: str) -> None:
        self._must_answer()

    async def close(self) -> None:
        pass

    def _must_answer(self) -> None:
        if self.away:
            raise Unavailable("twins_away", "switched off by the test")


def shard_stats() -> ShardStats:
    return ShardStats(
        shard=0, epoch=1, started_at=NOW, at=NOW, connected=True, messages=100, samples=300, duplicates=0, dead_letters=2,
        throttled=0, batches=10, commit_failures=0, acked_messages=98, platform_acks=5, twins=4, devices_online=2, devices=2,
        queued_messages=0, lag_ms=12.5, rss_bytes=1_000_000, dead_letters_by_code={"bad_json": 2},
    )  # fmt: skip


def site_live(site: SiteId, device: DeviceId, pv_power_w: float = 1_500.0) -> SiteLive:
    health = Health("ok", NOW, "reporting")
    meter = DeviceLive(device, "Compteur", "meter", health, NOW, NOW, {"grid_power_w": -500.0})
    return SiteLive(
        site, NOW, PowerFlow(pv_power_w=pv_power_w, grid_power_w=-500.0, load_power_w=1_000.0), health, [meter], []
    )


@dataclass
class Web:
    """A running app and what is behind it."""

    app: Litestar
    client: AsyncClient
    services: Services
    twins: TwinsInMemory
    owner: DatabaseSettings

    async def token(self, email: str) -> dict[str, str]:
        """Headers of a request by this person."""
        answer = await self.client.post("/api/v1/auth/login", json={"email": email, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}

    async def until_twins_are(self, *, connected: bool) -> None:
        async with asyncio.timeout(60):
            while self.services.door.connected != connected:
                await self.services.door.next_stats()

    async def execute(self, statement: str, *arguments: object) -> list[asyncpg.Record]:
        """As the owner, past row-level security."""
        connection = await connect(self.owner)
        try:
            return list(await connection.fetch(statement, *arguments))
        finally:
            await connection.close()


@asynccontextmanager
async def running_web(database: Database, folder: Path, broker: BrokerSettings | None = None) -> AsyncIterator[Web]:
    await seed(database.owner)
    twins = TwinsInMemory({ALPHA: site_live(ALPHA, ALPHA_METER), BETA: site_live(BETA, BETA_METER)})
    pool = await open_pool(database.sp_web, size_max=4)
    services = make_services(pool, twins, web_settings(database, folder, broker))
    app = create_app(services, pages=PAGE_ROUTES)  # without a page for problems: they stay JSON
    try:
        transport = ASGITransport(cast("Any", app), raise_app_exceptions=False, client=("192.0.2.7", 40_000))
        async with alive(app), AsyncClient(transport=transport, base_url=BASE_URL) as client:
            web = Web(app, client, services, twins, database.owner)
            await web.until_twins_are(connected=True)
            yield web
    finally:
        pool.terminate()


@asynccontextmanager
async def alive(app: Litestar) -> AsyncIterator[None]:
    """The app between start and stop, in a task of its own: a fixture is left in another task than it was entered in."""
    started, stop = asyncio.Event(), asyncio.Event()

    async def live() -> None:
        async with app.lifespan():
            started.set()
            await stop.wait()

    task = asyncio.create_task(live())
    await asyncio.wait((task, asyncio.create_task(started.wait())), return_when=asyncio.FIRST_COMPLETED)
    try:
        yield
    finally:
        stop.set()
        await task


def make_services(pool: Pool, twins: Twins, settings: WebSettings) -> Services:
    async def connect_twins() -> Twins:
        if isinstance(twins, TwinsInMemory):
            twins._must_answer()
        return twins

    return Services(
        settings=settings,
        pool=pool,
        tokens=Tokens(ec.generate_private_key(ec.SECP256R1()), settings.public_url),
        door=TwinsDoor(connect_twins, period_s=0.05),
        live=LiveFeed(settings.broker, None),
        passwords=Passwords(HASHER),
    )


def web_settings(database: Database, folder: Path, broker: BrokerSettings | None) -> WebSettings:
    nowhere = BrokerSettings("127.0.0.1", 1, folder / "none", folder / "none", folder / "none")
    return WebSettings(
        host="127.0.0.1",
        port=0,
        public_url=BASE_URL,
        database=database.sp_web,
        broker=broker or nowhere,
        ray=RaySettings(folder / "none", folder / "none", folder),
        jwt_key_file=folder / "none",
        setup_token_file=folder / "setup-token",
        est_url=EST_URL,
        est_ca_file=_trust_anchor(folder),
        intake_folder=folder / "intake",
        sftp_public_host="files.test",
        sftp_port=2222,
        sftp_host_key_file=_host_key(folder),
        pull_key_file=_pull_key(folder),
        pull_networks=("127.0.0.0/8",),
    )


def _trust_anchor(folder: Path) -> Path:
    """What devices are told to know the enrolment server by; nobody listens there."""
    file = folder / "est-ca.pem"
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test root")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1)
    )
    file.write_bytes(builder.sign(key, SHA256()).public_bytes(Encoding.PEM))
    return file


def _host_key(folder: Path) -> Path:
    file = folder / "sftp-host-key.pub"
    public = Ed25519PrivateKey.generate().public_key()
    file.write_bytes(public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH) + b" test\n")
    return file


def _pull_key(folder: Path) -> Path:
    file = folder / "pull-key"
    file.write_text(pull_secrets.make_key())
    return file


async def seed(owner: DatabaseSettings, people: dict[str, tuple[str, str]] = PEOPLE) -> None:
    """Two sites of two customers, each with a meter; the installer looks after alpha only."""
    connection = await connect(owner)
    try:
        await connection.executemany(
            "INSERT INTO accounts.organisation (id, name, kind) VALUES ($1, $2, $3)",
            [("alpha", "Alpha", "customer"), ("beta", "Beta", "customer"), ("installer", "Inès PV", "installer"),
             ("platform", "SolarPerform", "platform")],
        )  # fmt: skip
        await connection.executemany(
            "INSERT INTO accounts.person (id, organisation_id, email, name, role, password_hash)"
            " VALUES ($1, $2, $3, $4, $5, $6)",
            [
                (email.split("@")[0], organisation, email, email.split("@")[0].title(), role, HASH)
                for email, (organisation, role) in people.items()
            ],
        )
        await connection.executemany(
            "INSERT INTO registry.profile (id, definition) VALUES ($1, $2)",
            [(profile.id, msgspec.to_builtins(profile)) for profile in shipped()],
        )
        await connection.executemany(
            "INSERT INTO registry.site (id, slot, name, latitude, longitude, peak_power_w, department,"
            " customer_organisation_id, installer_organisation_id) VALUES ($1, $2, $3, 44.9, 4.9, 9000, '26', $4, $5)",
            [(ALPHA, slot_of(ALPHA), "Mairie", "alpha", "installer"), (BETA, slot_of(BETA), "École", "beta", None)],
        )
        await connection.executemany(
            "INSERT INTO registry.device (id, site_id, profile_id, name, serial) VALUES ($1, $2, 'meter', 'Compteur', $3)",
            [(ALPHA_METER, ALPHA, "A1"), (BETA_METER, BETA, "B1")],
        )
    finally:
        await connection.close()


async def listen(web: Web, path: str, headers: dict[str, str], events: asyncio.Queue[dict[str, Any]]) -> None:
    """httpx's ASGI transport gives an answer out when it is whole: the app is asked directly."""
    scope = {
        "type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "",
        "scheme": "http", "http_version": "1.1", "server": ("testserver.local", 80), "client": ("192.0.2.7", 1), "state": {},
        "headers": [(b"host", b"testserver.local"), *((k.lower().encode(), v.encode()) for k, v in headers.items())],
        "asgi": {"version": "3.0"}, "extensions": {},
    }  # fmt: skip

    over = asyncio.Event()

    async def receive() -> dict[str, Any]:
        await over.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body" and not message.get("more_body"):
            over.set()
        for line in message.get("body", b"").decode().splitlines():
            if line.startswith("data: {"):
                events.put_nowait(json.loads(line.removeprefix("data: ")))

    await web.app(scope, receive, send)  # type: ignore[arg-type]

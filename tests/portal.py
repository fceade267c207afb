"""The web with its pages on a seeded database, what a browser would see in a page, and how somebody logs in."""

from datetime import date
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, cast

from httpx import ASGITransport, AsyncClient, Response

from fleet.calendar import day_bounds, quarter_starts
from fleet.energy.day import Recomputed, SiteDay
from fleet.storage.database import open_pool
from fleet.views import AlertView
from tests.servers import Database
from tests.web_app import (
    ALPHA,
    ALPHA_METER,
    BASE_URL,
    BETA,
    NOW,
    PASSWORD,
    TwinsInMemory,
    Web,
    alive,
    make_services,
    site_live,
    web_settings,
)
from web.app import create_app
from web.pages.routes import PAGE_ROUTES, problem_page

CLOCK_BACK = date(2025, 10, 26)


class Portal:
    """As tests.web_app.running_web, on a seeded database and with the pages."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._database, self._folder = database, folder

    async def __aenter__(self) -> Web:
        alert = AlertView("alert-1", ALPHA, ALPHA_METER, "device_offline", "warning", NOW)
        twins = TwinsInMemory(
            {ALPHA: site_live(ALPHA, ALPHA_METER), BETA: site_live(BETA, ALPHA_METER)}, alerts={alert.id: alert}
        )
        self._pool = await open_pool(self._database.sp_web, size_max=4)
        services = make_services(self._pool, twins, web_settings(self._database, self._folder, None))
        app = create_app(services, pages=PAGE_ROUTES, problem_page=problem_page)
        transport = ASGITransport(cast("Any", app), raise_app_exceptions=False, client=("192.0.2.7", 40_000))
        self._alive = alive(app)
        await self._alive.__aenter__()
        self._client = AsyncClient(transport=transport, base_url=BASE_URL, headers={"Origin": BASE_URL})
        while not services.door.connected:
            await services.door.next_stats()
        return Web(app, self._client, services, twins, self._database.owner)

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()
        await self._alive.__aexit__(None, None, None)
        self._pool.terminate()


def long_day() -> Recomputed:
    starts = quarter_starts(CLOCK_BACK, "Europe/Paris")
    assert len(starts) == 100
    registers: dict[str, tuple[float | None, ...]] = {
        "pv_energy_wh": tuple(100.0 if 40 <= index < 60 else 0.0 for index in range(100)),
        "import_energy_wh": tuple(0.0 if 40 <= index < 60 else 50.0 for index in range(100)),
        "export_energy_wh": tuple(30.0 if 40 <= index < 60 else 0.0 for index in range(100)),
    }
    day = SiteDay(ALPHA, CLOCK_BACK, "Europe/Paris", registers, tuple(2 if index == 50 else 1 for index in range(100)))
    return Recomputed(day, day_bounds(CLOCK_BACK, "Europe/Paris"), [])


class Seen(HTMLParser):
    """What a browser would fetch, follow or run."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.actions: list[str] = []
        self.ids: set[str] = set()
        self.inline: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag in ("script", "style") and "src" not in found:
            self.inline.append(tag)
        self.inline.extend(name for name in found if name == "style" or name.startswith("on"))
        self.ids.add(found.get("id", ""))
        if tag == "a":
            self.links.append(found.get("href", ""))
        elif tag == "form":
            self.actions.append(found.get("action", ""))
        else:
            self.loads += [found[name] for name in ("src", "href") if name in found]
        self.loads += [found[name] for name in ("hx-get", "hx-post") if name in found]


async def log_in(portal: Web, email: str) -> None:
    portal.client.cookies.clear()
    answer = await portal.client.post("/login", data={"email": email, "password": PASSWORD, "next": "/account"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/account")


async def read(portal: Web, path: str, language: str = "fr") -> Response:
    portal.client.cookies.set("sp_language", language)
    return await portal.client.get(path)

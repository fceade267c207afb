"""A fleet larger than a page: what needs attention comes first wherever its name stands, and every site comes once."""

import random
import re
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path

import pytest

from fleet.placement import slot_of
from fleet.storage.database import connect
from fleet.views import HEALTH_ORDER
from tests.portal import Portal, log_in, read
from tests.servers import Database
from tests.web_app import ALPHA, BETA, Web, seed

SITES = 230
LUCK = random.Random(4)
UNJUDGED = 7  # sites of which the twins have said nothing yet


def fleet() -> list[tuple[str, str, str | None]]:
    """id, name (some twice), stored health."""
    made = []
    for number in range(SITES):
        status = LUCK.choices(HEALTH_ORDER, (150, 40, 5, 10, 5, 5))[0] if number >= UNJUDGED else None
        made.append((f"m-{number:03}", f"Maison {LUCK.randrange(200):03}", status))
    return made


FLEET = fleet()


def rank(status: str | None) -> int:
    return -HEALTH_ORDER.index(status or "unknown")  # type: ignore[arg-type]  # all of them are statuses


# The two sites of tests.web_app have no judgement either.
WORST_FIRST = [
    site for _, _, site in sorted((rank(s), n, i) for i, n, s in [*FLEET, (ALPHA, "Mairie", None), (BETA, "École", None)])
]


@pytest.fixture
async def portal(database: Database, tmp_path: Path) -> AsyncIterator[Web]:
    await seed(database.owner)
    connection = await connect(database.owner)
    await connection.executemany(
        "INSERT INTO registry.site (id, slot, name, latitude, longitude, peak_power_w, customer_organisation_id)"
        " VALUES ($1, $2, $3, 45, 5, 0, 'beta')",
        [(site, slot_of(ALPHA), name) for site, name, _ in FLEET],
    )
    await connection.executemany(
        "INSERT INTO supervision.health (site_id, device_id, status, since, reason) VALUES ($1, $2, $3, now(), 'silent')",
        [
            (site, device, status if device == "" else "offline")
            for site, _, status in FLEET
            if status
            for device in ("", "d")
        ],
    )
    await connection.close()
    async with Portal(database, tmp_path) as running:
        yield running


async def walk(web: Web, **parameters: str) -> list[str]:
    headers = await web.token("otto@example.org")
    found: list[str] = []
    cursor = None
    while True:
        asked = parameters | ({"cursor": cursor} if cursor else {})
        page = (await web.client.get("/api/v1/sites", params=asked, headers=headers)).json()
        assert len(page["items"]) <= int(parameters.get("limit", "50"))
        found += [site["id"] for site in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


@pytest.mark.parametrize("limit", ["200", "17"])
async def test_the_api_lists_the_worst_of_all_first_and_each_site_once(portal: Web, limit: str) -> None:
    assert await walk(portal, limit=limit) == WORST_FIRST


async def test_a_search_keeps_the_order(portal: Web) -> None:
    named = {site for site, name, _ in FLEET if "maison 1" in name.lower()}
    assert len(named) > 17
    assert await walk(portal, limit="17", q="maison 1") == [site for site in WORST_FIRST if site in named]


async def test_a_site_added_between_two_pages_moves_no_other(portal: Web) -> None:
    headers = await portal.token("otto@example.org")
    first = (await portal.client.get("/api/v1/sites", params={"limit": "100"}, headers=headers)).json()
    await portal.execute(
        "INSERT INTO registry.site (id, slot, name, latitude, longitude, peak_power_w, customer_organisation_id)"
        " VALUES ('new', $1, '!', 45, 5, 0, 'beta')",
        slot_of(ALPHA),
    )
    second = (
        await portal.client.get("/api/v1/sites", params={"limit": "100", "cursor": first["next_cursor"]}, headers=headers)
    ).json()
    assert [site["id"] for site in second["items"]] == WORST_FIRST[100:200]


async def test_the_pages_show_the_same_order_and_lead_on_to_every_site(portal: Web) -> None:
    await log_in(portal, "otto@example.org")
    found: list[str] = []
    path: str | None = "/sites"
    while path:
        html = (await read(portal, path)).text
        assert f'hx-get="{path}"' in unescape(html)  # what the list refreshes itself with
        found += re.findall(r'data-testid="site-line" data-site="([^"]+)"', html)
        onward = re.search(r'id="sites-following" href="([^"]+)"', html)
        path = unescape(onward[1]) if onward else None
    assert 'id="sites-first" href="/sites"' in html
    assert len(found) == len(WORST_FIRST)
    assert set(found) == set(WORST_FIRST)
    worst = sum(status == "offline" for _, _, status in FLEET)
    assert found[:worst] == WORST_FIRST[:worst]
    assert f">{len(WORST_FIRST)}<" in (await read(portal, "/ops")).text


@pytest.mark.parametrize("position", ['["Mairie","a"]', '[9,"a","b"]', '[-1,"a","b"]', '[1,"\\u0000","b"]', "{}", "[1,2,3]"])
async def test_a_cursor_of_something_else_is_refused(portal: Web, position: str) -> None:
    cursor = urlsafe_b64encode(position.encode()).decode().rstrip("=")
    headers = await portal.token("otto@example.org")
    answer = await portal.client.get("/api/v1/sites", params={"cursor": cursor}, headers=headers)
    assert (answer.status_code // 100, answer.json()["code"]) == (4, "bad_cursor")

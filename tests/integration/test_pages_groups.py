"""Groups and tags in the pages: closed to others, in both languages, nothing injected, and every form does what it says."""

import re
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path

import pytest

from tests.portal import Portal, Seen, log_in, read
from tests.servers import Database
from tests.web_app import ALPHA, ALPHA_METER, BETA, Web, seed

HOSTILE = "</h1><script>alert(1)</script>\"' onload=x &amp; <b>"
GROUP = "/ops/groups/g1"
PAGES = ["/ops/groups", "/ops/groups/new", GROUP, f"{GROUP}/devices", f"{GROUP}/count", "/ops/templates", "/ops"]


@pytest.fixture
async def portal(database: Database, tmp_path: Path) -> AsyncIterator[Web]:
    """A group with a hostile name, devices that say hostile things of themselves, and a template."""
    await seed(database.owner)
    async with Portal(database, tmp_path) as web:
        await web.execute(
            "INSERT INTO telemetry.device_latest (site_id, device_id, seen_at, online, info)"
            " VALUES ($1, $2, now(), true, $3)",
            ALPHA,
            ALPHA_METER,
            {"model": HOSTILE, "firmware": "1.9.2"},
        )
        await web.execute("INSERT INTO registry.device_tag VALUES ($1, $2, 'roof')", ALPHA, ALPHA_METER)
        await web.execute(
            "INSERT INTO remote.device_group (id, name, query, \"values\", rollout_id) VALUES ('g1', $1, $2, $3, 'r1')",
            HOSTILE,
            {"firmware_below": "1.10", "tags_any": ["roof", "gone"], "models": [HOSTILE]},
            {"report_interval_s": 30, "unheard-of": HOSTILE},
        )
        await log_in(web, "otto@example.org")
        yield web


async def stored(web: Web) -> list[tuple[str, object, int]]:
    rows = await web.execute(
        "SELECT name, query, revision FROM remote.device_group WHERE removed_at IS NULL AND id <> 'g1' ORDER BY name"
    )
    return [tuple(row.values()) for row in rows]


async def test_a_persons_own_language_counts_more_than_the_browsers(portal: Web) -> None:
    await portal.execute("UPDATE accounts.person SET locale = 'fr'")
    offered = (await read(portal, "/ops/groups/new", "en")).text
    assert "Onduleur" in offered
    assert "Inverter" not in offered


async def test_each_page_is_there_in_both_languages_and_runs_nothing_of_a_device(portal: Web) -> None:
    for language in ("fr", "en"):
        await portal.execute("UPDATE accounts.person SET locale = $1", language)
        for path in PAGES:
            answer = await read(portal, path, language)
            assert answer.status_code == 200, (path, answer.text)
            assert "<script>alert" not in answer.text, path
            assert "<b>" not in answer.text, path
            seen = Seen(answer.text)
            assert seen.inline == [], path
            for address in seen.links + seen.loads + seen.actions:
                assert re.match(r"[/#]", address), (path, address)
    shown = unescape((await portal.client.get(GROUP)).text)
    assert "firmware below 1.10" in shown
    assert "tagged roof or gone" in shown
    assert 'value="gone" checked' in shown, "what is gone stays ticked, or saving would drop it unseen"


async def test_the_pages_do_not_exist_for_others(portal: Web) -> None:
    for email in ("ines@example.org", "alice@example.org"):
        await log_in(portal, email)
        for path in PAGES:
            assert (await portal.client.get(path)).status_code == 404, path
        for path in ("/ops/groups/new", GROUP, f"{GROUP}/remove"):
            assert (await portal.client.post(path, data={"name": "X", "do": "save"})).status_code == 404, path
    assert await stored(portal) == []


async def test_a_query_is_ticked_together_counted_and_saved(portal: Web) -> None:
    ticked = {
        "kinds": ["meter", "inverter"],
        "tags_any": "roof",
        "firmware_below": "1.10",
        "seen_within_s": "3600",
        "sites": f"{ALPHA}, {BETA}",
    }
    looked = await portal.client.post("/ops/groups/new", data=ticked)
    assert looked.status_code == 200
    assert 'data-testid="group-devices">1 appareil<' in looked.text
    assert await stored(portal) == [], "looking at it saves nothing"
    saved = await portal.client.post("/ops/groups/new", data=ticked | {"name": "Roof", "do": "save"})
    assert saved.status_code == 303, saved.text
    query = {
        "kinds": ["meter", "inverter"], "tags_any": ["roof"], "firmware_below": "1.10", "seen_within_s": 3600.0,
        "sites": [ALPHA, BETA],
    }  # fmt: skip
    assert await stored(portal) == [("Roof", query, 1)]
    page = (await portal.client.get(saved.headers["Location"])).text
    assert 'data-testid="group-saved"' in page
    assert 'value="roof" checked' in page

    path = saved.headers["Location"].partition("?")[0]
    again = ticked | {"name": "Roofs", "do": "save", "revision": "1"}
    assert (await portal.client.post(path, data=again)).status_code == 303
    stale = await portal.client.post(path, data=again | {"name": "Mine"})
    assert (stale.status_code, 'data-code="group_changed"' in stale.text) == (412, True)
    assert [(name, revision) for name, _, revision in await stored(portal)] == [("Roofs", 2)]
    assert (await portal.client.post(f"{path}/remove")).headers["Location"] == "/ops/groups"
    assert await stored(portal) == []


@pytest.mark.parametrize(
    ("ticked", "warning", "devices"),
    [({}, "matches_everything", "2 appareils"), ({"tags_all": "none"}, "matches_nothing", "0 appareil")],
)
async def test_nobody_and_everybody_are_asked_about_before_they_are_saved(
    portal: Web, ticked: dict[str, str], warning: str, devices: str
) -> None:
    form = ticked | {"name": "G", "do": "save"}
    asked = await portal.client.post("/ops/groups/new", data=form)
    assert asked.status_code == 200
    assert f'name="confirmed" value="{warning}"' in asked.text
    assert devices in re.sub(r"<[^>]+>", "", asked.text[asked.text.index('data-testid="group-asks"') :][:600])
    assert await stored(portal) == []
    other = "matches_nothing" if warning == "matches_everything" else "matches_everything"
    assert (await portal.client.post("/ops/groups/new", data=form | {"confirmed": other})).status_code == 200
    assert (await portal.client.post("/ops/groups/new", data=form | {"confirmed": warning})).status_code == 303
    assert [name for name, _, _ in await stored(portal)] == ["G"]


async def test_who_would_join_a_rollout_is_asked_about_before_the_group_is_saved(portal: Web) -> None:
    plan = {"waves": [{"percent": 100}], "continuous": True}
    await portal.execute(
        'INSERT INTO remote.rollout (id, name, profile_id, group_id, query, "values", plan, state)'
        " VALUES ('r1', 'March', 'meter', 'g1', '{}', '{}', $1, 'running')",
        plan,
    )
    form = {"name": "G", "do": "save", "revision": "1", "confirmed": "matches_everything"}
    asked = await portal.client.post(GROUP, data=form)
    assert asked.status_code == 200
    assert 'name="confirm_count" value="2"' in asked.text
    assert 'name="confirmed" value="matches_everything"' in asked.text, "what was confirmed already stays so"
    told = unescape(asked.text[asked.text.index('data-testid="group-joins"') :][:600])
    assert "2 de plus recevraient ses valeurs" in told
    assert (await portal.client.post(GROUP, data=form | {"confirm_count": "1"})).status_code == 200
    assert (await portal.client.post(GROUP, data=form | {"confirm_count": "2"})).status_code == 303


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"firmware_below": "newest"}, "bad_firmware"),
        ({"kinds": "toaster"}, "bad_query"),
        ({"seen_within_s": "soon"}, "bad_query"),
        ({"seen_within_s": "nan"}, "bad_query"),
        ({"devices": "SP Web"}, "bad_id"),
        ({"tags_any": "Roof!"}, "bad_tag"),
        ({"name": "x" * 81, "tags_any": "roof"}, "bad_group_name"),
    ],
)
async def test_what_was_typed_stays_when_it_is_refused(portal: Web, wrong: dict[str, str], code: str) -> None:
    answer = await portal.client.post("/ops/groups/new", data={"name": "Kept", "do": "save"} | wrong)
    assert (answer.status_code, f'data-code="{code}"' in answer.text) == (422, True), answer.text
    assert f'value="{wrong.get("name", "Kept")}"' in answer.text
    live = await portal.client.post("/ops/groups/new", data={"name": "Kept"} | wrong, headers={"HX-Request": "true"})
    assert live.status_code == 200, "htmx shows no refusal whose status says so"
    assert await stored(portal) == []


async def test_a_group_needs_a_name_of_its_own(portal: Web) -> None:
    form = {"tags_any": "roof", "do": "save"}
    assert 'aria-invalid="true"' in (await portal.client.post("/ops/groups/new", data=form)).text
    taken = await portal.client.post("/ops/groups/new", data=form | {"name": HOSTILE})
    assert (taken.status_code, 'data-code="group_name_taken"' in taken.text) == (409, True)


async def test_the_templates_stand_side_by_side(portal: Web) -> None:
    page = (await portal.client.get("/ops/templates?profile=meter")).text
    table = page[page.index('data-testid="template-table"') :]
    assert "30" in table
    assert f'href="{GROUP}"' in table
    other = (await portal.client.get("/ops/templates?profile=inverter")).text
    assert f'href="{GROUP}"' not in other, "the group means no device of that profile"


async def test_tags_are_given_and_taken_on_the_device_page(portal: Web) -> None:
    path = f"/devices/{ALPHA_METER}"
    added = await portal.client.post(f"{path}/tags", data={"add": "Lot 2"})
    assert added.headers["Location"] == f"{path}#tags"
    page = (await portal.client.get(path)).text
    assert re.findall(r'data-testid="tag">([^<]+)<', page) == ["lot-2", "roof"]
    await portal.client.post(f"{path}/tags", data={"remove": "roof"})
    wrong = await portal.client.post(f"{path}/tags", data={"add": "côté sud"})
    assert (wrong.status_code, 'data-code="bad_tag"' in wrong.text) == (422, True)
    assert re.findall(r'data-testid="tag">([^<]+)<', wrong.text) == ["lot-2"]
    await log_in(portal, "alice@example.org")
    hers = (await portal.client.get(path)).text
    assert 'data-testid="tag">lot-2' in hers
    assert 'data-testid="new-tag"' not in hers
    assert (await portal.client.post(f"{path}/tags", data={"add": "x"})).status_code == 404

"""The pages as people of each role get them: in both languages, closed to others, nothing from outside, nothing injected."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest

from fleet.storage.database import connect
from fleet.storage.energy import save_days
from tests.portal import CLOCK_BACK, Portal, Seen, log_in, long_day, read
from tests.servers import Database
from tests.web_app import ALPHA, ALPHA_METER, BETA, NOW, PASSWORD, PEOPLE, Web, seed
from web.pages.assets import BUILT_DIR

HOSTILE = "</h1><script>alert(1)</script>\"' onload=x &amp; <b>"
PAGES_OF = {
    "alice@example.org": [f"/sites/{ALPHA}", f"/sites/{ALPHA}/checks", f"/devices/{ALPHA_METER}", "/account"],
    "emma@example.org": [f"/sites/{ALPHA}", f"/devices/{ALPHA_METER}", "/account"],
    "ines@example.org": [
        "/sites", "/sites/new", f"/sites/{ALPHA}", f"/sites/{ALPHA}/add", f"/sites/{ALPHA}/checks", f"/sites/{ALPHA}/report",
        f"/devices/{ALPHA_METER}", "/account",
    ],
    "otto@example.org": ["/sites", f"/sites/{BETA}", "/ops", "/profiles", "/profiles/meter", "/profiles/new", "/account"],
    "ada@example.org": ["/sites", f"/sites/{ALPHA}", "/ops", "/audit", "/account"],
}  # fmt: skip
NOT_FOR_OWNERS = ("/sites/new", f"/sites/{ALPHA}/add", f"/sites/{ALPHA}/report", "/profiles", "/profiles/meter")
PERIODS = ("day", "week", "month", "year", "total")


@pytest.fixture
async def portal(database: Database, tmp_path: Path) -> AsyncIterator[Web]:
    """The web with its pages; sites with hostile names, one day of 25 hours and one open alert."""
    await seed(database.owner)
    connection = await connect(database.owner)
    await connection.execute("UPDATE registry.site SET name = $1", HOSTILE)
    await connection.execute("UPDATE registry.device SET name = $1", HOSTILE)
    await save_days(connection, [long_day()], NOW)
    await connection.execute(
        "INSERT INTO supervision.alert (id, site_id, device_id, rule, severity, raised_at)"
        " VALUES ('alert-1', $1, $2, 'device_offline', 'warning', now())",
        ALPHA,
        ALPHA_METER,
    )
    await connection.execute(
        "INSERT INTO telemetry.dead_letter (received_at, topic, code, detail, size_bytes, head)"
        " VALUES (now(), $1, $1, $1, 9, $2)",
        HOSTILE,
        HOSTILE.encode(),
    )
    await connection.close()
    async with Portal(database, tmp_path) as running:
        yield running


@pytest.mark.parametrize("email", PAGES_OF)
async def test_each_role_reads_its_pages_in_both_languages(portal: Web, email: str) -> None:
    for language, word in (("fr", "Aller au contenu"), ("en", "Skip to the content")):
        await log_in(portal, email)
        await portal.client.post("/preferences", data={"language": language})
        for path in PAGES_OF[email]:
            answer = await read(portal, path, language)
            assert answer.status_code == 200, (path, answer.text)
            assert f'<html lang="{language}"' in answer.text
            assert word in answer.text


async def test_every_link_leads_somewhere_and_nothing_comes_from_elsewhere(portal: Web) -> None:
    for email, paths in PAGES_OF.items():
        await log_in(portal, email)
        periods = (
            [f"/sites/{ALPHA}?period={period}&date={CLOCK_BACK}" for period in PERIODS] if email.startswith("ada") else []
        )
        for path in [*paths, *periods]:
            seen = Seen((await read(portal, path)).text)
            assert seen.inline == [], path
            for address in seen.links + seen.loads + seen.actions:
                assert re.match(r"[/#]", address), (path, address)
                assert not address.startswith("//"), (path, address)
            for link in set(seen.links):
                if link.startswith("#"):
                    assert link[1:] in seen.ids, (path, link)
                elif "/events" not in link:
                    assert (await portal.client.get(link)).status_code < 400, (path, link)


async def test_names_and_payloads_are_text_and_nothing_else(portal: Web) -> None:
    await log_in(portal, "otto@example.org")
    own = [f"/sites/{ALPHA}/add", f"/sites/{ALPHA}/checks", f"/sites/{ALPHA}/report", f"/devices/{ALPHA_METER}"]
    for path in ("/sites", f"/sites/{ALPHA}", "/ops", "/sites?q=%3Cscript%3Ealert(1)", *own):
        html = (await read(portal, path)).text
        assert "&lt;script&gt;alert(1)" in html, path
        assert "<script>alert" not in html, path
        assert "<b>" not in html, path


async def test_the_policy_allows_nothing_from_outside(portal: Web) -> None:
    policy = (await portal.client.get("/login")).headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy


async def test_built_styles_load_nothing_from_elsewhere() -> None:
    for style in BUILT_DIR.rglob("*.css"):
        if style.parent.name != "docs":
            for address in re.findall(r"url\(([^)]*)\)", style.read_text()):
                assert address.strip("\"'").startswith("/static/"), (style.name, address)


async def test_the_start_depends_on_the_role(portal: Web) -> None:
    for email, target in (("otto@example.org", "/ops"), ("ines@example.org", "/sites"), ("alice@example.org", "/sites")):
        await log_in(portal, email)
        assert (await portal.client.get("/")).headers["location"] == target
    assert (await portal.client.get("/sites")).headers["location"] == f"/sites/{ALPHA}"  # alice has one site


async def test_what_is_not_yours_does_not_exist(portal: Web) -> None:
    await log_in(portal, "alice@example.org")
    for path in (
        f"/sites/{BETA}",
        "/ops",
        "/audit",
        "/sites/no-such-site",
        "/devices/meter-beta",
        *NOT_FOR_OWNERS,
        "/nowhere",
    ):
        answer = await read(portal, path)
        assert answer.status_code == 404, path
        assert 'data-testid="problem"' in answer.text
        assert 'href="/"' in answer.text
    assert "introuvable" in (await read(portal, "/ops")).text


async def test_nobody_goes_by_way_of_the_renewal_to_the_log_in(portal: Web) -> None:
    answer = await portal.client.get(f"/sites/{ALPHA}?period=week", follow_redirects=True)
    assert answer.url.path == "/login"
    assert f'value="/sites/{ALPHA}?period=week"' in answer.text
    partial = await portal.client.get("/sites", headers={"HX-Request": "true"})
    assert (partial.status_code, partial.headers["hx-refresh"]) == (401, "true")


async def test_a_wrong_password_says_so_and_keeps_the_address(portal: Web) -> None:
    answer = await portal.client.post("/login", data={"email": "alice@example.org", "password": "wrong"})
    assert answer.status_code == 401
    assert 'role="alert"' in answer.text
    assert 'value="alice@example.org"' in answer.text


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)"])
async def test_logging_in_leads_nowhere_else(portal: Web, target: str) -> None:
    answer = await portal.client.post("/login", data={"email": "alice@example.org", "password": PASSWORD, "next": target})
    assert answer.headers["location"] == "/"
    answer = await portal.client.post("/preferences", data={"theme": "dark", "next": target})
    assert answer.headers["location"] == "/"


async def test_logging_out_ends_the_session(portal: Web) -> None:
    await log_in(portal, "alice@example.org")
    token = portal.client.cookies["sp_access"]
    assert (await portal.client.post("/logout")).headers["location"] == "/login"
    assert (await portal.client.get("/api/v1/me", headers={"Authorization": f"Bearer {token}"})).status_code == 401


async def test_the_language_stays_with_the_person_and_the_theme_with_the_browser(portal: Web) -> None:
    await log_in(portal, "alice@example.org")
    await portal.client.post("/preferences", data={"language": "en", "theme": "dark"})
    portal.client.cookies.delete("sp_language")
    html = (await portal.client.get("/account", headers={"Accept-Language": "fr"})).text
    assert '<html lang="en" data-theme="dark">' in html


async def test_a_day_of_25_hours(portal: Web) -> None:
    await log_in(portal, "alice@example.org")
    html = (await read(portal, f"/sites/{ALPHA}?period=day&date={CLOCK_BACK}")).text
    assert html.count('<th scope="row">02:00</th>') == 2
    assert html.count('<th scope="row">') == 25
    sentence = html.split('data-testid="day-sentence"')[1].split("</section>")[0]
    assert "<strong>2,00\u00a0kWh</strong> produits" in sentence
    assert ">70\u202f%</strong> autoconsommés" in sentence  # 1.4 of 2.0 kWh stayed
    assert "Estimé" in html


class Label(NamedTuple):
    period: str
    title: str


@pytest.mark.parametrize(
    "label", [Label("week", "20 oct. au 26 oct. 2025"), Label("month", "octobre 2025"), Label("year", "2025")]
)
async def test_longer_times_add_up(portal: Web, label: Label) -> None:
    await log_in(portal, "alice@example.org")
    html = (await read(portal, f"/sites/{ALPHA}?period={label.period}&date={CLOCK_BACK}")).text
    assert f'<h2 id="energy-title">{label.title}</h2>' in html
    assert "2,00\u00a0kWh" in html


async def test_a_date_that_is_none_is_refused_kindly(portal: Web) -> None:
    await log_in(portal, "alice@example.org")
    assert (await read(portal, f"/sites/{ALPHA}?date=yesterday")).status_code == 422
    assert (await read(portal, f"/sites/{ALPHA}?period=century")).status_code in (400, 422)


async def test_without_twins_the_last_stored_values_stand_with_their_time(portal: Web) -> None:
    await portal.execute(
        "INSERT INTO telemetry.device_latest (site_id, device_id, seen_at, sample_time, readings)"
        " VALUES ($1, $2, now(), '2025-11-20 10:00+00', '{-4321}')",
        ALPHA,
        ALPHA_METER,
    )
    portal.twins.away = True
    await log_in(portal, "alice@example.org")
    html = (await read(portal, f"/sites/{ALPHA}")).text
    assert 'data-testid="twins-away"' in html
    assert "20 nov. 2025, 11:00" in html
    assert 'data-testid="live-grid" data-watts="-4321"' in html
    await log_in(portal, "otto@example.org")
    assert 'data-testid="twins-away"' in (await read(portal, "/sites")).text
    assert (await read(portal, "/ops")).status_code == 200


async def test_acknowledging_an_alert(portal: Web) -> None:
    await log_in(portal, "bob@example.org")
    assert (await portal.client.post("/alerts/alert-1/ack")).status_code == 404
    await log_in(portal, "alice@example.org")
    answer = await portal.client.post("/alerts/alert-1/ack", data={"next": f"/sites/{ALPHA}"})
    assert (answer.status_code, answer.headers["location"]) == (303, f"/sites/{ALPHA}")
    assert portal.twins.alerts["alert-1"].acked_by == "alice"


async def test_forms_of_other_sites_are_refused(portal: Web) -> None:
    await log_in(portal, "alice@example.org")
    answer = await portal.client.post("/alerts/alert-1/ack", headers={"Origin": "https://evil.example"})
    assert answer.status_code == 403
    assert portal.twins.alerts["alert-1"].acked_by is None


async def test_the_first_administrator(database: Database, tmp_path: Path) -> None:
    await seed(database.owner, {email: role for email, role in PEOPLE.items() if role[1] != "admin"})
    (tmp_path / "setup-token").write_text("only-once")
    form = {"token": "only-once", "name": "Zoé", "email": "zoe@example.org", "password": "long enough to count"}
    async with Portal(database, tmp_path) as portal:
        assert 'value="only-once"' in (await portal.client.get("/setup?token=only-once")).text
        assert (await portal.client.post("/setup", data={**form, "token": "guessed"})).status_code == 403
        assert (await portal.client.post("/setup", data={**form, "password": "short"})).status_code == 422
        assert (await portal.client.post("/setup", data=form)).headers["location"] == "/"
        assert (await portal.client.get("/", follow_redirects=True)).url.path == "/ops"
        assert (await portal.client.get("/setup")).headers["location"] == "/login"

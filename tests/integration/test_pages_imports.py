"""Pages of files and loggers: closed to others, in both languages, nothing injected, every form does what it says."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from actors.local.ports import free_port
from fleet.storage import host_keys
from tests.import_rows import add_file, add_refusal, add_serial
from tests.integration.test_web_loggers import public_key, sftp_server
from tests.portal import Portal, Seen, log_in, read
from tests.servers import Database
from tests.web_app import ALPHA, ALPHA_METER, BETA, Web, seed

HOSTILE = "</h1><script>alert(1)</script>\"' onload=x &amp; <b>.csv"
LOGGER = "gw-roof"
EXPORT = b"Date;Puissance (kW)\n" + b"".join(b"2024-06-21 %02d:00;%d,5\n" % (hour, hour % 7) for hour in range(24))
PAGES = [
    "/imports", f"/sites/{ALPHA}/imports", f"/sites/{ALPHA}/imports?show=undone", f"/sites/{ALPHA}/imports?device={LOGGER}",
    "/imports/good", "/imports/bad", "/imports/busy", "/imports/gone", "/imports/undone", f"/sites/{ALPHA}/loggers",
    f"/loggers/{LOGGER}", f"/loggers/{LOGGER}/fetch", "/formats",
]  # fmt: skip


@pytest.fixture
async def portal(database: Database, tmp_path: Path) -> AsyncIterator[Web]:
    """With a logger, files in every state, hostile names and hostile lines."""
    await seed(database.owner)
    async with Portal(database, tmp_path) as web:
        await web.execute(
            "INSERT INTO registry.device (id, site_id, profile_id, name) VALUES ($1, $2, 'logger', $3)",
            LOGGER,
            ALPHA,
            HOSTILE,
        )
        await web.execute("INSERT INTO imports.account (device_id, site_id) VALUES ($1, $2)", LOGGER, ALPHA)
        good = await add_file(
            web, "good", name=HOSTILE, device_id=LOGGER, state="partly", rows_new=90, rows_waiting=6, lines_refused=60,
            stored_with={}, content=EXPORT,
        )  # fmt: skip
        for position in range(60):
            await add_refusal(web, good, position, position + 2, "bad_number", HOSTILE)
        await add_serial(web, good, "INV-1", ["pv_power_w"])
        await add_serial(web, good, "A1", ["import_interval_wh"], device=ALPHA_METER)
        nobodys = await add_file(
            web, "bad", state="quarantined", problem_code="unknown_format", via="upload", content=EXPORT
        )
        await add_serial(web, nobodys, "file", ["import_interval_wh"])
        await add_file(web, "busy", state="storing", blocks=4, blocks_done=1, content=EXPORT)
        await add_file(web, "gone", name=HOSTILE)
        await web.execute("UPDATE imports.file SET original_gone_at = now() WHERE id = 'gone'")
        await add_file(web, "undone", state="undone", content=EXPORT)
        await add_file(web, "theirs", site_id=BETA)
        await web.execute(
            "INSERT INTO imports.concern (site_id, device_id, kind, since) VALUES ($1, $2, 'failing', now())", ALPHA, LOGGER
        )
        await log_in(web, "ines@example.org")
        yield web


async def test_each_page_is_there_in_both_languages_and_runs_nothing_of_a_file(portal: Web) -> None:
    followed: set[str] = set()
    for language in ("fr", "en"):
        await portal.execute("UPDATE accounts.person SET locale = $1", language)
        for path in PAGES:
            answer = await read(portal, path, language)
            assert answer.status_code == 200, (path, answer.text)
            assert f'<html lang="{language}"' in answer.text
            assert "<script>alert" not in answer.text, path
            assert "<b>" not in answer.text, path
            seen = Seen(answer.text)
            assert seen.inline == [], path
            for address in seen.links + seen.loads + seen.actions:
                assert re.match(r"[/#]", address), (path, address)
            for link in {link for link in seen.links if not link.startswith("#")} - followed:
                followed.add(link)
                assert (await portal.client.get(link)).status_code < 400, (path, link)


async def test_the_pages_do_not_exist_for_others(portal: Web) -> None:
    for path in ("/imports/theirs", f"/sites/{BETA}/imports", f"/sites/{BETA}/loggers"):  # of another company's installer
        assert (await read(portal, path)).status_code == 404, path
    for email in ("alice@example.org", "bob@example.org", "emma@example.org"):
        await log_in(portal, email)
        for path in (*PAGES, "/imports/bad/format"):
            assert (await read(portal, path)).status_code == 404, path
    posts = [
        "/imports", "/imports/good/read-again", "/imports/good/undo", "/imports/good/devices", "/imports/bad/format",
        f"/sites/{ALPHA}/loggers", f"/loggers/{LOGGER}/password", f"/loggers/{LOGGER}/close", f"/loggers/{LOGGER}/fetch",
    ]  # fmt: skip
    for path in posts:
        assert (await portal.client.post(path, data={})).status_code == 404, path


async def test_files_are_sent_by_a_plain_form(portal: Web) -> None:
    files = [("file", ("a.csv", b"1;2")), ("file", (HOSTILE, b"3;4"))]
    answer = await portal.client.post("/imports", data={"site": ALPHA, "device": ALPHA_METER}, files=files)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/sites/{ALPHA}/imports?sent=2")
    rows = await portal.execute(
        "SELECT name, settings FROM imports.file WHERE via = 'upload' AND id <> 'bad' ORDER BY number"
    )
    assert [row["settings"] for row in rows] == [{"serial": ALPHA_METER}] * 2
    assert 'data-testid="sent"' in (await read(portal, answer.headers["location"])).text
    for fields, sent, code in (({"site": ALPHA}, [], "no_file"), ({}, files[:1], "no_site")):
        answer = await portal.client.post("/imports", data=fields, files=sent or [("other", ("", b""))])
        assert (answer.status_code, f'data-code="{code}"' in answer.text) == (422, True)
    assert (await portal.client.post("/imports", data={"site": BETA}, files=files[:1])).status_code == 404


async def test_a_file_is_read_again_with_other_settings_and_undone(portal: Web) -> None:
    form = {"timezone": "+01:00", "date_order": "dmy", "stamp": "", "role": "pv", "format_id": ""}
    answer = await portal.client.post("/imports/good/read-again", data=form)
    assert (answer.status_code, answer.headers["location"]) == (303, "/imports/good")
    (row,) = await portal.execute("SELECT state, settings FROM imports.file WHERE id = 'good'")
    assert (row["state"], row["settings"]) == ("received", {"timezone": "+01:00", "date_order": "dmy", "role": "pv"})
    for wrong in ({"timezone": "Mars"}, {"stamp": "middle"}, {"format_id": "x" * 100}):
        assert (await portal.client.post("/imports/good/read-again", data=wrong)).status_code == 422
    assert 'data-code="import_busy"' in (await portal.client.post("/imports/busy/read-again", data=form)).text
    await portal.execute("UPDATE imports.file SET state = 'partly' WHERE id = 'good'")
    assert (await portal.client.post("/imports/good/undo")).status_code == 303
    (row,) = await portal.execute("SELECT state FROM imports.file WHERE id = 'good'")
    assert row["state"] == "undoing"
    assert (await portal.client.post("/imports/undone/undo")).status_code == 409


async def test_refused_lines_come_in_pages_and_a_serial_becomes_a_device(portal: Web) -> None:
    html = (await read(portal, "/imports/good")).text
    assert html.count('data-testid="refusal-row"') == 50
    more = re.search(r'href="(/imports/good\?after=\d+)#refused"', html)
    assert more is not None
    assert (await read(portal, more[1])).text.count('data-testid="refusal-row"') == 10
    assert 'data-testid="attach-INV-1"' in html
    answer = await portal.client.post("/imports/good/devices", data={"serial": "INV-1", "profile": "imported-inverter"})
    assert answer.status_code == 303, answer.text
    (row,) = await portal.execute("SELECT * FROM registry.device WHERE serial = 'INV-1'")
    assert (row["gateway_id"], row["profile_id"], row["site_id"]) == (LOGGER, "imported-inverter", ALPHA)
    answer = await portal.client.post("/imports/good/devices", data={"serial": "INV-1", "profile": "imported-meter"})
    assert (answer.status_code, 'data-code="serial_taken"' in answer.text) == (409, True)
    for wrong in ({}, {"serial": "?", "profile": "meter"}, {"serial": "INV-2", "profile": "nobodys"}):
        assert (await portal.client.post("/imports/good/devices", data=wrong)).status_code in (404, 422), wrong


async def test_readings_without_a_serial_get_an_owner(portal: Web) -> None:
    assert 'data-testid="owner"' in (await read(portal, "/imports/bad")).text
    assert (await portal.client.post("/imports/bad/devices", data={"device": ALPHA_METER})).status_code == 303
    (row,) = await portal.execute("SELECT state, settings FROM imports.file WHERE id = 'bad'")
    assert (row["state"], row["settings"]) == ("received", {"serial": ALPHA_METER})
    assert (await portal.client.post("/imports/bad/devices", data={"profile": "imported-meter"})).status_code == 303
    (row,) = await portal.execute("SELECT settings ->> 'serial' AS serial FROM imports.file WHERE id = 'bad'")
    (made,) = await portal.execute("SELECT * FROM registry.device WHERE id = $1", row["serial"])
    assert (made["profile_id"], made["serial"], made["gateway_id"]) == ("imported-meter", None, None)
    assert (await portal.client.post("/imports/bad/devices", data={"device": "meter-beta"})).status_code == 404
    assert (await portal.client.post("/imports/bad/devices", data={"profile": "gateway"})).status_code == 422


async def test_a_loggers_password_is_shown_until_it_is_noted(portal: Web) -> None:
    answer = await portal.client.post(f"/sites/{ALPHA}/loggers", data={"name": "WebdynSun", "expected_every_s": "86400"})
    assert answer.status_code == 303, answer.text
    path = answer.headers["location"]
    (cookie,) = [each for each in answer.headers.get_list("set-cookie") if each.startswith("sp_logger_password=")]
    attributes = {each.strip().lower() for each in cookie.split(";")[1:]}
    assert {"httponly", f"path={path}", "samesite=lax"} <= attributes
    password = cookie.partition("=")[2].partition(";")[0]
    shown = (await read(portal, path)).text
    assert password in shown
    assert "no-store" in (await read(portal, path)).headers["cache-control"]
    portal.client.cookies.delete("sp_logger_password")
    assert password not in (await read(portal, path)).text
    portal.client.cookies.set("sp_logger_password", "<script>alert(1)")
    assert "<script>alert" not in (await read(portal, path)).text


async def test_an_accounts_forms(portal: Web) -> None:
    path = f"/loggers/{LOGGER}"
    assert (await portal.client.post(f"{path}/password")).status_code == 303
    assert (await portal.client.post(f"{path}/no-password")).status_code == 422  # no key yet
    assert (await portal.client.post(f"{path}/keys", data={"public_key": "nonsense"})).status_code == 422
    assert (await portal.client.post(f"{path}/keys", data={"public_key": public_key()})).status_code == 303
    assert (await portal.client.post(f"{path}/no-password")).status_code == 303
    form = {"timezone": "+01:00", "serial": ALPHA_METER, "expected_every_s": "86400", "legacy": "yes"}
    assert (await portal.client.post(f"{path}/settings", data=form)).status_code == 303
    (row,) = await portal.execute("SELECT * FROM imports.account WHERE device_id = $1", LOGGER)
    assert (row["settings"], row["expected_every_s"], row["legacy"]) == (
        {"timezone": "+01:00", "serial": ALPHA_METER},
        86_400,
        True,
    )
    for wrong in ({"expected_every_s": "5"}, {"expected_every_s": "x"}, {"timezone": "Mars"}):
        assert (await portal.client.post(f"{path}/settings", data=wrong)).status_code == 422, wrong
    assert (await portal.client.post(f"{path}/nonsense")).status_code == 404
    assert (await portal.client.post(f"{path}/close")).status_code == 303
    assert (await portal.client.post(f"{path}/password")).status_code == 409
    assert "Fermé" in (await read(portal, path)).text


async def test_a_logger_that_needs_somebody_says_so(portal: Web) -> None:
    assert 'data-testid="concern" data-kind="failing"' in (await read(portal, f"/sites/{ALPHA}/imports")).text
    assert "ne se lisent plus" in (await read(portal, f"/sites/{ALPHA}/loggers")).text


async def test_a_server_is_compared_before_it_is_fetched_from(portal: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_keys, "PULL_CONNECT_S", 90.0)  # a machine that stands still is no server that is away
    path = f"/loggers/{LOGGER}/fetch"
    async with sftp_server(free_port()) as (port, fingerprint):  # one that nobody else is given while it is away
        shown = await portal.client.post(path, data={"host": "127.0.0.1", "port": str(port)})
        assert fingerprint in shown.text
        key = re.search(r'name="host_key" value="([^"]+)"', shown.text)
        assert key is not None
        form = {"host": "127.0.0.1", "port": str(port), "host_key": key[1], "username": "reader", "auth": "key"}
        bad = await portal.client.post(path, data=form | {"pattern": "a/b"})
        assert (bad.status_code, 'data-code="bad_pattern"' in bad.text, fingerprint in bad.text) == (422, True, True)
    assert (await portal.client.post(path, data=form)).status_code == 303
    assert "ssh-ed25519" in (await read(portal, f"/loggers/{LOGGER}")).text
    (row,) = await portal.execute("SELECT id FROM imports.pull_source")
    await portal.execute(
        "UPDATE imports.pull_source SET problem_code = 'host_key_changed', failures = 2, problem_at = now()"
    )
    assert 'data-testid="compare"' in (await read(portal, f"/loggers/{LOGGER}")).text
    async with sftp_server(port) as (_, other):
        compared = await portal.client.post(f"/pull-sources/{row['id']}/compare")
        assert other in compared.text
        assert fingerprint in compared.text
        key = re.search(r'name="host_key" value="([^"]+)"', compared.text)
        assert key is not None
    assert (await portal.client.post(f"/pull-sources/{row['id']}/pin", data={"host_key": key[1]})).status_code == 303
    assert other in (await portal.client.get(f"/api/v1/sites/{ALPHA}/pull-sources")).text
    assert (await portal.client.post(f"/pull-sources/{row['id']}/remove")).status_code == 303
    away = await portal.client.post(path, data={"host": "127.0.0.1", "port": str(port)})
    assert (away.status_code, 'data-code="server_away"' in away.text) == (503, True)


async def test_choosing_a_logger_among_devices_leads_to_its_account(portal: Web) -> None:
    answer = await portal.client.post(f"/sites/{ALPHA}/add", data={"profile": "logger", "request_id": "form-0001"})
    assert (answer.status_code, answer.headers["location"]) == (303, f"/sites/{ALPHA}/loggers")
    assert f'href="/loggers/{LOGGER}"' in (await read(portal, f"/devices/{LOGGER}")).text


async def test_forms_with_odd_characters_are_complaints_and_no_failures(portal: Web) -> None:
    forms = [
        (path, fields)
        for text in ("a\0b", "x" * 30_000, "\x1b[31m")
        for path, fields in (
            ("/imports/good/read-again", {"timezone": text}),
            ("/imports/good/devices", {"serial": text, "profile": text}),
            (f"/sites/{ALPHA}/loggers", {"name": text}),
            (f"/loggers/{LOGGER}/keys", {"public_key": text}),
            (f"/loggers/{LOGGER}/fetch", {"host": text}),
            (f"/loggers/{LOGGER}/forget-key", {"fingerprint": text}),
        )
    ]
    for path, fields in forms:
        answer = await portal.client.post(path, data=fields)
        assert answer.status_code in (303, 404, 422), (path, answer.status_code)

"""The pages of configurations: each step of a change, who sees what, and nothing injected; with a real shard and device."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from httpx import Response

from tests.box_profile import DEFAULTS, PROFILE
from tests.config_rig import BETA_BOX, BOX, ConfigRig, config_rig, report, told
from tests.fleet_rig import Device, until
from tests.orders_rig import come, now_ms
from tests.portal import Seen, log_in, read
from tests.servers import Broker, Database, Pki
from tests.web_app import ALPHA, ALPHA_METER, BETA_METER

HERE = f"/devices/{BOX}/configuration"
LIMIT = "active_power_limit_pct"
HOSTILE = "</h1><script>alert(1)</script>\"' onload=x <b>"


@pytest.fixture
async def rig(database: Database, broker: Broker, tmp_path: Path) -> AsyncIterator[ConfigRig]:
    async with config_rig(database, broker, tmp_path) as running:
        await log_in(running.web, "otto@example.org")
        yield running


@pytest.fixture
async def box(rig: ConfigRig, broker: Broker, pki: Pki) -> AsyncIterator[Device]:
    async with Device(broker, pki, ALPHA, BOX) as connected:
        await come(rig.shard, connected)
        yield connected


def said(answer: Response) -> str:
    """As it is read: entities resolved, without tags."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.text)).replace("&#39;", "'").replace("&nbsp;", " ")


def hidden(answer: Response, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', answer.text)
    assert found is not None, name
    return found[1].replace("&#34;", '"')


async def send(rig: ConfigRig, **fields: str) -> Response:
    """The form and the page between it and the device."""
    review = await rig.web.client.post(f"{HERE}/review", data={f"v.{key}": text for key, text in fields.items()})
    assert review.status_code == 200, review.text
    own, seen = hidden(review, "own"), hidden(review, "seen")
    return await rig.web.client.post(HERE, data={"own": own, "seen": seen, "why": "saves data"})


async def test_a_change_from_the_form_to_the_device_and_back_again(rig: ConfigRig, box: Device) -> None:
    page = await read(rig.web, HERE)
    assert 'data-state="unknown"' in page.text
    review = await rig.web.client.post(f"{HERE}/review", data={"v.report_interval_s": "30", "v.mode": "island"})
    assert re.findall(r'data-testid="diff-row" data-key="(\w+)"', review.text) == ["report_interval_s", "mode"]
    assert "Avant : 10 s → Après : 30 s" in said(review).replace("\u00a0", " ")
    assert (await rig.call("GET")).json()["desired"]["version"] == 0, "nothing is stored yet"
    edited = await rig.web.client.post(
        f"{HERE}/review", data={"own": hidden(review, "own"), "seen": "0", "why": "so", "edit": "yes"}
    )
    assert 'value="30"' in edited.text
    assert hidden(edited, "why") == "so"
    sent = await send(rig, report_interval_s="30", mode="island")
    assert (sent.status_code, sent.headers["location"]) == (303, f"{HERE}?sent=1")
    assert "La version 1 est enregistrée." in said(await read(rig.web, sent.headers["location"]))
    await report(box, 1, (await told(box, 1)).values)
    await rig.until_status("in_sync")
    page = await read(rig.web, HERE)
    assert 'data-state="in_sync"' in page.text
    assert "L’appareil a confirmé la version 1." in said(page)
    assert page.text.count('data-testid="receipt"') == 3
    assert 'data-key="mode" data-origin="device"' in page.text
    assert re.search(r"<q>saves data</q>", page.text)
    await send(rig, report_interval_s="60")
    back = await rig.web.client.post(f"{HERE}/return", data={"seen": "2", "version": "1"})
    assert back.headers["location"] == f"{HERE}?sent=3"
    assert (await rig.call("GET")).json()["own"] == {"report_interval_s": 30, "mode": "island"}
    first = await rig.web.client.post(f"{HERE}/review", data={"inherit.mode": "yes", "v.mode": "island"})
    assert re.findall(r'data-testid="diff-row" data-key="(\w+)"', first.text) == ["mode"]


async def test_what_is_wrong_stands_beside_its_value_and_nothing_is_lost(rig: ConfigRig) -> None:
    wrong = await rig.web.client.post(f"{HERE}/review", data={"v.battery_low_pct": "95", "v.report_interval_s": "ten"})
    assert wrong.status_code == 422
    assert wrong.text.count('class="setting wrong"') == 2
    assert "« Batterie : seuil haut » = 90" in said(wrong)
    assert 'value="ten"' in wrong.text
    same = await rig.web.client.post(f"{HERE}/review", data={"v.report_interval_s": "10"})
    assert 'data-testid="unchanged"' in same.text
    await rig.put({"mode": "island"}, 0)
    stale = await rig.web.client.post(HERE, data={"own": '{"report_interval_s": 30}', "seen": "0"})
    assert (stale.status_code, 'data-code="stale_version"' in stale.text) == (412, True)
    assert 'value="30"' in stale.text
    assert hidden(stale, "seen") == "1"
    for fields in ({}, {"own": "[]", "seen": "1"}, {"own": "{", "seen": "1"}):
        assert (await rig.web.client.post(HERE, data=fields)).status_code == 422
    missing = await rig.web.client.post(HERE, data={"own": "{}"})
    assert (missing.status_code, 'data-code="version_needed"' in missing.text) == (422, True)
    assert (await rig.web.client.post(f"{HERE}/return", data={"seen": "1", "version": "x"})).status_code == 422
    assert (await rig.web.client.post(f"{HERE}/nonsense", data={"seen": "1"})).status_code == 422
    assert (await rig.call("GET")).json()["desired"]["version"] == 1


async def test_what_the_device_refuses_and_what_was_changed_on_site(rig: ConfigRig, box: Device) -> None:
    await rig.web.execute("UPDATE registry.device SET name = $1", HOSTILE)
    await send(rig, name=HOSTILE)
    await told(box, 1)
    await report(box, 0, DEFAULTS, rejected={"version": 1, "errors": {"name": HOSTILE, "<b>": HOSTILE}})
    await rig.until_status("rejected")
    page = await read(rig.web, HERE)
    assert 'data-state="rejected"' in page.text
    assert 'data-testid="configs-to-settle" data-count="1"' in (await read(rig.web, "/ops")).text
    listed = await read(rig.web, "/ops/configurations?status=rejected")
    assert f'data-device="{BOX}"' in listed.text
    journal = await read(rig.web, f"/devices/{BOX}/journal")
    for each in (page, listed, journal, await read(rig.web, f"/devices/{BOX}")):
        assert "<script>alert" not in each.text
        assert "<b>" not in each.text
    assert "&lt;script&gt;alert(1)" in page.text
    await send(rig, name="Nord")
    await report(box, 2, (await told(box, 2)).values | {"report_interval_s": 5})
    await rig.until_status("drifted")
    page = await read(rig.web, HERE)
    assert 'data-testid="drift"' in page.text
    for seen in ({}, {"reported_at": "x"}, {"reported_at": "1"}):
        stale = await rig.web.client.post(f"{HERE}/accept", data={"seen": "2"} | seen)
        assert stale.status_code == (412 if seen == {"reported_at": "1"} else 422)
    accepted = await rig.web.client.post(f"{HERE}/accept", data={"seen": "2", "reported_at": hidden(page, "reported_at")})
    assert accepted.headers["location"] == f"{HERE}?sent=3"
    again = await rig.web.client.post(f"{HERE}/overwrite", data={"seen": "3"})
    assert (again.status_code, 'data-code="not_drifted"' in again.text) == (409, True)


async def allow(rig: ConfigRig, most_pct: float, version: int) -> None:
    """An edit of the box's profile, once its twin goes by it."""
    settings = tuple(
        msgspec.structs.replace(each, grid_maximum=most_pct) if each.key == LIMIT else each for each in PROFILE.settings
    )
    edited = msgspec.structs.replace(PROFILE, settings=settings, commands=("set_power_limit",))
    body = {"definition": msgspec.to_builtins(edited)}
    answer = await rig.call("PUT", "/api/v1/profiles/box", version=version, json=body)
    assert answer.status_code == 200, answer.text

    async def is_known() -> bool:
        live = await rig.shard._catalog.site(ALPHA, now_ms())
        return live is not None and live.devices[BOX].profile == edited

    await until(is_known)


async def held_in_the_list(rig: ConfigRig) -> list[tuple[str, bool]]:
    """Who waits for a version, and whether it is held back: the API and the page say the same."""
    items = (await rig.call("GET", "/api/v1/configs")).json()["items"]
    lines = [(each["device"], each["held"]) for each in items if each["status"] in ("pending", "applying")]
    page = await read(rig.web, "/ops/configurations")
    assert page.text.count('data-testid="held"') == sum(held for _, held in lines)
    return lines


async def test_what_the_profile_allows_no_more_is_not_told_and_says_so(rig: ConfigRig, broker: Broker, pki: Pki) -> None:
    await allow(rig, 100.0, 1)
    await rig.put({LIMIT: 90}, 0)
    given = await rig.call(
        "POST", f"/api/v1/devices/{BOX}/commands", json={"name": "set_power_limit", "args": {LIMIT: 80, "duration_s": 60}}
    )
    assert given.status_code == 202, given.text
    await allow(rig, 70.0, 2)
    page = await read(rig.web, HERE)
    assert 'data-held="yes"' in page.text
    assert "La version 1 est retenue" in said(page)
    assert page.text.count('data-testid="beyond"') == 1
    assert await held_in_the_list(rig) == [(BOX, True)]
    async with Device(broker, pki, ALPHA, BOX) as box:
        await come(rig.shard, box)
        await send(rig, **{LIMIT: "60"})
        assert (await told(box, 2)).values[LIMIT] == 60
        assert await held_in_the_list(rig) == [(BOX, False)]
        orders = {payload for topic, payload in box.told if topic.endswith(("down/config", "down/command"))}
        assert [msgspec.json.decode(payload)["version"] for payload in orders] == [2]
    page = await read(rig.web, HERE)
    assert ('data-testid="beyond-limits"' in page.text, 'data-testid="beyond"' in page.text) == (False, False)
    ordered = await read(rig.web, f"/commands/{given.json()['id']}")
    assert 'data-state="cancelled' in ordered.text
    assert "La plateforme l’a annulée sans l’envoyer" in said(ordered)
    assert "0 … 70 % (VDE-AR-N 4105)" in said(ordered)
    assert "answer-title" not in ordered.text


async def test_others_read_and_do_not_write(rig: ConfigRig) -> None:
    await rig.put({"mode": "island"}, 0)
    for email in ("alice@example.org", "emma@example.org", "ines@example.org"):
        await log_in(rig.web, email)
        page = await read(rig.web, HERE)
        assert page.status_code == 200
        assert "Îloté" in page.text
        assert "par l’exploitation" in said(page)
        assert "config-form" not in page.text
        assert f"{HERE}/" not in "".join(Seen(page.text).actions)
        assert (await read(rig.web, f"/devices/{BOX}/journal")).text.count('data-testid="receipt"') == 1
        for path, fields in (
            ("", {"own": "{}", "seen": "1"}),
            ("/review", {"v.mode": "auto"}),
            ("/return", {"seen": "1", "version": "1"}),
        ):
            answer = await rig.web.client.post(HERE + path, data=fields)
            assert answer.status_code == 403, (email, path)
        for path in (f"/devices/{BETA_BOX}/configuration", f"/devices/{BETA_BOX}/journal", "/ops/configurations"):
            assert (await read(rig.web, path)).status_code == 404, (email, path)
    assert (await rig.call("GET")).json()["desired"]["version"] == 1


async def test_pages_in_both_languages_whose_links_lead_somewhere(rig: ConfigRig) -> None:
    await rig.web.execute("UPDATE registry.device SET gateway_id = $1 WHERE id = $2", BOX, ALPHA_METER)
    await rig.web.execute("UPDATE registry.device SET profile_id = 'imported-meter' WHERE id = $1", BETA_METER)
    for version in range(12):
        assert (await rig.put({"report_interval_s": version + 20}, version)).status_code == 200
    paths = [
        HERE, f"{HERE}?before=5", f"/devices/{BOX}/journal", f"/devices/{ALPHA_METER}/configuration",
        f"/devices/{BETA_METER}/configuration", f"/devices/{BETA_BOX}/configuration", f"/devices/{BETA_BOX}/journal",
        "/ops/configurations", "/ops/configurations?status=unknown", "/ops/configurations?status=pending", f"/devices/{BOX}",
    ]  # fmt: skip
    for language in ("fr", "en"):
        await rig.web.client.post("/preferences", data={"language": language})
        for path in paths:
            page = await read(rig.web, path, language)
            assert page.status_code == 200, (path, page.text)
            assert f'<html lang="{language}"' in page.text
            seen = Seen(page.text)
            assert seen.inline == [], path
            for link in {each for each in seen.links if each.startswith("/") and "/events" not in each}:
                assert (await rig.web.client.get(link)).status_code < 400, (path, link)
    assert 'data-testid="behind-gateway"' in (await read(rig.web, f"/devices/{ALPHA_METER}/configuration")).text
    assert 'data-testid="no-settings"' in (await read(rig.web, f"/devices/{BETA_METER}/configuration")).text
    assert (await read(rig.web, "/ops/configurations?cursor=x")).status_code == 422
    first = await read(rig.web, HERE)
    assert re.findall(r'data-testid="config-version" data-version="(\d+)"', first.text) == [str(12 - n) for n in range(8)]
    older = await read(rig.web, f"{HERE}?before=5")
    assert re.findall(r'data-testid="config-version" data-version="(\d+)"', older.text) == ["4", "3", "2", "1"]

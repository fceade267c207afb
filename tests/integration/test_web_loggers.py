"""Accounts of data loggers and servers to fetch from, through the API: told once, hashed or sealed, the keepers' alone."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncssh
import msgspec

from fleet.file_limits import PULL_ASKED_PER_MIN
from fleet.storage import drop_passwords, pull_secrets
from tests.web_app import ALPHA, BETA, Web

LOGGERS = f"/api/v1/sites/{ALPHA}/loggers"


def public_key(seed: int = 1) -> str:
    blob = b"\0\0\0\x0bssh-ed25519\0\0\0 " + bytes([seed]) * 32
    return f"ssh-ed25519 {base64.b64encode(blob).decode()} of a test"


async def opened(web: Web, headers: dict[str, str], **form: object) -> dict[str, Any]:
    answer = await web.client.post(LOGGERS, json={"name": "Toiture", **form}, headers=headers)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


@asynccontextmanager
async def sftp_server(port: int = 0) -> AsyncIterator[tuple[int, str]]:
    """(port, fingerprint) of a server that somebody else runs."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    async with asyncssh.listen("127.0.0.1", port, server_host_keys=[key]) as server:
        yield server.get_port(), key.get_fingerprint()


async def test_an_account_is_opened_and_its_password_told_once(web: Web) -> None:
    headers = await web.token("ines@example.org")
    made = await opened(web, headers, expected_every_s=86_400, settings={"timezone": "+01:00"})
    device = made["logger"]["device"]
    assert (made["drop_box"]["host"], made["drop_box"]["port"]) == ("files.test", 2222)
    assert made["drop_box"]["host_keys"][0].startswith("SHA256:")
    (row,) = await web.execute("SELECT * FROM imports.account")
    assert drop_passwords.matches(made["password"], row["password_hash"])
    for answer in (
        await web.client.get(f"/api/v1/loggers/{device}", headers=headers),
        await web.client.get(LOGGERS, headers=headers),
    ):
        assert answer.status_code == 200
        assert made["password"] not in answer.text
        assert row["password_hash"] not in answer.text
    entries = await web.execute("SELECT detail FROM audit.entry WHERE action = 'logger.open' AND subject = $1", device)
    assert len(entries) == 1
    assert made["password"] not in str(entries[0]["detail"])
    assert ALPHA in web.twins.forgotten


async def test_passwords_and_keys_change(web: Web) -> None:
    headers = await web.token("otto@example.org")
    device = (await opened(web, headers))["logger"]["device"]
    path = f"/api/v1/loggers/{device}"
    first = (await web.client.post(f"{path}/password", headers=headers)).json()["password"]
    assert (await web.client.delete(f"{path}/password", headers=headers)).json()["code"] == "no_credential"
    added = await web.client.post(f"{path}/keys", json={"public_key": public_key()}, headers=headers)
    assert added.status_code == 201, added.text
    assert (await web.client.delete(f"{path}/password", headers=headers)).json()["has_password"] is False
    (row,) = await web.execute("SELECT password_hash FROM imports.account")
    assert row["password_hash"] is None, first
    for line, code in (("-----BEGIN OPENSSH PRIVATE KEY-----", "private_ssh_key"), ("ssh-dss AAAA", "bad_ssh_key")):
        answer = await web.client.post(f"{path}/keys", json={"public_key": line}, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (422, code)
    found = {"fingerprint": added.json()["fingerprint"]}
    assert (await web.client.delete(f"{path}/keys", params=found, headers=headers)).status_code == 204
    assert (await web.client.delete(f"{path}/keys", params=found, headers=headers)).status_code == 404


async def test_settings_change_one_by_one_and_a_closed_account_stays_closed(web: Web) -> None:
    headers = await web.token("ines@example.org")
    device = (await opened(web, headers, expected_every_s=3_600))["logger"]["device"]
    path = f"/api/v1/loggers/{device}"
    changed = (await web.client.patch(path, json={"settings": {"stamp": "end"}}, headers=headers)).json()
    assert (changed["settings"], changed["expected_every_s"]) == ({"stamp": "end"}, 3_600)
    changed = (await web.client.patch(path, json={"expected_every_s": None, "legacy": True}, headers=headers)).json()
    assert (changed["settings"], changed["expected_every_s"], changed["legacy"]) == ({"stamp": "end"}, None, True)
    answer = await web.client.patch(path, json={"settings": {"timezone": "Mars/Olympus"}}, headers=headers)
    assert answer.json()["code"] == "bad_zone"
    assert (await web.client.patch(path, json={"expected_every_s": 5}, headers=headers)).status_code == 422
    assert (await web.client.delete(path, headers=headers)).json()["open"] is False
    for call in (
        web.client.patch(path, json={"legacy": False}, headers=headers),
        web.client.post(f"{path}/password", headers=headers),
    ):
        assert (await call).json()["code"] == "account_closed"
    assert [each["open"] for each in (await web.client.get(LOGGERS, headers=headers)).json()["items"]] == [False]


async def test_loggers_do_not_exist_for_others(web: Web) -> None:
    device = (await opened(web, await web.token("ines@example.org")))["logger"]["device"]
    path = f"/api/v1/loggers/{device}"
    others = [await web.token(email) for email in ("alice@example.org", "bob@example.org", "emma@example.org")]
    for method, address, body in (
        ("GET", LOGGERS, None), ("POST", LOGGERS, {"name": "x"}), ("GET", path, None), ("PATCH", path, {}),
        ("DELETE", path, None), ("POST", f"{path}/password", None), ("DELETE", f"{path}/password", None),
        ("POST", f"{path}/keys", {"public_key": "x"}),
        ("DELETE", f"{path}/keys?fingerprint=x", None), ("GET", f"/api/v1/sites/{ALPHA}/pull-sources", None),
        ("POST", f"{path}/pull-sources/host-key", {"host": "127.0.0.1"}), ("POST", "/api/v1/pull-sources/x/fetch", None),
        ("GET", "/api/v1/drop-box", None),
    ):  # fmt: skip
        for headers in others:
            answer = await web.client.request(method, address, json=body, headers=headers)
            assert answer.status_code == 404, (method, address, answer.text)
    assert len(await web.execute("SELECT 1 FROM imports.account")) == 1


async def test_an_installer_reaches_neither_loggers_of_other_sites_nor_of_shared_ones(web: Web) -> None:
    operations, ines = await web.token("otto@example.org"), await web.token("ines@example.org")
    made = (await web.client.post(f"/api/v1/sites/{BETA}/loggers", json={"name": "B"}, headers=operations)).json()
    path = f"/api/v1/loggers/{made['logger']['device']}"
    assert (await web.client.post(f"/api/v1/sites/{BETA}/loggers", json={"name": "B"}, headers=ines)).status_code == 404
    await web.execute("INSERT INTO registry.site_share (site_id, person_id) VALUES ($1, 'ines')", BETA)
    assert (await web.client.get(f"/api/v1/sites/{BETA}/loggers", headers=ines)).json()["items"] == []
    assert (await web.client.post(f"/api/v1/sites/{BETA}/loggers", json={"name": "B"}, headers=ines)).status_code == 403
    for call in (
        web.client.get(path, headers=ines),
        web.client.post(f"{path}/password", headers=ines),
        web.client.delete(path, headers=ines),
    ):
        assert (await call).status_code == 404


async def test_a_server_is_fetched_from_after_its_key_was_confirmed(web: Web) -> None:
    headers = await web.token("ines@example.org")
    device = (await opened(web, headers))["logger"]["device"]
    path = f"/api/v1/loggers/{device}/pull-sources"
    async with sftp_server() as (port, fingerprint):
        shown = await web.client.post(f"{path}/host-key", json={"host": "127.0.0.1", "port": port}, headers=headers)
        assert shown.status_code == 200, shown.text
        assert shown.json()["fingerprint"] == fingerprint
    server = {
        "host": "127.0.0.1",
        "port": port,
        "username": "reader",
        "folder": "/out",
        "pattern": "*.csv",
        "every_s": 3_600,
    }
    form = {"server": server, "host_key": shown.json()["host_key"], "auth": "password", "password": "s3cret"}
    made = await web.client.post(path, json=form, headers=headers)
    assert made.status_code == 201, made.text
    assert (made.json()["fingerprint"], made.json()["device"]) == (fingerprint, device)
    (row,) = await web.execute("SELECT secret FROM imports.pull_source")
    file = web.services.settings.pull_key_file
    assert file is not None
    assert pull_secrets.unseal(file, row["secret"]) == "s3cret"
    listed = await web.client.get(f"/api/v1/sites/{ALPHA}/pull-sources", headers=headers)
    assert "s3cret" not in listed.text
    source = made.json()["id"]
    by_key = (await web.client.post(path, json=form | {"auth": "key"}, headers=headers)).json()
    assert by_key["public_key"].startswith("ssh-ed25519 ")
    for wrong, code in (
        (form | {"host_key": "nonsense"}, "bad_ssh_key"), (form | {"password": ""}, "bad_secret"),
        (form | {"server": server | {"pattern": "a/*.csv"}}, "bad_pattern"),
    ):  # fmt: skip
        answer = await web.client.post(path, json=wrong, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert (await web.client.post(f"/api/v1/pull-sources/{source}/fetch", headers=headers)).status_code == 202
    pinned = await web.client.post(
        f"/api/v1/pull-sources/{source}/host-key", json={"host_key": public_key(7)}, headers=headers
    )
    assert pinned.json()["fingerprint"] != fingerprint
    assert (await web.client.delete(f"/api/v1/pull-sources/{source}", headers=headers)).status_code == 204
    assert (await web.client.post(f"/api/v1/pull-sources/{source}/fetch", headers=headers)).status_code == 404
    (row,) = await web.execute("SELECT secret FROM imports.pull_source WHERE id = $1", source)
    assert row["secret"] == b""


async def test_nobody_makes_the_platform_knock_at_its_own_doors(web: Web) -> None:
    web.services.settings = msgspec.structs.replace(web.services.settings, pull_networks=())
    headers = await web.token("ines@example.org")
    path = f"/api/v1/loggers/{(await opened(web, headers))['logger']['device']}/pull-sources/host-key"
    for host in ("127.0.0.1", "localhost", "10.0.0.1", "169.254.169.254", "::1", "[::1]", "a/b", "sftp://x"):
        answer = await web.client.post(path, json={"host": host}, headers=headers)
        assert answer.status_code in (400, 422, 503), (host, answer.text)
    codes = [
        (await web.client.post(path, json={"host": "127.0.0.1"}, headers=headers)).json()["code"]
        for _ in range(PULL_ASKED_PER_MIN)
    ]
    assert codes[0] == "host_not_allowed"
    assert codes[-1] == "too_many_requests"
    for again in ("/api/v1/pull-sources/x/fetch", path.removesuffix("/host-key")):
        body = {"server": {"host": "a.example", "username": "u"}, "host_key": public_key(7), "password": "p"}
        answer = await web.client.post(again, json=body, headers=headers)
        assert answer.json()["code"] == "too_many_requests"


async def test_what_is_not_set_up_is_said(web: Web) -> None:
    headers = await web.token("ines@example.org")
    device = (await opened(web, headers))["logger"]["device"]
    web.services.settings = msgspec.structs.replace(web.services.settings, sftp_public_host=None, pull_key_file=None)
    answer = await web.client.post(LOGGERS, json={"name": "x"}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (503, "no_drop_box")
    answer = await web.client.post(
        f"/api/v1/loggers/{device}/pull-sources/host-key", json={"host": "a.example"}, headers=headers
    )
    assert (answer.status_code, answer.json()["code"]) == (503, "no_pulling")

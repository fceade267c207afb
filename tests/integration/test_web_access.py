"""Who gets where: generated from the route table, so that a new route is covered on the day it is written."""

import re
from typing import Any

import msgspec
import pytest
from litestar.routes import HTTPRoute

from fleet.profiles import shipped
from tests.command_rows import add_command
from tests.web_app import ALPHA, ALPHA_METER, BETA, BETA_METER, Web
from web.visits import RoleGuard

_QUERY = {"from": "2026-11-22", "to": "2026-11-23", "step": "1d"}
_RANGED = ("/energy", "/samples")
_PROFILE = {"definition": msgspec.to_builtins(shipped()[0])}
_FORMAT = {"time": {"at": ["t"]}, "columns": [{"at": "e", "measure": "pv_energy_wh"}]}
_BODIES: dict[tuple[str, str], Any] = {
    ("PATCH", "/api/v1/sites/{site}"): {"name": "mine now"},
    ("POST", "/api/v1/sites"): {
        "name": "New", "owner_email": "owner@example.org", "owner_name": "Owner", "latitude": 45, "longitude": 5,
    },
    ("POST", "/api/v1/sites/{site}/claims"): {"profile": "inverter"},
    ("POST", "/api/v1/sites/{site}/devices"): {"serial": "ABC123", "profile": "inverter"},
    ("POST", "/api/v1/sites/{site}/reports"): {"signed_name": "Somebody"},
    ("POST", "/api/v1/devices/{device}/corrections"): {
        "kind": "sign", "measure": "grid_power_w", "value": -1, "from_at": 1_700_000_000_000,
    },
    ("POST", "/api/v1/devices/{device}/revoke"): {"reason": "lost"},
    ("POST", "/api/v1/devices/{device}/serial"): {"serial": "ABC124"},
    ("PUT", "/api/v1/devices/{device}/config"): {"values": {}},
    ("POST", "/api/v1/devices/{device}/config/preview"): {"values": {}},
    ("POST", "/api/v1/devices/{device}/config/return"): {"version": 1},
    ("POST", "/api/v1/devices/{device}/config/accept-drift"): {"reported_at": 1_700_000_000_000},
    ("POST", "/api/v1/groups"): {"name": "G", "query": {}},
    ("POST", "/api/v1/groups/preview"): {"query": {}},
    ("POST", "/api/v1/devices/{device}/commands"): {"name": "blink"},
    ("POST", "/api/v1/commands"): {"target": {}, "name": "blink"},
    ("POST", "/api/v1/rollouts"): {"name": "R", "profile": "gateway", "query": {}, "values": {"report_interval_s": 30}},
    ("POST", "/api/v1/rollouts/preview"): {"profile": "gateway", "query": {}, "values": {"report_interval_s": 30}},
    ("PATCH", "/api/v1/formats/{format_id}"): {"version": 1, "name": "mine now"},
    ("POST", "/api/v1/sites/{site}/loggers"): {"name": "Logger"},
    ("POST", "/api/v1/loggers/{device}/keys"): {"public_key": "ssh-ed25519 AAAA"},
    ("POST", "/api/v1/formats"): {"name": "F", "definition": _FORMAT},
    ("POST", "/api/v1/formats/guess"): {"file": "no-such"},
    ("POST", "/api/v1/formats/preview"): {"file": "no-such", "definition": _FORMAT},
    ("POST", "/api/v1/loggers/{device}/pull-sources/host-key"): {"host": "sftp.example.org"},
    ("POST", "/api/v1/loggers/{device}/pull-sources"): {
        "server": {"host": "sftp.example.org", "username": "solar", "every_s": 3_600}, "host_key": "ssh-ed25519 AAAA",
        "password": "secret",
    },
    ("POST", "/api/v1/pull-sources/{source}/host-key"): {"host_key": "ssh-ed25519 AAAA"},
    ("POST", "/api/v1/scanned"): {"text": "ABC123"},
    ("POST", "/api/v1/profiles"): _PROFILE,
    ("PUT", "/api/v1/profiles/{profile}"): _PROFILE,
}  # fmt: skip
_OF_FILES = re.compile(r"/imports|/formats|/loggers|/pull-|/groups|/rollouts|/commands$|/command-batches")
_BARE = ("/ack", "/cancel", "/undo", "/complete")  # what takes no body


def routes(web: Web, *, closed_only: bool = True) -> list[tuple[str, str]]:
    """(method, path) of every route of the API, paths with {site} and the like in them."""
    found = []
    for route in web.app.routes:
        if isinstance(route, HTTPRoute) and route.path.startswith("/api/v1"):
            for method, (handler, _) in route.route_handler_map.items():
                if method != "OPTIONS" and not (closed_only and handler.opt.get("open")):
                    found.append((method, re.sub(r":\w+}", "}", route.path_format or route.path)))
    return sorted(found)


def pages(web: Web) -> list[str]:
    """The closed pages. What their forms do, the API does as well."""
    return sorted(
        re.sub(r":\w+}", "}", route.path_format)
        for route in web.app.routes
        if isinstance(route, HTTPRoute) and not route.path.startswith(("/api", "/static"))
        for method, (handler, _) in route.route_handler_map.items()
        if method == "GET" and not handler.opt.get("open")
    )


def filled(path: str, site: str = ALPHA, device: str = ALPHA_METER, alert: str = "alert-alpha") -> str:
    """Everything that has an address is named after its site's alert: see add_alerts."""
    names = {"site": site, "device": device, "alert": alert, "claim": alert.replace("-", ""), "correction": alert}
    names |= {
        "file": "1.pdf" if "/reports/" in path else alert,
        "format_id": alert,
        "command": alert,
        "batch": alert,
        "group": alert.replace("-", ""),
        "source": alert.replace("-", ""),
        "rollout": alert.replace("-", ""),
        "profile": "no-such",
    }
    return re.sub(r"{(\w+)}", lambda found: names.get(found[1], found[0]), path)


def body(method: str, path: str) -> Any:
    """One that the route takes, so that what it says is about who asks."""
    plain = {} if method in ("POST", "PATCH", "PUT") and not path.endswith(_BARE) else None
    return _BODIES.get((method, path), plain)


def extra(method: str) -> dict[str, str]:
    return {"If-Match": '"1"'} if method in ("PUT", "PATCH") else {}


def query(path: str) -> dict[str, str]:
    if path.endswith("/keys"):
        return {"fingerprint": "SHA256:none"}
    return _QUERY if path.endswith(_RANGED) else {}


async def test_every_route_is_closed_to_strangers_unless_it_is_meant_to_be_open(web: Web) -> None:
    open_ones = set(routes(web, closed_only=False)) - set(routes(web))
    assert open_ones == {
        ("POST", "/api/v1/auth/login"),
        ("POST", "/api/v1/auth/refresh"),
        ("POST", "/api/v1/auth/logout"),
        ("GET", "/api/v1/auth/renew"),
        ("GET", "/api/v1/auth/jwks.json"),
        ("POST", "/api/v1/setup"),
        ("POST", "/api/v1/invitations/accept"),
    }
    assert len(routes(web)) > 10
    for method, path in routes(web):
        answer = await web.client.request(method, filled(path), params=query(path))
        assert (answer.status_code, answer.json()["code"]) == (401, "not_signed_in"), (method, path)


async def test_a_revoked_session_opens_no_route(web: Web) -> None:
    """The token still verifies: only the look-up of the session can tell. A route that forgets it fails here."""
    headers = await web.token("ada@example.org")
    await web.execute("UPDATE accounts.session SET revoked_at = now()")
    for method, path in routes(web):
        given = body(method, path)
        answer = await web.client.request(
            method, filled(path), params=query(path), headers=headers | extra(method), json=given
        )
        assert (answer.status_code, answer.json()["code"]) == (401, "session_ended"), (method, path)


async def test_pages_are_closed_as_well(web: Web) -> None:
    assert {"/sites", "/sites/{site}", "/ops", "/audit"} <= set(pages(web))
    for path in pages(web):
        assert (await web.client.get(filled(path))).json()["code"] == "not_signed_in", path
    headers = await web.token("ada@example.org")
    await web.execute("UPDATE accounts.session SET revoked_at = now()")
    for path in pages(web):
        assert (await web.client.get(filled(path), headers=headers)).json()["code"] == "session_ended", path
    headers = await web.token("alice@example.org")
    for path in pages(web):
        if "{" in path:
            assert (await web.client.get(filled(path, BETA, BETA_METER), headers=headers)).status_code == 404, path


@pytest.mark.parametrize("email", ["alice@example.org", "emma@example.org", "ines@example.org"])
async def test_no_route_shows_another_tenants_site(web: Web, email: str) -> None:
    await add_alerts(web)
    headers = await web.token(email)
    tried = 0
    for method, path in routes(web):
        if "{" not in path or "{profile}" in path:
            continue
        tried += 1
        foreign = filled(path, BETA, BETA_METER, "alert-beta")
        given = body(method, path)
        answer = await web.client.request(method, foreign, params=query(path), headers=headers, json=given)
        assert answer.status_code == 404, (method, path, answer.text)
        assert "beta" not in answer.json()["detail"].lower()
        nothing = filled(path, "no-such", "no-such", "no-such")
        missing = await web.client.request(method, nothing, params=query(path), headers=headers, json=given)
        assert (missing.status_code, missing.json()["code"]) == (404, answer.json()["code"]), "the answers must not differ"
    assert tried >= 25
    assert [row["name"] for row in await web.execute("SELECT name FROM registry.site WHERE id = $1", BETA)] == ["École"]


@pytest.mark.parametrize("email", ["alice@example.org", "bob@example.org", "ines@example.org"])
async def test_lists_hold_ones_own_sites_only(web: Web, email: str) -> None:
    await add_alerts(web)
    own, other = (BETA, ALPHA) if email.startswith("bob") else (ALPHA, BETA)
    headers = await web.token(email)
    for path in ("/api/v1/sites", "/api/v1/alerts"):
        answer = await web.client.get(path, headers=headers)
        assert own in answer.text
        assert other not in answer.text
    assert (await web.client.get("/api/v1/alerts", params={"site": other}, headers=headers)).json()["items"] == []


async def test_a_shared_site_is_seen(web: Web) -> None:
    await web.execute("INSERT INTO registry.site_share (site_id, person_id) VALUES ($1, 'bob')", ALPHA)
    headers = await web.token("bob@example.org")
    assert len((await web.client.get("/api/v1/sites", headers=headers)).json()["items"]) == 2
    assert (await web.client.get(f"/api/v1/sites/{ALPHA}/live", headers=headers)).status_code == 200


async def test_operators_see_every_site(web: Web) -> None:
    for email in ("otto@example.org", "ada@example.org"):
        headers = await web.token(email)
        assert len((await web.client.get("/api/v1/sites", headers=headers)).json()["items"]) == 2


async def test_what_a_role_may_not_do_does_not_exist_for_it(web: Web) -> None:
    guarded = [
        (method, route.path_format, guard.roles)
        for route in web.app.routes
        if isinstance(route, HTTPRoute) and route.path.startswith("/api")
        for method, (handler, _) in route.route_handler_map.items()
        for layer in handler.ownership_layers
        for guard in layer.guards or []
        if isinstance(guard, RoleGuard) and method != "OPTIONS"
    ]
    assert {"/api/v1/fleet/stats", "/api/v1/dead-letters", "/api/v1/audit"} <= {path for _, path, _ in guarded}
    people = {"alice": "customer", "emma": "energy_manager", "ines": "installer", "otto": "ops", "ada": "admin"}
    for person, role in people.items():
        headers = await web.token(f"{person}@example.org")
        for method, path, roles in guarded:
            if path.endswith("/events"):
                continue
            given = {"name": "Mairie"} if method == "PATCH" else None
            answer = await web.client.request(method, filled(path), headers=headers, json=given)
            code = answer.json().get("code") if answer.content else None
            if role not in roles:
                assert (answer.status_code, code) == (404, "unknown_route"), (role, method, path)
            elif _OF_FILES.search(path):  # some need what is not there, or a body: but they are there
                assert code != "unknown_route", (role, method, path)
            else:
                assert (answer.status_code, code) == (200, None), (role, method, path)


async def add_alerts(web: Web) -> None:
    """And of everything else that has an address: one at either site."""
    await web.execute(
        "INSERT INTO imports.company_format (id, organisation_id, name, definition) VALUES"
        " ('alert-alpha', 'alpha', 'A', '{}'), ('alert-beta', 'beta', 'B', '{}')"
    )
    for name, site, device in (("alert-alpha", ALPHA, ALPHA_METER), ("alert-beta", BETA, BETA_METER)):
        await web.execute("INSERT INTO imports.account (device_id, site_id) VALUES ($1, $2)", device, site)
        await add_command(web, name, site_id=site, device_id=device)
        await web.execute(
            "INSERT INTO imports.file (id, site_id, device_id, via, name, size_bytes, sha256)"
            " VALUES ($1, $2, $3, 'sftp', 'a.csv', 1, '')",
            name,
            site,
            device,
        )
        await web.execute(
            "INSERT INTO pki.claim (id, site_id, device_id, profile_id, device_name, code_hash, expires_at)"
            " VALUES ($1, $2, $1, 'meter', 'Compteur', '', now() + interval '1 day')",
            name.replace("-", ""),
            site,
        )
        await web.execute(
            "INSERT INTO registry.correction (id, site_id, device_id, kind, measure, value, from_time)"
            " VALUES ($1, $2, $3, 'sign', 'grid_power_w', -1, now())",
            name,
            site,
            device,
        )
        await web.execute(
            "INSERT INTO registry.commissioning_report (site_id, number, signed_by, signed_name, content, pdf, sha256)"
            " VALUES ($1, 1, 'ines', 'Ines', '{}', '', '')",
            site,
        )
        await web.execute(
            "INSERT INTO supervision.alert (id, site_id, device_id, rule, severity, raised_at)"
            " VALUES ($1, $2, '', 'site_offline', 'critical', now())",
            name,
            site,
        )

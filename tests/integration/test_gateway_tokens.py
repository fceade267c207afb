"""Whom the gateway lets through to the web: the same as the web does, decided before the web hears of it."""

import base64
import hmac
import re
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import unquote

import httpx
import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from litestar.routes import HTTPRoute

from fleet.file_limits import FILE_BYTES_MAX, UPLOAD_FORM_BYTES_MAX
from fleet.limits import ACCESS_TOKEN_S, REQUEST_BYTES_MAX
from tests.gateway import Site, gateway_site
from tests.servers import Cluster, Pki, server_folder
from tests.web_app import PASSWORD, TwinsInMemory, make_services, web_settings
from web.app import create_app
from web.cookies import ACCESS_COOKIE
from web.language import Language
from web.pages.routes import PAGE_ROUTES
from web.texts import text_of

ME = "/api/v1/me"
INSIDE = ("/metrics", "/health/ready")  # open in the web, and for operations inside only
OTTO = {"email": "otto@example.org", "password": PASSWORD}


@pytest.fixture(scope="module")
def site(postgres: Cluster, pki: Pki) -> Iterator[Site]:
    with server_folder("gateway") as folder:
        database = postgres.create_database("sp_gateway")
        with gateway_site(folder, database, pki.folder) as running:
            yield running
        postgres.drop_database("sp_gateway")


@pytest.fixture
def client(site: Site) -> Iterator[httpx.Client]:
    with site.gateway.client() as made:
        yield made


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def good(site: Site, client: httpx.Client) -> tuple[dict[str, Any], dict[str, Any], Any]:
    """Header and claims of a token in force, and the key that signs them."""
    token = site.sign_in(client)["Authorization"].removeprefix("Bearer ")
    header, claims = jwt.get_unverified_header(token), jwt.decode(token, options={"verify_signature": False})
    return header, claims, load_pem_private_key(site.web.key_file.read_bytes(), None)


def signed(header: dict[str, Any], claims: dict[str, Any], key: Any) -> str:
    return jwt.encode(claims, key, algorithm="ES256", headers=header)


def test_a_token_in_force_passes_in_the_header_and_in_the_browsers_cookie(site: Site, client: httpx.Client) -> None:
    headers = site.sign_in(client)
    answer = client.get(ME, headers=headers)
    assert (answer.status_code, answer.json()["email"]) == (200, OTTO["email"])
    assert site.entry(answer)["person"] == "otto"
    token = headers["Authorization"].removeprefix("Bearer ")
    for cookie in (f"{ACCESS_COOKIE}={token}", f"a=b; {ACCESS_COOKIE}=old; {ACCESS_COOKIE}={token} ;c"):
        assert client.get(ME, headers={"Cookie": cookie}).status_code == httpx.codes.OK
    assert client.get(ME, headers={"Authorization": f"bearer  {token}"}).status_code == httpx.codes.OK


def forged(header: dict[str, Any], claims: dict[str, Any], key: ec.EllipticCurvePrivateKey) -> dict[str, str]:
    now = int(time.time())
    token = signed(header, claims, key)
    head, body, signature = token.split(".")
    unsigned = jwt.encode(claims, "", algorithm="none", headers=header | {"alg": "none"})
    made = {
        "expired": signed(header, claims | {"iat": now - ACCESS_TOKEN_S - 1, "exp": now - 1}, key),
        "not yet": signed(header, claims | {"nbf": now + 3_600}, key),
        "of tomorrow": signed(header, claims | {"iat": now + 86_400, "exp": now + 90_000}, key),
        "unsigned": unsigned,
        "unsigned, with a signature": f"{unsigned.rstrip('.')}.{signature}",
        "no signature": f"{head}.{body}.",
        "signed by a stranger": signed(header, claims, ec.generate_private_key(ec.SECP256R1())),
        "changed": f"{head}.{signed(header, claims | {'sub': 'ada'}, key).split('.')[1]}.{signature}",
        "of an unknown key": signed(header | {"kid": "another"}, claims, key),
        "of no key": jwt.encode(claims, key, algorithm="ES256", headers={"typ": "at+jwt"}),
        "of another kind": signed(header | {"typ": "JWT"}, claims, key),
        "with a condition": signed(header | {"crit": ["b64"], "b64": True}, claims, key),
        "for somebody else": signed(header, claims | {"aud": "other"}, key),
        "for several": signed(header, claims | {"aud": ["solarperform-api", "other"]}, key),
        "by another issuer": signed(header, claims | {"iss": "https://elsewhere.test"}, key),
        "of no known role": signed(header, claims | {"role": "root"}, key),
        "two parts": f"{head}.{body}",
        "four parts": f"{token}.{signature}",
        "too long": signed(header, claims | {"jti": "x" * 2_000}, key),
        "signature cut": token[:-4],
        "signature with more": f"{token}AAAA",
        "another alphabet": token.replace(".", ".%20", 1),
        "no token": "garbage",
    }
    return made | {
        f"without {name}": signed(header, {each: value for each, value in claims.items() if each != name}, key)
        for name in ("iss", "aud", "sub", "sid", "role", "jti", "iat", "exp")
    }


def confused(header: dict[str, Any], claims: dict[str, Any], key: ec.EllipticCurvePrivateKey) -> str:
    """HS256 with the public key as its secret: who believes a token's header takes it for ours."""
    secret = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    parts = [b64(msgspec.json.encode(header | {"alg": "HS256"})), b64(msgspec.json.encode(claims))]
    return ".".join([*parts, b64(hmac.digest(secret, ".".join(parts).encode(), "sha256"))])


def b64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def test_whatever_is_wrong_with_a_token_it_goes_no_further(site: Site, client: httpx.Client) -> None:
    parts = good(site, client)
    tokens = forged(*parts) | {"confused": confused(*parts)}
    assert client.get(ME, headers=bearer(signed(*parts))).status_code == httpx.codes.OK, "the forger's own tool is broken"
    for what, token in tokens.items():
        in_header = client.get(ME, headers=bearer(token))
        for answer in (in_header, client.get(ME, headers={"Cookie": f"{ACCESS_COOKIE}={token}"})):
            assert (answer.status_code, answer.json()["code"]) == (401, "bad_token"), what
            assert site.entry(answer)["upstream"] == "", what
        there = httpx.get(f"{site.web.url}{ME}", headers=bearer(token), timeout=60.0, trust_env=False)
        assert there.status_code in (200, 401), what
    for scheme in ("Basic b3R0bzp4", "Bearer", "Bearer a b", signed(*parts)):
        assert client.get(ME, headers={"Authorization": scheme}).json()["code"] == "bad_token", scheme
    assert not any(token in site.web.log + site.gateway.errors for token in tokens.values() if len(token) > 20)


@pytest.mark.parametrize("language", ["fr", "en"])
def test_a_refusal_reads_as_the_webs_own(site: Site, client: httpx.Client, language: Language) -> None:
    for headers, code in (({}, "not_signed_in"), (bearer("a.b.c"), "bad_token")):
        asked = {"Accept-Language": f"de, {language};q=0.9", "Host": f"localhost:{site.gateway.port}"} | headers
        here = client.get(ME, headers=asked)
        there = httpx.get(f"{site.web.url}{ME}", headers=asked, timeout=60.0, trust_env=False)
        assert {**here.json(), "request_id": ""} == {**there.json(), "request_id": ""}
        assert here.json()["request_id"] == here.headers["x-request-id"] != there.headers["x-request-id"]
        assert (here.json()["title"], here.json()["detail"]) == text_of(code, 401, language)
        for name in ("content-type", "content-language", "www-authenticate", "cache-control", "vary"):
            assert here.headers[name] == there.headers[name], name
    chosen = client.get(ME, headers={"Cookie": f"sp_language={language}", "Accept-Language": "de"})
    assert chosen.headers["content-language"] == language


def test_the_gateway_and_the_web_agree_on_what_is_open(site: Site, client: httpx.Client, tmp_path: Path) -> None:
    """Every route of the app, asked for without a token: the web hears of the open ones, and of them alone."""
    settings = web_settings(cast("Any", SimpleNamespace(sp_web=None)), tmp_path, None)
    app = create_app(make_services(cast("Any", None), TwinsInMemory(), settings), pages=PAGE_ROUTES)
    asked = 0
    larger: dict[str, int] = {}
    for route in app.routes:
        if not isinstance(route, HTTPRoute) or route.path in INSIDE:
            continue
        path = re.sub(r"{\w+(:\w+)?}", "1", route.path_format or route.path)
        if path.startswith("/api/schema"):
            path = "/api/schema/openapi.json"  # there is nothing else, whatever the route says
        for method, (handler, _) in route.route_handler_map.items():
            answer = client.request(method, path)
            heard = site.entry(answer)["upstream"] != ""
            is_open = bool(handler.opt.get("open")) or method == "OPTIONS"
            assert heard == is_open, f"{method} {path}: the web {'hears of it' if heard else 'does not hear of it'}"
            asked += 1
            if isinstance(handler.request_max_body_size, int) and handler.request_max_body_size != REQUEST_BYTES_MAX:
                larger[path] = handler.request_max_body_size
    assert asked > 100
    # portal.conf names those that take more; tests.integration.test_gateway_traffic asks it how much
    assert larger == {"/api/v1/sites/1/imports": FILE_BYTES_MAX, "/imports": UPLOAD_FORM_BYTES_MAX}
    for path in (*INSIDE, "/metrics/", "/health/ready/", "/health"):
        for headers in ({}, site.sign_in(client)):
            assert site.entry(client.get(path, headers=headers))["upstream"] == "", path


def test_a_page_without_a_token_goes_by_way_of_the_renewal_as_without_a_gateway(site: Site, client: httpx.Client) -> None:
    asked: list[tuple[str, str, dict[str, str]]] = [
        ("GET", "/sites?show=all&q=a%20b", {}),
        ("GET", "/sites/é", {}),
        ("POST", "/preferences/x", {"Origin": site.gateway.url}),
        ("POST", "/imports", {"Origin": site.gateway.url}),
        ("GET", "/sites", {"HX-Request": "true"}),
        ("GET", "/sites", {"Cookie": f"{ACCESS_COOKIE}=old"}),
    ]
    for method, path, headers in asked:
        here = client.request(method, path, headers=headers)
        there = httpx.request(
            method,
            site.web.url + path,
            headers={"Host": f"localhost:{site.gateway.port}"} | headers,
            timeout=60.0,
            trust_env=False,
        )
        if there.status_code == httpx.codes.NOT_FOUND:
            assert here.status_code == httpx.codes.SEE_OTHER  # what there is, only who is signed in is told
            continue
        assert here.status_code == there.status_code
        locations = [unquote(unquote(each.headers.get("location", ""))) for each in (here, there)]
        assert locations[0] == locations[1]
        assert here.headers.get("hx-refresh") == there.headers.get("hx-refresh")


def test_a_browser_signs_in_comes_back_after_its_token_has_run_out_and_signs_out(site: Site) -> None:
    with site.gateway.client(headers={"Origin": site.gateway.url}) as browser:
        landed = browser.get("/account", follow_redirects=True)
        assert landed.url.path == "/login"
        entered = browser.post("/login", data=OTTO | {"next": "/account"})
        assert (entered.status_code, entered.headers["location"]) == (303, "/account")
        assert all("Secure" in each and "HttpOnly" in each for each in entered.headers.get_list("set-cookie"))
        assert browser.get("/account").status_code == httpx.codes.OK
        before = browser.cookies[ACCESS_COOKIE]
        browser.cookies.delete(ACCESS_COOKIE)
        back = browser.get("/account?a=1", follow_redirects=True)
        assert (back.status_code, back.url.path, back.url.query) == (200, "/account", b"a=1")
        assert [each.url.path for each in back.history] == ["/account", "/api/v1/auth/renew"]
        held = browser.cookies[ACCESS_COOKIE]
        assert held != before
        assert browser.patch(ME, json={"locale": "en"}, headers={"Origin": "https://elsewhere.test"}).status_code == 403
        assert browser.patch(ME, json={"locale": "fr"}).status_code == httpx.codes.OK
        assert browser.post("/logout").headers["location"] == "/login"
        ended = browser.get(ME, headers=bearer(held))
        assert (ended.status_code, ended.json()["code"]) == (401, "session_ended")  # the web has the last word
        assert site.entry(ended)["upstream_status"] == "401"


def test_a_program_renews_its_token(site: Site, client: httpx.Client) -> None:
    grant = client.post("/api/v1/auth/login", json=OTTO).json()
    renewed = client.post("/api/v1/auth/refresh", json={"refresh_token": grant["refresh_token"]})
    assert client.get(ME, headers=bearer(renewed.json()["access_token"])).status_code == httpx.codes.OK
    again = client.post("/api/v1/auth/refresh", json={"refresh_token": grant["refresh_token"]})
    assert (again.status_code, again.json()["code"]) == (401, "bad_refresh_token")

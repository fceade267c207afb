"""Signing in, staying signed in, and being out at once."""

import asyncio
import time
from typing import Any

import httpx
import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fleet.limits import LOGIN_FAILURES_PER_PAIR
from tests.web_app import BASE_URL, PASSWORD, Web
from web import sessions
from web.tokens import AUDIENCE, Claims, Tokens


async def login(web: Web, email: str = "alice@example.org", **more: object) -> httpx.Response:
    return await web.client.post("/api/v1/auth/login", json={"email": email, "password": PASSWORD, **more})


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_login_gives_tokens_that_open_the_list_of_sites(web: Web) -> None:
    answer = await login(web, "Alice@Example.org")
    assert answer.status_code == 200
    assert answer.json()["token_type"] == "Bearer"
    assert answer.json()["expires_in"] == 900
    sites = await web.client.get("/api/v1/sites", headers=bearer(answer.json()["access_token"]))
    assert sites.status_code == 200
    assert [site["id"] for site in sites.json()["items"]] == ["site-alpha"]
    assert sites.json()["items"][0]["flow"]["pv_power_w"] == 1_500.0
    assert sites.json()["items"][0]["customer"] == "Alpha"


async def test_wrong_password_and_unknown_address_get_the_same_answer_and_are_audited(web: Web) -> None:
    wrong = await web.client.post("/api/v1/auth/login", json={"email": "alice@example.org", "password": "no"})
    unknown = await web.client.post("/api/v1/auth/login", json={"email": "nobody@example.org", "password": "no"})
    assert (wrong.status_code, wrong.json()["code"]) == (401, "bad_credentials")
    assert (unknown.status_code, unknown.json()["code"]) == (401, "bad_credentials")
    assert wrong.json()["detail"] == unknown.json()["detail"]
    rows = await web.execute("SELECT person_id, subject, address FROM audit.entry WHERE action = 'login_failed' ORDER BY id")
    assert [tuple(row) for row in rows] == [
        ("alice", "alice@example.org", "192.0.2.7"),
        (None, "nobody@example.org", "192.0.2.7"),
    ]


async def test_disabled_person_cannot_sign_in(web: Web) -> None:
    await web.execute("UPDATE accounts.person SET disabled_at = now() WHERE id = 'alice'")
    assert (await login(web)).status_code == 401


async def test_too_many_wrong_tries_lock_the_pair_even_for_the_right_password(web: Web) -> None:
    for _ in range(LOGIN_FAILURES_PER_PAIR):
        await web.client.post("/api/v1/auth/login", json={"email": "alice@example.org", "password": "no"})
    locked = await login(web)
    assert (locked.status_code, locked.json()["code"]) == (429, "too_many_attempts")
    assert int(locked.headers["retry-after"]) > 0
    assert (await login(web, "bob@example.org")).status_code == 200


async def test_refresh_rotates_and_an_old_token_ends_the_session(web: Web) -> None:
    first = (await login(web)).json()
    second = (await web.client.post("/api/v1/auth/refresh", json={"refresh_token": first["refresh_token"]})).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert (await web.client.get("/api/v1/me", headers=bearer(second["access_token"]))).status_code == 200

    reused = await web.client.post("/api/v1/auth/refresh", json={"refresh_token": first["refresh_token"]})
    assert (reused.status_code, reused.json()["code"]) == (401, "bad_refresh_token")
    for token in (first["access_token"], second["access_token"]):
        refused = await web.client.get("/api/v1/me", headers=bearer(token))
        assert (refused.status_code, refused.json()["code"]) == (401, "session_ended")
    thief = await web.client.post("/api/v1/auth/refresh", json={"refresh_token": second["refresh_token"]})
    assert thief.status_code == 401
    rows = await web.execute("SELECT revoked_why FROM accounts.session")
    assert [row["revoked_why"] for row in rows] == ["reuse"]


async def test_one_refresh_token_used_by_many_at_once_has_one_winner_at_most(web: Web) -> None:
    token = (await login(web)).json()["refresh_token"]
    answers = await asyncio.gather(
        *(web.client.post("/api/v1/auth/refresh", json={"refresh_token": token}) for _ in range(4))
    )
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401]


async def test_logout_counts_at_once(web: Web) -> None:
    tokens = (await login(web)).json()
    assert (await web.client.post("/api/v1/auth/logout", headers=bearer(tokens["access_token"]))).status_code == 204
    refused = await web.client.get("/api/v1/sites", headers=bearer(tokens["access_token"]))
    assert (refused.status_code, refused.json()["code"]) == (401, "session_ended")
    assert (
        await web.client.post("/api/v1/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    ).status_code == 401


async def test_logout_with_a_refresh_token_alone(web: Web) -> None:
    tokens = (await login(web)).json()
    answer = await web.client.post("/api/v1/auth/logout", json={"refresh_token": tokens["refresh_token"]})
    assert answer.status_code == 204
    assert (await web.client.get("/api/v1/me", headers=bearer(tokens["access_token"]))).status_code == 401


async def test_a_changed_role_and_a_closed_account_count_at_once(web: Web) -> None:
    headers = await web.token("otto@example.org")
    assert (await web.client.get("/api/v1/fleet/stats", headers=headers)).status_code == 200
    await web.execute("UPDATE accounts.person SET role = 'customer' WHERE id = 'otto'")
    assert (await web.client.get("/api/v1/fleet/stats", headers=headers)).status_code == 401
    headers = await web.token("bob@example.org")
    await web.execute("UPDATE accounts.person SET disabled_at = now() WHERE id = 'bob'")
    assert (await web.client.get("/api/v1/me", headers=headers)).status_code == 401


async def test_browser_gets_cookies_out_of_reach_of_scripts_and_no_tokens(web: Web) -> None:
    answer = await login(web, cookies=True)
    assert set(answer.json()) == {"token_type", "expires_in"}
    cookies = answer.headers.get_list("set-cookie")
    assert len(cookies) == 2
    for cookie in cookies:
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        assert "Secure" not in cookie  # plain http
    assert "Path=/api/v1/auth" in next(cookie for cookie in cookies if cookie.startswith("sp_refresh="))
    assert (await web.client.get("/api/v1/me")).json()["email"] == "alice@example.org"


async def test_cookies_are_secure_over_https(web: Web) -> None:
    web.services.settings = msgspec.structs.replace(web.services.settings, public_url="https://portal.example.org")
    for cookie in (await login(web, cookies=True)).headers.get_list("set-cookie"):
        assert "Secure" in cookie


async def test_requests_with_cookies_must_come_from_our_own_pages(web: Web) -> None:
    await login(web, cookies=True)
    change = {"locale": "en"}
    foreign = await web.client.patch("/api/v1/me", json=change, headers={"Origin": "https://evil.example"})
    assert (foreign.status_code, foreign.json()["code"]) == (403, "foreign_origin")
    unproven = await web.client.patch("/api/v1/me", json=change)
    assert (unproven.status_code, unproven.json()["code"]) == (403, "foreign_origin")
    own = await web.client.patch("/api/v1/me", json=change, headers={"Origin": BASE_URL})
    assert (own.status_code, own.json()["locale"]) == (200, "en")


async def test_another_sites_page_cannot_sign_anybody_in(web: Web) -> None:
    answer = await web.client.post(
        "/api/v1/auth/login",
        json={"email": "alice@example.org", "password": PASSWORD, "cookies": True},
        headers={"Origin": "null"},
    )
    assert (answer.status_code, answer.json()["code"]) == (403, "foreign_origin")


async def test_two_tabs_may_renew_with_one_cookie(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "REFRESH_GRACE_S", 600.0)  # on a machine that may stand still in between
    await login(web, cookies=True)
    old = web.client.cookies["sp_refresh"]
    ours = {"Origin": BASE_URL}
    first = await web.client.post("/api/v1/auth/refresh", json={}, headers=ours)
    assert first.status_code == 200
    new = web.client.cookies["sp_refresh"]
    assert new != old
    web.client.cookies.set("sp_refresh", old, domain="testserver.local", path="/api/v1/auth")
    second = await web.client.post("/api/v1/auth/refresh", json={}, headers=ours)
    assert second.status_code == 200
    assert [cookie.split("=")[0] for cookie in second.headers.get_list("set-cookie")] == ["sp_access"]
    assert (await web.client.get("/api/v1/me")).status_code == 200


async def test_renew_sends_the_browser_back_or_to_the_login_page(web: Web) -> None:
    out = await web.client.get("/api/v1/auth/renew", params={"next": "/sites?q=x"})
    assert (out.status_code, out.headers["location"]) == (302, "/login?next=%2Fsites%3Fq%3Dx")
    await login(web, cookies=True)
    back = await web.client.get("/api/v1/auth/renew", params={"next": "/sites"})
    assert (back.status_code, back.headers["location"]) == (302, "/sites")
    for trap in ("//evil.example", "https://evil.example", "/\\evil.example", "/\t/evil.example"):
        assert (await web.client.get("/api/v1/auth/renew", params={"next": trap})).headers["location"] == "/"


async def test_password_change_needs_the_current_one_and_ends_other_sessions(web: Web) -> None:
    mine, other = await web.token("alice@example.org"), await web.token("alice@example.org")
    change = {"current_password": "wrong", "new_password": "a long new password"}
    wrong = await web.client.patch("/api/v1/me", json=change, headers=mine)
    assert (wrong.status_code, wrong.json()["code"]) == (403, "wrong_password")
    weak = await web.client.patch("/api/v1/me", json={"current_password": PASSWORD, "new_password": "short"}, headers=mine)
    assert (weak.status_code, weak.json()["code"]) == (422, "weak_password")
    right = await web.client.patch("/api/v1/me", json={**change, "current_password": PASSWORD}, headers=mine)
    assert right.status_code == 200
    assert (await web.client.get("/api/v1/me", headers=other)).status_code == 401
    assert (await web.client.get("/api/v1/me", headers=mine)).status_code == 200
    assert (await login(web)).status_code == 401


async def test_published_key_verifies_access_tokens(web: Web) -> None:
    token = (await login(web)).json()["access_token"]
    jwks = (await web.client.get("/api/v1/auth/jwks.json")).json()
    header = jwt.get_unverified_header(token)
    key = next(jwt.PyJWK(entry) for entry in jwks["keys"] if entry["kid"] == header["kid"])
    payload = jwt.decode(token, key, algorithms=["ES256"], audience=AUDIENCE, issuer=BASE_URL)
    assert header["typ"] == "at+jwt"
    assert payload["exp"] - payload["iat"] == 900
    assert payload["role"] == "customer"
    assert not {"d"} & set(jwks["keys"][0])


async def test_no_forged_or_foreign_token_is_taken(web: Web) -> None:
    good = (await login(web)).json()["access_token"]
    for name, token in _corpus(web.services.tokens, good).items():
        answer = await web.client.get("/api/v1/me", headers=bearer(token))
        assert (answer.status_code, answer.json()["code"]) == (401, "bad_token"), name
    for header in ("Basic YWxpY2U6eA==", good, "Bearer", ""):
        assert (await web.client.get("/api/v1/me", headers={"Authorization": header})).status_code == 401


def _corpus(tokens: Tokens, good: str) -> dict[str, str]:
    """Tokens that differ from a good one in one thing."""
    payload: dict[str, Any] = jwt.decode(good, options={"verify_signature": False})
    typ = {"typ": "at+jwt"}
    own, public = tokens._key, tokens._public_key
    stranger = ec.generate_private_key(ec.SECP256R1())
    public_pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    hmac_key = jwt.utils.base64url_encode(public_pem).decode()  # PyJWT refuses to sign with a PEM; a forger would not
    other_issuer = Tokens(own, "https://elsewhere.example")
    claims = Claims(payload["sub"], payload["sid"], payload["role"])
    head, body, signature = good.split(".")

    def signed(key: Any = own, algorithm: str = "ES256", headers: dict[str, str] = typ, **changes: object) -> str:
        return jwt.encode({**payload, **changes}, key, algorithm=algorithm, headers=headers)

    return {
        "no algorithm": jwt.encode(payload, None, algorithm="none", headers=typ),  # type: ignore[arg-type]
        "public key as secret": signed(hmac_key, "HS256"),
        "another key": signed(stranger),
        "another issuer": other_issuer.issue(claims, payload["iat"]),
        "another audience": signed(aud="other-api"),
        "a list of audiences": signed(aud=[AUDIENCE, "other-api"]),
        "not an access token": signed(headers={"typ": "JWT"}),
        "expired": signed(exp=payload["iat"] - 1),
        "no end": jwt.encode({k: v for k, v in payload.items() if k != "exp"}, own, algorithm="ES256", headers=typ),
        "from the future": signed(iat=payload["exp"] + 3_600, nbf=payload["exp"] + 3_600),
        "no session": jwt.encode({k: v for k, v in payload.items() if k != "sid"}, own, algorithm="ES256", headers=typ),
        "unknown role": signed(role="root"),
        "cut signature": f"{head}.{body}.",
        "changed body": f"{head}.{body[:-4]}AAAA.{signature}",
        "too long": good + "a" * 3_000,
        "not a token": "abc",
    }


async def test_another_persons_session_in_a_token_is_nobody(web: Web) -> None:
    """Signed by us, yet the session is bob's: the database has the last word."""
    await login(web, "bob@example.org")
    (row,) = await web.execute("SELECT id FROM accounts.session WHERE person_id = 'bob'")
    token = web.services.tokens.issue(Claims("alice", row["id"], "customer"), int(time.time()))
    assert (await web.client.get("/api/v1/me", headers=bearer(token))).json()["code"] == "session_ended"


async def test_first_administrator_is_made_once(web: Web) -> None:
    token_file = web.services.settings.setup_token_file
    assert token_file is not None
    body = {"token": "secret-token", "name": "Zoé", "email": "Zoe@example.org", "password": "a very long password"}
    assert (await web.client.post("/api/v1/setup", json=body)).json()["code"] == "setup_closed"
    token_file.write_text("secret-token\n")
    assert (await web.client.post("/api/v1/setup", json=body)).json()["code"] == "setup_closed"  # there is ada
    await web.execute("UPDATE accounts.person SET role = 'ops' WHERE role = 'admin'")
    wrong = await web.client.post("/api/v1/setup", json={**body, "token": "guess"})
    assert (wrong.status_code, wrong.json()["code"]) == (403, "bad_setup_token")
    made = await web.client.post("/api/v1/setup", json=body)
    assert (made.status_code, made.json()["email"]) == (201, "zoe@example.org")
    assert not token_file.exists()
    again = await web.client.post("/api/v1/setup", json=body)
    assert (again.status_code, again.json()["code"]) == (410, "setup_closed")
    signed_in = await web.client.post("/api/v1/auth/login", json={"email": body["email"], "password": body["password"]})
    headers = bearer(signed_in.json()["access_token"])
    assert (await web.client.get("/api/v1/audit", headers=headers)).status_code == 200

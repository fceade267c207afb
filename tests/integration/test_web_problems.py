"""Every refusal is a problem with a code, in the reader's language, and every answer wears its headers."""

import httpx

from tests.web_app import ALPHA, Web
from web.texts import codes


def is_problem(answer: httpx.Response, status: int, code: str) -> bool:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    problem = answer.json()
    assert problem["type"] == f"urn:solarperform:problem:{problem['code']}"
    assert problem["title"]
    assert problem["detail"]
    assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code), answer.text
    return True


async def test_unknown_addresses_and_methods(web: Web) -> None:
    for path in ("/api/v1/nowhere", "/api/nowhere", "/api/schema/nowhere", "/nowhere", "/static/nowhere.js", "/api/v1"):
        assert is_problem(await web.client.get(path), 404, "unknown_route"), path
    wrong = await web.client.delete("/api/v1/sites")
    assert is_problem(wrong, 405, "method_not_allowed")
    assert "GET" in wrong.headers["allow"]


async def test_bodies_that_are_not_what_is_asked_for(web: Web) -> None:
    post = web.client.post
    empty = await post("/api/v1/auth/login", json={})
    assert is_problem(empty, 422, "invalid_request")
    assert empty.json()["errors"]
    assert is_problem(await post("/api/v1/auth/login", json={"email": 1, "password": "x"}), 422, "invalid_request")
    assert is_problem(
        await post("/api/v1/auth/login", json={"email": "a@b", "password": "x", "admin": True}), 422, "invalid_request"
    )
    broken = await post("/api/v1/auth/login", content=b"{not json", headers={"content-type": "application/json"})
    assert is_problem(broken, 400, "malformed_request")
    big = await post("/api/v1/auth/login", content=b"x" * 300_000, headers={"content-type": "application/json"})
    assert is_problem(big, 413, "request_too_large")


WRONG_PARAMETERS = [
    ("/api/v1/sites?limit=0", 422, "invalid_request"),
    ("/api/v1/sites?limit=100000", 422, "invalid_request"),
    ("/api/v1/sites?cursor=!!!", 422, "bad_cursor"),
    ("/api/v1/sites?cursor=WzFd", 422, "bad_cursor"),
    ("/api/v1/sites/NOT%20AN%20ID", 404, "unknown_site"),
    ("/api/v1/sites/a%00b", 404, "unknown_site"),
    ("/api/v1/devices/..", 404, "unknown_route"),
    ("/api/v1/alerts?severity=terrible", 422, "invalid_request"),
    ("/api/v1/devices/meter-alpha/samples?from=2026-01-02", 422, "invalid_request"),
    ("/api/v1/devices/meter-alpha/samples?from=2026-01-02&to=2026-01-01", 422, "bad_range"),
    ("/api/v1/devices/meter-alpha/samples?from=2026-01-01&to=2026-06-01", 422, "bad_range"),
    ("/api/v1/devices/meter-alpha/samples?from=yesterday&to=today", 422, "bad_range"),
    ("/api/v1/devices/meter-alpha/samples?from=2026-13-01&to=99999999999999999999", 422, "bad_range"),
    (f"/api/v1/sites/{ALPHA}/energy?from=2026-01-01&to=2026-01-02&step=7m", 422, "invalid_request"),
    (f"/api/v1/sites/{ALPHA}/energy?from=2000-01-01&to=2026-01-02&step=15m", 422, "too_many_steps"),
]


async def test_parameters_that_are_not_what_is_asked_for(web: Web) -> None:
    headers = await web.token("alice@example.org")
    for path, status, code in WRONG_PARAMETERS:
        assert is_problem(await web.client.get(path, headers=headers), status, code), path


async def test_language_of_the_person_then_of_the_browser_then_french(web: Web) -> None:
    french = await web.client.get("/api/v1/nowhere")
    assert french.headers["content-language"] == "fr"
    assert "adresse" in french.json()["detail"]
    english = await web.client.get("/api/v1/nowhere", headers={"Accept-Language": "de, en-GB;q=0.8, fr;q=0.3"})
    assert english.headers["content-language"] == "en"
    assert "address" in english.json()["detail"]
    headers = {**await web.token("alice@example.org"), "Accept-Language": "fr"}
    await web.client.patch("/api/v1/me", json={"locale": "en"}, headers=headers)
    own = await web.client.get("/api/v1/sites/no-such", headers=headers)
    assert own.json()["title"] == "No such site"


async def test_twins_that_are_away_leave_lists_working(web: Web) -> None:
    headers = await web.token("alice@example.org")
    web.twins.away = True
    live = await web.client.get(f"/api/v1/sites/{ALPHA}/live", headers=headers)
    assert is_problem(live, 503, "twins_away")
    assert int(live.headers["retry-after"]) > 0
    sites = await web.client.get("/api/v1/sites", headers=headers)
    assert sites.status_code == 200
    assert sites.json()["items"][0]["live"] is False
    await web.until_twins_are(connected=False)
    ready = await web.client.get("/health/ready")
    assert (ready.status_code, ready.json()["missing"]) == (503, ["twins", "live_feed"])
    web.twins.away = False
    await web.until_twins_are(connected=True)
    assert (await web.client.get(f"/api/v1/sites/{ALPHA}/live", headers=headers)).status_code == 200


async def test_a_database_that_is_away_is_said(web: Web) -> None:
    headers = await web.token("alice@example.org")
    web.services.pool.terminate()
    assert is_problem(await web.client.get("/api/v1/sites", headers=headers), 503, "database_away")
    assert "database" in (await web.client.get("/health/ready")).json()["missing"]
    assert (await web.client.get("/health/live")).status_code == 200


async def test_every_answer_wears_its_headers(web: Web) -> None:
    for path in ("/health/live", "/api/v1/nowhere", "/api/docs", "/api/schema/openapi.json", "/api/v1/sites"):
        headers = (await web.client.get(path, headers={"X-Request-Id": "from-the-gateway-1"})).headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "unsafe-eval" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-request-id"] == "from-the-gateway-1"
    odd = await web.client.get("/health/live", headers={"X-Request-Id": "two\twords"})
    assert odd.headers["x-request-id"] != "two\twords"


async def test_foreign_host_is_refused(web: Web) -> None:
    assert is_problem(await web.client.get("/health/live", headers={"Host": "evil.example"}), 421, "bad_host")
    assert (await web.client.get("/health/live", headers={"Host": "localhost:8000"})).status_code == 200


def test_every_code_speaks_both_languages() -> None:
    french, english = codes()
    assert french == english


async def test_figures_for_prometheus(web: Web) -> None:
    await web.client.get("/api/v1/nowhere")
    text = (await web.client.get("/metrics")).text
    assert 'solarperform_http_requests_total{method="GET",route="unmatched",status="404"} 1.0' in text
    assert 'solarperform_shard_messages_total{shard="0"} 100.0' in text
    assert 'solarperform_shard_dead_letters_by_code_total{code="bad_json",shard="0"} 2.0' in text


async def test_description_and_its_readers_name_no_other_host(web: Web) -> None:
    description = (await web.client.get("/api/schema/openapi.json")).json()
    assert description["openapi"].startswith("3.1")
    operations = [operation for path in description["paths"].values() for operation in path.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    assert all(operation["tags"] and operation["summary"] for operation in operations)
    for operation in operations:
        assert "#/components/schemas/Problem" in str(operation["responses"]["default"])
        assert "400" not in operation["responses"]
    assert description["paths"]["/api/v1/auth/login"]["post"]["security"] == []
    assert "security" not in description["paths"]["/api/v1/sites"]["get"]
    assert "code" in description["components"]["schemas"]["Problem"]["properties"]
    for path in ("/api/docs", "/api/docs/scalar", "/api/docs/swagger"):
        page = await web.client.get(path)
        assert page.status_code == 200
        assert "http" not in page.text.replace("http-equiv", "")
        assert "<script>" not in page.text

"""What passes the gateway, and how: streams, sizes, names, rates, numbers of requests, and what is written down of them."""

import re
import socket
import subprocess
from collections.abc import Callable, Iterator

import httpx
import msgspec
import pytest

from fleet.file_limits import FILE_BYTES_MAX, UPLOAD_FORM_BYTES_MAX
from fleet.limits import REQUEST_BYTES_MAX
from tests.gateway import Site, gateway_site
from tests.servers import Cluster, Pki, server_folder
from tests.web_app import ALPHA
from web.language import Language
from web.texts import text_of

ME = "/api/v1/me"
OPEN_BODY_BYTES_MAX = 16 * 1024  # deploy/gateway/portal.conf
_ID = re.compile(r"[0-9a-f]{32}")


@pytest.fixture(scope="module")
def site(postgres: Cluster, pki: Pki) -> Iterator[Site]:
    with server_folder("gateway") as folder:
        database = postgres.create_database("sp_gateway_traffic")
        with gateway_site(folder, database, pki.folder) as running:
            yield running
        postgres.drop_database("sp_gateway_traffic")


@pytest.fixture
def client(site: Site) -> Iterator[httpx.Client]:
    with site.gateway.client() as made:
        yield made


def problem(answer: httpx.Response, status: int, code: str, language: Language = "fr") -> None:
    """The one that the web would tell."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert (told["status"], told["code"], told["type"]) == (status, code, f"urn:solarperform:problem:{code}")
    assert (told["title"], told["detail"]) == text_of(code, status, language)
    assert told["request_id"] == answer.headers["x-request-id"]


def raw(site: Site, request: bytes, *, whole: bool = True) -> bytes:
    """The answer to these bytes; or its beginning. Not to the connection's end: for a body that never comes nginx waits."""
    with (
        socket.create_connection(("localhost", site.gateway.port), timeout=60) as plain,
        site.gateway.tls().wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        connection.sendall(request)
        answer = b""
        while not (_is_whole(answer) if whole else answer) and (piece := connection.recv(65_536)):
            answer += piece
    return answer


def _is_whole(answer: bytes) -> bool:
    head, _, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
    return length is not None and len(body) >= int(length[1])


def test_a_live_view_passes_as_it_comes(site: Site, client: httpx.Client) -> None:
    headers = site.sign_in(client, "ines@example.org")
    with client.stream("GET", "/api/v1/imports/events", headers=headers) as events:
        assert events.headers["content-type"].startswith("text/event-stream")
        lines = events.iter_lines()
        first = next(line for line in lines if line.startswith("data:"))
        assert msgspec.json.decode(first.removeprefix("data:").strip())["items"] == []
        sent = httpx.post(
            f"{site.gateway.url}/api/v1/sites/{ALPHA}/imports?name=a.csv",
            content=b"time,pv_energy_wh\n",
            headers=headers | {"Content-Type": "text/csv"},
            verify=site.gateway.tls(),
            timeout=60.0,
            trust_env=False,
        )
        assert sent.status_code == httpx.codes.ACCEPTED, sent.text
        told = (msgspec.json.decode(line.removeprefix("data:").strip()) for line in lines if line.startswith("data:"))
        (item,) = next(filter(None, (view["items"] for view in told)))
    assert item["id"] == sent.json()["id"]


def test_http2_is_spoken(site: Site) -> None:
    context = site.gateway.tls()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection(("localhost", site.gateway.port), timeout=60) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        assert connection.selected_alpn_protocol() == "h2"
        assert connection.version() == "TLSv1.3"
    asked = ["curl", "-sS", "--http2", "--cacert", str(site.gateway.trust), "-w", " %{http_version}"]
    answered = subprocess.run([*asked, f"{site.gateway.url}/health/live"], capture_output=True, text=True, check=True)
    assert answered.stdout == '{"live":true} 2'


def test_the_gateway_numbers_requests_and_the_web_knows_the_number(site: Site, client: httpx.Client) -> None:
    answer = client.get(ME, headers=site.sign_in(client) | {"X-Request-Id": "chosen-by-somebody"})
    number = answer.headers["x-request-id"]
    assert _ID.fullmatch(number)
    assert answer.headers.get_list("x-request-id") == [number]
    site.gateway.until(lambda: number in site.web.log, "the web does not know the request")
    assert "chosen-by-somebody" not in site.web.log
    entry = site.entry(answer)
    assert (entry["method"], entry["path"], entry["status"], entry["person"]) == ("GET", ME, 200, "otto")


def test_the_web_knows_from_where_and_how_it_is_asked(site: Site, client: httpx.Client) -> None:
    forged = {"X-Forwarded-For": "203.0.113.7", "X-Real-IP": "203.0.113.7", "Forwarded": "for=203.0.113.7"}
    answer = client.get("/login", headers=forged | {"X-Forwarded-Proto": "http", "X-Forwarded-Host": "elsewhere.test"})
    assert answer.status_code == httpx.codes.OK
    number = answer.headers["x-request-id"]
    site.gateway.until(lambda: number in site.web.log, "the web did not log it")
    logged = next(line for line in site.web.log.splitlines() if number in line)
    assert msgspec.json.decode(logged)["address"] == "127.0.0.1"
    assert answer.headers["strict-transport-security"]


def test_headers_come_once(site: Site, client: httpx.Client) -> None:
    signed_in = site.sign_in(client)
    for path, headers in (("/login", {}), (ME, signed_in), (ME, {}), ("/static/favicon.svg", {}), ("/metrics", {})):
        answer = client.get(path, headers=headers)
        names = [name for name, _ in answer.headers.multi_items() if name not in ("set-cookie", "vary")]
        assert len(names) == len(set(names)), path
        for name in ("content-security-policy", "x-content-type-options", "x-frame-options", "referrer-policy"):
            assert name in answer.headers, f"{path}: {name}"
        assert answer.headers["strict-transport-security"] == "max-age=31536000"


def test_nothing_secret_is_written_down(site: Site, client: httpx.Client) -> None:
    secret = "s3cret-of-a-link"
    asked = [f"/setup?token={secret}", f"/invitation?token={secret}", f"/api/v1/auth/renew?next={secret}"]
    for path in asked:
        site.entry(client.get(path, headers={"Referer": f"{site.gateway.url}/setup?token={secret}"}))
    raw(site, f"GET /setup?token={secret} HTTP/1.1\r\nHost: localhost\r\nHost: b\r\nConnection: close\r\n\r\n".encode())
    host = f"Host: localhost:{site.gateway.port}\r\nReferer: https://localhost/setup?token={secret}\r\n"
    raw(site, f"POST /setup?token={secret} HTTP/1.1\r\n{host}Content-Length: {REQUEST_BYTES_MAX + 1}\r\n\r\n".encode())
    site.gateway.until(lambda: "too large body" in site.gateway.errors, "nginx has logged no error")
    written = msgspec.json.encode(site.gateway.log).decode() + site.gateway.errors
    assert secret not in written
    assert "/setup?..." in written


@pytest.mark.parametrize("language", ["fr", "en"])
def test_bodies_are_as_large_as_the_web_takes_them_and_smaller_where_anybody_may_send_some(
    site: Site, client: httpx.Client, language: Language
) -> None:
    bounds = {
        ME: REQUEST_BYTES_MAX,
        "/login": OPEN_BODY_BYTES_MAX,
        "/api/v1/auth/renew": OPEN_BODY_BYTES_MAX,
        f"/api/v1/sites/{ALPHA}/imports": FILE_BYTES_MAX,
        "/imports": UPLOAD_FORM_BYTES_MAX,
    }
    for path, most in bounds.items():
        head = f"POST {path} HTTP/1.1\r\nHost: localhost:{site.gateway.port}\r\nAccept-Language: {language}\r\n"
        fits, over = (f"{head}Content-Length: {size}\r\nExpect: 100-continue\r\n\r\n".encode() for size in (most, most + 1))
        began = raw(site, fits, whole=False)
        assert began.startswith((b"HTTP/1.1 100", b"HTTP/1.1 303", b"HTTP/1.1 401")), f"{path}: {began[:100]!r}"
        refused = raw(site, over)
        assert refused.startswith(b"HTTP/1.1 413"), path
        assert text_of("request_too_large", 413, language).title.encode() in refused, path


def test_what_could_be_read_in_two_ways_is_refused(site: Site, client: httpx.Client) -> None:
    for path in (
        "/static/../api/v1/me",
        "/api/v1//me",
        "/static/%2e%2e/metrics",
        "/static/..%2fmetrics",
        "/a%5cb",
        "/a/./b",
        "/login#/api/v1/me",
    ):
        head = f"GET {path} HTTP/1.1\r\nHost: localhost:{site.gateway.port}\r\nConnection: close\r\n\r\n"
        assert raw(site, head.encode()).startswith(b"HTTP/1.1 400"), path
    host = f"Host: localhost:{site.gateway.port}\r\n"
    chunked = "Transfer-Encoding: chunked"
    hidden = "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"
    smuggled = {
        "two lengths": f"POST /login HTTP/1.1\r\n{host}Content-Length: 5\r\nContent-Length: {len(hidden)}\r\n\r\n{hidden}",
        "length and chunks": f"POST /login HTTP/1.1\r\n{host}Content-Length: 4\r\n{chunked}\r\n\r\n0\r\n\r\n{hidden}",
        "no such coding": f"POST /login HTTP/1.1\r\n{host}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{hidden}",
        "a space": f"POST /login HTTP/1.1\r\n{host}Content-Length : 5\r\nConnection: close\r\n\r\n",
        "two hosts": f"GET /login HTTP/1.1\r\n{host}Host: elsewhere\r\n\r\n",
        "no host": "GET /login HTTP/1.1\r\n\r\n",
    }
    for what, request in smuggled.items():
        answer = raw(site, request.encode())
        assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 501", b"HTTP/1.1 421")), f"{what}: {answer[:200]!r}"
        assert answer.count(b"HTTP/1.1 ") == 1, what


def test_other_names_are_refused(site: Site, client: httpx.Client) -> None:
    for host in ("elsewhere.test", "127.0.0.1"):
        problem(client.get(ME, headers={"Host": host}), 421, "bad_host")  # told before the language has been read
    page = client.get("/login", headers={"Host": "elsewhere.test"})
    assert (page.status_code, page.headers["content-type"]) == (421, "text/html; charset=utf-8")
    for language in ("fr", "en"):
        assert text_of("bad_host", 421, language).title in page.text


def slowed_down(tries: Callable[[], httpx.Response]) -> tuple[set[int], httpx.Response]:
    """Tries until it is refused: what it was told before, and the refusal. One a second is let through all the time."""
    told = set()
    for _ in range(500):
        answer = tries()
        if answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
            return told, answer
        told.add(answer.status_code)
    pytest.fail("nobody was slowed down")


def test_who_tries_passwords_is_slowed_down_and_told_so(site: Site) -> None:
    """From another address than everybody else here."""
    there = httpx.HTTPTransport(verify=site.gateway.tls(), local_address="127.0.0.9")
    with httpx.Client(base_url=site.gateway.url, transport=there, timeout=60.0, headers={"Accept-Language": "en"}) as client:
        tried, refused = slowed_down(lambda: client.post("/api/v1/auth/login", json={}))
        assert tried == {422}
        problem(refused, 429, "too_many_requests", "en")
        assert refused.headers["retry-after"] == "60"
        assert site.entry(refused)["upstream"] == ""
        _, page = slowed_down(lambda: client.post("/login", data={"email": "a"}))
        assert (page.status_code, page.headers["content-type"]) == (429, "text/html; charset=utf-8")
        assert client.get("/login").status_code == httpx.codes.OK  # to look is not to try
    with site.gateway.client() as elsewhere:
        assert elsewhere.post("/api/v1/auth/login", json={}).status_code != httpx.codes.TOO_MANY_REQUESTS


def test_the_web_is_away_and_back(site: Site, client: httpx.Client) -> None:
    """The last of these tests: it ends the web."""
    headers = site.sign_in(client)
    site.web.kill()
    for language, title in (("fr", "Service indisponible"), ("en", "Service unavailable")):
        away = client.get(ME, headers=headers | {"Accept-Language": language})
        assert (away.status_code, away.json()["code"], away.json()["title"]) == (502, "service_away", title)
        assert away.headers["retry-after"] == "5"
    page = client.get("/login")
    assert (page.status_code, page.headers["content-type"]) == (502, "text/html; charset=utf-8")
    assert "Service indisponible" in page.text
    assert "Service unavailable" in page.text
    assert "<script" not in page.text
    problem(client.get(ME), 401, "not_signed_in")  # needs no web
    site.web.start(site.gateway.url)
    assert client.get(ME, headers=headers).status_code == httpx.codes.OK

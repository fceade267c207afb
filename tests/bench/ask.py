"""Web → twin → answer, over HTTP, while the intake is kept at four fifths of what it can sustain."""

import time
from collections.abc import Iterator

import httpx

from actors.local.demo import logins
from tests.bench.figures import Figure, figure, note, percentile
from tests.bench.ingest import CONNECTIONS, SITES, closed_loop, summary
from tests.bench.platform import Platform, platform

_SHARES = ((0.5, 20.0), (0.8, 40.0))  # of the closed loop's rate; seconds
_BURST = 8  # messages of a device in one write, as in the closed loop that sets the rate
_SETTLE_S = 8.0  # connections, and the first backlog
_ASKS_PER_S = 20.0  # an operator's room full of open pages


def run() -> Iterator[Figure]:
    with platform(sites=SITES, web=True) as running:
        quiet = asks(running, 10.0)
        sustained = closed_loop(running, 15.0)
        for share, seconds in _SHARES:
            note(f"closed loop: {sustained:.0f} messages/s; asking at {share:.0%} of it")
            load = running.load(
                rate=sustained * share,
                seconds=seconds + 2 * _SETTLE_S,
                connections=CONNECTIONS,
                more=("--burst", str(_BURST)),
            )
            time.sleep(_SETTLE_S)
            busy = asks(running, seconds)
            load.wait()
            note(f"  {summary(running.report())}")
            for part in (0.5, 0.99):
                name = f"web to twin and back, p{part * 100:.0f}, intake at {share:.0%}"
                yield figure("ask", name, percentile(busy, part), "ms", percentile(quiet, part))


def asks(running: Platform, seconds: float) -> list[float]:
    """Milliseconds of each `GET /sites/{site}/live`, one site after the other, at a steady pace."""
    assert running.url is not None
    taken: list[float] = []
    with httpx.Client(base_url=f"{running.url}/api/v1") as client:
        ops = logins()["ops"]
        token = client.post("/auth/login", json={"email": ops.email, "password": ops.password}).raise_for_status().json()
        client.headers["authorization"] = f"Bearer {token['access_token']}"
        began = time.perf_counter()
        for number in range(int(seconds * _ASKS_PER_S)):
            due = began + number / _ASKS_PER_S
            time.sleep(max(0.0, due - time.perf_counter()))
            site = running.plan.sites[number % len(running.plan.sites)]
            asked = time.perf_counter()
            client.get(f"/sites/{site.id}/live").raise_for_status()
            taken.append((time.perf_counter() - asked) * 1000)
    return taken

"""People of an installation: they come in by their links, sign in through the gateway, and ask its API."""

import re
import time
from typing import Any
from uuid import uuid4

import httpx

from tests.compose.stack import ROOT, Stack

RENEWED_AFTER_S = 300.0  # an access token lives longer


class Person:
    """Signed in again whenever the token gets old."""

    def __init__(self, stack: Stack, email: str, password: str) -> None:
        self.stack, self.email, self.password = stack, email, password
        self.client = httpx.Client(base_url=f"{stack.url}/api/v1", verify=stack.tls(), timeout=60.0)
        self._signed_in_at = float("-inf")

    def token(self) -> str:
        if time.monotonic() - self._signed_in_at > RENEWED_AFTER_S:
            answer = self.client.post("/auth/login", json={"email": self.email, "password": self.password})
            assert answer.status_code == 200, answer.text
            self.client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
            self._signed_in_at = time.monotonic()
        return self.client.headers["Authorization"].removeprefix("Bearer ")

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        self.token()
        return self.client.request(method, path, **more)

    def get(self, path: str, **more: Any) -> Any:
        answer = self.ask("GET", path, **more)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
        return answer.json()

    def post(self, path: str, form: dict[str, Any], expected: int = 201) -> Any:
        answer = self.ask("POST", path, json=form)
        assert answer.status_code == expected, f"{path}: {answer.status_code} {answer.text}"
        return answer.json()


def first_administrator(stack: Stack, email: str) -> Person:
    """By the link in the log of the job that migrates."""
    link = re.search(re.escape(stack.url) + r"/setup\?token=([\w-]+)", stack.logs("migrate"))
    assert link is not None, stack.logs("migrate")[-2000:]
    password = f"soleil-{uuid4()}"
    form = {"token": link[1], "name": "Ada", "email": email, "password": password}
    with httpx.Client(verify=stack.tls(), timeout=60.0) as client:
        made = client.post(f"{stack.url}/api/v1/setup", json=form)
        assert made.status_code == 201, made.text
        again = client.post(f"{stack.url}/api/v1/setup", json=form)
        assert again.status_code == 410, "the link works once"
    return Person(stack, email, password)


def invited(stack: Stack, email: str, *, kind: str, company: str, role: str) -> Person:
    """As deploy/README.md says: by hand, with the link that the script prints."""
    asked = {"url": stack.url, "kind": kind, "company": company, "role": role, "email": email, "name": role.title()}
    words = [word for name, value in asked.items() for word in ("-v", f"{name}={value}")]
    script = (ROOT / "deploy" / "people" / "invite.sql").read_text()
    printed = stack.exec("postgres", "psql", "-q", "-U", "postgres", "-d", "solarperform", *words, told=script).strip()
    password = f"soleil-{uuid4()}"
    form = {"token": printed.partition("/invitation?token=")[2], "password": password}
    answer = httpx.post(f"{stack.url}/api/v1/invitations/accept", json=form, verify=stack.tls(), timeout=60.0)
    assert answer.status_code == 200, answer.text
    return Person(stack, email, password)

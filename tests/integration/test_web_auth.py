"""Signing in, staying signed in, and being out at once."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.servers import Database
from tests.web_app import PASSWORD, Web, running_web


@pytest.fixture
async def web(database: Database, tmp_path: Path) -> AsyncIterator[Web]:
    async with running_web(database, tmp_path) as running:
        yield running


async def test_login_gives_tokens_that_open_the_list_of_sites(web: Web) -> None:
    answer = await web.client.post("/api/v1/auth/login", json={"email": "Alice@example.org", "password": PASSWORD})
    assert answer.status_code == 200
    assert answer.json()["token_type"] == "Bearer"
    assert answer.json()["expires_in"] == 900
    headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    sites = await web.client.get("/api/v1/sites", headers=headers)
    assert sites.status_code == 200
    assert [site["id"] for site in sites.json()["items"]] == ["site-alpha"]
    assert sites.json()["items"][0]["flow"]["pv_power_w"] == 1_500.0

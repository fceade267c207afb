"""deploy/people/invite.sql, as psql would run it: whom it invites chooses a password and can work."""

import re
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from fleet.storage.database import connect
from tests.web_app import Web

SCRIPT = Path(__file__).parents[2] / "deploy" / "people" / "invite.sql"
PASSWORD = "roofs and more roofs"
ASKED = {
    "url": "https://sun.example.org",
    "kind": "installer",
    "company": "L'Atelier du Sud",
    "role": "installer",
    "email": "Jo@example.org",
    "name": "Jo",
}


def statements(**asked: str) -> list[str]:
    """What psql sends: :'name' became a literal; its own commands (\\...) are not for the server."""
    told = re.sub(r":'(\w+)'", lambda name: "'" + asked[name[1]].replace("'", "''") + "'", SCRIPT.read_text())
    told = re.sub(r"^(?:\\|--).*$", "", told, flags=re.MULTILINE)
    return [each.strip() for each in told.split(";") if each.strip()]


async def invite(web: Web, **asked: str) -> str:
    """The token in the link that it prints."""
    connection = await connect(web.owner)
    try:
        answers = [await connection.fetch(each) for each in statements(**{**ASKED, **asked})]
    finally:
        await connection.close()
    (printed,) = (rows[0][0] for rows in answers if rows)
    address, _, token = printed.partition("/invitation?token=")
    assert address == "https://sun.example.org"
    assert len(token) == 64
    return str(token)


async def accept(web: Web, token: str) -> dict[str, Any]:
    answer = await web.client.post("/api/v1/invitations/accept", json={"token": token, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    return {"headers": headers, "me": (await web.client.get("/api/v1/me", headers=headers)).json()}


async def test_an_installer_comes_in_and_makes_a_site(web: Web) -> None:
    jo = await accept(web, await invite(web))
    assert (jo["me"]["role"], jo["me"]["email"]) == ("installer", "jo@example.org")
    form = {"name": "Ferme", "owner_email": "claire@example.org", "owner_name": "Claire", "latitude": 44, "longitude": 5}
    assert (await web.client.post("/api/v1/sites", json=form, headers=jo["headers"])).status_code == 201
    await accept(web, await invite(web, email="ann@example.org"))
    (companies,) = await web.execute("SELECT count(*) FROM accounts.organisation WHERE name = $1", ASKED["company"])
    assert companies[0] == 1
    (noted,) = await web.execute("SELECT count(*) FROM audit.entry WHERE action = 'person.invite'")
    assert noted[0] == 2


async def test_operations_see_all_sites(web: Web) -> None:
    otto = await accept(web, await invite(web, kind="platform", company="Exploitation", role="ops", email="o@example.org"))
    assert (await web.client.get("/api/v1/fleet/stats", headers=otto["headers"])).status_code == 200


@pytest.mark.parametrize(
    "asked", [{"kind": "customer", "role": "admin"}, {"email": "alice@example.org"}, {"kind": "nobody"}]
)
async def test_what_cannot_be_changes_nothing(web: Web, asked: dict[str, str]) -> None:
    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        await invite(web, **asked)
    (left,) = await web.execute("SELECT count(*) FROM accounts.organisation WHERE name = $1", ASKED["company"])
    assert left[0] == 0

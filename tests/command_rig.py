"""The web before a real shard, and a meter that hears and answers commands: for tests of the API and the pages."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from httpx import Response

from actors.shard import TwinShard
from tests.config_rig import config_rig
from tests.fleet_rig import until
from tests.servers import Broker, Database
from tests.web_app import ALPHA, ALPHA_METER, Web


@dataclass
class CommandRig:
    """who: who signs in, is said with each call."""

    web: Web
    shard: TwinShard
    signed_in: dict[str, dict[str, str]] = field(default_factory=dict)

    async def call(
        self, method: str, path: str, *, who: str = "otto", headers: dict[str, str] | None = None, **more: Any
    ) -> Response:
        if who not in self.signed_in:  # once: the platform counts log-ins, and tests ask over and over
            self.signed_in[who] = await self.web.token(f"{who}@example.org")
        signed = self.signed_in[who] | (headers or {})
        return await self.web.client.request(method, f"/api/v1{path}", headers=signed, **more)

    async def give(
        self,
        name: str = "blink",
        *,
        device: str = ALPHA_METER,
        who: str = "otto",
        key: str | None = None,
        prefer: str | None = None,
        **more: Any,
    ) -> Response:
        headers = {"Idempotency-Key": key} if key is not None else {}
        headers |= {"Prefer": prefer} if prefer is not None else {}
        return await self.call("POST", f"/devices/{device}/commands", who=who, headers=headers, json={"name": name} | more)

    async def given(self, name: str = "blink", **more: Any) -> dict[str, Any]:
        answer = await self.give(name, **more)
        assert answer.status_code == 202, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def command(self, command_id: str, who: str = "otto") -> dict[str, Any]:
        answer = await self.call("GET", f"/commands/{command_id}", who=who)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def until_state(self, command_id: str, state: str) -> dict[str, Any]:
        """As somebody who asks again whenever there is news."""

        async def is_so() -> dict[str, Any] | None:
            answer = await self.call("GET", f"/commands/{command_id}", params={"wait_s": 1})
            found: dict[str, Any] = answer.json()
            return found if found["state"] == state else None

        found: dict[str, Any] = await until(is_so)
        return found

    async def audited(self, action: str) -> list[dict[str, Any]]:
        rows = await self.web.execute("SELECT * FROM audit.entry WHERE action = $1 ORDER BY id", action)
        return [dict(row) for row in rows]

    async def add_devices(self, profile: str, *names: str, **columns: Any) -> None:
        """At alpha's site."""
        for name in names:
            await self.web.execute(
                "INSERT INTO registry.device (id, site_id, profile_id, name, gateway_id, revoked_at)"
                " VALUES ($1, $2, $3, $1, $4, CASE WHEN $5 THEN now() END)",
                name,
                ALPHA,
                profile,
                columns.get("gateway"),
                columns.get("revoked", False),
            )
        await self.shard.forget_site(ALPHA)


@asynccontextmanager
async def command_rig(database: Database, broker: Broker, folder: Path) -> AsyncIterator[CommandRig]:
    async with config_rig(database, broker, folder) as rig:
        yield CommandRig(rig.web, rig.shard)

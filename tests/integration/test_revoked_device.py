"""How the platform judges a device that may not speak any more."""

from fleet.ids import DeviceId, SiteId
from fleet.storage import revocations
from fleet.storage.database import connect
from tests.fleet_rig import fetch, running_shard, seed_fleet, twins_settings, until
from tests.servers import Broker, Database


async def test_it_is_not_offline_but_revoked_and_raises_no_alert(broker: Broker, database: Database) -> None:
    await seed_fleet(database, [("r-site", {"r-gone": "meter", "r-other": "meter"})])
    connection = await connect(database.owner)
    try:
        # as if both had stopped long ago; offline is what the other one becomes at the same sweep
        await connection.execute("UPDATE registry.device SET created_at = now() - interval '3 days'")
        await connection.execute(
            "INSERT INTO supervision.health (site_id, device_id, status, since, reason)"
            " SELECT 'r-site', id, 'offline', now() - interval '1 day', 'silent' FROM registry.device"
        )
        async with connection.transaction():
            await revocations.request_revocation(
                connection, site=SiteId("r-site"), device=DeviceId("r-gone"), reason="retired", note="", requested_by=None
            )
    finally:
        await connection.close()
    async with running_shard(twins_settings(database.sp_twins, broker.sp_twins)):

        async def judged() -> bool:
            found = {row["device_id"]: (row["status"], row["reason"]) for row in await fetch(database, _HEALTH)}
            return found.get("r-gone") == ("unknown", "revoked") and found.get("") == ("offline", "silent:r-other")

        async def alerted() -> set[str]:
            return {row["device_id"] for row in await fetch(database, "SELECT device_id FROM supervision.alert")}

        await until(judged)
        await until(alerted)
        assert await alerted() == {"r-other"}


_HEALTH = "SELECT device_id, status, reason FROM supervision.health WHERE site_id = 'r-site'"

"""Brings the database to this release's schema, stores the profiles it ships, offers the first administrator's link."""

import secrets

import structlog

from actors.keeping import upgrade
from actors.local.layout import keep_secret
from fleet import profiles
from fleet.runtime.process import unless_stopped
from fleet.runtime.secret_file import read_secret
from fleet.settings import KeepingSettings, MigrateSettings
from fleet.storage import bootstrap
from fleet.storage.database import connect
from fleet.storage.migrate import SERVICE_ROLES, migrate
from fleet.storage.readiness import until_ready

log = structlog.get_logger("migrate")


async def run(settings: MigrateSettings) -> None:
    """Waits for PostgreSQL. Raises Conflict (schema_newer, migration_changed, clock_skew), BadInput (bad_secret_file,
    database_refused).
    """
    passwords = {role: read_secret(settings.passwords_folder / role) for role in SERVICE_ROLES}
    if not await unless_stopped(until_ready(settings.database, log, schema=False)):
        return
    await _snapshot(settings)
    connection = await connect(settings.database)
    try:
        applied = await migrate(connection, passwords)
        await bootstrap.store_profiles(connection, profiles.shipped())
        has_admin = await bootstrap.has_admin(connection)
    finally:
        await connection.close()
    log.info("schema_ready", applied=applied)
    if has_admin:
        settings.setup_token_file.unlink(missing_ok=True)
        return
    keep_secret(settings.setup_token_file, secrets.token_urlsafe(32))
    link = f"{settings.public_url}/setup?token={settings.setup_token_file.read_text().strip()}"
    log.info("first_administrator", link=link, hint="open it once, within reach of nobody else")


async def _snapshot(settings: MigrateSettings) -> None:
    """No new schema without a way back. Files are not touched by it, so they are not in the snapshot."""
    folder = settings.snapshots_folder
    if folder is None:
        return
    told = KeepingSettings(settings.database, settings.passwords_folder, (), folder, folder, folder)
    made = await upgrade.snapshot(told, folder / "key")
    if made is not None:
        log.info("snapshot_taken", file=made.file.name, bytes=made.size_bytes, seconds=round(made.seconds, 1))

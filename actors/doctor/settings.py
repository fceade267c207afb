"""What the doctor is told: its settings file, as plain JSON (fleet.settings.load)."""

from pathlib import Path

import msgspec

from fleet.settings import BrokerSettings, DatabaseSettings


class DoctorSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom the doctor asks, by the names that they have for each other.

    database          as a role that may ask for operations' figures; passwords_folder: a file per service role
    device_host       the broker's listener for devices, by a name that its certificate has
    gateway_host      by its name inside; portal_host: what browsers ask it for
    services          name of a service → URL that says 200 when it is ready
    twins_metrics_url the figures of the shards' keeper
    web_settings      the web's own file of settings
    volumes           folders whose disks may fill; archives: of backups
    """

    database: DatabaseSettings
    passwords_folder: Path
    broker: BrokerSettings
    device_host: str
    device_port: int
    gateway_host: str
    gateway_port: int
    portal_host: str
    sftp_host: str
    sftp_port: int
    services: dict[str, str] = {}
    twins_metrics_url: str | None = None
    volumes: tuple[Path, ...] = ()
    archives: Path | None = None
    smtp_host: str | None = None
    smtp_port: int = 587
    web_settings: Path | None = None

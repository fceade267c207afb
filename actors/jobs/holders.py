"""Which service of an installation from images holds which secret, and as which user it reads it. The one list of it."""

from typing import Final

import msgspec

from fleet.storage.migrate import SERVICE_ROLES

SERVICE_UID: Final = 10001  # deploy/Dockerfile
POSTGRES_UID: Final = 999  # of the official images
MOSQUITTO_UID: Final = 1883
NGINX_UID: Final = 101
REDIS_UID: Final = 999
GRAFANA_UID: Final = 472
ALERTMANAGER_UID: Final = 65534


class Holder(msgspec.Struct, frozen=True):
    """A service's volume of keys.

    secrets   names of files in the vault
    client    its certificate of the platform's authority
    trust     anchors it verifies others with: of pki/trust
    server    it shows the servers' certificate, and gets its key
    own       files of the owner's folder, where it has them
    like_pki  a folder `pki` as well, with what the broker shows and trusts, laid out as the PKI is
    """

    name: str
    uid: int = SERVICE_UID
    secrets: tuple[str, ...] = ()
    client: str | None = None
    trust: tuple[str, ...] = ()
    server: bool = False
    own: tuple[str, ...] = ()
    like_pki: bool = False


HOLDERS: Final = (
    Holder("postgres", POSTGRES_UID, secrets=("postgres",)),
    Holder("migrate", secrets=("postgres", *SERVICE_ROLES)),
    Holder("demo", secrets=("postgres", "ray_token")),
    Holder("redis", REDIS_UID, secrets=("redis.conf",)),
    Holder("ray-head", secrets=("ray_token", "redis")),
    Holder("ray", secrets=("ray_token", "sp_twins"), client="sp-twins", trust=("servers",)),
    Holder(
        "web",
        secrets=("sp_web", "ray_token", "jwt_key.pem", "pull_key", "sftp_host_key.pub"),
        client="sp-web",
        trust=("servers",),
    ),
    Holder("importer", secrets=("sp_importer", "ray_token", "pull_key")),
    Holder("rollouts", secrets=("sp_rollouts", "ray_token")),
    Holder("notifier", secrets=("sp_notifier",), own=("smtp_password",)),
    Holder("sftp", secrets=("sp_sftp", "sftp_host_key", "sftp_host_key.pub")),
    Holder("pki", secrets=("sp_pki",)),
    Holder(
        "guard",
        MOSQUITTO_UID,
        secrets=("sp_guard",),
        client="sp-guard",
        trust=("servers",),
        like_pki=True,
    ),
    Holder("gateway", NGINX_UID, secrets=("jwks.json",), client="sp-gateway", trust=("servers", "devices"), server=True),
    Holder("grafana", GRAFANA_UID, secrets=("grafana_admin",)),
    Holder("doctor", secrets=SERVICE_ROLES, client="sp-doctor", trust=("servers",)),
    Holder("alertmanager", ALERTMANAGER_UID, own=("smtp_password",)),
)

CLIENTS: Final = tuple(holder.client for holder in HOLDERS if holder.client is not None)

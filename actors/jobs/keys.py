"""Makes the authorities, the secrets and the certificates, and hands each service its own, in its own volume.

    /vault              secrets, each made once; nobody else sees this volume
    PKI                 as `python -m certs` lays it out; besides this job only the authority's process sees it
    /keys/<service>     what that service reads as /run/secrets: see actors.jobs.holders
    /keys/broker        the broker's own folder: its configuration, keys, access list and revocation list
    /data/redis         Redis's own volume, whose image leaves it to its own user; here that user has a fixed number
    /owner              the owner's own, where there is any: chain.pem and key.pem for browsers, smtp_password

Every step may be repeated, and is, as long as the installation runs: the authority renews certificates in its folder, an
owner theirs, and from here they reach their readers, who look for changes by themselves.
"""

import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
import structlog
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from actors import broker_home
from actors.broker_files import ACL, CRL, DENIED, Denied, content_of, replace
from actors.jobs import vault
from actors.jobs.holders import CLIENTS, HOLDERS, MOSQUITTO_UID, REDIS_UID, SERVICE_UID, Holder
from certs import last_list
from certs.authority import Pki, alone_in
from fleet import limits
from fleet.errors import BadInput, FleetError, NotFound

SERVER: Final = "broker"  # the servers' one certificate: its first name, and its folder in the PKI
INNER_NAMES: Final = (SERVER, "broker-inside", "pki", "gateway", "localhost")
_STOPS: Final = (signal.SIGTERM, signal.SIGINT)
DEVICE_PORT: Final = 8883
INTERNAL_PORT: Final = 8884

log = structlog.get_logger("keys")


class Places(msgspec.Struct, frozen=True):
    """Where the volumes are mounted."""

    vault: Path = Path("/vault")
    pki: Path = Path("/var/lib/solarperform/pki")
    keys: Path = Path("/keys")
    owner: Path = Path("/owner")
    data: Path = Path("/data")


def hand_out(places: Places, hosts: Sequence[str]) -> list[str]:
    """The names of what changed. hosts: the installation's names, as people and devices call it.

    Raises BadInput (bad_name, bad_key, bad_certificate), Conflict (authority_expired), NotFound (no_pki), OSError.
    """
    places.pki.mkdir(parents=True, exist_ok=True)
    with alone_in(places.pki):  # also two of us: `init-pki` of a second start comes beside `keys`
        _refuse_lost_authority(places)
        taken_back = vault.take_back(places.vault, places.keys)
        if taken_back:
            log.warning("vault_was_lost", taken_back=taken_back, hint="from the services that hold them; make a backup")
        vault.fill(places.vault)
        try:
            _issue(places.pki, hosts, datetime.now(UTC))
        finally:
            _give(places.pki, SERVICE_UID)  # the authority's process works there
        changed = [name for holder in HOLDERS for name in _hand_to(holder, places)]
        changed += _public_certificate(places)
        _lay_out_broker(places)
        if (places.data / "redis").is_dir():
            _give(places.data / "redis", REDIS_UID)
    return changed


def _refuse_lost_authority(places: Places) -> None:
    """A new one would lock every device out. Raises NotFound (no_pki)."""
    if (places.keys / "gateway" / "devices.pem").exists() and not (places.pki / "root" / "cert.pem").exists():
        raise NotFound(
            "no_pki",
            f"{places.pki} is empty, and the gateway still trusts the authority that was there: bring the volume `pki` back"
            " from a backup; to begin anew without one device, remove all volumes of this installation",
        )


def _issue(folder: Path, hosts: Sequence[str], now: datetime) -> None:
    pki = Pki.create(folder, now)
    last_list.ensure(pki, now)
    pki.issue_server([*INNER_NAMES, *(host for host in hosts if host not in INNER_NAMES)], ["127.0.0.1"], now)
    for client in CLIENTS:
        pki.issue_platform(client, now)


def keep_handing_out(places: Places, hosts: Sequence[str], every_s: float, ready_file: Path | None) -> None:
    """After a first hand-out, until SIGTERM or SIGINT, which never cut one short: they are blocked, and looked for in
    between. A container's first process does not hear them otherwise. What goes wrong once is logged, and tried again the
    next time; whoever looks at the age of the ready file sees that it goes on going wrong. Raises OSError: on that file.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
    _tell_well(ready_file)
    while signal.sigtimedwait(_STOPS, every_s) is None:
        try:
            changed = hand_out(places, hosts)
            _tell_well(ready_file)
        except (OSError, FleetError) as error:
            log.error("keys_not_renewed", error=str(error), hint="what is in force stays; certificates end one day")
        else:
            if changed:
                log.info("keys_renewed", files=changed)


def _tell_well(ready_file: Path | None) -> None:
    if ready_file is not None:
        ready_file.touch()


def _hand_to(holder: Holder, places: Places) -> list[str]:
    """What a service may see, as files of its own user. The names of what changed."""
    folder = places.keys / holder.name
    wanted: dict[str, Path] = {name: places.vault / name for name in holder.secrets}
    wanted |= {f"{name}.pem": places.pki / "trust" / f"{name}.pem" for name in holder.trust}
    wanted |= {name: places.owner / name for name in holder.own if (places.owner / name).exists()}
    pairs = [] if holder.client is None else [(holder.client, places.pki / "platform" / holder.client)]
    if holder.server:
        pairs.append(("server", places.pki / "servers" / SERVER))
    if holder.like_pki:
        pairs.append((f"pki/servers/{SERVER}", places.pki / "servers" / SERVER))
        wanted |= {f"pki/trust/{name}.pem": places.pki / "trust" / f"{name}.pem" for name in ("devices", "platform")}
    changed = [name for name, source in wanted.items() if _copy(source, folder / name)]
    changed += [name for name, source in pairs if _copy_pair(source, folder / name)]
    _give(folder, holder.uid)
    return [f"{holder.name}/{name}" for name in changed]


def _public_certificate(places: Places) -> list[str]:
    """What browsers are shown: the owner's, or the servers' own where there is none.

    An owner's pair that is no good keeps nothing from starting: what is shown stays, or the servers' own is.
    """
    servers, folder = places.pki / "servers" / SERVER, places.keys / "gateway"
    try:
        changed = _copy_pair(places.owner if (places.owner / "chain.pem").exists() else servers, folder / "public")
    except (BadInput, OSError) as error:
        is_shown = (folder / "public" / "chain.pem").exists()
        log.error("owner_certificate_refused", code="bad_certificate", error=str(error),
                  hint="lay chain.pem and key.pem there again; until then browsers are shown "
                  + ("the one before" if is_shown else "that of the servers' authority"))  # fmt: skip
        changed = not is_shown and _copy_pair(servers, folder / "public")
    _give(folder, next(holder.uid for holder in HOLDERS if holder.name == "gateway"))
    return ["gateway/public"] if changed else []


def _lay_out_broker(places: Places) -> None:
    """What the guard has laid there since stays: it renews keys by itself, and knows whom it has denied.

    Unless that is of another authority: a backup was brought back into an installation that had begun with one of its own.
    """
    home = places.keys / "broker"
    configuration = broker_home.configuration(
        Path("/mosquitto/config"),
        devices=("0.0.0.0", DEVICE_PORT),  # noqa: S104 - in its container; only this port is published
        internal=("broker-inside", INTERNAL_PORT),  # a name that only the inner network has
        devices_max=limits.BROKER_DEVICES_MAX,
        queued_messages_max=limits.BROKER_QUEUED_MESSAGES_MAX,
        data=Path("/mosquitto/data"),
    )
    if _is_of_another(home, places.pki):
        (home / CRL).unlink(missing_ok=True)
        replace(home / DENIED, Denied(closed=True).text().encode())  # until the guard has seen which list is the newest
        broker_home.lay_out(home, places.pki, SERVER)
    elif content_of(home / ACL) is None:  # not the configuration: the engine puts the image's own there
        broker_home.lay_out(home, places.pki, SERVER)
    replace(home / broker_home.CONFIGURATION, configuration.encode())
    _give(home, MOSQUITTO_UID)


def _is_of_another(home: Path, pki: Path) -> bool:
    """Whether the broker trusts nobody who is trusted now. A renewal has both in its file for a while."""
    for name in ("devices.pem", "platform.pem"):
        before, now = content_of(home / name), (pki / "trust" / name).read_bytes()
        if before is not None and before != now and not _certificates(before) & _certificates(now):
            return True
    return False


def _certificates(pem: bytes) -> set[x509.Certificate]:
    try:
        return set(x509.load_pem_x509_certificates(pem))
    except ValueError:  # cut short: none that counts
        return set()


def _copy_pair(source: Path, folder: Path) -> bool:
    """Chain and key together or not at all: while they are renewed, one may be new and the other old."""
    chain, key = (source / "chain.pem").read_bytes(), (source / "key.pem").read_bytes()
    try:
        fits = x509.load_pem_x509_certificates(chain)[0].public_key() == load_pem_private_key(key, None).public_key()
    except (ValueError, TypeError, IndexError, UnsupportedAlgorithm) as error:
        raise BadInput("bad_certificate", f"{source} holds no certificate with its key: {error}") from None
    if not fits:
        raise BadInput("bad_certificate", f"the key in {source} is not that of the certificate beside it")
    return any([_write(folder / "key.pem", key), _write(folder / "chain.pem", chain)])


def _copy(source: Path, target: Path) -> bool:
    return _write(target, source.read_bytes())


def _write(file: Path, content: bytes) -> bool:
    file.parent.mkdir(parents=True, exist_ok=True)
    if content_of(file) == content:
        return False
    replace(file, content)
    return True


def _give(folder: Path, uid: int) -> None:
    """All of it to the user that reads it, and to nobody else. In some that user writes meanwhile, whatever he likes."""
    for path in (folder, *folder.rglob("*")):
        with suppress(FileNotFoundError):
            if os.geteuid() == 0:
                os.chown(path, uid, uid, follow_symlinks=False)
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o700)

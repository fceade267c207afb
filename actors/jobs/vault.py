"""The secrets of an installation from images, each made once: /vault is mounted in the job that hands them out, only."""

import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from actors.dropbox.host_key import host_keys
from actors.jobs.holders import HOLDERS
from certs import files
from fleet.errors import BadInput
from fleet.storage import pull_secrets
from fleet.storage.migrate import SERVICE_ROLES

_COORDINATE_BYTES = 32  # P-256
_ANEW = "delete it and run this job again: a new one is made, and everybody signs in again"


def take_back(vault: Path, keys: Path) -> list[str]:
    """Of a vault that was lost, from the services that hold them: new ones would fit neither the database nor the loggers.

    keys: of the services, as actors.jobs.keys lays them out. The names of what came back; none while the vault is there.
    """
    if (vault / "postgres").exists():
        return []
    found = {name: keys / holder.name / name for holder in HOLDERS for name in holder.secrets}
    held = {name: file for name, file in found.items() if file.exists()}
    for name, file in sorted(held.items(), key=lambda one: one[0] == "postgres"):  # last: it says that all are there
        files.replace(vault / name, file.read_bytes(), files.SECRET, durable=True)
    return sorted(held)


def fill(vault: Path) -> None:
    """What exists stays. Raises BadInput (bad_key, bad_host_key): what is there is of no use behind the gateway."""
    for name in ("postgres", "ray_token", "redis", "grafana_admin", *SERVICE_ROLES):
        _keep(vault / name, lambda: secrets.token_hex(32).encode())
    files.replace(vault / "redis.conf", _redis_conf((vault / "redis").read_text()), files.SECRET, durable=True)
    _keep(vault / "pull_key", lambda: pull_secrets.make_key().encode())
    _keep(vault / "jwt_key.pem", _p256_pem)
    host_keys(vault / "sftp_host_key", legacy=False)  # makes them, and their public halves beside them
    files.replace(vault / "jwks.json", _jwks(vault / "jwt_key.pem"), files.PUBLIC, durable=True)


def _keep(file: Path, make: Callable[[], bytes]) -> None:
    if not file.exists():
        files.replace(file, make(), files.SECRET, durable=True)


def _redis_conf(password: str) -> bytes:
    """Redis reads passwords from its configuration only. Every change is on the disk within a second."""
    lines = (
        "bind 0.0.0.0",
        f"requirepass {password}",
        "dir /data",
        "appendonly yes",
        "maxmemory 256mb",
        "maxmemory-policy noeviction",
    )
    return "".join(f"{line}\n" for line in lines).encode()


def _p256_pem() -> bytes:
    """ES256: what nginx's JavaScript can verify, unlike Ed25519."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _jwks(key_file: Path) -> bytes:
    """The public half, as the gateway reads it (RFC 7517), under its thumbprint (RFC 7638) as the web layer names it."""
    try:
        key = load_pem_private_key(key_file.read_bytes(), password=None)
    except ValueError as error:
        raise BadInput("bad_key", f"{key_file} holds no readable private key: {error}; {_ANEW}") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise BadInput("bad_key", f"{key_file}: behind the gateway, access tokens need an EC P-256 key; {_ANEW}")
    numbers = key.public_key().public_numbers()
    required = {"crv": "P-256", "kty": "EC", "x": _coordinate(numbers.x), "y": _coordinate(numbers.y)}
    thumbprint = sha256(msgspec.json.encode(required, order="sorted")).digest()
    kid = _base64url(thumbprint)
    return msgspec.json.encode({"keys": [{**required, "kid": kid, "alg": "ES256", "use": "sig"}]})


def _coordinate(number: int) -> str:
    return _base64url(number.to_bytes(_COORDINATE_BYTES, "big"))


def _base64url(content: bytes) -> str:
    return urlsafe_b64encode(content).rstrip(b"=").decode()

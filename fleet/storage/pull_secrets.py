"""What opens customers' SFTP servers, sealed at rest: Fernet, with a key file that web and importer are told of."""

from pathlib import Path
from typing import NamedTuple

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from fleet.errors import BadInput
from fleet.file_limits import PULL_SECRET_CHARS_MAX
from fleet.runtime.secret_file import read_secret


class SealedKey(NamedTuple):
    """secret: the private key, sealed. public_key: one line for the server's authorized_keys."""

    secret: bytes
    public_key: str


def seal(key_file: Path, password: str) -> bytes:
    """Raises BadInput (bad_secret)."""
    if not 1 <= len(password) <= PULL_SECRET_CHARS_MAX:
        raise BadInput("bad_secret", f"a password has 1 to {PULL_SECRET_CHARS_MAX} characters")
    return _fernet(key_file).encrypt(password.encode())


def new_key(key_file: Path) -> SealedKey:
    """A key of our own for one server: its owner installs the public half, and no private key is ever pasted anywhere."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    return SealedKey(_fernet(key_file).encrypt(private), f"{public} solarperform")


def unseal(key_file: Path, secret: bytes) -> str:
    """Raises BadInput (bad_secret): it was sealed with another key file."""
    try:
        return _fernet(key_file).decrypt(secret).decode()
    except InvalidToken:
        raise BadInput("bad_secret", f"{key_file} does not open it; give the password again") from None


def require_key(key_file: Path) -> None:
    """Raises BadInput (bad_settings, bad_secret_file): at the start rather than when the first secret is needed."""
    _fernet(key_file)


def make_key() -> str:
    """The content of a new key file."""
    return Fernet.generate_key().decode()


def _fernet(key_file: Path) -> Fernet:
    """Raises BadInput (bad_settings, bad_secret_file)."""
    try:
        return Fernet(read_secret(key_file))
    except ValueError as error:
        raise BadInput("bad_settings", f"{key_file} holds no key for secrets: {error}") from None

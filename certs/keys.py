"""The one kind of key that we make, EC P-256: small and fast on a microcontroller, and every TLS library knows it.

Devices may come with another one of their own; certs.csr says which.
"""

from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from certs import files
from fleet.errors import BadInput

Key = ec.EllipticCurvePrivateKey
PublicKey = ec.EllipticCurvePublicKey
LeafKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey


def make() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


def save(path: Path, key: Key, *, durable: bool = True) -> None:
    """PKCS #8 PEM, mode 0600, replaced as a whole."""
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    files.replace(path, pem, files.SECRET, durable=durable)


def load(path: Path) -> Key:
    """Raises BadInput (bad_key) when the file is missing, unreadable, or holds another kind of key."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise BadInput("bad_key", f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError) as error:
        raise BadInput("bad_key", f"{path} holds no plain PEM key: {error}") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise BadInput("bad_key", f"{path} must hold an EC P-256 key")
    return key

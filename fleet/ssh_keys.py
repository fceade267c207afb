"""Public keys of SSH as people paste them: one line, `ssh-ed25519 AAAA… comment`.

Sources: sshd(8), authorized_keys; RFC 4253, section 6.6; RFC 5656; RFC 8709. Only kinds
that are safe today. Options before the key are refused rather than dropped: whoever wrote them meant something.
"""

import base64
import binascii
from hashlib import sha256
from typing import Final

import msgspec

from fleet.errors import BadInput
from fleet.file_limits import SSH_KEY_LINE_CHARS_MAX, SSH_RSA_BITS_MAX, SSH_RSA_BITS_MIN

_ED25519: Final = "ssh-ed25519"
_RSA: Final = "ssh-rsa"  # the key's kind; the signature made with it may still be rsa-sha2
_POINT_BYTES: Final = {"ecdsa-sha2-nistp256": 65, "ecdsa-sha2-nistp384": 97, "ecdsa-sha2-nistp521": 133}
_ED25519_BYTES: Final = 32
KINDS: Final = (_ED25519, *_POINT_BYTES, _RSA)


class SshKey(msgspec.Struct, frozen=True):
    """fingerprint: as OpenSSH prints it, SHA256:…. comment: what stood behind the key, for people."""

    kind: str
    bits: int
    blob: str
    fingerprint: str
    comment: str

    @property
    def line(self) -> str:
        """Without the comment: what is stored and compared."""
        return f"{self.kind} {self.blob}"


def parse(text: str) -> SshKey:
    """Raises BadInput (bad_ssh_key, weak_ssh_key, private_ssh_key) that says what to paste instead."""
    line = text.strip()
    if "PRIVATE KEY" in line or line.startswith("PuTTY-User-Key-File"):
        raise BadInput("private_ssh_key", "this is a private key: keep it to yourself, and paste the file that ends in .pub")
    if len(line) > SSH_KEY_LINE_CHARS_MAX or "\n" in line or "\r" in line:
        raise BadInput("bad_ssh_key", "a public key is one line, such as: ssh-ed25519 AAAA… name")
    kind, _, rest = line.partition(" ")
    blob, _, comment = rest.strip().partition(" ")
    if kind not in KINDS:
        raise BadInput("bad_ssh_key", f"a public key begins with one of {', '.join(KINDS)}")
    try:
        raw = base64.b64decode(blob, validate=True)
        bits = _bits(kind, raw)
    except (binascii.Error, ValueError):
        raise BadInput(
            "bad_ssh_key", f"this {kind} key is not whole: copy the line again, from its beginning to its end"
        ) from None
    if kind == _RSA and not SSH_RSA_BITS_MIN <= bits <= SSH_RSA_BITS_MAX:
        raise BadInput("weak_ssh_key", f"an RSA key has {SSH_RSA_BITS_MIN} to {SSH_RSA_BITS_MAX} bits, this one {bits}")
    printed = base64.b64encode(sha256(raw).digest()).decode().rstrip("=")
    return SshKey(kind, bits, base64.b64encode(raw).decode(), f"SHA256:{printed}", comment.strip()[:80])


def _bits(kind: str, raw: bytes) -> int:
    """Raises ValueError."""
    fields = _fields(raw)
    if not fields or fields[0] != kind.encode():
        raise ValueError("another kind inside")
    if kind == _RSA:
        _, exponent, modulus = fields
        if int.from_bytes(exponent, "big", signed=True) < 3:
            raise ValueError("no exponent")
        return int.from_bytes(modulus, "big").bit_length()
    if kind == _ED25519:
        _, point = fields
        if len(point) != _ED25519_BYTES:
            raise ValueError("no point")
        return 256
    _, curve, point = fields
    if curve != kind.removeprefix("ecdsa-sha2-").encode() or len(point) != _POINT_BYTES[kind] or point[0] != 4:
        raise ValueError("no point")
    return int(curve.removeprefix(b"nistp"))


def _fields(raw: bytes) -> list[bytes]:
    """The strings of RFC 4251, section 5. Raises ValueError."""
    found: list[bytes] = []
    at = 0
    while at < len(raw):
        size = int.from_bytes(raw[at : at + 4], "big")
        at += 4
        if len(raw) - at < size or len(found) == 3:
            raise ValueError("cut")
        found.append(raw[at : at + size])
        at += size
    return found

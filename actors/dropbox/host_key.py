"""Who the drop box is: its host keys, made at the first start and kept. A logger that has pinned one would not come back to
another."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import asyncssh

from actors.dropbox.algorithms import RSA_HOST_KEY, RSA_HOST_KEY_LEGACY
from fleet.errors import BadInput

_KINDS: Final = 3
_RSA_BITS: Final = 3_072


def host_keys(file: Path, *, legacy: bool) -> Sequence[Any]:
    """All kinds, for asyncssh. `file` holds their private halves, 0600; `<file>.pub` the public ones, the best first.

    Raises BadInput (bad_host_key): it is not ours to throw away.
    """
    if not file.exists():
        _make(file)
    try:
        keys = asyncssh.read_private_key_list(file)
    except (OSError, asyncssh.KeyImportError):
        keys = []
    if len(keys) != _KINDS:
        raise BadInput("bad_host_key", f"{file} does not hold {_KINDS} host keys: restore it, loggers have pinned them")
    pairs = list(asyncssh.load_keypairs(keys))
    for pair in pairs:
        if pair.algorithm == b"ssh-rsa":
            pair.host_key_algorithms = RSA_HOST_KEY_LEGACY if legacy else RSA_HOST_KEY
    return pairs


def public_line(file: Path) -> str:
    """The key that people compare and pin: `ssh-ed25519 AAAA…`."""
    return file.with_name(f"{file.name}.pub").read_text().splitlines()[0]


def _make(file: Path) -> None:
    """Whole or not at all, and never readable by others."""
    keys = [asyncssh.generate_private_key(kind) for kind in ("ssh-ed25519", "ecdsa-sha2-nistp256")]
    keys.append(asyncssh.generate_private_key("ssh-rsa", key_size=_RSA_BITS))
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    public = file.with_name(f"{file.name}.pub")
    public.write_text("".join(_line(key) for key in keys))
    aside = file.with_name(f".{file.name}.new")
    aside.unlink(missing_ok=True)
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        out.write(b"".join(key.export_private_key("openssh") for key in keys))
        out.flush()
        os.fsync(out.fileno())
    aside.rename(file)


def _line(key: asyncssh.SSHKey) -> str:
    kind, blob, *_ = key.export_public_key("openssh").decode().split()
    return f"{kind} {blob}\n"

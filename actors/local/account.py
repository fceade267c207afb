"""Servers never run as root: started by root, they become an unprivileged account and live where it can reach them."""

import os
import pwd
import shutil
import stat
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from actors.local.texts import text
from fleet.errors import Unavailable

SHARED_STATE = Path(
    "/var/lib/solarperform"
)  # for what an unprivileged account must reach when a parent folder is closed to it


class Account(NamedTuple):
    name: str
    uid: int
    gid: int


def service_account(folder: Path, candidates: Sequence[str]) -> Account | None:
    """Who the server that lives in `folder` has to be: None (ourselves) unless we are root.

    The owner of an existing folder stays its owner, so that an account that appears later does not lock the data.
    Raises Unavailable (no_account).
    """
    if os.geteuid() != 0:
        return None
    if folder.exists() and folder.stat().st_uid != 0:
        owner = pwd.getpwuid(folder.stat().st_uid)
        return Account(owner.pw_name, owner.pw_uid, owner.pw_gid)
    for name in candidates:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise Unavailable("no_account", text("no_account", names=", ".join(candidates)))


def reaches(account: Account | None, folder: Path) -> bool:
    """Whether the account may pass through every folder on the way to, and including, `folder`."""
    if account is None:
        return True
    resolved = folder.resolve()
    return all(_passes(account, part) for part in (resolved, *resolved.parents) if part.exists())


def own_folder(folder: Path, account: Account | None) -> Path:
    """Makes the server's private folder (0700) and returns where it really is.

    Below a parent that is closed to the account, such as /root, the folder is a link into /var/lib/solarperform.
    """
    if account is None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder.resolve()
    if not folder.is_symlink() and not folder.exists() and not reaches(account, folder.parent):
        home = SHARED_STATE / f"{folder.name}-{sha256(str(folder.absolute()).encode()).hexdigest()[:12]}"
        home.mkdir(parents=True, exist_ok=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.symlink_to(home)
    home = folder.resolve()
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    home.chmod(0o700)
    os.chown(home, account.uid, account.gid)
    return home


def reachable_copy(tree: Path, account: Account | None, parts: Sequence[str]) -> Path:
    """`tree` itself, or, when the account cannot reach it, a copy of its `parts` that everyone may read and run."""
    if reaches(account, tree):
        return tree
    state = tree.stat()
    copy = SHARED_STATE / f"{tree.name}-{sha256(f'{tree}:{state.st_ino}:{state.st_mtime_ns}'.encode()).hexdigest()[:12]}"
    if not copy.exists():
        half = copy.with_name(f"{copy.name}.{os.getpid()}")
        for part in parts:
            shutil.copytree(tree / part, half / part, symlinks=True)
        half.rename(copy)
    return copy


def give(file: Path, account: Account | None, mode: int) -> None:
    """Hands a file over to the server's account."""
    file.chmod(mode)
    if account is not None:
        os.chown(file, account.uid, account.gid)


def _passes(account: Account, folder: Path) -> bool:
    state = folder.stat()
    if state.st_uid == account.uid:
        return bool(state.st_mode & stat.S_IXUSR)
    if state.st_gid == account.gid:
        return bool(state.st_mode & stat.S_IXGRP)
    return bool(state.st_mode & stat.S_IXOTH)

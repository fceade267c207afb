"""Names in a drop box, from the paths that clients send. Pure.

A box is flat, but some loggers will not send without a folder (WebdynSun pushes to /DATA, /ALARM, /LOG, /DEF, /CONFIG).
So a few folder names exist always, in any case of letters, at most FOLDERS_DEEP of them in a row; they are a prefix of the
name, and no place: nothing can be made in them, or out of them, that could not be made at the top.

    /DATA/x.csv.gz  →  Name('x.csv.gz', 'DATA')  →  the file DATA\\x.csv.gz

A backslash is what keeps the two apart: it is in no client's name, and means nothing to the file system.
"""

import unicodedata
from typing import Final, NamedTuple

from actors.dropbox.refused import Refused

FOLDERS: Final = frozenset(
    ("ALARM", "BIN", "CMD", "CONFIG", "CSV", "DATA", "DEF", "EXPORT", "IN", "INBOX", "INCOMING", "LOG", "UPLOAD", "UPLOADS")
)
FOLDERS_DEEP: Final = 2
NAME_BYTES_MAX: Final = 160  # in UTF-8; two folders and a stamp go before it, and a file system takes 255
PATH_BYTES_MAX: Final = 1_024
_SEPARATOR: Final = "\\"
_STRANGE: Final = frozenset(("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"))  # controls, invisible signs, line separators
_TEMPORARY: Final = (
    ".tmp", ".temp", ".part", ".partial", ".filepart", ".upload", ".uploading", ".incomplete", ".inprogress", "~",
)  # fmt: skip


class Folder(NamedTuple):
    """prefix: '' for the box itself, 'DATA', 'UPLOAD\\DATA'."""

    prefix: str

    @property
    def path(self) -> str:
        return "/" + self.prefix.replace(_SEPARATOR, "/")


class Name(NamedTuple):
    """name: as the client calls the file. prefix: of the folder it put it in."""

    name: str
    prefix: str = ""

    @property
    def stored(self) -> str:
        """The file's name on our disk."""
        return f"{self.prefix}{_SEPARATOR}{self.name}" if self.prefix else self.name

    @property
    def path(self) -> str:
        return Folder(self.prefix).path.rstrip("/") + "/" + self.name

    @property
    def temporary(self) -> bool:
        """Its sender means to rename it: `.x.csv`, `x.csv.tmp`, `x.csv.filepart`, `x.csv~`."""
        return self.name.startswith(".") or self.name.lower().endswith(_TEMPORARY)

    def is_successor_of(self, final: "Name") -> bool:
        """Whether this is a temporary name that becomes `final`: how clients replace a file in two steps."""
        return self.temporary and self.prefix == final.prefix and final.name.lower() in self.name.lower()


def stored_name(stored: str) -> Name:
    """Name.stored, read back."""
    prefix, _, name = stored.rpartition(_SEPARATOR)
    return Name(name, prefix)


def place(path: bytes) -> Name | Folder:
    """What a path means: a folder that exists always, else a file's name. Raises Refused (bad_name, no_such_folder)."""
    parts = _parts(path)
    if len(parts) <= FOLDERS_DEEP and all(part.upper() in FOLDERS for part in parts):
        return Folder(_SEPARATOR.join(part.upper() for part in parts))
    *folders, last = parts
    return Name(_checked(last), _prefix(folders))


def file_name(path: bytes) -> Name:
    """Raises Refused (bad_name, no_such_folder, is_a_folder)."""
    found = place(path)
    if isinstance(found, Folder):
        raise Refused("is_a_folder")
    return found


def resolved(path: bytes) -> str:
    """The canonical form of a path, '..' and all: what `pwd` and `cd` ask for. It never leaves the box, since nothing is
    above it. Raises Refused (bad_name, no_such_folder)."""
    parts: list[str] = []
    for part in _parts(path, climbing=True):
        if part == "..":
            del parts[-1:]
        else:
            parts.append(part)
    return place("/".join(parts).encode()).path


def _parts(path: bytes, *, climbing: bool = False) -> list[str]:
    if len(path) > PATH_BYTES_MAX:
        raise Refused("bad_name")
    try:
        text = path.decode()
    except UnicodeDecodeError:  # of an old logger: the same bytes always give the same name
        text = path.decode("latin-1")
    parts = [part for part in unicodedata.normalize("NFC", text).split("/") if part not in ("", ".")]
    if ".." in parts and not climbing:
        raise Refused("bad_name")
    return parts


def _prefix(folders: list[str]) -> str:
    upper = [folder.upper() for folder in folders]
    if len(upper) > FOLDERS_DEEP or not FOLDERS.issuperset(upper):
        raise Refused("no_such_folder")
    return _SEPARATOR.join(upper)


def _checked(name: str) -> str:
    if (
        not name
        or len(name.encode()) > NAME_BYTES_MAX
        or name != name.strip()
        or _SEPARATOR in name
        or any(unicodedata.category(sign) in _STRANGE for sign in name)
    ):
        raise Refused("bad_name")
    return name

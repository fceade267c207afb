"""What an archive says about itself.

Inside: header.json, then files and rows, then manifest.json. Whoever holds the key can read it without us:
`age -d -i KEY FILE | zstd -d | tar t`; a table's pieces, one after the other, are one binary COPY.
"""

from typing import Final, Literal

import msgspec

FORMAT: Final = 1
HEADER: Final = "header.json"
MANIFEST: Final = "manifest.json"
ROWS: Final = "database"  # database/<schema>.<table>/<piece>.copy
FILES: Final = "files"  # files/<folder>/<path>

Kind = Literal["backup", "snapshot"]


class Migration(msgspec.Struct, frozen=True):
    """checksum: SHA-256 of the file, hexadecimal."""

    name: str
    checksum: str


class Header(msgspec.Struct, frozen=True):
    """kind: a backup holds everything; a snapshot, taken before an upgrade, no original files and no boxes.

    taken_at        ISO 8601, of the database's one view
    database_bytes  what the database took on its disk, indexes included: how much room a restore needs
    files_bytes     of all folders
    folders         names of those that were kept: a restore touches no other
    """

    format: int
    kind: Kind
    release: str
    postgres: str
    taken_at: str
    database_bytes: int
    files_bytes: int
    folders: list[str]
    migrations: list[Migration]


class Table(msgspec.Struct, frozen=True):
    """A table, or one partition of one. sha256: of its rows as one binary COPY in the order of its key, hexadecimal."""

    name: str
    rows: int
    sha256: str


class Sequence(msgspec.Struct, frozen=True):
    name: str
    last_value: int
    is_called: bool


class File(msgspec.Struct, frozen=True):
    """folder: which of the kept ones; path: within it, '' where that is a single file. sha256: hexadecimal."""

    folder: str
    path: str
    size_bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """lost_originals: of files that the database says are kept and that were not there when the archive was made."""

    tables: list[Table]
    sequences: list[Sequence]
    files: list[File]
    lost_originals: list[str]

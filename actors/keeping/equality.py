"""The proof that what is in an installation is what an archive holds."""

import asyncio
from collections.abc import Sequence

import msgspec

from actors.keeping import folders, rows
from actors.keeping.manifest import File, Manifest, Table
from actors.keeping.texts import text
from fleet.errors import BadInput
from fleet.settings import KeptFolder
from fleet.storage import whole
from fleet.storage.database import Connection
from fleet.storage.whole import StoredSequence


def compare_lists(loaded: Sequence[Table], unpacked: Sequence[File], manifest: Manifest) -> None:
    """Of what came by. Raises BadInput (not_equal)."""
    found = _table_differences(manifest.tables, {table.name: table for table in loaded})
    missing = set(manifest.files) ^ set(unpacked)
    found += [text("differs_file", folder=one.folder, path=one.path) for one in sorted(missing, key=lambda one: one.path)]
    refuse(found)


async def differences(connection: Connection, kept: Sequence[KeptFolder], manifest: Manifest) -> list[str]:
    """Reads everything again, from the database and the disk; within a transaction, whose view it is. As sentences."""
    found = await asyncio.to_thread(folders.differences, kept, manifest.files)
    there = [await rows.known_by(connection, table) for table in await whole.tables(connection)]
    found += _table_differences(manifest.tables, {table.name: table for table in there if table is not None})
    stands = {one.name: one for one in await whole.sequences(connection)}
    for one in manifest.sequences:
        stand = stands.get(one.name)
        if stand != StoredSequence(*msgspec.structs.astuple(one)):
            told = {"found": stand and stand.last_value, "expected": one.last_value}
            found.append(text("differs_sequence", name=one.name, **told))
    return found


def refuse(found: Sequence[str]) -> None:
    """Raises BadInput (not_equal) where there is a difference."""
    if found:
        raise BadInput("not_equal", text("not_equal", number=len(found), first=found[0]))


def _table_differences(expected: Sequence[Table], found: dict[str, Table]) -> list[str]:
    said = [text("differs_table", name=name) for name in sorted({one.name for one in expected} ^ set(found))]
    for one in expected:
        there = found.get(one.name)
        if there is None or there == one:
            continue
        key = "differs_rows" if there.rows != one.rows else "differs_content"
        said.append(text(key, name=one.name, found=there.rows, expected=one.rows))
    return said

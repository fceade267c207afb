"""What operations watch of the database's contents, over all tenants: counts and ages, and no names."""

from typing import NamedTuple

from fleet.storage.database import Connection


class Figure(NamedTuple):
    """label: of several lines under one name, such as a state; '' where there is one."""

    name: str
    label: str
    value: float


async def figures(connection: Connection) -> list[Figure]:
    """A label that stands for nothing now is left out. Migration 0005 lists the names."""
    return [Figure(*row) for row in await connection.fetch("SELECT figure, label, value FROM supervision.operations()")]

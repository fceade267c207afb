"""What was ordered and promised, line by line, and what is known to be missing: the files beside this one, as structs."""

from functools import cache
from pathlib import Path
from typing import Final

import msgspec

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]


class Requirement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of the order. Its texts are French.

    places   files and folders of the repository, or pages and calls (they begin with "/")
    proofs   "unit/test_x.py" or "unit/test_x.py::test_y", below tests/: all of them ran and passed, or it is not proven
    lacking  what was not delivered: the line does not conform, whatever runs
    reason   why no test proves it (all of it): the line is not verified
    """

    id: str
    text: str = msgspec.field(name="exigence")
    promises: list[str] = msgspec.field(name="couvre")
    places: list[str] = msgspec.field(name="ou")
    proofs: list[str] = msgspec.field(name="preuves", default_factory=list)
    lacking: str = msgspec.field(name="manque", default="")
    reason: str = msgspec.field(name="motif", default="")
    remark: str = msgspec.field(name="remarque", default="")


class Chapter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    title: str = msgspec.field(name="chapitre")
    requirements: list[Requirement] = msgspec.field(name="exigence")


class PromiseGroup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Promises: key → French text."""

    title: str = msgspec.field(name="titre")
    promises: dict[str, str] = msgspec.field(name="promesses")


class Reserve(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What falls short: its goal, the figure that was measured, and the cause."""

    id: str
    what: str = msgspec.field(name="objet")
    goal: str = msgspec.field(name="but")
    measured: str = msgspec.field(name="mesure")
    cause: str


class Book(msgspec.Struct, frozen=True):
    chapters: list[Chapter]
    promises: list[PromiseGroup]
    reserves: list[Reserve]

    def requirements(self) -> list[Requirement]:
        return [each for chapter in self.chapters for each in chapter.requirements]

    def proofs(self) -> list[str]:
        """All tests that are named, each once, in the order of the book."""
        return list(dict.fromkeys(proof for each in self.requirements() for proof in each.proofs))


class _Promises(msgspec.Struct, forbid_unknown_fields=True):
    groups: list[PromiseGroup] = msgspec.field(name="groupe")


class _Reserves(msgspec.Struct, forbid_unknown_fields=True):
    reserves: list[Reserve] = msgspec.field(name="reserve")


@cache
def book() -> Book:
    return Book(
        [
            msgspec.toml.decode(file.read_bytes(), type=Chapter, strict=True)
            for file in sorted((HERE / "exigences").glob("*.toml"))
        ],
        msgspec.toml.decode((HERE / "promesses.toml").read_bytes(), type=_Promises).groups,
        msgspec.toml.decode((HERE / "reserves.toml").read_bytes(), type=_Reserves).reserves,
    )

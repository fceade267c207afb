"""The heading lines of Enedis's CSV files, and which file begins like that."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal, NamedTuple

from fleet.codecs.files.enedis.words import PRM_DIGITS, skeleton
from fleet.codecs.files.lines import head_lines

# values: Horodate;Valeur, whatever of; curve: the same with its unit and its stamp's end in words; days: Date;Valeur (en Wh)
Kind = Literal["preamble", "values", "curve", "index", "days", "calendar", "email", "r6x", "r64"]

_BRACKETED: Final = re.compile(r"\((n )?(k?wh?|mwh?)\)")
_VALUE_WORDS: Final = ("valur", "consommation", "production", "injction", "soutirag")


class Heading(NamedTuple):
    """names: of the columns, as skeletons. told: what the line itself says (pairs of name and value)."""

    kind: Kind
    names: tuple[str, ...]
    told: Mapping[str, str]


def cells_of(text: str) -> list[str]:
    return [each.strip().strip('"').strip() for each in text.split(";")]


def heading(text: str) -> Heading | None:
    """None: it is none."""
    cells = cells_of(text)
    while cells and not cells[-1]:
        cells.pop()
    if len(cells) < 2:
        return None
    names = tuple(skeleton(each) for each in cells)
    kind = _kind(names)
    if kind is not None:
        return Heading(kind, names, {})
    told = _pairs(names, cells)
    return Heading("preamble", (), told) if told else None


def unit_in_brackets(name: str) -> str | None:
    """'valur (n kwh)' → 'kwh'"""
    found = _BRACKETED.search(name)
    return None if found is None else found[2]


def _kind(names: Sequence[str]) -> Kind | None:
    first, second, two = names[0], names[1], len(names) == 2
    of_meter = first == "idntifiant prm"
    points = of_meter and "horodat" in names and "valur" in names
    classes = "cadran" in names or "idntifiant class tmporll" in names
    told: tuple[tuple[bool, Kind], ...] = (
        (first == "horodat" and second == "valur" and two, "values"),
        (first == "horodat" and second.startswith("typ d r"), "index"),
        (first.startswith("horodat iso") and second.startswith("puissanc moynn") and two, "curve"),
        (first == "dat" and all(_is_day_column(each) for each in names[1:]), "days"),
        (first == "dat d la msur" and "valur" in names, "email"),
        (first in {"priod", "priods"} and second.startswith("idntifiant"), "calendar"),
        (points, "r64" if classes else "r6x"),
        (of_meter and second.startswith("typ d d"), "preamble"),
    )
    return next((kind for is_so, kind in told if is_so), None)


def _is_day_column(name: str) -> bool:
    return name.startswith(_VALUE_WORDS) and unit_in_brackets(name) is not None


def _is_enedis_alone(names: Sequence[str]) -> bool:
    """Without a meter's number only these: other makers, too, have a column 'Production (kWh)'."""
    return len(names) == 2 and names[1].startswith(("valur (n ", "consommation (n "))


def _pairs(names: Sequence[str], cells: Sequence[str]) -> dict[str, str]:
    """'Identifiant PRM;12345678901234;Type de donnees;Courbe de charge' in one line."""
    if not (names[0].startswith("idntifiant prm") or "(prm)" in names[0] or names[0].startswith("typ d ")):
        return {}
    if names[0].startswith("typ d ") or (cells[1].isdecimal() and len(cells[1]) == PRM_DIGITS):
        return {key.rstrip(" :"): value for key, value in zip(names[::2], cells[1::2], strict=False)}
    return {}


Recogniser = Callable[[bytes], bool]


def begins(*wanted: str) -> Recogniser:
    """For files whose first columns' heading, below the preamble, is of that kind."""
    return lambda head: first_kind(head) in wanted


def first_kind(head: bytes) -> str | None:
    """The kind of the first heading of columns; for 'values', what they are of: 'curve' or 'peaks'."""
    typed = ""
    preamble: tuple[str, ...] = ()
    of_meter = False
    for text in head_lines(head):
        if preamble:
            if text.strip(" ;"):
                typed, preamble = type_of_data(told_below(preamble, text)), ()
            continue
        found = heading(text)
        if found is None:
            if text[:1].isdigit():
                return None
        elif found.kind == "preamble":
            preamble, typed = found.names, type_of_data(found.told) or typed
            of_meter = True
        elif found.kind == "days" and not of_meter:
            return "days" if _is_enedis_alone(found.names) else None
        elif found.kind == "values":
            return shape_of(typed) if typed else None
        else:
            return found.kind
    return None


def shape_of(typed: str) -> Literal["curve", "days", "peaks"]:
    """What 'Horodate;Valeur' is of. typed: see type_of_data."""
    return "peaks" if "maximal" in typed else "days" if "quotidin" in typed else "curve"


def told_below(names: Sequence[str], text: str) -> dict[str, str]:
    """A preamble's values stand in the line below its names."""
    return dict(zip(names, cells_of(text), strict=False))


def type_of_data(told: Mapping[str, str]) -> str:
    return skeleton(told.get("typ d donns", told.get("typ d comptag", "")))

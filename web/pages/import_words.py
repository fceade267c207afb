"""Files in the words of people: states, ways, stages, and what a logger's settings can be."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from fleet.codecs.files.reading import DateOrder, Role, StampEnd
from fleet.places import ZONES
from fleet.storage.import_lists import FileState, FileVia, Show
from web.i18n import N_, say
from web.language import Language


class StateLook(NamedTuple):
    """status: the colour of the chip, as that of a health."""

    text: str
    icon: str
    status: str


_STATES: Final[Mapping[FileState, StateLook]] = {
    "received": StateLook(N_("Waits for its turn"), "clock", "unknown"),
    "reading": StateLook(N_("Being read"), "search", "asleep"),
    "storing": StateLook(N_("Being stored"), "download", "asleep"),
    "imported": StateLook(N_("Imported"), "check", "ok"),
    "partly": StateLook(N_("Imported in part"), "triangle", "warning"),
    "quarantined": StateLook(N_("Quarantined"), "cross", "fault"),
    "same": StateLook(N_("Known already"), "copy", "asleep"),
    "undoing": StateLook(N_("Being undone"), "undo", "asleep"),
    "undone": StateLook(N_("Undone"), "undo", "unknown"),
}
_SHOWS: Final[Mapping[Show, str]] = {
    "active": N_("In progress"),
    "quarantined": N_("Quarantined"),
    "partly": N_("With refused lines"),
    "waiting": N_("Waiting for a device"),
    "imported": N_("Imported"),
    "undone": N_("Undone"),
}
_VIAS: Final[Mapping[FileVia, str]] = {
    "sftp": N_("came by SFTP"),
    "pull": N_("fetched from a server"),
    "upload": N_("sent by hand"),
}
_STAGES: Final = {
    "waiting": N_("Waits for its turn"),
    "reading": N_("Being read"),
    "storing": N_("Read to its end; being stored"),
    "undoing": N_("What it has stored is being taken out"),
}
DATE_ORDERS: Final[Mapping[DateOrder, str]] = {
    "dmy": N_("day / month / year"),
    "mdy": N_("month / day / year"),
    "ymd": N_("year / month / day"),
}
STAMPS: Final[Mapping[StampEnd, str]] = {
    "start": N_("the beginning of the interval"),
    "end": N_("the end of the interval"),
    "instant": N_("the very instant of the reading"),
}
ROLES: Final[Mapping[Role, str]] = {
    "pv": N_("solar production"),
    "grid": N_("exchange with the grid"),
    "battery": N_("a battery"),
    "load": N_("consumption"),
}
_CONCERNS: Final = {
    "failing": N_("its latest files cannot be read"),
    "missing": N_("the file that was expected has not come"),
    "pull_failing": N_("fetching its files fails again and again"),
}
_FIXED: Final[Mapping[str, str]] = {
    "+01:00": N_("UTC+1 all year: a clock that stays at winter time"),
    "+02:00": N_("UTC+2 all year"),
    "+00:00": N_("UTC"),
}


def state(code: FileState, language: Language) -> StateLook:
    look = _STATES[code]
    return look._replace(text=say(language, look.text))


def shows(language: Language) -> list[tuple[Show, str]]:
    """What a list can be narrowed to, in the order of what asks for somebody."""
    return [(code, say(language, text)) for code, text in _SHOWS.items()]


def via(code: FileVia, language: Language) -> str:
    return say(language, _VIAS[code])


def stage(code: str, language: Language) -> str:
    return say(language, _STAGES[code])


def concern(kind: str, language: Language) -> str:
    return say(language, _CONCERNS[kind])


def date_orders(language: Language) -> list[tuple[str, str]]:
    return [(code, say(language, text)) for code, text in DATE_ORDERS.items()]


def stamps(language: Language) -> list[tuple[str, str]]:
    return [(code, say(language, text)) for code, text in STAMPS.items()]


def roles(language: Language) -> list[tuple[str, str]]:
    return [(code, say(language, text)) for code, text in ROLES.items()]


def zones(language: Language, chosen: str | None) -> list[tuple[str, str]]:
    """Clocks that are never moved first, then zones; and the chosen one, whatever it is."""
    found = [(code, say(language, text)) for code, text in _FIXED.items()] + [(zone, zone) for zone in ZONES]
    if chosen and chosen not in {code for code, _ in found}:
        found.append((chosen, chosen))
    return found

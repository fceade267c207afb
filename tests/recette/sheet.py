"""The record as its template lays it out: every word in French, every figure in its form. Pure."""

import re
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec
from babel.dates import format_datetime
from babel.numbers import format_decimal

from tests.recette.book import Book, Chapter, PromiseGroup, Reserve
from tests.recette.machine import Subject
from tests.recette.results import Run, digest
from tests.recette.verdict import Line, Proof, ProofState, Status, worst

_LOCALE: Final = "fr_FR"
_STATES: Final[dict[ProofState, str]] = {"passed": "réussi", "failed": "échec", "skipped": "ignoré", "absent": "absent"}
_BEFORE_SIGNS: Final = re.compile(r" (?=[:;?!»%])|(?<=«) |(?<=[≤≥]) |(?<=\d) (?=\d{3}\b)")
_BREAKS: Final = re.compile(r"(?<=[/_.:])(?=\w)")

Pairs = list[tuple[str, str]]


class Counts(msgspec.Struct, frozen=True):
    conforme: int
    non_conforme: int
    non_verifie: int


class PrintedTest(msgspec.Struct, frozen=True):
    name: str
    state: ProofState
    said: str


class PrintedFile(msgspec.Struct, frozen=True):
    name: str
    tests: list[PrintedTest]


class PrintedLine(msgspec.Struct, frozen=True):
    id: str
    text: str
    remark: str
    status: Status
    why: str
    places: list[str]
    files: list[PrintedFile]


class PrintedChapter(msgspec.Struct, frozen=True):
    title: str
    counts: Counts
    lines: list[PrintedLine]


class PrintedPromise(msgspec.Struct, frozen=True):
    key: str
    text: str
    lines: str
    status: Status


class PrintedGroup(msgspec.Struct, frozen=True):
    title: str
    named: bool  # its keys are names that users type; else only ours
    promises: list[PrintedPromise]


class Sheet(msgspec.Struct, frozen=True):
    """tests/recette/recette.typ's data."""

    release: str
    commit: str
    made: str
    counts: Counts
    tests: Pairs
    subject: Pairs
    machine: Pairs
    warnings: list[str]
    runs: list[Pairs]
    open_lines: list[PrintedLine]
    chapters: list[PrintedChapter]
    promises: list[PrintedGroup]
    reserves: list[Reserve]


def sheet(
    book: Book, lines: dict[str, Line], runs: Sequence[Run], subject: Subject, machine: Pairs, made: datetime
) -> Sheet:
    printed = [_chapter(chapter, lines) for chapter in book.chapters]
    cases = Counter(case.outcome for run in runs for case in run.cases)
    return Sheet(
        release=subject.release,
        commit=subject.commit[:12] or "hors dépôt",
        made=_moment(made),
        counts=_counts(list(lines.values())),
        tests=[
            ("Exigences", _number(len(lines))),
            ("Preuves nommées", _number(len(book.proofs()))),
            ("Cas d'essai exécutés", _number(sum(cases.values()))),
            ("réussis, échoués, ignorés", " · ".join(_number(cases[each]) for each in ("passed", "failed", "skipped"))),
            ("Durée des exécutions", _duration(sum(run.seconds for run in runs))),
        ],
        subject=[
            ("Version", subject.release),
            (
                "Révision",
                (broken(subject.commit) or "hors dépôt") + (" (fichiers modifiés depuis)" if subject.altered else ""),
            ),
            ("Établi le", _moment(made)),
            ("Empreinte des résultats", broken(digest(runs)) if runs else "aucun résultat"),
        ],
        machine=[(label, french(value)) for label, value in machine],
        warnings=_warnings(runs, subject),
        runs=[_run(run) for run in runs],
        open_lines=[line for chapter in printed for line in chapter.lines if line.status != "conforme"],
        chapters=printed,
        promises=[_group(group, lines) for group in book.promises],
        reserves=[_reserve(each) for each in book.reserves],
    )


def _chapter(chapter: Chapter, lines: dict[str, Line]) -> PrintedChapter:
    own = [lines[each.id] for each in chapter.requirements]
    return PrintedChapter(french(chapter.title), _counts(own), [_line(each) for each in own])


def _line(line: Line) -> PrintedLine:
    requirement = line.requirement
    return PrintedLine(
        id=requirement.id,
        text=french(requirement.text),
        remark=french(requirement.remark),
        status=line.status,
        why=french(line.why),
        places=[broken(each) for each in requirement.places],
        files=_files(line.proofs),
    )


def _files(proofs: Sequence[Proof]) -> list[PrintedFile]:
    """Tests of one file stand together, under its name."""
    found: dict[str, list[PrintedTest]] = {}
    for proof in proofs:
        file, _, test = proof.name.partition("::")
        shown = broken(test.removeprefix("test_")) if test else "tout le fichier"
        found.setdefault(file, []).append(PrintedTest(shown, proof.state, _said(proof)))
    return [PrintedFile(broken(file.removesuffix(".py")), tests) for file, tests in found.items()]


def _said(proof: Proof) -> str:
    if proof.state == "passed":
        return "réussi" if proof.cases == 1 else f"réussi, {_number(proof.cases)} cas"
    return french(f"{_STATES[proof.state]} : {proof.reason}") if proof.reason else _STATES[proof.state]


def _group(group: PromiseGroup, lines: dict[str, Line]) -> PrintedGroup:
    printed = []
    for key, text in group.promises.items():
        covering = [line for line in lines.values() if key in line.requirement.promises]
        ids = ", ".join(line.requirement.id for line in covering)
        printed.append(PrintedPromise(broken(key), french(text), ids, worst([line.status for line in covering])))
    return PrintedGroup(french(group.title), group.title.startswith("Le contrat"), printed)


def _reserve(each: Reserve) -> Reserve:
    return Reserve(each.id, *(french(text) for text in (each.what, each.goal, each.measured, each.cause)))


def _run(run: Run) -> Pairs:
    outcomes = Counter(case.outcome for case in run.cases)
    counted = ", ".join(_plural(outcomes[outcome], _STATES[outcome]) for outcome in ("passed", "failed", "skipped"))
    return [
        ("Fichier", broken(run.name)),
        ("Commencé", french(run.started) or "non indiqué"),
        ("Révision essayée", broken(run.commit) or "non indiquée"),
        ("Cas", counted),
        ("Durée", _duration(run.seconds)),
        ("SHA-256", broken(run.sha256)),
    ]


def _warnings(runs: Sequence[Run], subject: Subject) -> list[str]:
    """What a reader has to know before believing the rest."""
    found = []
    if not runs:
        found.append("Aucun résultat n'a été donné : rien n'est prouvé.")
    if subject.altered:
        found.append("Des fichiers différaient de la révision indiquée quand ce document a été établi.")
    for run in runs:
        if not run.commit:
            found.append(f"{run.name} ne dit pas quelle révision a été essayée.")
        elif run.commit.removesuffix("+") != subject.commit:
            found.append(f"{run.name} vient d'une autre révision ({run.commit[:12]}).")
        elif run.commit.endswith("+"):
            found.append(f"{run.name} vient de cette révision, avec des fichiers modifiés.")
    return [french(each) for each in found]


def _counts(lines: Sequence[Line]) -> Counts:
    found = Counter(line.status for line in lines)
    return Counts(found["conforme"], found["non conforme"], found["non vérifié"])


def _number(value: float) -> str:
    return str(format_decimal(value, locale=_LOCALE))


def _plural(number: int, word: str) -> str:
    return f"{_number(number)} {word}{'s' * (number > 1)}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _moment(at: datetime) -> str:
    return str(format_datetime(at, "d MMMM y, HH:mm zzz", locale=_LOCALE))


def french(text: str) -> str:
    """Signs keep to their words: no line begins with a colon, no number is cut."""
    return _BEFORE_SIGNS.sub("\u202f", text)


def broken(name: str) -> str:
    """A name with places to break where its parts end."""
    if re.fullmatch(r"[0-9a-f]{40,64}\+?", name):
        return "\u200b".join(name[start : start + 16] for start in range(0, len(name), 16))
    return _BREAKS.sub("\u200b", name)

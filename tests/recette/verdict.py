"""From requirements and results to a verdict for each line and each promise. Pure."""

from collections import Counter
from typing import Final, Literal

import msgspec

from tests.recette.book import Book, Requirement
from tests.recette.results import Evidence

Status = Literal["conforme", "non conforme", "non vérifié"]
ProofState = Literal["passed", "failed", "skipped", "absent"]
_BAD_FIRST: Final[tuple[Status, ...]] = ("non conforme", "non vérifié", "conforme")


class Proof(msgspec.Struct, frozen=True):
    """cases: how many ran. seconds: all of them together."""

    name: str
    state: ProofState
    cases: int
    seconds: float
    reason: str


class Line(msgspec.Struct, frozen=True):
    requirement: Requirement
    status: Status
    why: str
    proofs: list[Proof]


def judge(requirement: Requirement, evidence: Evidence) -> Line:
    proofs = [prove(name, evidence) for name in requirement.proofs]
    status, why = _status(requirement, proofs)
    return Line(requirement, status, why, proofs)


def prove(name: str, evidence: Evidence) -> Proof:
    """Passed: it ran, all of it, and nothing failed or was left out."""
    cases = evidence.of(name)
    outcomes = Counter(case.outcome for case in cases)
    state: ProofState = "passed"
    for worst in ("failed", "skipped"):
        if outcomes[worst]:
            state = worst
            break
    if not cases:
        state = "absent"
    reason = next((case.reason for case in cases if case.outcome == state), "") if state != "passed" else ""
    return Proof(name, state, len(cases), sum(case.seconds for case in cases), reason)


def _status(requirement: Requirement, proofs: list[Proof]) -> tuple[Status, str]:
    if requirement.lacking:
        return "non conforme", requirement.lacking
    states = Counter(proof.state for proof in proofs)
    if states["failed"]:
        return "non conforme", _counted(states["failed"], "preuve a échoué", "preuves ont échoué")
    if requirement.reason or not proofs:
        return "non vérifié", requirement.reason
    if states["skipped"]:
        return "non vérifié", _counted(
            states["skipped"], "preuve ignorée sur cette machine", "preuves ignorées sur cette machine"
        )
    if states["absent"]:
        return "non vérifié", _counted(states["absent"], "preuve absente des résultats", "preuves absentes des résultats")
    return "conforme", ""


def _counted(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}."


def worst(statuses: list[Status]) -> Status:
    """Of a promise that several lines cover."""
    return next((status for status in _BAD_FIRST if status in statuses), "non vérifié")


def judged(book: Book, evidence: Evidence) -> dict[str, Line]:
    """By the requirement's id, in the order of the book."""
    return {each.id: judge(each, evidence) for each in book.requirements()}

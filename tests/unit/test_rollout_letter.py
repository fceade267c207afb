"""What is written to whoever made a rollout that has stopped by itself."""

from itertools import product
from typing import Literal, get_args

import pytest

from actors.rollouts.letter import letter
from fleet.limits import MAIL_SUBJECT_CHARS_MAX
from fleet.rollouts.energy import EnergyLack
from fleet.rollouts.lifecycle import Rollout, Stop, StopCode
from fleet.rollouts.outcome_words import advice_said, lack_said
from fleet.rollouts.plan import RolloutPlan
from fleet.storage.mail import check_subject
from fleet.targets import TargetQuery
from web import rollout_texts

_KINDS = ("pause", "return", "abort", "recall", "fail")
_CODES = [code for code in get_args(StopCode) if code != "person"]


@pytest.mark.parametrize(("code", "kind", "language"), list(product(_CODES, _KINDS, ("fr", "en"))))
def test_every_reason_has_its_words(code: StopCode, kind: str, language: str) -> None:
    stop = Stop(code, 0, 0, count=3, of=12, measured_pct=-12.34, limit_pct=-5.0)
    subject, body = letter(_rollout("Limite 70 %"), kind, stop, language, "https://portal.test")
    check_subject(subject)
    assert "Limite 70 %" in subject
    assert body.endswith("https://portal.test/ops/rollouts/r1\n")
    assert "{" not in body
    if code == "energy":
        assert ("-12,3" if language == "fr" else "-12.3") in body


@pytest.mark.parametrize("language", ["fr", "en"])
def test_a_yield_that_cannot_be_compared_says_what_was_missing(language: Literal["fr", "en"]) -> None:
    lacks: list[EnergyLack | None] = [None, *get_args(EnergyLack)]
    bodies = {_written(Stop("energy_unknown", 0, 0, of=3, lacks=each), language): each for each in lacks}
    assert len(bodies) == len(lacks)
    assert all(lack_said(each, language) in body for body, each in bodies.items() if each is not None)


@pytest.mark.parametrize("language", ["fr", "en"])
def test_a_letter_advises_what_the_page_does(language: Literal["fr", "en"]) -> None:
    for outcomes, held_back in (({"rejected": 2}, 0), ({"away": 2}, 0), ({"away": 2}, 1), ({"away": 2}, 2)):
        away = outcomes.get("away", 0)
        stop = Stop("no_outcome", 0, 0, away, 2, outcomes=outcomes, held_back=held_back)  # type: ignore[arg-type]
        advice = advice_said(stop, language)
        assert advice in _written(stop, language)
        assert rollout_texts.stop(stop, "paused", None, language).endswith(advice)


@pytest.mark.parametrize("language", ["fr", "en"])
def test_canaries_that_refused_are_not_said_to_sleep(language: str) -> None:
    refused = Stop("no_outcome", 0, 0, 0, 2, outcomes={"rejected": 2})
    _, body = letter(_rollout("Limite 70 %"), "pause", refused, language, "https://portal.test")
    assert ("refus : 2 sur 2" if language == "fr" else "refused: 2 of 2") in body
    assert ("dorment" if language == "fr" else "sleep") not in body
    asleep = Stop("no_outcome", 0, 0, 3, 3, outcomes={"away": 2, "absent": 1})
    _, body = letter(_rollout("Limite 70 %"), "pause", asleep, language, "https://portal.test")
    assert ("hors ligne ou endormis : 3 sur 3" if language == "fr" else "offline or asleep: 3 of 3") in body
    assert ("dorment" if language == "fr" else "sleep") in body


@pytest.mark.parametrize("language", ["fr", "en"])
def test_who_is_there_and_was_sent_nothing_is_not_said_to_sleep(language: Literal["fr", "en"]) -> None:
    asleep, profile, abort = ("dorment", "profil", "arrêtez") if language == "fr" else ("sleep", "profile", "abort")
    body = _written(Stop("no_outcome", 0, 0, 3, 3, outcomes={"away": 3}, held_back=3), language)
    assert ("(pas encore envoyés : 3 sur 3)" if language == "fr" else "(not sent yet: 3 of 3)") in body
    assert asleep not in body
    assert profile in body
    assert abort in body
    body = _written(Stop("no_outcome", 0, 0, 3, 3, outcomes={"away": 2, "absent": 1}, held_back=1), language)
    assert ("pas encore envoyés : 1 sur 3" if language == "fr" else "not sent yet: 1 of 3") in body
    assert ("hors ligne ou endormis : 2 sur 3" if language == "fr" else "offline or asleep: 2 of 3") in body
    assert asleep in body
    assert profile in body
    body = _written(Stop("no_outcome", 0, 0, 1, 3, outcomes={"away": 1, "rejected": 2}, held_back=1), language)
    assert asleep not in body, "some have refused: that is to be mended first"


def test_a_name_makes_no_second_header() -> None:
    subject, _ = letter(_rollout("a\r\nBcc: b@c" * 40), "return", Stop("rejected", 0, 0), "en", "https://portal.test")
    check_subject(subject)
    assert len(subject) <= MAIL_SUBJECT_CHARS_MAX


def _written(stop: Stop, language: Literal["fr", "en"]) -> str:
    return letter(_rollout("x"), "pause", stop, language, "https://portal.test")[1]


def _rollout(name: str) -> Rollout:
    return Rollout(
        "r1", name, "inverter", None, None, TargetQuery(), {"a": 1.0}, RolloutPlan(), "", "running", 0, 0, None, None, None,
        {}, 10, 1, 0, None, None,
    )  # fmt: skip

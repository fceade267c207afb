"""What holds strangers off the enrolment server, and the words that refusals have."""

import asyncio
import base64
from typing import Any

import pytest
from litestar.types import Message

from certs import problems, texts
from certs.est import tried_with
from certs.listener import Failures, Gate
from certs.refusals import Refusal
from fleet import claim_code
from fleet.errors import FleetError

SCOPE: Any = {"type": "http", "client": ("192.0.2.1", 4711), "headers": [(b"accept-language", b"fr")]}


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


async def nothing_more() -> Any:
    raise AssertionError("nobody reads the body")


def test_an_addresss_failures_are_counted_for_a_minute() -> None:
    failures = Failures(per_min=3)
    for second in range(3):
        assert not failures.too_many("a", float(second))
        failures.add("a", float(second))
    assert failures.too_many("a", 59.0)
    assert not failures.too_many("b", 59.0)
    assert not failures.too_many("a", 60.0)
    failures.add("a", 61.0)
    assert not failures.too_many("a", 62.0)


def test_the_counts_are_bounded() -> None:
    failures = Failures(per_min=1, keys_max=10)
    for number in range(100):
        failures.add(f"address {number}", 0.0)
    assert not failures.too_many("address 0", 0.0)
    assert failures.too_many("address 99", 0.0)


async def test_more_than_so_many_at_once_are_told_to_come_back() -> None:
    release, answers = asyncio.Event(), list[Message]()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await release.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: Message) -> None:
        answers.append(message)

    gate = Gate(app, Failures(), at_once=2)
    running = [asyncio.create_task(gate(SCOPE, nothing_more, send)) for _ in range(2)]
    await asyncio.sleep(0)
    await gate(SCOPE, nothing_more, send)
    start: Any = answers[0]
    assert start["status"] == 503
    assert dict(start["headers"])[b"retry-after"] == b"2"
    assert "Service occupé".encode() in answers[1]["body"]  # type: ignore[typeddict-item]
    release.set()
    await asyncio.gather(*running)
    await gate(SCOPE, nothing_more, send)
    assert [message["status"] for message in answers[2:] if message["type"] == "http.response.start"] == [200, 200, 200]


async def test_who_is_refused_too_often_is_not_even_asked() -> None:
    asked, answers = 0, list[Message]()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal asked
        asked += 1
        await send({"type": "http.response.start", "status": 401, "headers": []})

    async def send(message: Message) -> None:
        answers.append(message)

    gate = Gate(app, Failures(per_min=2))
    for _ in range(3):
        await gate(SCOPE, nothing_more, send)
    assert asked == 2
    assert [message["status"] for message in answers if message["type"] == "http.response.start"] == [401, 401, 429]


def test_every_code_has_its_words_in_both_languages() -> None:
    for code in problems.codes() | {"unknown_profile"}:
        french, english = (texts.text_of(code, language) for language in ("fr", "en"))
        assert french != english, code
        assert english != texts.text_of("refused", "en"), code
        assert french != texts.text_of("refused", "fr"), code


def test_an_unexpected_error_tells_nothing_about_itself() -> None:
    told = problems.problem_of(RuntimeError("password of the database"), "en")
    assert (told.status, told.code) == (500, "internal_error")
    assert "password" not in told.detail
    assert problems.problem_of(FleetError("unheard_of", "x"), "fr").status == 500


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("*", "en"),
        ("fr-FR,fr;q=0.9,en;q=0.8", "fr"),
        ("en,fr", "en"),
        ("de, fr;q=0.5", "fr"),
        ("fr;q=0, en", "en"),
    ],
)
def test_the_language_is_english_unless_french_is_asked_for(header: str, language: str) -> None:
    assert problems.language_of(header) == language


def test_the_code_alone_names_its_claim() -> None:
    code = claim_code.make()
    for user in ("", "device", code.id, code.id.upper()):
        assert tried_with(basic(user, code.typed.lower())).claim == code.id
    other = claim_code.make()
    mixed = tried_with(basic(other.id, code.code))
    assert (mixed.claim, mixed.code_hash) == (other.id, code.hash)
    assert tried_with(basic(code.id, "short")).typing_error


@pytest.mark.parametrize(
    "header", [None, "", "Basic", "Basic !!!", "Bearer abc", "Basic " + base64.b64encode(b"\xff:x").decode()]
)
def test_without_a_claim_nothing_is_tried(header: str | None) -> None:
    with pytest.raises(Refusal) as caught:
        tried_with(header)
    assert caught.value.code == "claim_missing"
    with pytest.raises(Refusal) as caught:
        tried_with(basic("somebody", "guess"))
    assert caught.value.code == "claim_wrong_code"

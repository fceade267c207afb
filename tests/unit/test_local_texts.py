"""The launcher speaks both languages equally well."""

from string import Formatter

import pytest

from actors.local.texts import ENGLISH, FRENCH, language, text


def test_both_languages_say_the_same_things() -> None:
    assert ENGLISH.keys() == FRENCH.keys()


@pytest.mark.parametrize("key", sorted(ENGLISH))
def test_both_languages_name_the_same_values(key: str) -> None:
    assert _placeholders(ENGLISH[key]) == _placeholders(FRENCH[key])


@pytest.mark.parametrize(("lang", "expected"), [("fr_FR.UTF-8", "fr"), ("fr", "fr"), ("C", "en"), ("", "en")])
def test_lang_chooses(monkeypatch: pytest.MonkeyPatch, lang: str, expected: str) -> None:
    monkeypatch.delenv("LC_ALL", raising=False)
    monkeypatch.delenv("LC_MESSAGES", raising=False)
    monkeypatch.setenv("LANG", lang)
    assert language() == expected


def test_values_are_filled_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "fr_FR.UTF-8")
    assert text("bad_sites", most=7) == "--sites doit être compris entre 1 et 7."


def _placeholders(sentence: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(sentence) if name}

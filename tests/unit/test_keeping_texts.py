"""What backup and restore say exists in both languages, with the same placeholders."""

from string import Formatter

from actors.keeping.texts import ENGLISH, FRENCH


def test_both_languages_say_the_same() -> None:
    assert set(FRENCH) == set(ENGLISH)
    for key in ENGLISH:
        assert placeholders(FRENCH[key]) == placeholders(ENGLISH[key]), key


def placeholders(sentence: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(sentence) if name}

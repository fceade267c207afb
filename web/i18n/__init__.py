"""The pages' words: English in the code, French in fr.po, read once at the start."""

from functools import lru_cache
from importlib import resources
from io import BytesIO

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations

from web.language import Language


def N_(text: str) -> str:  # noqa: N802 - gettext's own name for "translate this one later"
    """Marks a text for the catalogue without translating it here."""
    return text


@lru_cache
def translations(language: Language) -> NullTranslations:
    """English is the language of the code and needs no catalogue."""
    if language == "en":
        return NullTranslations()
    po = resources.files("web.i18n").joinpath(f"{language}.po").read_bytes()
    compiled = BytesIO()
    write_mo(compiled, read_po(BytesIO(po), locale=language))
    compiled.seek(0)
    return Translations(compiled)


def say(language: Language, text: str, **gaps: object) -> str:
    """`text` in `language`, its %(gaps)s filled in."""
    translated = translations(language).gettext(text)
    return translated % gaps if gaps else translated


def say_count(language: Language, one: str, many: str, count: int) -> str:
    """`one` or `many`, whose %(num)s is the count."""
    return translations(language).ngettext(one, many, count) % {"num": count}

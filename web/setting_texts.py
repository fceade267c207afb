"""What is wrong with a value of a configuration or of a command, in the words of people, and what would be right."""

from collections.abc import Mapping
from typing import Final

from fleet.device_setting import ProblemCode, SettingProblem
from web.language import Language

_FRENCH: Final[Mapping[ProblemCode, str]] = {
    "unknown_key": "Ce réglage n’existe pas sur cet appareil. Il connaît : %s.",
    "wrong_unit": "Ce réglage existe sous une autre unité : %s.",
    "wrong_type": "Cette valeur n’est pas de la bonne sorte ; attendu : %s.",
    "out_of_range": "Hors des limites de l’appareil ; permis : %s.",
    "grid_code": "Le raccordement au réseau ne le permet pas ; permis : %s.",
    "read_only": "Ce réglage se lit seulement : laissez-le tel qu’il est.",
    "not_a_choice": "Ce n’est pas un des choix : %s.",
    "too_long": "Ce texte est trop long, ou contient un signe interdit ; %s caractères au plus.",
    "needs": "Ce réglage n’a d’effet que si %s : changez cela aussi, ou laissez sa valeur par défaut.",
    "not_below": "Cette valeur doit rester en dessous : %s.",
    "too_many": "Trop de réglages à la fois ; %s au plus.",
}
_ENGLISH: Final[Mapping[ProblemCode, str]] = {
    "unknown_key": "This device has no such setting. It knows: %s.",
    "wrong_unit": "This setting exists in another unit: %s.",
    "wrong_type": "This value is not of the right kind; expected: %s.",
    "out_of_range": "Beyond the device's limits; allowed: %s.",
    "grid_code": "The grid connection does not allow it; allowed: %s.",
    "read_only": "This setting can only be read: leave it as it is.",
    "not_a_choice": "This is none of the choices: %s.",
    "too_long": "This text is too long, or holds a character that it must not; at most %s characters.",
    "needs": "This setting only counts while %s: change that as well, or leave its default.",
    "not_below": "This value must stay below: %s.",
    "too_many": "Too many settings at once; at most %s.",
}
_WORDS: Final[Mapping[Language, Mapping[str, str]]] = {
    "fr": {"true": "activé", "false": "désactivé", "none": "aucun"},
    "en": {"true": "on", "false": "off", "none": "none"},
}


def setting_message(problem: SettingProblem, language: Language, labels: Mapping[str, str] | None = None) -> str:
    """labels: what to call other settings that it speaks of; a program is told their keys."""
    text = _ENGLISH[problem.code] if language == "en" else _with_hard_spaces(_FRENCH[problem.code])
    if "%s" not in text:
        return text
    allowed = problem.allowed or _WORDS[language]["none"]
    if language == "fr" and problem.code in ("out_of_range", "grid_code"):
        allowed = _with_commas(allowed)
    for key, label in (labels or {}).items():
        if problem.code in ("needs", "not_below", "wrong_unit") and key in allowed.split():
            allowed = _as_read(allowed, key, label, language)
    return text % allowed


def device_refusal(said: str, language: Language) -> str:
    """Why a device refuses a value: in words where it names a problem as the platform does, else as it said it."""
    named, _, allowed = said.partition(": ")
    code = next((each for each in _ENGLISH if each == named), None)
    if code is None or ("%s" in _ENGLISH[code] and not allowed):
        return said
    return setting_message(SettingProblem("", code, allowed), language)


def _with_hard_spaces(text: str) -> str:
    """So that no line begins with a sign."""
    return text.replace(" ;", "\u202f;").replace(" :", "\u00a0:")


def _with_commas(allowed: str) -> str:
    """The range; what names the grid code after it stays as it is."""
    limits, bracket, code = allowed.partition(" (")
    return limits.replace(".", ",") + bracket + code


def _as_read(allowed: str, key: str, label: str, language: Language) -> str:
    quoted = f"“{label}”" if language == "en" else f"« {label} »"
    words = [quoted if word == key else word for word in allowed.split()]
    return " ".join(_WORDS[language].get(word, word) for word in words)

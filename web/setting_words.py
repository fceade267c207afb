"""What is wrong with a value of a configuration or an argument of a command, in words."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from fleet.setting import ProblemCode, SettingProblem
from web.language import Language


class _Words(NamedTuple):
    french: str
    english: str


# {0}: what would be right (SettingProblem.allowed).
_PROBLEMS: Final[Mapping[ProblemCode, _Words]] = {
    "unknown_key": _Words("Ce réglage n’existe pas ; il y a : {0}", "There is no such setting; there are: {0}"),
    "wrong_unit": _Words("Autre unité : le réglage s’appelle {0}", "Another unit: the setting is called {0}"),
    "wrong_type": _Words("Forme attendue : {0}", "Expected: {0}"),
    "out_of_range": _Words("Valeurs possibles : {0}", "What it can be: {0}"),
    "grid_code": _Words("Le code réseau permet : {0}", "The grid code allows: {0}"),
    "read_only": _Words("Se lit seulement, ne se change pas", "Can be read only, not changed"),
    "not_a_choice": _Words("Choix possibles : {0}", "Choices: {0}"),
    "too_long": _Words("Trop long : {0} caractères au plus", "Too long: {0} characters at the most"),
    "needs": _Words("Seulement avec {0}", "Only with {0}"),
    "not_below": _Words("Doit rester {0}", "Has to stay {0}"),
    "too_many": _Words("Trop de valeurs : {0} au plus", "Too many values: {0} at the most"),
}


def setting_problem(found: SettingProblem, language: Language) -> str:
    words = _PROBLEMS[found.code]
    return (words.english if language == "en" else words.french).format(found.allowed).removesuffix(" : ").removesuffix(": ")

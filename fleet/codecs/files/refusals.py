"""What the refusals of files say: what is wrong, and what to do about it, in French and in English. {gaps} are filled in."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from fleet.codecs.files.reading import Refusal


class Words(NamedTuple):
    fr: str
    en: str


WORDS: Final[Mapping[str, Words]] = {
    # the file as a whole
    "unknown_format": Words(
        "Format non reconnu : décrivez-le une fois (Imports, « Décrire ce format ») et le fichier sera relu.",
        "The format is not known: describe it once (Imports, “Describe this format”) and the file will be read again.",
    ),
    "empty_file": Words("Le fichier est vide.", "The file is empty."),
    "header_only": Words("L'en-tête est là, mais aucune mesure ne suit.", "There is a heading, but no reading below it."),
    "html_file": Words(
        "C'est une page web et non un export : elle a sans doute été enregistrée à la place du fichier (session expirée).",
        "This is a web page, not an export: it was probably saved in place of the file (the session had ended).",
    ),
    "file_too_large": Words(
        "Le fichier dépasse {bytes_max} octets pour ce format : découpez-le.",
        "The file is larger than {bytes_max} bytes, the most for this format: split it.",
    ),
    "nul_bytes": Words(
        "Des octets nuls dans du texte : le fichier est abîmé, ou ce n'est pas du texte. Envoyez-le de nouveau.",
        "NUL bytes within text: the file is damaged, or is no text. Send it again.",
    ),
    "bad_encoding": Words(
        "Le texte n'est pas en {encoding}, que le fichier annonce : exportez-le de nouveau.",
        "The text is not {encoding}, which the file says it is: export it again.",
    ),
    "line_too_long": Words(
        "Une ligne de plus de {chars_max} caractères : ce n'est pas un fichier de mesures.",
        "A line of more than {chars_max} characters: this is no file of readings.",
    ),
    "too_many_serials": Words(
        "Plus de {serials_max} appareils dans un fichier : découpez-le.",
        "More than {serials_max} devices in one file: split it.",
    ),
    "unknown_zone": Words(
        "Le fuseau horaire {zone} n'est pas connu : corrigez le réglage de l'enregistreur.",
        "The time zone {zone} is not known: correct the logger's setting.",
    ),
    "coarser_than_a_day": Words(
        "Des totaux de plus d'un jour (mois, années) ne donnent pas de courbe : exportez les jours ou un pas plus fin.",
        "Totals of more than a day (months, years) make no curve: export days or a finer step.",
    ),
    # lines
    "bad_time": Words("Ce n'est pas une date et heure lisible.", "This is no date and time that can be read."),
    "time_does_not_exist": Words(
        "Cette heure n'existe pas en {zone} (passage à l'heure d'été) : si l'horloge reste à l'heure d'hiver, réglez"
        " le fuseau de l'enregistreur sur un décalage fixe, par exemple +01:00.",
        "This time does not exist in {zone} (summer time begins): if the clock stays at winter time, set the logger's"
        " zone to a fixed offset, such as +01:00.",
    ),
    "ambiguous_date": Words(
        "Jour et mois ne se distinguent pas : réglez l'ordre des dates de l'enregistreur (jour/mois ou mois/jour).",
        "Day and month cannot be told apart: set the logger's order of dates (day/month or month/day).",
    ),
    "bad_number": Words("Ce n'est pas un nombre.", "This is no number."),
    "wrong_field_count": Words(
        "{found} colonnes au lieu de {expected} : la ligne est incomplète ou coupée.",
        "{found} columns instead of {expected}: the line is incomplete or cut.",
    ),
}


def words(refusal: Refusal, *, french: bool) -> str:
    """Raises KeyError for a code that has no words: a test holds that there is none."""
    both = WORDS[refusal.code]
    return (both.fr if french else both.en).format_map(refusal.gaps)

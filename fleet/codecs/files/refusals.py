"""What the refusals of files say: what is wrong, and what to do about it, in French and in English. {gaps} are filled in."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from fleet.codecs.files.reading import Refusal


class Words(NamedTuple):
    fr: str
    en: str


# What is left out by design, once for a whole column or block. A file in which nothing else is missing is imported in full.
NOTES: Final = frozenset(
    (
        "unknown_column",
        "series_not_kept",
        "not_an_inverter",
        "daily_sums",
        "meter_elsewhere",
        "unknown_block",
        "sum_of_others",
    )
)

WORDS: Final[Mapping[str, Words]] = {
    # the file as a whole
    "unknown_format": Words(
        "Format non reconnu : décrivez-le une fois (Imports, « Décrire ce format ») et le fichier sera relu.",
        "The format is not known: describe it once (Imports, “Describe this format”) and the file will be read again.",
    ),
    "empty_file": Words("Le fichier est vide.", "The file is empty."),
    "header_only": Words("L'en-tête est là, mais aucune mesure ne suit.", "There is a heading, but no reading below it."),
    "nothing_usable": Words(
        "Aucune ligne n'a pu être lue ; la première refusée dit pourquoi.",
        "No line could be read; the first refused one says why.",
    ),
    "too_much_memory": Words(
        "Le fichier demande trop de mémoire pour être lu : découpez-le.",
        "Reading the file takes too much memory: split it.",
    ),
    "reader_died": Words(
        "La lecture de ce fichier s'est interrompue plusieurs fois : gardez-le et signalez-le à l'exploitant.",
        "The reading of this file broke off several times: keep it and tell the operator.",
    ),
    "not_stored": Words(
        "Le fichier a été lu, mais ses mesures n'ont pas pu être enregistrées : aucune n'est gardée. Prévenez l'exploitant.",
        "The file was read, but its readings could not be stored: none of them is kept. Tell the operator.",
    ),
    "settings_unknown": Words(
        "Les réglages de lecture ne sont pas compris ({why}) : choisissez-les de nouveau.",
        "The reading settings are not understood ({why}): choose them anew.",
    ),
    "too_many_values": Words(
        "Le fichier contient trop de mesures : découpez-le.",
        "The file holds too many readings: split it.",
    ),
    "too_many_days": Words(
        "Plus de {days_max} jours, tous appareils confondus, dans un fichier : découpez-le.",
        "More than {days_max} days, all devices together, in one file: split it.",
    ),
    "too_many_definitions": Words(
        "Les fichiers de définition d'un seul envoi dépassent {bytes_max} octets : envoyez-les en plusieurs fois.",
        "The definition files in one go exceed {bytes_max} bytes: send them in several goes.",
    ),
    "original_gone": Words(
        "Le fichier d'origine n'est plus conservé : envoyez-le de nouveau.",
        "The file itself is not kept any more: send it again.",
    ),
    "upload_incomplete": Words(
        "Le transfert s'est interrompu et n'a pas été repris : le fichier est incomplet. Faites-le envoyer de nouveau.",
        "The transfer broke off and was not taken up again: the file is incomplete. Have it sent again.",
    ),
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
    # archives
    "truncated_gzip": Words(
        "Le fichier gzip est incomplet : l'envoi a été coupé. Envoyez-le de nouveau.",
        "The gzip file is incomplete: its upload was cut. Send it again.",
    ),
    "bad_archive": Words(
        "L'archive est abîmée ou incomplète. Envoyez-la de nouveau.",
        "The archive is damaged or incomplete. Send it again.",
    ),
    "archive_bomb": Words(
        "L'archive grossit démesurément une fois ouverte (plus de {bytes_max} octets, ou de {ratio_max} fois sa taille) :"
        " envoyez le fichier sans compression.",
        "The archive grows out of all proportion when unpacked (more than {bytes_max} bytes, or than {ratio_max} times its"
        " size): send the file unpacked.",
    ),
    "nested_archive": Words(
        "Une archive dans une archive : envoyez les archives intérieures une à une.",
        "An archive within an archive: send the inner ones one by one.",
    ),
    "archive_encrypted": Words(
        "L'archive est protégée par un mot de passe : envoyez-la sans.",
        "The archive is protected by a password: send it without one.",
    ),
    "too_many_members": Words(
        "Plus de {members_max} fichiers dans une archive : répartissez-les.",
        "More than {members_max} files in one archive: spread them.",
    ),
    "unsafe_name": Words(
        "Un nom de fichier dans l'archive n'est pas un simple chemin relatif (« .. », lecteur, caractère invisible) :"
        " refaites l'archive.",
        "A file name within the archive is no plain relative path (“..”, a drive, an invisible character): make the"
        " archive anew.",
    ),
    "packed_otherwise": Words(
        "Compressé en {kind}, que nous ne lisons pas : envoyez-le en .zip, en .gz ou sans compression.",
        "Compressed as {kind}, which is not read here: send it as .zip, as .gz or unpacked.",
    ),
    "spreadsheet": Words(
        "C'est un classeur Excel : enregistrez la feuille au format CSV (séparateur point-virgule), ou téléchargez le CSV.",
        "This is an Excel workbook: save the sheet as CSV (separated by semicolons), or download the CSV.",
    ),
    "bad_json": Words(
        "Ce JSON est abîmé ou n'a pas la forme attendue.",
        "This JSON is damaged, or not of the shape that it should have.",
    ),
    "bad_cbor": Words(
        "Ce CBOR est abîmé, coupé ou n'a pas la forme attendue.",
        "This CBOR is damaged, cut off, or not of the shape that it should have.",
    ),
    "senml_version": Words(
        "Cette version de SenML n'est pas connue (la 10 l'est) : réglez l'émetteur sur la RFC 8428.",
        "This version of SenML is not known (10 is): set the sender to RFC 8428.",
    ),
    "senml_field": Words(
        "Un champ que l'émetteur déclare indispensable (son nom finit par « _ ») n'est pas connu ici : rien n'est repris.",
        "A field that the sender declares indispensable (its name ends in “_”) is not known here: nothing is taken.",
    ),
    "senml_base": Words(
        "Un champ de base (bn, bt, bu, bv, bs) n'est pas valable, et tout ce qui suit en dépend.",
        "A base field (bn, bt, bu, bv, bs) is not valid, and everything after it depends on it.",
    ),
    "senml_record": Words(
        "Cet enregistrement SenML n'est pas valable : nom, valeur ou temps.",
        "This record of SenML is not valid: name, value or time.",
    ),
    "bad_xml": Words(
        "Ce XML est abîmé, incomplet ou n'a pas la forme attendue.",
        "This XML is damaged, incomplete, or not of the shape that it should have.",
    ),
    "xml_entities": Words(
        "Ce XML déclare des entités ou un DTD, qu'aucun flux n'utilise : il n'est pas lu.",
        "This XML declares entities or a DTD, which no flow uses: it is not read.",
    ),
    # Enedis
    "cut_meter_number": Words(
        "Un tableur a abîmé le numéro de PRM (14 chiffres devenus par exemple 1,2E+13) : envoyez le fichier d'origine.",
        "A spreadsheet has cut the meter's number (14 digits became something like 1.2E+13): send the file as downloaded.",
    ),
    "step_unknown": Words(
        "{points} mesures isolées : rien ne dit sur quelle durée (le pas) elles portent, donc pas d'énergie.",
        "{points} readings stand alone: nothing tells the length of their interval, so there is no energy.",
    ),
    "bad_step": Words(
        "Ce n'est pas un pas de temps (PT30M, ou un nombre de minutes).",
        "This is no length of an interval (PT30M, or a number of minutes).",
    ),
    "too_many_registers": Words(
        "Plus de {values_max} valeurs d'index qui ne se suivent pas par point de livraison : découpez le fichier.",
        "More than {values_max} values of registers that are not in the order of their meters: split the file.",
    ),
    "not_active_power": Words(
        "« {what} » n'est pas une puissance ou une énergie active : cela ne devient ni W ni Wh.",
        "“{what}” is no active power or energy: it does not become W or Wh.",
    ),
    "series_not_kept": Words(
        "Série non reprise : « {what} » (le reste du fichier compte).",
        "This series is not taken in: “{what}” (the rest of the file counts).",
    ),
    "negative_energy": Words(
        "Une valeur négative : Enedis compte le soutirage et l'injection à part, jamais en négatif.",
        "A negative value: Enedis counts what is drawn and what is fed in apart, never below zero.",
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
    # TIC
    "bad_checksum": Words(
        "Somme de contrôle fausse : la ligne a été abîmée en chemin. Si cela se répète, vérifiez le câblage de la TIC.",
        "The checksum is wrong: the line was damaged on its way. If this goes on, check the wiring of the TIC.",
    ),
    "bad_tic_line": Words("Ce n'est pas une ligne de TIC.", "This is no line of the TIC."),
    "no_clock": Words(
        "Ces trames ne portent pas d'heure (la TIC historique n'en a pas) : faites écrire la date et l'heure par"
        " l'enregistreur au début de chaque ligne, ou passez le compteur en mode standard.",
        "These frames carry no time (the historic TIC has none): have the logger write date and time at the beginning of"
        " each line, or have the meter switched to its standard output.",
    ),
    "frame_without_time": Words(
        "Cette trame ne porte pas d'heure : sa ligne DATE manque.",
        "This frame carries no time: its line DATE is missing.",
    ),
    "clock_in_doubt": Words(
        "Le compteur doute lui-même de son horloge : la trame n'a pas d'heure sûre.",
        "The meter itself doubts its clock: the frame has no time to rely on.",
    ),
    "frame_without_serial": Words(
        "On ne sait pas de quel compteur vient cette trame : le fichier en mêle plusieurs, et sa ligne d'adresse manque.",
        "There is no telling which meter this frame is from: the file has several, and its address line is missing.",
    ),
    # WebdynSun
    "definition_missing": Words(
        "Le fichier de définition {name} n'est pas encore là : sans lui ces valeurs brutes n'ont ni échelle ni unité."
        " Envoyez-le (dossier /DEF de l'enregistreur), et ce fichier sera relu.",
        "The definition file {name} is not here yet: without it these raw values have neither scale nor unit. Send it (the"
        " logger's folder /DEF), and this file will be read again.",
    ),
    "definition_without_variables": Words(
        "Cette définition ne décrit aucune variable.", "This definition does not describe any variable."
    ),
    "unknown_column": Words(
        "« {name} » ({unit}) n'est pas une grandeur connue ici : cette colonne est laissée de côté.",
        "“{name}” ({unit}) is no quantity that is known here: this column is left out.",
    ),
    "column_twice": Words(
        "« {name} » dit la même chose qu'une colonne avant elle : la première compte.",
        "“{name}” tells the same as a column before it: the first one counts.",
    ),
    "no_heading": Words(
        "Aucun en-tête ne dit de quel appareil vient cette ligne : le début du fichier manque.",
        "No heading says which device this line is from: the beginning of the file is missing.",
    ),
    "bad_serial": Words(
        "Ce nom d'appareil ne peut pas servir de numéro de série.", "This name of a device cannot serve as a serial number."
    ),
    "not_readings": Words(
        "Alarmes, journal, commandes ou configuration : le fichier est conservé, mais il ne contient pas de mesures.",
        "Alarms, a log, commands or configuration: the file is kept, but it holds no readings.",
    ),
    # rows and columns
    "columns_not_found": Words(
        "Les en-têtes de colonnes attendus par ce format n'y sont pas : vérifiez-le, ou décrivez le format de ce fichier.",
        "The column headings of this format are not there: check the format, or describe this file's.",
    ),
    "too_many_columns": Words(
        "Plus de {columns_max} colonnes : ce n'est pas un fichier de mesures.",
        "More than {columns_max} columns: this is no file of readings.",
    ),
    "wrong_unit": Words(
        "La colonne est en {unit}, or {measure} n'est pas dans cette unité (des VA ne sont pas des W) : corrigez le format.",
        "The column is in {unit}, but {measure} is not told in it (VA are no W): correct the format.",
    ),
    "unknown_interval": Words(
        "La durée de l'intervalle ne se déduit pas des lignes voisines : exportez-en plus, ou donnez le pas du format.",
        "How long this interval is cannot be told from the rows around it: export more rows, or set the format's step.",
    ),
    "unknown_block": Words(
        "Appareil d'un type inconnu dans ce fichier : ses {rows} lignes sont laissées de côté.",
        "A device of an unknown kind in this file: its {rows} rows are left out.",
    ),
    "serials_missing": Words(
        "Plusieurs onduleurs, et rien ne dit lesquels : faites écrire l'en-tête complet (SBFspot : CSV_ExtendedHeader=1).",
        "Several inverters, and nothing says which: have the full heading written (SBFspot: CSV_ExtendedHeader=1).",
    ),
    "sum_of_others": Words(
        "« {name} » est la somme des autres appareils du fichier : laissée de côté, pour ne rien compter deux fois.",
        "“{name}” is the sum of the file's other devices: it is left out, so that nothing counts twice.",
    ),
    "date_missing": Words(
        "Les lignes n'ont que l'heure : la date doit figurer dans le nom du fichier (2024-07-01.csv).",
        "The rows have the time only: the date has to be in the file's name (2024-07-01.csv).",
    ),
    "role_without_energy": Words(
        "Une charge n'est pas un compteur du site : réglez le rôle de l'enregistreur (réseau, panneaux, batterie).",
        "What a load draws is no register of a site: set the logger's role (grid, panels, battery).",
    ),
    "marked_invalid": Words(
        "L'enregistreur marque lui-même ces valeurs comme invalides (erreur {error}).",
        "The logger itself marks these values as invalid (error {error}).",
    ),
    # Solar-Log
    "foreign_text": Words(
        "Ce texte n'est pas du fichier (en-tête de serveur, autre fichier) : il est laissé de côté.",
        "This text is not the file's (a server's heading, another file): it is left out.",
    ),
    "not_an_inverter": Words(
        "« {name} » est un compteur ou un capteur, et rien ne dit ce qu'il mesure : ses valeurs sont laissées de côté.",
        "“{name}” is a meter or a sensor, and nothing says what it measures: its values are left out.",
    ),
    # Fronius
    "daily_sums": Words(
        "Ce sont des totaux journaliers : réglez le service d'envoi sur « Logdata - Data » (toutes les 5 minutes).",
        "These are daily sums: set the push service to “Logdata - Data” (every 5 minutes).",
    ),
    "meter_elsewhere": Words(
        "Le compteur {name} n'est pas au point de raccordement : son énergie n'est pas celle du réseau.",
        "The meter {name} is not at the connection to the grid: its energy is not the grid's.",
    ),
}


def words(refusal: Refusal, *, french: bool) -> str:
    """Raises KeyError for a code that has no words: a test holds that there is none."""
    both = WORDS[refusal.code]
    return (both.fr if french else both.en).format_map(refusal.gaps)

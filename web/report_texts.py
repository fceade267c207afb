"""The words of a commissioning report and of the mail that follows it, in both languages."""

from typing import Final

from web.language import Language

_FRENCH: Final[dict[str, str]] = {
    "title": "Rapport de mise en service n° {number}",
    "draft": "Projet de rapport de mise en service",
    "site": "Site",
    "people": "Intervenants",
    "not_entered": "non renseigné",
    "no_serial": "inconnu",
    "device": "Appareil",
    "checks": "Contrôles",
    "checks_at": "Contrôles du {moment}",
    "details": "Détail des appareils",
    "draft_mark": "Projet, non signé",
    "copy": "Copie",
    "copy_says": "Le point de livraison y est masqué ; l'original est chez le propriétaire et l'installateur.",
    "site_id": "Identifiant",
    "owner": "Propriétaire",
    "installer": "Installateur",
    "technician": "Mis en service par",
    "address": "Adresse",
    "place": "Position",
    "pdl": "Point de livraison",
    "peak_power": "Puissance crête",
    "timezone": "Fuseau horaire",
    "arrays": "Champs solaires",
    "array": "Champ",
    "azimuth": "Orientation",
    "tilt": "Inclinaison",
    "devices": "Appareils",
    "profile": "Type",
    "serial": "Numéro de série",
    "gateway": "Par la passerelle",
    "certificate": "Certificat",
    "validity": "Valable",
    "validity_range": "du {start} au {end}",
    "first_reading": "Première mesure",
    "readings": "Dernières mesures",
    "none": "aucune à ce jour",
    "no_certificate": "aucun (la passerelle parle pour lui)",
    "corrections": "Corrections en vigueur",
    "sign": "{measure} : signe inversé, depuis le {start}",
    "factor": "{measure} : multiplié par {value}, depuis le {start}",
    "offset": "{measure} : {value} ajouté, depuis le {start}",
    "clock": "Horloge : heures déplacées de {value}, depuis le {start}",
    "ok": "Conforme",
    "failed": "Non conforme",
    "waiting": "En attente",
    "later": "À vérifier plus tard",
    "local_times": "Les heures sont celles du site.",
    "notes": "Remarques",
    "signature": "Signature",
    "declaration": "Le signataire atteste avoir mis ces appareils en service et vérifié ce que ce rapport constate.",
    "signed_by": "Signé par",
    "account": "Compte",
    "signed_at": "Le",
    "unsigned": "Non signé",
    "footer": "{site} · rapport n° {number}",
    "invitation_subject": "Votre installation solaire « {site} » est en service",
    "invitation_body": (
        "Bonjour {name},\n\n"
        "{installer} a mis en service votre installation solaire « {site} » et signé son rapport de mise en service.\n\n"
        "Choisissez un mot de passe pour la suivre et pour lire le rapport :\n{link}\n\n"
        "Ce lien vous est personnel, sert une fois et reste valable {days} jours.\n\n"
        "Si vous n'attendiez pas ce message, vous pouvez l'ignorer.\n"
    ),
    "ready_body": (
        "Bonjour {name},\n\n"
        "{installer} a mis en service votre installation solaire « {site} » et signé son rapport de mise en service.\n\n"
        "Vous la trouvez dans votre compte :\n{link}\n\n"
        "Si vous n'attendiez pas ce message, vous pouvez l'ignorer.\n"
    ),
    "somebody": "Votre installateur",
}
_ENGLISH: Final[dict[str, str]] = {
    "title": "Commissioning report no. {number}",
    "draft": "Draft of a commissioning report",
    "site": "Site",
    "people": "People",
    "not_entered": "not entered",
    "no_serial": "not known",
    "device": "Device",
    "checks": "Checks",
    "checks_at": "Checked on {moment}",
    "details": "The devices in detail",
    "draft_mark": "Draft, not signed",
    "copy": "Copy",
    "copy_says": "The grid connection is masked in it; owner and installer have the original.",
    "site_id": "Identifier",
    "owner": "Owner",
    "installer": "Installer",
    "technician": "Commissioned by",
    "address": "Address",
    "place": "Position",
    "pdl": "Grid connection (PDL)",
    "peak_power": "Peak power",
    "timezone": "Time zone",
    "arrays": "Arrays",
    "array": "Array",
    "azimuth": "Azimuth",
    "tilt": "Tilt",
    "devices": "Devices",
    "profile": "Kind",
    "serial": "Serial number",
    "gateway": "Through gateway",
    "certificate": "Certificate",
    "validity": "Valid",
    "validity_range": "from {start} to {end}",
    "first_reading": "First reading",
    "readings": "Latest readings",
    "none": "none so far",
    "no_certificate": "none (its gateway speaks for it)",
    "corrections": "Corrections in force",
    "sign": "{measure}: sign reversed, since {start}",
    "factor": "{measure}: multiplied by {value}, since {start}",
    "offset": "{measure}: {value} added, since {start}",
    "clock": "Clock: times moved by {value}, since {start}",
    "ok": "In order",
    "failed": "Not in order",
    "waiting": "Waiting",
    "later": "To be checked later",
    "local_times": "Times are the site's own.",
    "notes": "Notes",
    "signature": "Signature",
    "declaration": "The signatory has commissioned the devices above and verified what this report states.",
    "signed_by": "Signed by",
    "account": "Account",
    "signed_at": "On",
    "unsigned": "Not signed",
    "footer": "{site} · report no. {number}",
    "invitation_subject": "Your solar site “{site}” is in operation",
    "invitation_body": (
        "Hello {name},\n\n"
        "{installer} has commissioned your solar site “{site}” and signed its commissioning report.\n\n"
        "Choose a password to follow it and to read the report:\n{link}\n\n"
        "This link is yours alone, works once and is valid for {days} days.\n\n"
        "If you did not expect this message, you may ignore it.\n"
    ),
    "ready_body": (
        "Hello {name},\n\n"
        "{installer} has commissioned your solar site “{site}” and signed its commissioning report.\n\n"
        "You find it in your account:\n{link}\n\n"
        "If you did not expect this message, you may ignore it.\n"
    ),
    "somebody": "Your installer",
}


def words(language: Language) -> dict[str, str]:
    return _ENGLISH if language == "en" else _FRENCH


def keys() -> tuple[frozenset[str], frozenset[str]]:
    """A test holds them equal."""
    return frozenset(_FRENCH), frozenset(_ENGLISH)

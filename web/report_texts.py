"""The words of a commissioning report and of the mail that follows it, in both languages."""

from typing import Final

from web.language import Language

_FRENCH: Final[dict[str, str]] = {
    "title": "Rapport de mise en service n° {number}",
    "draft": "Projet de rapport de mise en service",
    "site": "Site",
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
    "correction": "{kind} {measure} {value}, à partir du {start}",
    "sign": "Signe inversé :",
    "factor": "Facteur :",
    "offset": "Décalage :",
    "clock": "Horloge décalée (s) :",
    "ok": "Conforme",
    "failed": "Non conforme",
    "waiting": "En attente",
    "later": "À vérifier plus tard",
    "check_sign": "Signe des puissances",
    "check_unit": "Unités des mesures",
    "check_clock": "Horloge de l'appareil",
    "check_sun": "Puissance au regard du soleil",
    "check_consumption": "Consommation déduite, jamais négative",
    "pv_power_w": "production",
    "pv_energy_wh": "compteur de production",
    "grid_power_w": "réseau (+ soutirage)",
    "import_energy_wh": "compteur de soutirage",
    "export_energy_wh": "compteur d'injection",
    "battery_power_w": "batterie (+ charge)",
    "battery_soc_pct": "état de charge",
    "charge_energy_wh": "compteur de charge",
    "discharge_energy_wh": "compteur de décharge",
    "load_power_w": "consommation",
    "ac_voltage_v": "tension",
    "irradiance_w_m2": "ensoleillement",
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
    "correction": "{kind} {measure} {value}, from {start} on",
    "sign": "Sign reversed:",
    "factor": "Factor:",
    "offset": "Offset:",
    "clock": "Clock moved (s):",
    "ok": "In order",
    "failed": "Not in order",
    "waiting": "Waiting",
    "later": "To be checked later",
    "check_sign": "Sign of the powers",
    "check_unit": "Units of the measures",
    "check_clock": "The device's clock",
    "check_sun": "Power as the sun allows it",
    "check_consumption": "Consumption that follows, never negative",
    "pv_power_w": "production",
    "pv_energy_wh": "production counter",
    "grid_power_w": "grid (+ import)",
    "import_energy_wh": "import counter",
    "export_energy_wh": "export counter",
    "battery_power_w": "battery (+ charging)",
    "battery_soc_pct": "state of charge",
    "charge_energy_wh": "charge counter",
    "discharge_energy_wh": "discharge counter",
    "load_power_w": "consumption",
    "ac_voltage_v": "voltage",
    "irradiance_w_m2": "irradiance",
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

"""What each refusal of an enrolment says, in French and in English: on the device, and on its installer's phone."""

from typing import Final, Literal, NamedTuple

Language = Literal["fr", "en"]


class Text(NamedTuple):
    title: str
    detail: str


_FRENCH: Final[dict[str, Text]] = {
    "claim_missing": Text("Code nécessaire", "Joignez le code d'enrôlement affiché par la plateforme (HTTP Basic)."),
    "claim_unknown": Text("Code inconnu", "Aucun enrôlement n'attend ce code. Comparez-le avec l'écran qui l'affiche."),
    "claim_wrong_code": Text("Code faux", "Ce code n'est pas juste. Comparez-le avec l'écran qui l'affiche."),
    "claim_locked": Text("Code bloqué", "Trop d'essais avec un code faux : ce code est bloqué. Créez-en un nouveau."),
    "claim_expired": Text("Code expiré", "Le délai de ce code est passé. Créez-en un nouveau."),
    "claim_used": Text("Code déjà utilisé", "Un appareil s'est déjà enrôlé avec ce code, qui ne sert qu'une fois."),
    "claim_cancelled": Text("Code annulé", "Ce code a été annulé. Créez-en un nouveau."),
    "serial_taken": Text("Numéro de série déjà pris", "Un autre appareil de ce site porte déjà ce numéro de série."),
    "device_elsewhere": Text("Appareil d'un autre site", "Cet appareil appartient désormais à un autre site."),
    "csr_malformed": Text("Demande illisible", "La demande de certificat (PKCS #10) est illisible ou incomplète."),
    "csr_too_large": Text("Demande trop grande", "La demande de certificat dépasse la taille permise."),
    "csr_bad_signature": Text("Preuve de possession fausse", "La demande n'est pas signée par la clé qu'elle contient."),
    "csr_weak_key": Text("Clé refusée", "La clé doit être EC P-256 ou P-384, ou RSA de 2048 à 4096 bits."),
    "csr_weak_hash": Text("Signature trop faible", "La demande doit être signée avec SHA-256, SHA-384 ou SHA-512."),
    "csr_is_ca": Text("Autorité refusée", "Un appareil ne peut pas demander à devenir une autorité de certification."),
    "csr_for_another_device": Text("Demande d'un autre appareil", "La demande nomme un autre appareil que celui attendu."),
    "no_client_certificate": Text("Certificat nécessaire", "L'appareil doit présenter son certificat en vigueur (mTLS)."),
    "certificate_unknown": Text("Certificat inconnu", "Le registre des certificats ne connaît pas ce certificat."),
    "certificate_revoked": Text("Certificat révoqué", "Cet appareil a été révoqué. Il lui faut un nouveau code."),
    "certificate_superseded": Text("Certificat remplacé", "Un certificat plus récent de cet appareil est en service."),
    "certificate_expired": Text(
        "Certificat expiré",
        "Le certificat de l'appareil a expiré : vérifiez son horloge ; s'il est trop tard, il lui faut un nouveau code.",
    ),
    "certificate_not_yet_valid": Text(
        "Certificat pas encore valable", "Le certificat n'est pas encore valable : l'une des horloges n'est pas à l'heure."
    ),
    "unknown_profile": Text("Profil inconnu", "Ce profil d'appareil n'existe pas."),
    "busy": Text("Service occupé", "Trop d'enrôlements en cours. Réessayez dans un moment."),
    "too_many_requests": Text("Trop d'échecs", "Trop de demandes refusées depuis cette adresse. Réessayez dans une minute."),
    "database_away": Text("Base de données indisponible", "La base de données ne répond pas. Réessayez dans un moment."),
    "authority_expired": Text("Autorité expirée", "Le certificat de l'autorité a expiré ; l'exploitant doit le renouveler."),
    "unknown_route": Text("Adresse inconnue", "Il n'y a rien à cette adresse."),
    "method_not_allowed": Text("Méthode refusée", "Cette adresse n'accepte pas cette méthode HTTP."),
    "refused": Text("Demande refusée", "La demande ne peut pas être traitée."),
    "internal_error": Text("Erreur interne", "La demande a échoué ; l'incident est consigné."),
}

_ENGLISH: Final[dict[str, Text]] = {
    "claim_missing": Text("Code needed", "Send the claim code that the platform shows (HTTP Basic)."),
    "claim_unknown": Text("Unknown code", "No claim has this code. Compare it with the screen that shows it."),
    "claim_wrong_code": Text("Wrong code", "This code is not right. Compare it with the screen that shows it."),
    "claim_locked": Text("Code locked", "Too many tries with a wrong code: this code is locked. Make a new one."),
    "claim_expired": Text("Code expired", "This code's time is over. Make a new one."),
    "claim_used": Text("Code used already", "A device has enrolled with this code already; each code works once."),
    "claim_cancelled": Text("Code cancelled", "This code was cancelled. Make a new one."),
    "serial_taken": Text("Serial number taken", "Another device of this site has this serial number."),
    "device_elsewhere": Text("A device of another site", "This device belongs to another site by now."),
    "csr_malformed": Text("Unreadable request", "The certificate request (PKCS #10) is unreadable or incomplete."),
    "csr_too_large": Text("Request too large", "The certificate request is larger than what is read."),
    "csr_bad_signature": Text("Wrong proof of possession", "The request is not signed by the key that it holds."),
    "csr_weak_key": Text("Key refused", "The key must be EC P-256 or P-384, or RSA of 2048 to 4096 bits."),
    "csr_weak_hash": Text("Signature too weak", "The request must be signed with SHA-256, SHA-384 or SHA-512."),
    "csr_is_ca": Text("No authority", "A device cannot ask to become a certificate authority."),
    "csr_for_another_device": Text("Request of another device", "The request names another device than the one expected."),
    "no_client_certificate": Text("Certificate needed", "The device must show its certificate in force (mTLS)."),
    "certificate_unknown": Text("Unknown certificate", "The ledger does not know this certificate."),
    "certificate_revoked": Text("Certificate revoked", "This device was revoked. It needs a new claim code."),
    "certificate_superseded": Text("Certificate superseded", "A newer certificate of this device is in use."),
    "certificate_expired": Text(
        "Certificate expired",
        "The device's certificate has ended: look at its clock; if it is too late, the device needs a new claim code.",
    ),
    "certificate_not_yet_valid": Text(
        "Certificate not yet valid", "The certificate is not valid yet: one of the two clocks is wrong."
    ),
    "unknown_profile": Text("Unknown profile", "There is no such device profile."),
    "busy": Text("Busy", "Too many enrolments at once. Try again in a moment."),
    "too_many_requests": Text("Too many failures", "Too many refused requests from this address. Try again in a minute."),
    "database_away": Text("Database away", "The database does not answer now. Try again in a moment."),
    "authority_expired": Text("Authority expired", "The authority's own certificate has ended; its operator must renew it."),
    "unknown_route": Text("Not found", "There is nothing at this address."),
    "method_not_allowed": Text("Method not allowed", "This address does not take this HTTP method."),
    "refused": Text("Request refused", "The request cannot be handled."),
    "internal_error": Text("Internal error", "The request failed; the incident is on record."),
}


def text_of(code: str, language: Language) -> Text:
    texts = _FRENCH if language == "fr" else _ENGLISH
    return texts.get(code, texts["refused"])

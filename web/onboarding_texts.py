"""What the error codes of onboarding say to people; web.texts hands them out."""

from typing import NamedTuple


class Text(NamedTuple):
    title: str
    detail: str


FRENCH: dict[str, Text] = {
    "too_many_reports": Text("Trop de rapports", "Trop de rapports de ce site ont été signés en un jour. Réessayez demain."),
    "claim_used": Text("Code déjà utilisé", "Un appareil s'est déjà enrôlé avec ce code. Révoquez plutôt cet appareil."),
    "revoke_not_yours": Text(
        "Révocation refusée", "Un appareil est révoqué par son propriétaire ou par l'exploitant. Demandez-le-leur."
    ),
    "owner_email_unusable": Text(
        "Adresse inutilisable", "Cette adresse e-mail ne peut pas être celle du propriétaire d'un site. Prenez-en une autre."
    ),
    "bad_recipient": Text("Adresse e-mail invalide", "Cette adresse e-mail n'est pas bien formée : vérifiez-la."),
    "unknown_timezone": Text("Fuseau horaire inconnu", "Choisissez le fuseau horaire dans la liste proposée."),
    "timezone_in_use": Text(
        "Fuseau horaire figé", "Des journées de ce site sont déjà comptées dans son fuseau : il ne peut plus changer."
    ),
    "bad_array": Text(
        "Champ solaire invalide",
        "Une puissance au-dessus de 0 W, une orientation de 0 à 360° et une inclinaison de 0 à 90° par champ.",
    ),
    "unknown_claim": Text("Code introuvable", "Ce code d'enrôlement n'existe pas, ou ne vous est pas accessible."),
    "claim_code_gone": Text(
        "Code déjà montré", "Ce code a déjà été montré et n'est gardé nulle part. Faites-en un nouveau."
    ),
    "too_many_claims": Text(
        "Trop de codes ouverts", "Trop de codes attendent déjà un appareil sur ce site : utilisez-les ou annulez-en."
    ),
    "request_taken": Text(
        "Formulaire déjà reçu",
        "Ce numéro de formulaire appartient à une autre demande. Recommencez avec un nouveau formulaire.",
    ),
    "no_enrolment": Text(
        "Enrôlement indisponible", "Le service d'enrôlement n'est pas en place sur cette plateforme. Prévenez l'exploitant."
    ),
    "unknown_profile": Text("Type d'appareil inconnu", "Ce type d'appareil n'existe pas : choisissez-en un dans la liste."),
    "replacement_profile": Text(
        "Autre type d'appareil",
        "L'historique de cet emplacement est celui d'un autre type d'appareil. Ajoutez plutôt un nouvel appareil.",
    ),
    "device_behind_gateway": Text(
        "Appareil derrière une passerelle",
        "Cet appareil parle à travers une passerelle : indiquez le nouveau numéro de série, sans code.",
    ),
    "no_gateway": Text(
        "Appareil autonome",
        "Cet appareil s'enrôle lui-même : faites un code de remplacement au lieu de donner un numéro de série.",
    ),
    "not_a_gateway": Text("Ce n'est pas une passerelle", "L'appareil choisi n'est pas une passerelle de ce site."),
    "serial_taken": Text(
        "Numéro de série déjà pris",
        "Un appareil de ce site porte déjà ce numéro de série. Vérifiez l'étiquette, ou ouvrez cet appareil.",
    ),
    "serial_elsewhere": Text(
        "Numéro de série sur un autre site",
        "Ce numéro de série est celui d'un appareil d'un autre de vos sites. Retirez-le là-bas d'abord.",
    ),
    "bad_serial": Text(
        "Numéro de série invalide",
        "Un numéro de série compte 3 à 40 lettres, chiffres, points ou tirets. Il figure sur l'étiquette de l'appareil.",
    ),
    "not_a_device_code": Text(
        "Aucun numéro de série", "Aucun numéro de série ne s'y trouve. Saisissez celui de l'étiquette de l'appareil."
    ),
    "scanned_enrolment_code": Text(
        "C'est un code d'enrôlement",
        "Ce code de la plateforme se donne au nouvel appareil ; ici, il faut le numéro de série de l'appareil.",
    ),
    "scanned_web_address": Text(
        "C'est une adresse web",
        "Ce code mène à une page web et ne porte pas de numéro de série. Cherchez « S/N » sur l'étiquette.",
    ),
    "scanned_wifi": Text(
        "C'est un code Wi-Fi", "Ce code sert à rejoindre un réseau Wi-Fi. Cherchez « S/N » sur l'étiquette de l'appareil."
    ),
    "scanned_contact": Text(
        "C'est un contact",
        "Ce code contient une adresse ou un numéro de téléphone. Cherchez « S/N » sur l'étiquette de l'appareil.",
    ),
    "scanned_place": Text(
        "C'est un lieu", "Ce code montre un lieu sur une carte. Cherchez « S/N » sur l'étiquette de l'appareil."
    ),
    "scanned_event": Text(
        "C'est un rendez-vous", "Ce code contient une date d'agenda. Cherchez « S/N » sur l'étiquette de l'appareil."
    ),
    "scanned_payment": Text("C'est un paiement", "Ce code sert à payer. Cherchez « S/N » sur l'étiquette de l'appareil."),
    "scanned_pairing_code": Text(
        "C'est un code d'appairage", "Ce code relie l'appareil à un autre système. Cherchez « S/N » sur son étiquette."
    ),
    "scanned_product_code": Text(
        "C'est le code-barres du produit", "Ce code-barres est le même sur toutes les boîtes. Cherchez celui marqué « S/N »."
    ),
    "bad_correction": Text(
        "Correction invalide", "Cette correction ne convient pas à cet appareil : reprenez celle qui est proposée."
    ),
    "too_many_corrections": Text(
        "Trop de corrections",
        "Cet appareil a déjà autant de corrections qu'il peut en avoir. Annulez celles qui ne servent plus.",
    ),
    "unknown_correction": Text("Correction introuvable", "Cette correction n'existe pas sur cet appareil."),
    "already_undone": Text("Correction déjà annulée", "Cette correction est déjà annulée."),
    "unknown_report": Text("Rapport introuvable", "Ce rapport de mise en service n'existe pas."),
    "report_slow": Text("Rapport trop long à faire", "Le document n'a pas pu être fait à temps. Réessayez."),
    "report_without_devices": Text(
        "Aucun appareil", "Un rapport de mise en service se signe quand le site a au moins un appareil."
    ),
    "invitation_unknown": Text(
        "Invitation introuvable",
        "Ce lien d'invitation n'est pas complet, ou n'existe pas. Ouvrez-le directement depuis l'e-mail.",
    ),
    "invitation_used": Text(
        "Invitation déjà utilisée", "Votre mot de passe est déjà choisi : connectez-vous avec votre adresse e-mail."
    ),
    "invitation_expired": Text(
        "Invitation expirée", "Ce lien n'est plus valable. Demandez à votre installateur de vous en envoyer un nouveau."
    ),
    "bad_profile": Text(
        "Type d'appareil invalide",
        "La définition de ce type d'appareil n'est pas valable : identifiant, libellés, mesures, intervalle, réglages.",
    ),
    "unknown_measure": Text("Mesure inconnue", "La définition nomme une mesure que la plateforme ne connaît pas."),
    "unknown_codec": Text("Format inconnu", "La définition nomme un format de message que la plateforme ne connaît pas."),
    "profile_exists": Text("Type d'appareil existant", "Un type d'appareil porte déjà cet identifiant."),
    "profile_changed": Text(
        "Modifié entre-temps", "Quelqu'un a modifié ce type d'appareil entre-temps. Relisez-le avant de recommencer."
    ),
    "profile_channels": Text("Mesures figées", "L'ordre des mesures ne change pas : on peut seulement en ajouter à la fin."),
    "profile_identity": Text(
        "Identité figée", "L'identifiant et le genre d'un type d'appareil ne changent pas. Créez-en un nouveau."
    ),
    "no_reason": Text("Raison manquante", "Choisissez pourquoi : c'est gardé dans le journal."),
    "no_signature": Text("Signature manquante", "Tapez votre nom pour signer."),
    "passwords_differ": Text("Mots de passe différents", "Les deux mots de passe ne sont pas les mêmes."),
    "version_needed": Text("Version manquante", "Indiquez dans l'en-tête « If-Match » la version que vous avez lue."),
}

ENGLISH: dict[str, Text] = {
    "too_many_reports": Text(
        "Too many reports", "Too many reports of this site were signed within a day. Try again tomorrow."
    ),
    "claim_used": Text("Code used already", "A device has enrolled with this code already. Revoke that device instead."),
    "revoke_not_yours": Text("Not yours to revoke", "A device is revoked by its owner or by operations. Ask them."),
    "owner_email_unusable": Text(
        "Address cannot be used", "This e-mail address cannot be a site owner's. Take another one."
    ),
    "bad_recipient": Text("Invalid e-mail address", "This e-mail address is not well formed: check it."),
    "unknown_timezone": Text("Unknown time zone", "Choose the time zone from the list."),
    "timezone_in_use": Text(
        "Time zone is fixed", "Days of this site are counted in its time zone already: it cannot change any more."
    ),
    "bad_array": Text(
        "Invalid array", "Each array needs a power above 0 W, an azimuth of 0 to 360° and a tilt of 0 to 90°."
    ),
    "unknown_claim": Text("No such code", "This enrolment code does not exist, or is not yours to see."),
    "claim_code_gone": Text(
        "Code was shown already", "This code was shown already and is not kept anywhere. Make a new one."
    ),
    "too_many_claims": Text(
        "Too many open codes", "Too many codes wait for a device at this site already: use or cancel some."
    ),
    "request_taken": Text(
        "Form received already", "This form number belongs to another request. Begin again with a new form."
    ),
    "no_enrolment": Text("Enrolment unavailable", "This platform has no enrolment service. Tell its operator."),
    "unknown_profile": Text("Unknown kind of device", "There is no such kind of device: choose one from the list."),
    "replacement_profile": Text(
        "Another kind of device", "The history of this place is of another kind of device. Add a new device instead."
    ),
    "device_behind_gateway": Text(
        "Device behind a gateway", "This device speaks through a gateway: give its new serial number, without a code."
    ),
    "no_gateway": Text(
        "Device on its own", "This device enrols itself: make a replacement code instead of giving a serial number."
    ),
    "not_a_gateway": Text("Not a gateway", "The chosen device is not a gateway of this site."),
    "serial_taken": Text(
        "Serial number in use", "A device of this site has this serial number already. Check the label, or open that device."
    ),
    "serial_elsewhere": Text(
        "Serial number at another site", "A device at another of your sites has this serial number. Remove it there first."
    ),
    "bad_serial": Text(
        "Invalid serial number", "A serial number has 3 to 40 letters, digits, dots or hyphens. It is on the device's label."
    ),
    "not_a_device_code": Text(
        "No serial number", "No serial number is to be found in it. Type the one on the device's label."
    ),
    "scanned_enrolment_code": Text(
        "This is an enrolment code", "It is given to the new device; here the device's serial number is needed."
    ),
    "scanned_web_address": Text(
        "This is a web address", "It leads to a web page and holds no serial number. Look for S/N on the label."
    ),
    "scanned_wifi": Text("This is a Wi-Fi code", "It serves to join a Wi-Fi network. Look for S/N on the device's label."),
    "scanned_contact": Text(
        "This is a contact", "It holds an address or a telephone number. Look for S/N on the device's label."
    ),
    "scanned_place": Text("This is a place", "It shows a place on a map. Look for S/N on the device's label."),
    "scanned_event": Text("This is an appointment", "It holds a date for a calendar. Look for S/N on the device's label."),
    "scanned_payment": Text("This is a payment", "It serves to pay. Look for S/N on the device's label."),
    "scanned_pairing_code": Text(
        "This is a pairing code", "It pairs the device with another system. Look for S/N on its label."
    ),
    "scanned_product_code": Text(
        "This is the product's bar code", "It is the same on every box. Look for the one marked S/N."
    ),
    "bad_correction": Text("Invalid correction", "This correction does not suit this device: take the one that is offered."),
    "too_many_corrections": Text(
        "Too many corrections", "This device has as many corrections as it may have. Undo those that are of no use any more."
    ),
    "unknown_correction": Text("No such correction", "This device has no such correction."),
    "already_undone": Text("Correction already undone", "This correction is undone already."),
    "unknown_report": Text("No such report", "This commissioning report does not exist."),
    "report_slow": Text("Report takes too long", "The document could not be made in time. Try again."),
    "report_without_devices": Text("No device yet", "A commissioning report is signed once the site has a device."),
    "invitation_unknown": Text(
        "No such invitation", "This invitation link is not complete, or does not exist. Open it from the e-mail itself."
    ),
    "invitation_used": Text("Invitation already used", "Your password is chosen already: sign in with your e-mail address."),
    "invitation_expired": Text(
        "Invitation has expired", "This link is no longer valid. Ask your installer to send you a new one."
    ),
    "bad_profile": Text("Invalid kind of device", "The definition of this kind of device is not valid."),
    "unknown_measure": Text("Unknown measure", "The definition names a measure that the platform does not know."),
    "unknown_codec": Text("Unknown format", "The definition names a message format that the platform does not know."),
    "profile_exists": Text("Kind of device exists", "There is a kind of device with this identifier already."),
    "profile_changed": Text("Changed meanwhile", "Somebody has changed this kind of device meanwhile. Read it again first."),
    "profile_channels": Text(
        "Measures are fixed", "The order of the measures does not change: they can only be added at the end."
    ),
    "profile_identity": Text(
        "Identity is fixed", "The identifier and kind of a kind of device do not change. Make a new one."
    ),
    "no_reason": Text("Reason missing", "Choose why: it is kept in the journal."),
    "no_signature": Text("Signature missing", "Type your name to sign."),
    "passwords_differ": Text("Passwords differ", "The two passwords are not the same."),
    "version_needed": Text("Version missing", "Say in the If-Match header which version you have read."),
}

"""What the error codes of files, loggers and formats say to people; web.texts hands them out."""

from web.onboarding_texts import Text

FRENCH: dict[str, Text] = {
    "no_intake": Text(
        "Réception de fichiers indisponible",
        "La réception de fichiers n'est pas en place sur cette plateforme. Prévenez l'exploitant.",
    ),
    "no_space": Text(
        "Disque plein", "La plateforme n'a plus de place pour ce fichier. Prévenez l'exploitant, puis envoyez-le de nouveau."
    ),
    "too_many_uploads": Text(
        "Trop d'envois", "Trop de fichiers à la fois, ou en un jour. Attendez la fin des envois en cours, puis réessayez."
    ),
    "empty_upload": Text("Fichier vide", "Ce fichier est vide : exportez-le de nouveau depuis l'appareil."),
    "upload_cut": Text("Envoi interrompu", "L'envoi s'est arrêté avant la fin du fichier. Envoyez-le de nouveau."),
    "no_file": Text("Aucun fichier", "Choisissez un fichier à envoyer."),
    "no_site": Text("Aucun site choisi", "Choisissez le site auquel ces fichiers appartiennent."),
    "no_owner": Text("Appareil à choisir", "Choisissez l'appareil dont ce fichier donne les relevés."),
    "unknown_import": Text("Fichier introuvable", "Ce fichier n'existe pas, ou ne vous est pas accessible."),
    "original_gone": Text(
        "Fichier effacé", "Le fichier d'origine n'est plus conservé. Ce qui en a été lu reste ; pour le relire, renvoyez-le."
    ),
    "import_busy": Text("Lecture en cours", "Ce fichier est en train d'être lu. Attendez la fin, puis recommencez."),
    "not_imported": Text("Rien à annuler", "Rien de ce fichier n'est enregistré : il n'y a rien à annuler."),
    "bad_zone": Text(
        "Fuseau horaire inconnu", "Choisissez un fuseau de la liste, ou un décalage fixe tel que +01:00 (heure d'hiver)."
    ),
    "no_such_format": Text("Format introuvable", "Ce format n'existe pas, ou appartient à une autre entreprise."),
    "bad_format": Text(
        "Format incomplet", "La description ne suffit pas à lire le fichier : voyez les champs signalés et l'aperçu."
    ),
    "format_name_needed": Text("Nom manquant", "Donnez un nom à ce format, par exemple celui du portail qui l'exporte."),
    "format_changed": Text(
        "Format modifié entre-temps", "Quelqu'un a changé ce format depuis que vous l'avez ouvert. Rouvrez la page."
    ),
    "too_many_formats": Text("Trop de formats", "Votre entreprise a atteint son nombre de formats : retirez ceux d'avant."),
    "not_describable": Text(
        "Ce n'est pas un tableau",
        "Ce fichier n'est pas un tableau de texte (CSV) : il ne peut pas être décrit ici. Exportez-le en CSV.",
    ),
    "preview_slow": Text("Aperçu trop long", "L'aperçu n'a pas pu être fait à temps. Réessayez dans un moment."),
    "unknown_account": Text("Compte introuvable", "Cet enregistreur n'a pas de compte, ou ne vous est pas accessible."),
    "account_closed": Text("Compte fermé", "Ce compte a été fermé : ouvrez-en un nouveau pour cet enregistreur."),
    "too_many_accounts": Text("Trop d'enregistreurs", "Ce site a autant d'enregistreurs qu'il peut en avoir : fermez-en."),
    "logger_name_needed": Text("Nom manquant", "Donnez à l'enregistreur un nom par lequel vous le reconnaîtrez."),
    "id_taken": Text("Nom déjà pris", "Un appareil porte déjà ce nom. Réessayez."),
    "no_credential": Text("Ni mot de passe ni clé", "Un enregistreur se connecte par mot de passe ou par clé : choisissez."),
    "no_drop_box": Text(
        "Dépôt SFTP indisponible", "Le dépôt SFTP n'est pas en place sur cette plateforme. Prévenez l'exploitant."
    ),
    "bad_expectation": Text(
        "Rythme impossible", "Un fichier s'attend toutes les heures au plus souvent, tous les 400 jours au plus rarement."
    ),
    "bad_ssh_key": Text(
        "Clé publique illisible", "Collez une clé publique sur une ligne, de « ssh-ed25519 AAAA… » jusqu'à sa fin."
    ),
    "weak_ssh_key": Text("Clé trop faible", "Une clé RSA compte au moins 2 048 bits. Préférez ed25519."),
    "private_ssh_key": Text(
        "C'est une clé privée",
        "Gardez-la pour vous, et remplacez-la si d'autres l'ont vue : collez ici le fichier qui finit par .pub.",
    ),
    "key_taken": Text("Clé déjà connue", "Cet enregistreur a déjà cette clé."),
    "too_many_keys": Text("Trop de clés", "Ce compte a autant de clés qu'il peut en avoir : retirez-en une."),
    "unknown_key": Text("Clé introuvable", "Ce compte n'a pas cette clé."),
    "unknown_source": Text("Serveur introuvable", "Ce serveur n'existe pas, ou ne vous est pas accessible."),
    "too_many_sources": Text("Trop de serveurs", "Ce site a autant de serveurs qu'il peut en avoir : retirez-en."),
    "bad_pattern": Text("Motif invalide", "Un motif est un nom de fichier avec * et ?, tel que *.csv, sans dossier."),
    "bad_secret": Text(
        "Mot de passe inutilisable", "Donnez le mot de passe du compte sur ce serveur (256 caractères au plus)."
    ),
    "bad_source": Text(
        "Serveur mal décrit", "Un champ manque ou n'a pas la forme attendue : nom, port, identifiant, dossier."
    ),
    "host_not_allowed": Text(
        "Serveur refusé", "Cette adresse est d'un réseau interne. L'administrateur de la plateforme peut l'autoriser."
    ),
    "server_away": Text(
        "Serveur injoignable", "Aucun serveur SFTP ne répond à ce nom et à ce port. Vérifiez-les, et son pare-feu."
    ),
    "host_key_changed": Text(
        "Clé du serveur différente", "Le serveur montre une autre clé que celle confirmée. Comparez-la avec son responsable."
    ),
    "no_pulling": Text(
        "Récupération indisponible",
        "La récupération de fichiers n'est pas en place sur cette plateforme. Prévenez l'exploitant.",
    ),
}

ENGLISH: dict[str, Text] = {
    "no_intake": Text(
        "Files cannot be taken in", "Taking in files is not set up on this platform. Tell the people who operate it."
    ),
    "no_space": Text(
        "Disk full", "The platform has no room for this file. Tell the people who operate it, then send it again."
    ),
    "too_many_uploads": Text(
        "Too many files", "Too many files at once, or in a day. Wait until those under way are there, then try again."
    ),
    "empty_upload": Text("Empty file", "This file is empty: export it again from the device."),
    "upload_cut": Text("Upload interrupted", "The upload stopped before the end of the file. Send it again."),
    "no_file": Text("No file", "Choose a file to send."),
    "no_site": Text("No site chosen", "Choose the site that these files belong to."),
    "no_owner": Text("Device to choose", "Choose the device whose readings the file holds."),
    "unknown_import": Text("No such file", "This file does not exist, or is not yours to see."),
    "original_gone": Text(
        "File removed", "The original file is not kept any more. What was read of it stays; to read it again, send it again."
    ),
    "import_busy": Text("Being read", "This file is being read now. Wait until that is done, then try again."),
    "not_imported": Text("Nothing to undo", "Nothing of this file is stored: there is nothing to undo."),
    "bad_zone": Text("Unknown time zone", "Choose a zone from the list, or a fixed offset such as +01:00 (winter time)."),
    "no_such_format": Text("No such format", "This format does not exist, or belongs to another company."),
    "bad_format": Text(
        "Format incomplete", "The description is not enough to read the file: see the marked fields and the preview."
    ),
    "format_name_needed": Text("Name missing", "Give this format a name, such as that of the portal that exports it."),
    "format_changed": Text(
        "Format changed meanwhile", "Somebody has changed this format since you opened it. Open the page again."
    ),
    "too_many_formats": Text("Too many formats", "Your company has as many formats as it may have: remove older ones."),
    "not_describable": Text(
        "Not a table", "This file is no table of text (CSV), so it cannot be described here. Export it as CSV."
    ),
    "preview_slow": Text("Preview too slow", "The preview could not be made in time. Try again in a moment."),
    "unknown_account": Text("No such account", "This logger has no account, or is not yours to see."),
    "account_closed": Text("Account closed", "This account was closed: open a new one for this logger."),
    "too_many_accounts": Text("Too many loggers", "This site has as many loggers as it may have: close some."),
    "logger_name_needed": Text("Name missing", "Give the logger a name by which you will know it."),
    "id_taken": Text("Name in use", "A device has this name already. Try again."),
    "no_credential": Text("Neither password nor key", "A logger logs in by a password or by a key: choose."),
    "no_drop_box": Text(
        "No SFTP drop box", "The SFTP drop box is not set up on this platform. Tell the people who operate it."
    ),
    "bad_expectation": Text(
        "Impossible rhythm", "A file can be expected every hour at the most often, every 400 days at the least."
    ),
    "bad_ssh_key": Text("Public key not readable", "Paste a public key as one line, from “ssh-ed25519 AAAA…” to its end."),
    "weak_ssh_key": Text("Key too weak", "An RSA key has 2,048 bits at least. Better take ed25519."),
    "private_ssh_key": Text(
        "This is a private key",
        "Keep it to yourself, and replace it if others have seen it: paste the file that ends in .pub here.",
    ),
    "key_taken": Text("Key known already", "This logger has this key already."),
    "too_many_keys": Text("Too many keys", "This account has as many keys as it may have: remove one."),
    "unknown_key": Text("No such key", "This account does not have this key."),
    "unknown_source": Text("No such server", "This server does not exist, or is not yours to see."),
    "too_many_sources": Text("Too many servers", "This site has as many servers as it may have: remove some."),
    "bad_pattern": Text("Not a pattern", "A pattern is a file name with * and ? in it, such as *.csv, without a folder."),
    "bad_secret": Text("Password not usable", "Give the password of the account on that server (256 characters at most)."),
    "bad_source": Text("Server not described", "A field is missing or has not the expected form: name, port, user, folder."),
    "host_not_allowed": Text(
        "Server refused", "This address is of an internal network. The platform's administrator can allow it."
    ),
    "server_away": Text("Server not reached", "No SFTP server answers at this name and port. Check them, and its firewall."),
    "host_key_changed": Text(
        "Another server key", "The server shows another key than the one confirmed. Compare it with its owner."
    ),
    "no_pulling": Text(
        "Fetching not available", "Fetching files is not set up on this platform. Tell the people who operate it."
    ),
}

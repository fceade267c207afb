"""Why nothing could be fetched from a customer's SFTP server: a code, and words for whoever keeps the site."""

from typing import Final

PROBLEMS: Final[dict[str, tuple[str, str]]] = {  # code → (French, English)
    "server_away": (
        "Le serveur ne répond pas : vérifiez son nom, son port, et qu'il accepte les connexions venues d'Internet.",
        "The server does not answer: check its name, its port, and that it takes connections from the Internet.",
    ),
    "host_not_allowed": (
        "Cette adresse appartient à un réseau interne : demandez à l'administrateur de la plateforme de l'autoriser.",
        "This address belongs to an internal network: ask the platform's administrator to allow it.",
    ),
    "host_key_changed": (
        "La clé du serveur a changé : rien n'a été lu. Comparez l'empreinte avec son responsable, puis confirmez-la.",
        "The server's key has changed: nothing was read. Compare the fingerprint with its owner, then confirm it.",
    ),
    "old_cryptography": (
        "Le serveur ne parle qu'un chiffrement dépassé : demandez à son responsable de le mettre à jour.",
        "The server speaks outdated cryptography only: ask its owner to update it.",
    ),
    "login_refused": (
        "Le serveur refuse l'identifiant, ou le mot de passe ou la clé : vérifiez-les auprès de son responsable.",
        "The server refuses the user name, or the password or key: check them with its owner.",
    ),
    "no_sftp": (
        "Le serveur accepte la connexion mais n'offre pas SFTP à ce compte : demandez à son responsable de l'activer.",
        "The server lets us in but offers no SFTP to this account: ask its owner to turn it on.",
    ),
    "no_folder": (
        "Le dossier n'existe pas sur le serveur, ou ce compte ne peut pas le lire : corrigez-le.",
        "The folder does not exist on the server, or this account may not read it: correct it.",
    ),
    "unreadable_file": (
        "Un fichier au moins n'a pas pu être lu (droits, ou coupure) : les autres sont pris, celui-là sera retenté.",
        "At least one file could not be read (rights, or a cut): the others are taken, this one will be tried again.",
    ),
    "file_too_large": (
        "Un fichier au moins dépasse la taille permise et n'a pas été pris : les autres le sont. Découpez-le.",
        "At least one file is larger than what is allowed and was not taken; the others were. Split it.",
    ),
    "too_many_files": (
        "Le dossier contient trop de fichiers : indiquez un motif plus étroit, ou archivez les anciens.",
        "The folder holds too many files: give a narrower pattern, or move old ones away.",
    ),
    "waiting_room_full": (
        "Trop de fichiers de cet enregistreur attendent d'être lus : la suite sera prise plus tard.",
        "Too many files of this logger wait to be read: the rest will be fetched later.",
    ),
    "disk_full": (
        "Le disque de la plateforme est plein : rien n'est perdu, la lecture reprendra. Prévenez son administrateur.",
        "The platform's disk is full: nothing is lost, fetching will go on. Tell its administrator.",
    ),
    "bad_secret": (
        "Le mot de passe enregistré ne peut plus être lu : saisissez-le à nouveau.",
        "The stored password can no longer be read: enter it again.",
    ),
    "took_too_long": (
        "Le serveur est trop lent : ce qui a été lu est pris, la suite au prochain passage.",
        "The server is too slow: what was read is taken, the rest comes with the next try.",
    ),
}


def words(code: str, locale: str) -> str:
    french, english = PROBLEMS.get(code, (code, code))
    return english if locale == "en" else french

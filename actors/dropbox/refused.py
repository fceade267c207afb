"""What the drop box refuses, and the words that the client shows for it: an installer on a roof reads them.

Clients print a status message as it is, so each has both languages. The codes of SFTP version 3 are few
(draft-ietf-secsh-filexfer-02, section 7); most refusals are a plain FAILURE, and the words say why.
"""

from enum import IntEnum
from typing import Final


class Status(IntEnum):
    OK = 0
    EOF = 1
    NO_SUCH_FILE = 2
    PERMISSION_DENIED = 3
    FAILURE = 4
    BAD_MESSAGE = 5
    OP_UNSUPPORTED = 8


_REFUSALS: Final[dict[str, tuple[Status, str, str]]] = {
    "no_such_file": (Status.NO_SUCH_FILE, "no such file in this box", "pas de tel fichier dans cette boîte"),
    "no_such_folder": (
        Status.NO_SUCH_FILE,
        "this box has no such folder: put files at the top",
        "cette boîte n'a pas ce dossier : déposez les fichiers à la racine",
    ),
    "bad_name": (
        Status.FAILURE,
        "this name is not allowed: no '..', no control characters, at most 160 bytes",
        "ce nom n'est pas permis : ni « .. », ni caractères de contrôle, 160 octets au plus",
    ),
    "write_only": (
        Status.PERMISSION_DENIED,
        "files can be put here, not read back",
        "on dépose des fichiers ici, on ne les relit pas",
    ),
    "no_folders": (Status.PERMISSION_DENIED, "no folders can be made here", "on ne crée pas de dossier ici"),
    "folder_exists": (Status.FAILURE, "this folder exists already", "ce dossier existe déjà"),
    "is_a_folder": (Status.FAILURE, "this is a folder", "ceci est un dossier"),
    "no_links": (Status.PERMISSION_DENIED, "no links here", "pas de liens ici"),
    "no_attributes": (
        Status.PERMISSION_DENIED,
        "rights, owners and sizes cannot be set here",
        "droits, propriétaires et tailles ne se règlent pas ici",
    ),
    "received": (
        Status.PERMISSION_DENIED,
        "this file was received: it stays; a new version can be put",
        "ce fichier est reçu : il reste ; une nouvelle version peut être déposée",
    ),
    "exists": (Status.FAILURE, "there is such a file already", "ce fichier existe déjà"),
    "being_written": (
        Status.FAILURE,
        "this file is still being written: close it first",
        "ce fichier est en cours d'envoi : fermez-le d'abord",
    ),
    "cut_off": (
        Status.FAILURE,
        "this file was cut off: send it to its end first, then rename it",
        "cet envoi a été coupé : terminez-le d'abord, puis renommez le fichier",
    ),
    "taken_over": (
        Status.FAILURE,
        "another connection sends this file now",
        "une autre connexion envoie ce fichier à présent",
    ),
    "hole": (
        Status.FAILURE,
        "a piece before this one is missing: send the file anew, or resume at its end",
        "il manque un morceau avant celui-ci : renvoyez le fichier, ou reprenez à sa fin",
    ),
    "too_large_to_append": (
        Status.FAILURE,
        "this received file is too large to be continued: put it anew",
        "ce fichier reçu est trop grand pour être continué : redéposez-le",
    ),
    "file_too_large": (
        Status.FAILURE,
        "the file is larger than what is taken: split it",
        "le fichier dépasse la taille acceptée : découpez-le",
    ),
    "quota_bytes": (
        Status.FAILURE,
        "this box is full (bytes): wait until files are read, or ask for help",
        "cette boîte est pleine (octets) : attendez que des fichiers soient lus, ou demandez de l'aide",
    ),
    "quota_files": (
        Status.FAILURE,
        "this box is full (number of files): wait until files are read",
        "cette boîte est pleine (nombre de fichiers) : attendez que des fichiers soient lus",
    ),
    "too_fast": (
        Status.FAILURE,
        "too many files in a short time: go on in a minute",
        "trop de fichiers en peu de temps : reprenez dans une minute",
    ),
    "too_many_handles": (
        Status.FAILURE,
        "too many files are open at once: close some first",
        "trop de fichiers ouverts à la fois : fermez-en d'abord",
    ),
    "disk_full": (
        Status.FAILURE,
        "the platform's disk is full: nothing is lost, send again later",
        "le disque de la plateforme est plein : rien n'est perdu, renvoyez plus tard",
    ),
    "disk_error": (
        Status.FAILURE,
        "the platform's disk has failed: send again later",
        "le disque de la plateforme est en panne : renvoyez plus tard",
    ),
    "bad_handle": (Status.FAILURE, "no such open file", "pas de tel fichier ouvert"),
    "bad_message": (Status.BAD_MESSAGE, "this request is not understood", "cette demande n'est pas comprise"),
    "unsupported": (Status.OP_UNSUPPORTED, "this is not possible here", "ceci n'est pas possible ici"),
    "end": (Status.EOF, "end", "fin"),
}

SHELL: Final = (
    "SolarPerform: this is a drop box for files. Use sftp or scp to put some; there is no shell.\r\n"
    "SolarPerform : ceci est une boîte de dépôt. Déposez vos fichiers par sftp ou scp ; il n'y a pas d'invite.\r\n"
)
COMMAND: Final = (
    "SolarPerform: only sftp and scp work here (no rsync, no commands).\r\n"
    "SolarPerform : seuls sftp et scp fonctionnent ici (ni rsync, ni commandes).\r\n"
)
TOO_MANY_TRIES: Final = (
    "Too many wrong passwords: wait 15 minutes, or make a new password in the portal. / "
    "Trop de mots de passe erronés : attendez 15 minutes, ou créez-en un nouveau dans le portail.\r\n"
)


class Refused(Exception):
    """An operation that the drop box does not do. code: stable, for the log."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code
        self.status, english, french = _REFUSALS[code]
        self.words = f"{english} / {french}"


def codes() -> frozenset[str]:
    return frozenset(_REFUSALS)

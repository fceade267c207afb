"""What the agent says on the command line, in French where LANG says so, else in English."""

# ruff: noqa: E501 - a sentence is read whole, and translated whole

import os
from typing import Literal

Language = Literal["fr", "en"]


def language() -> Language:
    chosen = os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or ""
    return "fr" if chosen.startswith("fr") else "en"


def text(key: str, **values: object) -> str:
    """The sentence of that key; both languages have the same keys and the same placeholders (a test holds that)."""
    return TEXTS[language()][key].format(**values)


ENGLISH = {
    # enrolment
    "asking_server": "Looking at {url} …",
    "server_known": "The server is who it says it is.",
    "asking_certificate": "Asking for a certificate …",
    "confirming": "Trying the certificate …",
    "trying_again": "{reason} Trying again in {wait_s:.0f} s; after Ctrl-C the same command goes on here.",
    "resuming": "Going on where the last try ended.",
    "enrolled": "Enrolled: this is {name} ({device}) at site {site}.",
    "already_enrolled": "Already enrolled with this code: this is {name} ({device}) at site {site}.",
    "next_steps": "Next: `solarperform-agent run`, or as a service:\n  solarperform-agent unit | sudo tee /etc/systemd/system/solarperform-agent.service\n  sudo systemctl enable --now solarperform-agent\nA service that is running already needs `sudo systemctl restart solarperform-agent`.",
    "interrupted": "Interrupted. The same command goes on here.",
    "no_target": "Say where and with which code: `solarperform-agent enrol LINK`, or `--server URL --claim CODE`.",
    "bad_claim_code": "This is no claim code: {reason}.",
    "claim_strange_symbol": "a claim code has letters and digits only, and no U; compare it with the screen that shows it",
    "claim_length": "a claim code has 28 letters and digits, this one has {length}",
    "claim_typing_error": "there is a typing error in it; compare it with the screen that shows it",
    "bad_link": "This is no enrolment link; it looks like https://server:port/#CODE.FINGERPRINT",
    "bad_server_url": "{url!r} is no server's address; it looks like https://server:port",
    "bad_fingerprint": "A fingerprint is 32 hexadecimal digits, as the installer's screen shows it.",
    "bad_ca_file": "{file} holds no certificate in PEM: {reason}",
    "server_unreachable": "{host} does not answer ({reason}).",
    "server_untrusted": "{host} is not known to be trustworthy ({reason}); nothing was told to it.",
    "server_other_name": "{host} shows a certificate for another name ({reason}); nothing was told to it.",
    "server_certificate_dates": "The server's certificate is not valid now ({reason}), and this machine's clock is right: the server needs a new one.",
    "other_fingerprint": "{host} is not the server of the code: no authority of it has the fingerprint {wanted}. Nothing was told to it.",
    "compare_fingerprint": "What it shows has the fingerprint {fingerprints}\nCompare it with the installer's screen. If it is the same: --fingerprint and this value. If not, this is another server.",
    "clock_wrong": "This machine's clock is wrong: it says {here}, the server says {there}; it is {off} {way}. Set it (`timedatectl set-ntp true`, or `sudo date -u -s '{there}'`) and run the same command again.",
    "clock_behind": "behind",
    "clock_ahead": "ahead",
    "days": "{days} day(s)",
    "certificate_refused": "The server does not accept this device's certificate ({reason}).",
    "certificate_not_valid_now": "The certificate that came is valid from {begin} to {end}; this machine's clock says {here}.",
    "not_our_key": "The server answered with a certificate for another key.",
    "not_our_device": "The server answers about another device: {device}.",
    "answer_not_understood": "The server's answer is not understood: {reason}",
    "refused_without_words": "The server answered with status {status}.",
    "other_claim": "This folder belongs to {device} already, which was enrolled with another code. To make this machine another device: --again (what it is now ends then).",
    "other_claim_begun": "An enrolment with another code has got a certificate here and is not finished. To drop it: --again.",
    "enrolment_running": "Another enrolment or renewal is at work in {folder}.",
    "folder_unusable": "{folder} cannot be used: {reason}. Choose another with --state, or run this with sudo.",
    "bad_state": "{file} is not what this program wrote.",
    "not_enrolled": "Nothing is enrolled in {folder}: first `solarperform-agent enrol LINK`.",
    # run
    "no_such_file": "{file} cannot be read: {reason}",
    "bad_settings": "{file} is not understood: {reason}",
    "spool_in_use": "Another agent is running with {folder}.",
    # status
    "status_title": "{name} ({device}), site {site}, profile {profile}",
    "status_server": "enrolled at       {server}",
    "status_broker": "publishes to      {host}:{port}",
    "status_certificate": "certificate       {serial}",
    "status_until": "valid until       {end} ({days} days)",
    "status_expired": "EXPIRED on        {end}: make a new code on the portal, then `solarperform-agent enrol LINK --again`",
    "status_renewal": "renewed from      {at}",
    "status_pending": "renewal           begun, not finished",
    "status_config": "configuration     version {version}: {values}",
    "status_no_config": "configuration     none from the platform yet",
    "status_held": "not yet stored    {held} messages, {kib} KiB",
    "status_running": "agent             running (process {pid}), {link}",
    "status_link_up": "connected",
    "status_link_down": "not connected: {reason}",
    "status_not_running": "agent             not running",
    "status_unconfirmed": "The enrolment is not finished: run the same `enrol` command again.",
}

FRENCH = {
    "asking_server": "Examen de {url} …",
    "server_known": "Le serveur est bien celui qu’il prétend être.",
    "asking_certificate": "Demande du certificat …",
    "confirming": "Essai du certificat …",
    "trying_again": "{reason} Nouvel essai dans {wait_s:.0f} s ; après Ctrl-C, la même commande reprend ici.",
    "resuming": "Reprise là où le dernier essai s’est arrêté.",
    "enrolled": "Enrôlé : cet appareil est {name} ({device}), site {site}.",
    "already_enrolled": "Déjà enrôlé avec ce code : cet appareil est {name} ({device}), site {site}.",
    "next_steps": "Ensuite : `solarperform-agent run`, ou comme service :\n  solarperform-agent unit | sudo tee /etc/systemd/system/solarperform-agent.service\n  sudo systemctl enable --now solarperform-agent\nUn service déjà lancé demande `sudo systemctl restart solarperform-agent`.",
    "interrupted": "Interrompu. La même commande reprend ici.",
    "no_target": "Dites où et avec quel code : `solarperform-agent enrol LIEN`, ou `--server URL --claim CODE`.",
    "bad_claim_code": "Ce n’est pas un code d’enrôlement : {reason}.",
    "claim_strange_symbol": "un code n’a que des lettres et des chiffres, sans U ; comparez-le à l’écran qui l’affiche",
    "claim_length": "un code a 28 lettres et chiffres, celui-ci en a {length}",
    "claim_typing_error": "il contient une faute de frappe ; comparez-le à l’écran qui l’affiche",
    "bad_link": "Ce n’est pas un lien d’enrôlement ; il ressemble à https://serveur:port/#CODE.EMPREINTE",
    "bad_server_url": "{url!r} n’est pas l’adresse d’un serveur ; elle ressemble à https://serveur:port",
    "bad_fingerprint": "Une empreinte a 32 chiffres hexadécimaux, comme l’écran de l’installateur l’affiche.",
    "bad_ca_file": "{file} ne contient pas de certificat PEM : {reason}",
    "server_unreachable": "{host} ne répond pas ({reason}).",
    "server_untrusted": "Rien ne prouve que {host} est digne de confiance ({reason}) ; rien ne lui a été dit.",
    "server_other_name": "{host} montre un certificat d’un autre nom ({reason}) ; rien ne lui a été dit.",
    "server_certificate_dates": "Le certificat du serveur n’est pas valable en ce moment ({reason}) et l’horloge de cette machine est juste : le serveur doit le renouveler.",
    "other_fingerprint": "{host} n’est pas le serveur de ce code : aucune de ses autorités n’a l’empreinte {wanted}. Rien ne lui a été dit.",
    "compare_fingerprint": "Ce qu’il montre a l’empreinte {fingerprints}\nComparez-la à l’écran de l’installateur. Si elle est identique : --fingerprint et cette valeur. Sinon, c’est un autre serveur.",
    "clock_wrong": "L’horloge de cette machine est fausse : elle dit {here}, le serveur dit {there} ; elle a {off} {way}. Réglez-la (`timedatectl set-ntp true`, ou `sudo date -u -s '{there}'`), puis relancez la même commande.",
    "clock_behind": "de retard",
    "clock_ahead": "d’avance",
    "days": "{days} jour(s)",
    "certificate_refused": "Le serveur n’accepte pas le certificat de cet appareil ({reason}).",
    "certificate_not_valid_now": "Le certificat reçu est valable du {begin} au {end} ; l’horloge de cette machine dit {here}.",
    "not_our_key": "Le serveur a répondu par un certificat d’une autre clé.",
    "not_our_device": "Le serveur répond au sujet d’un autre appareil : {device}.",
    "answer_not_understood": "La réponse du serveur n’est pas comprise : {reason}",
    "refused_without_words": "Le serveur a répondu par le statut {status}.",
    "other_claim": "Ce dossier est déjà celui de {device}, enrôlé avec un autre code. Pour faire de cette machine un autre appareil : --again (ce qu’elle est prend fin alors).",
    "other_claim_begun": "Un enrôlement avec un autre code a obtenu ici un certificat et n’est pas terminé. Pour l’abandonner : --again.",
    "enrolment_running": "Un autre enrôlement ou renouvellement travaille dans {folder}.",
    "folder_unusable": "{folder} est inutilisable : {reason}. Choisissez-en un autre avec --state, ou lancez ceci avec sudo.",
    "bad_state": "{file} n’est pas ce que ce programme a écrit.",
    "not_enrolled": "Rien n’est enrôlé dans {folder} : d’abord `solarperform-agent enrol LIEN`.",
    "no_such_file": "{file} ne peut pas être lu : {reason}",
    "bad_settings": "{file} n’est pas compris : {reason}",
    "spool_in_use": "Un autre agent travaille avec {folder}.",
    "status_title": "{name} ({device}), site {site}, profil {profile}",
    "status_server": "enrôlé auprès de   {server}",
    "status_broker": "publie vers        {host}:{port}",
    "status_certificate": "certificat         {serial}",
    "status_until": "valable jusqu’au   {end} ({days} jours)",
    "status_expired": "EXPIRÉ le          {end} : créez un nouveau code sur le portail, puis `solarperform-agent enrol LIEN --again`",
    "status_renewal": "renouvelé dès le   {at}",
    "status_pending": "renouvellement     commencé, pas terminé",
    "status_config": "configuration      version {version} : {values}",
    "status_no_config": "configuration      aucune reçue de la plateforme",
    "status_held": "pas encore stocké  {held} messages, {kib} Kio",
    "status_running": "agent              en marche (processus {pid}), {link}",
    "status_link_up": "connecté",
    "status_link_down": "non connecté : {reason}",
    "status_not_running": "agent              arrêté",
    "status_unconfirmed": "L’enrôlement n’est pas terminé : relancez la même commande `enrol`.",
}

TEXTS: dict[Language, dict[str, str]] = {"en": ENGLISH, "fr": FRENCH}

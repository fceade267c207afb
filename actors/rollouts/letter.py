"""Tells whoever made a rollout that it has stopped by itself, and why."""

from typing import Final, Literal

import structlog

from fleet.errors import BadInput
from fleet.limits import MAIL_SUBJECT_CHARS_MAX
from fleet.rollouts.lifecycle import Rollout, Stop
from fleet.rollouts.outcome_words import advice_said, lack_said, outcomes_said
from fleet.storage.database import Connection
from fleet.storage.mail import queue_mail
from fleet.storage.rollout_steps import creator

log = structlog.get_logger("rollouts")

_SUBJECTS: Final = {
    ("pause", "fr"): "Déploiement « {name} » : en pause, il attend votre décision",
    ("pause", "en"): "Rollout “{name}”: paused, it waits for you",
    ("stop", "fr"): "Déploiement « {name} » : arrêté de lui-même",
    ("stop", "en"): "Rollout “{name}”: stopped by itself",
}
_WHY: Final = {
    ("rejected", "fr"): "Configuration refusée par {count} sur {of} appareils ({measured} %, limite {limit} %).",
    ("rejected", "en"): "{count} of {of} devices rejected the configuration ({measured}%, limit {limit}%).",
    ("timed_out", "fr"): "Sans réponse à temps : {count} sur {of} appareils ({measured} %, limite {limit} %).",
    ("timed_out", "en"): "{count} of {of} devices did not answer in time ({measured}%, limit {limit}%).",
    ("went_silent", "fr"): "Sans nouvelles depuis : {count} sur {of} appareils ({measured} %, limite {limit} %).",
    ("went_silent", "en"): "{count} of {of} devices went silent ({measured}%, limit {limit}%).",
    ("raised_alerts", "fr"): "En alerte depuis : {count} sur {of} appareils ({measured} %, limite {limit} %).",
    ("raised_alerts", "en"): "{count} of {of} devices raised an alert ({measured}%, limit {limit}%).",
    ("energy", "fr"): "Les témoins produisent moins que leurs voisins ne le laissent attendre : {measured} %"
    " (limite {limit} %).",
    ("energy", "en"): "The canaries yield less than their neighbours let expect: {measured}% (limit {limit}%).",
    ("energy_unknown", "fr"): "La production des témoins n’a pas pu être comparée à celle de leurs voisins : {lack}.",
    ("energy_unknown", "en"): "The canaries’ yield could not be compared with their neighbours’: {lack}.",
    ("no_outcome", "fr"): "Aucun appareil de cette vague n’a confirmé la configuration ({outcomes}) ; le déploiement ne va"
    " pas plus loin sans cela. {advice}",
    ("no_outcome", "en"): "No device of this wave has confirmed the configuration ({outcomes}), and the rollout goes no"
    " further without that. {advice}",
    ("restored", "fr"): "La plateforme a été restaurée d’une sauvegarde : le déploiement a pu être arrêté entre-temps.",
    ("restored", "en"): "The platform was restored from a backup: the rollout may have been aborted meanwhile.",
}
_THEN: Final = {
    ("pause", "fr"): "Reprenez-le ou arrêtez-le ici :",
    ("pause", "en"): "Resume or abort it here:",
    ("return", "fr"): "Les appareils déjà modifiés retrouvent leur configuration précédente :",
    ("return", "en"): "The devices that were changed get back what they had:",
    ("recall", "fr"): "Il était terminé ; des appareils revenus depuis l’ont fait échouer. Les appareils déjà modifiés"
    " retrouvent leur configuration précédente :",
    ("recall", "en"): "It was completed; devices that have returned since made it fail. The devices that were changed get"
    " back what they had:",
    ("fail", "fr"): "Il était terminé ; des appareils revenus depuis l’ont fait échouer. Les appareils déjà modifiés le"
    " restent :",
    ("fail", "en"): "It was completed; devices that have returned since made it fail. The devices that were changed stay"
    " so:",
    ("abort", "fr"): "Les appareils déjà modifiés le restent ; ceux qui étaient hors ligne à leur tour le seront à leur"
    " retour ; les autres n’ont rien reçu :",
    ("abort", "en"): "The devices that were changed stay so; those that were offline when their turn came will be when they"
    " return; the others were told nothing:",
}


async def write_creator(connection: Connection, rollout: Rollout, kind: str, stop: Stop, public_url: str) -> None:
    """Part of the caller's transaction. kind: 'pause', 'return', 'abort', 'recall' or 'fail'."""
    addressee = await creator(connection, rollout.id)
    if addressee is None:
        return
    subject, body = letter(rollout, kind, stop, "en" if addressee.locale == "en" else "fr", public_url)
    try:
        await queue_mail(connection, recipient=addressee.email, subject=subject, body=body)
    except BadInput as error:
        log.warning("creator_not_told", rollout=rollout.id, code=error.code)


def letter(rollout: Rollout, kind: str, stop: Stop, language: Literal["fr", "en"], public_url: str) -> tuple[str, str]:
    """Subject and text."""
    name = " ".join("".join(sign if sign.isprintable() else " " for sign in rollout.name).split())
    subject = _SUBJECTS["pause" if kind == "pause" else "stop", language].format(name=name)
    why = _WHY[stop.code, language].format(
        count=stop.count,
        of=stop.of,
        measured=_share(stop.measured_pct, language),
        limit=_share(stop.limit_pct, language),
        lack=lack_said(stop.lacks, language),
        outcomes=outcomes_said(stop, language),
        advice=advice_said(stop, language),
    )
    link = f"{public_url}/ops/rollouts/{rollout.id}"
    return subject[:MAIL_SUBJECT_CHARS_MAX], f"{why}\n{_THEN[kind, language]}\n{link}\n"


def _share(share_pct: float | None, language: str) -> str:
    text = f"{share_pct or 0.0:.3g}"
    return text if language == "en" else text.replace(".", ",")

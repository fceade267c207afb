"""Tells whoever made a rollout that it has stopped by itself, and why."""

from typing import Final, Literal

import structlog

from fleet.errors import BadInput
from fleet.limits import MAIL_SUBJECT_CHARS_MAX, ROLLOUT_ENERGY_DAYS_BACK
from fleet.rollouts.lifecycle import Rollout, Stop
from fleet.rollouts.outcome_words import is_asleep, outcomes_said
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
    ("rejected", "fr"): "{count} appareils sur {of} ont refusé la configuration ({measured} %, limite {limit} %).",
    ("rejected", "en"): "{count} of {of} devices rejected the configuration ({measured}%, limit {limit}%).",
    ("timed_out", "fr"): "{count} appareils sur {of} n'ont pas répondu à temps ({measured} %, limite {limit} %).",
    ("timed_out", "en"): "{count} of {of} devices did not answer in time ({measured}%, limit {limit}%).",
    ("went_silent", "fr"): "{count} appareils sur {of} ne donnent plus de nouvelles ({measured} %, limite {limit} %).",
    ("went_silent", "en"): "{count} of {of} devices went silent ({measured}%, limit {limit}%).",
    ("raised_alerts", "fr"): "{count} appareils sur {of} ont levé une alerte ({measured} %, limite {limit} %).",
    ("raised_alerts", "en"): "{count} of {of} devices raised an alert ({measured}%, limit {limit}%).",
    ("energy", "fr"): "Les premiers appareils produisent moins que leurs voisins ne le laissent attendre : {measured} %"
    " (limite {limit} %).",
    ("energy", "en"): "The first devices yield less than their neighbours let expect: {measured}% (limit {limit}%).",
    ("energy_unknown", "fr"): "La production des premiers appareils n'a pas pu être comparée à celle de leurs voisins :"
    " {lack}.",
    ("energy_unknown", "en"): "The yield of the first devices could not be compared with their neighbours': {lack}.",
    ("no_outcome", "fr"): "Aucun appareil de cette vague n'a confirmé la configuration ({outcomes}) ; le déploiement ne va"
    " pas plus loin sans cela. {advice}",
    ("no_outcome", "en"): "No device of this wave has confirmed the configuration ({outcomes}), and the rollout goes no"
    " further without that. {advice}",
    ("restored", "fr"): "La plateforme a été restaurée d'une sauvegarde : le déploiement a pu être arrêté entre-temps.",
    ("restored", "en"): "The platform was restored from a backup: the rollout may have been aborted meanwhile.",
}
# Whether they only have to be waited for.
_ADVICE: Final = {
    (True, "fr"): "S'ils dorment, reprenez quand ils sont réveillés ; avec un créneau solaire, un déploiement les attend de"
    " lui-même.",
    (True, "en"): "If they sleep, resume once they are awake; with a solar window, a rollout waits for them by itself.",
    (False, "fr"): "Sa page dit pourquoi, appareil par appareil ; reprendre, c'est continuer sans rien savoir de cette"
    " vague.",
    (False, "en"): "Its page says why, device by device; to resume means to go on without knowing anything of this wave.",
}
_LACKS: Final = {
    ("neighbours", "fr"): "aucun voisin n'a transmis sa production",
    ("neighbours", "en"): "no neighbour has told its yield",
    ("canaries", "fr"): "les premiers appareils n'ont rien transmis de la leur",
    ("canaries", "en"): "the first devices have told nothing of theirs",
    ("sun_since", "fr"): "trop peu de soleil depuis",
    ("sun_since", "en"): "too little sun since",
    ("sun_before", "fr"): f"trop peu de soleil ou de mesures dans les {ROLLOUT_ENERGY_DAYS_BACK} jours précédents",
    ("sun_before", "en"): f"too little sun, or too few samples, in the {ROLLOUT_ENERGY_DAYS_BACK} days before",
    ("canaries_before", "fr"): "les premiers appareils produisaient trop peu auparavant",
    ("canaries_before", "en"): "the first devices yielded too little before",
    (None, "fr"): "pas assez de soleil, ou pas de voisins",
    (None, "en"): "not enough sun, or no neighbours",
}
_THEN: Final = {
    ("pause", "fr"): "Reprenez-le ou arrêtez-le ici :",
    ("pause", "en"): "Resume or abort it here:",
    ("return", "fr"): "Les appareils déjà modifiés retrouvent leur configuration précédente :",
    ("return", "en"): "The devices that were changed get back what they had:",
    ("recall", "fr"): "Il était terminé ; des appareils revenus depuis l'ont fait échouer. Les appareils déjà modifiés"
    " retrouvent leur configuration précédente :",
    ("recall", "en"): "It was completed; devices that have returned since made it fail. The devices that were changed get"
    " back what they had:",
    ("fail", "fr"): "Il était terminé ; des appareils revenus depuis l'ont fait échouer. Les appareils déjà modifiés le"
    " restent :",
    ("fail", "en"): "It was completed; devices that have returned since made it fail. The devices that were changed stay"
    " so:",
    ("abort", "fr"): "Les appareils déjà modifiés le restent ; ceux qui étaient hors ligne à leur tour le seront à leur"
    " retour ; les autres n'ont rien reçu :",
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
        lack=_LACKS[stop.lacks, language],
        outcomes=outcomes_said(stop, language),
        advice=_ADVICE[is_asleep(stop), language],
    )
    link = f"{public_url}/ops/rollouts/{rollout.id}"
    return subject[:MAIL_SUBJECT_CHARS_MAX], f"{why}\n{_THEN[kind, language]}\n{link}\n"


def _share(share_pct: float | None, language: str) -> str:
    text = f"{share_pct or 0.0:.3g}"
    return text if language == "en" else text.replace(".", ",")

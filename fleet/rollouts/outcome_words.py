"""Why a rollout waits for a decision, in the words of people: what has become of a wave of which nobody is done, what can
be done about it, and what the canaries' yield could not be compared for. For mail and pages. Pure.
"""

from collections.abc import Mapping
from typing import Final, Literal

from fleet.limits import ROLLOUT_ENERGY_DAYS_BACK
from fleet.rollouts.energy import EnergyLack
from fleet.rollouts.lifecycle import FAULT_OF, Stop, TargetState

_Language = Literal["fr", "en"]

_SAID: Final[tuple[tuple[tuple[TargetState, ...], str, str], ...]] = (
    (("rejected",), "refus", "refused"),
    (("timed_out",), "sans réponse", "no answer"),
    (("silent",), "devenus silencieux", "went silent"),
    (("alerted",), "en alerte", "raised an alert"),
    (("skipped",), "écartés par la plateforme", "left out by the platform"),
    (("overruled",), "changés entre-temps", "changed since"),
    (("gone",), "partis", "gone"),
    (("away", "absent"), "hors ligne ou endormis", "offline or asleep"),
)
_NOT_SENT: Final[Mapping[_Language, str]] = {"fr": "pas encore envoyés", "en": "not sent yet"}
_Advice = Literal["wait", "allow", "mend"]
_ADVICE: Final[Mapping[tuple[_Advice, _Language], str]] = {
    ("wait", "fr"): "Voyez ses appareils : s’ils dorment, reprenez quand ils sont réveillés ; plus tôt, c’est continuer sans"
    " rien savoir de cette vague. Avec un créneau solaire, un déploiement les attend de lui-même.",
    ("wait", "en"): "Look at its devices: if they sleep, resume once they are awake; earlier means to go on without knowing"
    " anything of this wave. With a solar window, a rollout waits for them by itself.",
    ("allow", "fr"): "Si un appareil n’a encore rien reçu, c’est le plus souvent que le profil ne permet plus ces valeurs :"
    " corrigez-le, l’envoi part alors de lui-même, et reprenez une fois qu’il est confirmé ; ou arrêtez le déploiement.",
    ("allow", "en"): "Where nothing was sent yet, the profile most often no longer allows these values: mend it, they are"
    " then sent by themselves, and resume once they are confirmed; or abort the rollout.",
    ("mend", "fr"): "Voyez pourquoi, appareil par appareil : arrêtez-le et corrigez ce qui doit l’être ; reprendre, c’est"
    " continuer sans rien savoir de cette vague.",
    ("mend", "en"): "Look why, device by device: abort it and mend what has to be mended; to resume means to go on without"
    " knowing anything of this wave.",
}
_LACKS: Final[Mapping[tuple[EnergyLack | None, _Language], str]] = {
    ("neighbours", "fr"): "aucun voisin n’a transmis sa production",
    ("neighbours", "en"): "no neighbour has told its yield",
    ("canaries", "fr"): "rien n’a été transmis de la production des témoins",
    ("canaries", "en"): "nothing was told of the canaries’ yield",
    ("sun_since", "fr"): "trop peu de soleil depuis",
    ("sun_since", "en"): "too little sun since",
    ("sun_before", "fr"): f"trop peu de soleil ou de mesures dans les {ROLLOUT_ENERGY_DAYS_BACK} jours précédents",
    ("sun_before", "en"): f"too little sun, or too few samples, in the {ROLLOUT_ENERGY_DAYS_BACK} days before",
    ("canaries_before", "fr"): "production des témoins trop faible auparavant",
    ("canaries_before", "en"): "the canaries yielded too little before",
    (None, "fr"): "pas assez de soleil, ou pas de voisins",  # as older releases stored it
    (None, "en"): "not enough sun, or no neighbours",
}


def outcomes_said(stop: Stop, language: _Language) -> str:
    """ "refus : 2 sur 3 ; hors ligne ou endormis : 1 sur 3". Empty where an older release has stored no more than that
    nobody was missing.
    """
    outcomes = stop.outcomes or {"away": stop.count}
    counted = [(_NOT_SENT[language], stop.held_back)]
    for states, french, english in _SAID:
        devices = sum(outcomes.get(state, 0) for state in states)
        counted.append((english if language == "en" else french, devices - (stop.held_back if "away" in states else 0)))
    said = [(words, devices) for words, devices in counted if devices > 0]
    if language == "en":
        return "; ".join(f"{words}: {devices} of {stop.of}" for words, devices in said)
    return " ; ".join(f"{words} : {devices} sur {stop.of}" for words, devices in said)


def advice_said(stop: Stop, language: _Language) -> str:
    """What can be done about a wave without an outcome, as whole sentences."""
    return " ".join(_ADVICE[each, language] for each in _advice(stop))


def lack_said(lacks: EnergyLack | None, language: _Language) -> str:
    """What the canaries' yield could not be compared for, as part of a sentence."""
    return _LACKS[lacks, language]


def _advice(stop: Stop) -> tuple[_Advice, ...]:
    """Where nobody has failed or been left out, the wave only has to be waited for, or to be allowed what it was told."""
    if not stop.count or any(state in FAULT_OF or state == "skipped" for state in stop.outcomes):
        return ("mend",)
    if not stop.held_back:
        return ("wait",)
    return ("allow",) if stop.held_back >= stop.count else ("allow", "wait")

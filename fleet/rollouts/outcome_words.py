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
# Whether the wave only has to be waited for.
_ADVICE: Final[Mapping[tuple[bool, _Language], str]] = {
    (True, "fr"): "Voyez ses appareils : s’ils dorment, reprenez quand ils sont réveillés ; plus tôt, c’est continuer sans"
    " rien savoir de cette vague. Avec un créneau solaire, un déploiement les attend de lui-même.",
    (True, "en"): "Look at its devices: if they sleep, resume once they are awake; earlier means to go on without knowing"
    " anything of this wave. With a solar window, a rollout waits for them by itself.",
    (False, "fr"): "Voyez pourquoi, appareil par appareil : arrêtez-le et corrigez ce qui doit l’être ; reprendre, c’est"
    " continuer sans rien savoir de cette vague.",
    (False, "en"): "Look why, device by device: abort it and mend what has to be mended; to resume means to go on without"
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
    parts = []
    for states, french, english in _SAID:
        if devices := sum(outcomes.get(state, 0) for state in states):
            parts.append(f"{english}: {devices} of {stop.of}" if language == "en" else f"{french} : {devices} sur {stop.of}")
    return "; ".join(parts) if language == "en" else " ; ".join(parts)


def advice_said(stop: Stop, language: _Language) -> str:
    """What can be done about a wave without an outcome, as whole sentences."""
    return _ADVICE[_is_asleep(stop), language]


def lack_said(lacks: EnergyLack | None, language: _Language) -> str:
    """What the canaries' yield could not be compared for, as part of a sentence."""
    return _LACKS[lacks, language]


def _is_asleep(stop: Stop) -> bool:
    """Whether the wave only has to be waited for: some are not there, and nobody has failed or been left out."""
    return stop.count > 0 and not any(state in FAULT_OF or state == "skipped" for state in stop.outcomes)

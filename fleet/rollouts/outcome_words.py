"""What has become of a wave of which nobody is done, in the words of people: for mail and pages. Pure."""

from typing import Final, Literal

from fleet.rollouts.lifecycle import FAULT_OF, Stop, TargetState

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


def outcomes_said(stop: Stop, language: Literal["fr", "en"]) -> str:
    """ "refus : 2 sur 3 ; hors ligne ou endormis : 1 sur 3". Empty where an older release has stored no more than that
    nobody was missing.
    """
    outcomes = stop.outcomes or {"away": stop.count}
    parts = []
    for states, french, english in _SAID:
        if devices := sum(outcomes.get(state, 0) for state in states):
            parts.append(f"{english}: {devices} of {stop.of}" if language == "en" else f"{french} : {devices} sur {stop.of}")
    return "; ".join(parts) if language == "en" else " ; ".join(parts)


def is_asleep(stop: Stop) -> bool:
    """Whether the wave only has to be waited for: some are not there, and nobody has failed or been left out."""
    return stop.count > 0 and not any(state in FAULT_OF or state == "skipped" for state in stop.outcomes)

"""Rollouts in the words of people: states of a rollout and of its targets, why it stopped, what is wrong with a plan."""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from fleet.rollouts.facts import NOT_SENT
from fleet.rollouts.lifecycle import RolloutState, Stop, StopCode, TargetState
from fleet.rollouts.outcome_words import advice_said, lack_said, outcomes_said
from web.language import Language

# What the states of targets come to, in the order of a bar.
Slice = Literal["done", "under_way", "away", "faults", "left_out", "to_come"]


class _Words(NamedTuple):
    french: str
    english: str

    def said(self, language: Language) -> str:
        return self.english if language == "en" else self.french


_STATES: Final[Mapping[RolloutState, _Words]] = {
    "running": _Words("En cours", "Running"),
    "paused": _Words("En pause", "Paused"),
    "returning": _Words("Retour en arrière", "Going back"),
    "aborted": _Words("Arrêté", "Aborted"),
    "completed": _Words("Terminé", "Completed"),
}
SLICES: Final[Mapping[Slice, tuple[TargetState, ...]]] = {
    "done": ("done",),
    "under_way": ("telling", "pending", "returning", "returned"),
    "away": ("away", "absent"),
    "faults": ("rejected", "timed_out", "silent", "alerted", "return_rejected", "return_unanswered", "not_returned"),
    "left_out": ("restored", "skipped", "overruled", "gone"),
    "to_come": ("held", "waiting"),
}
# Of one device, and of several.
_SLICES: Final[Mapping[Slice, tuple[_Words, _Words]]] = {
    "done": (_Words("appliqué", "done"), _Words("appliqués", "done")),
    "under_way": (_Words("en cours", "under way"), _Words("en cours", "under way")),
    "away": (
        _Words("hors ligne ou retenu", "offline or held back"),
        _Words("hors ligne ou retenus", "offline or held back"),
    ),
    "faults": (_Words("en défaut", "at fault"), _Words("en défaut", "at fault")),
    "left_out": (_Words("remis ou écarté", "given back or left out"), _Words("remis ou écartés", "given back or left out")),
    "to_come": (_Words("à venir", "to come"), _Words("à venir", "to come")),
}
# What these come to when nothing more comes of them: at the end, and once nobody looks at the rollout any more.
_LAPSED: Final[Mapping[Slice, tuple[_Words, _Words]]] = {
    "to_come": (_Words("non atteint", "not reached"), _Words("non atteints", "not reached")),
    "under_way": (_Words("non confirmé", "not confirmed"), _Words("non confirmés", "not confirmed")),
}
_UNCONFIRMED: Final = _Words(
    "La plateforme n’attend plus sa réponse : sa configuration dit ce qu’il applique.",
    "The platform no longer waits for its answer: its configuration says what it runs.",
)
# What it is called, and what that means.
_TARGETS: Final[Mapping[TargetState, tuple[_Words, _Words]]] = {
    "waiting": (_Words("À venir", "To come"), _Words("Sa vague n’a pas commencé.", "Its wave has not begun.")),
    "held": (
        _Words("Attend son créneau", "Waits for its window"),
        _Words("Sa vague a commencé, mais pas son créneau horaire ou solaire.", "Its wave has begun, its window is shut."),
    ),
    "absent": (
        _Words("Absent", "Absent"),
        _Words(
            "Rien ne lui a été envoyé : il l’aura une fois là pendant son créneau. Sa vague n’attend pas.",
            "It was told nothing: it gets it once it is there while its window is open. Its wave goes on.",
        ),
    ),
    "telling": (
        _Words("Part maintenant", "Being told"),
        _Words("Son jumeau est en train de l’apprendre.", "Its twin is told."),
    ),
    "pending": (
        _Words("Envoyé", "Sent"),
        _Words("L’appareil est là ; sa réponse est attendue.", "The device is there; its answer is awaited."),
    ),
    "away": (
        _Words("Hors ligne", "Offline"),
        _Words("Il l’aura à son retour, et ne compte pas comme défaut.", "It gets it when it returns, and is no fault."),
    ),
    "done": (_Words("Appliqué", "Done"), _Words("L’appareil l’a confirmé.", "The device has confirmed it.")),
    "rejected": (
        _Words("Refusé", "Rejected"),
        _Words("L’appareil l’a refusé, ou applique autre chose.", "The device refused it, or runs something else."),
    ),
    "timed_out": (
        _Words("Sans réponse", "No answer"),
        _Words("L’appareil est là, mais n’a rien répondu à temps.", "The device is there, but did not answer in time."),
    ),
    "silent": (
        _Words("S’est tu", "Went silent"),
        _Words("Il était là quand il l’a reçu, et ne l’est plus.", "It was there when it was told, and has gone since."),
    ),
    "alerted": (
        _Words("A levé une alerte", "Raised an alert"),
        _Words("Une alerte s’est ouverte depuis qu’il l’a reçu.", "An alert was opened since it was told."),
    ),
    "skipped": (
        _Words("Écarté", "Skipped"),
        _Words("La plateforme ne le lui a pas envoyé.", "The platform did not send it."),
    ),
    "returning": (
        _Words("Retour en cours", "Going back"),
        _Words("Il retrouve ce qu’il avait avant.", "It gets back what it had before."),
    ),
    "returned": (
        _Words("Retour envoyé", "Return sent"),
        _Words(
            "L’appareil ne l’a pas encore confirmé ; s’il est hors ligne, il le recevra en revenant.",
            "The device has not confirmed it yet; if it is offline, it gets it when it comes back.",
        ),
    ),
    "restored": (
        _Words("Remis comme avant", "As before"),
        _Words("L’appareil l’a confirmé : ce qu’il avait avant s’applique.", "The device has confirmed what it had before."),
    ),
    "return_rejected": (
        _Words("Retour refusé par l’appareil", "Return rejected"),
        _Words(
            "L’appareil a refusé ce qu’il avait avant, ou applique autre chose : voyez sa configuration.",
            "The device refused what it had before, or runs something else: look at its configuration.",
        ),
    ),
    "return_unanswered": (
        _Words("Retour sans réponse", "Return not answered"),
        _Words(
            "Ce qu’il avait avant lui a été renvoyé, mais il ne répond pas, ou s’est tu : il peut falloir aller le voir.",
            "What it had before was sent, but it does not answer, or has gone silent: somebody may have to go and look.",
        ),
    ),
    "not_returned": (
        _Words("Retour refusé", "Not given back"),
        _Words(
            "Ce qu’il avait avant n’est plus permis : voyez sa configuration.",
            "What it had before is no longer allowed: look at its configuration.",
        ),
    ),
    "overruled": (
        _Words("Changé entre-temps", "Changed since"),
        _Words("Quelqu’un a changé sa configuration depuis.", "Somebody has changed its configuration since."),
    ),
    "gone": (
        _Words("Parti", "Gone"),
        _Words("Retiré, révoqué, ou passé derrière une passerelle.", "Retired, revoked, or put behind a gateway."),
    ),
}
# Of one that is there, and that was told nothing so far.
_NOT_SENT: Final = (
    _Words("Pas encore envoyé", "Not sent yet"),
    _Words(
        "La plateforme ne le lui a pas envoyé, le plus souvent parce que le profil ne le permet plus : voyez sa"
        " configuration. Cela ne compte pas comme défaut.",
        "The platform has not sent it, most often because the profile no longer allows it: look at its configuration."
        " That is no fault.",
    ),
)
_NO_OUTCOME: Final = _Words(
    "aucun appareil de cette vague n’a confirmé ces valeurs{outcomes}, et il ne va pas plus loin sans cela",
    "no device of this wave has confirmed these values{outcomes}, and it goes no further without that",
)
_RESTORED: Final = _Words(
    "la plateforme a été restaurée d’une sauvegarde, et il a pu être arrêté entre-temps ; à vous de décider",
    "the platform was restored from a backup, and it may have been aborted meanwhile; it is for you to decide",
)
# Of one device, and of several. {faults}: "3 témoins sur 5"; {measured}: a share.
_STOPS: Final[Mapping[StopCode, tuple[_Words, _Words]]] = {
    "person": (_Words("par {person}", "by {person}"), _Words("par {person}", "by {person}")),
    "rejected": (
        _Words("{faults} a refusé ces valeurs", "{faults} refused these values"),
        _Words("{faults} ont refusé ces valeurs", "{faults} refused these values"),
    ),
    "timed_out": (
        _Words("{faults} n’a pas répondu à temps", "{faults} did not answer in time"),
        _Words("{faults} n’ont pas répondu à temps", "{faults} did not answer in time"),
    ),
    "went_silent": (
        _Words("{faults} s’est tu après les avoir reçues", "{faults} went silent after it was told"),
        _Words("{faults} se sont tus après les avoir reçues", "{faults} went silent after they were told"),
    ),
    "raised_alerts": (
        _Words("{faults} a levé une alerte depuis", "{faults} raised an alert since"),
        _Words("{faults} ont levé une alerte depuis", "{faults} raised an alert since"),
    ),
    "energy": (
        _Words(
            "{faults} produit {measured} de moins que ses voisins ne le laissent attendre",
            "{faults} yields {measured} less than its neighbours let expect",
        ),
        _Words(
            "{faults} produisent {measured} de moins que leurs voisins ne le laissent attendre",
            "{faults} yield {measured} less than their neighbours let expect",
        ),
    ),
    "energy_unknown": (
        _Words(
            "la production du témoin n’a pas pu être comparée à celle de ses voisins ({lack}) ; à vous de décider",
            "the canary’s yield could not be compared with its neighbours’ ({lack}); it is for you to decide",
        ),
        _Words(
            "la production des témoins n’a pas pu être comparée à celle de leurs voisins ({lack}) ; à vous de décider",
            "the canaries’ yield could not be compared with their neighbours’ ({lack}); it is for you to decide",
        ),
    ),
    "restored": (_RESTORED, _RESTORED),
    "no_outcome": (_NO_OUTCOME, _NO_OUTCOME),
}
_STOPPED: Final[Mapping[RolloutState, tuple[_Words, _Words]]] = {
    # By itself, and by somebody.
    "running": (_Words("Avant cela, en pause de lui-même", "Before that, paused by itself"),
                _Words("Avant cela, mis en pause", "Before that, paused")),
    "paused": (_Words("En pause de lui-même", "Paused by itself"), _Words("Mis en pause", "Paused")),
    "returning": (_Words("Arrêté de lui-même", "Stopped by itself"), _Words("Arrêté", "Stopped")),
    "aborted": (_Words("Arrêté de lui-même", "Stopped by itself"), _Words("Arrêté", "Stopped")),
    "completed": (_Words("Avant cela, en pause de lui-même", "Before that, paused by itself"),
                  _Words("Avant cela, mis en pause", "Before that, paused")),
}  # fmt: skip
_CANARIES: Final = (_Words("{0} témoin sur {1}", "{0} canary of {1}"), _Words("{0} témoins sur {1}", "{0} canaries of {1}"))
_DEVICES: Final = (
    _Words("{0} appareil sur {1}", "{0} device of {1}"),
    _Words("{0} appareils sur {1}", "{0} devices of {1}"),
)
_ALL_CANARIES: Final = _Words("les témoins", "the canaries")
_LIMIT: Final = _Words("limite {limit}", "limit {limit}")
_SOMEBODY: Final = _Words("quelqu’un", "somebody")

# Field of a plan (as fleet.rollouts.plan names it in what it raises) → what it asks for; {0}: the bounds. The longest fits.
_PLAN: Final[Mapping[str, _Words]] = {
    "waves": _Words(
        "Vagues : chacune va plus loin que la précédente (5, 10 %, 50 %), et la dernière atteint tout le monde (100 %).",
        "Waves: each goes further than the one before (5, 10 %, 50 %), and the last one reaches all devices (100 %).",
    ),
    "per_minute": _Words("Appareils par minute : {0}.", "Devices a minute: {0}."),
    "observe_s": _Words("Observation après chaque vague, en secondes : {0}.", "Watching after each wave, in seconds: {0}."),
    "timeout_s": _Words("Délai de réponse, en secondes : {0}.", "Time to answer, in seconds: {0}."),
    "silent_after_s": _Words("Silence toléré, en secondes : {0}.", "Silence that is borne, in seconds: {0}."),
    "abort_at": _Words("Seuils d’arrêt : un de chaque sorte au plus.", "Thresholds: one of each kind at the most."),
    "rejected: percent": _Words("Seuil des refus, en % : {0}.", "Threshold of refusals, in %: {0}."),
    "timed_out: percent": _Words("Seuil des sans-réponse, en % : {0}.", "Threshold of missing answers, in %: {0}."),
    "went_silent: percent": _Words("Seuil de ceux qui se taisent, en % : {0}.", "Threshold of silent ones, in %: {0}."),
    "raised_alerts: percent": _Words("Seuil des alertes, en % : {0}.", "Threshold of alerts, in %: {0}."),
    "rejected: at_least": _Words("Nombre minimal de refus : {0}.", "Least number of refusals: {0}."),
    "timed_out: at_least": _Words("Nombre minimal de sans-réponse : {0}.", "Least number of missing answers: {0}."),
    "went_silent: at_least": _Words("Nombre minimal d’appareils qui se taisent : {0}.", "Least number of silent ones: {0}."),
    "raised_alerts: at_least": _Words("Nombre minimal d’alertes : {0}.", "Least number of alerts: {0}."),
    "energy: drop_pct": _Words("Baisse de production, en % : {0}.", "Drop of the yield, in %: {0}."),
    "energy: min_wh_per_w": _Words("Soleil nécessaire, en Wh par W : {0}.", "Sun that is needed, in Wh per W: {0}."),
    "energy: wait_max_s": _Words("Attente du soleil, en secondes : {0}.", "Waiting for the sun, in seconds: {0}."),
    "window": _Words(
        "Créneau : une part de 0,1 à 100 % de la puissance crête, et deux heures différentes de 0 à 24.",
        "Window: a share of 0.1 to 100 % of the peak power, and two different hours from 0 to 24.",
    ),
}


def lapsed_name(code: Slice, devices: int, language: Language) -> str:
    """Of devices that were still to come when it ended, or under way when nobody looked at them any more."""
    one, many = _LAPSED[code]
    return (many if devices > 1 else one).said(language)


def unconfirmed_meaning(language: Language) -> str:
    return _UNCONFIRMED.said(language)


def state(code: RolloutState, language: Language) -> str:
    return _STATES[code].said(language)


def target_state(code: TargetState, language: Language, problem: str = "") -> str:
    return (_NOT_SENT if is_held_back(code, problem) else _TARGETS[code])[0].said(language)


def target_meaning(code: TargetState, language: Language, problem: str = "") -> str:
    return (_NOT_SENT if is_held_back(code, problem) else _TARGETS[code])[1].said(language)


def is_held_back(code: TargetState, problem: str) -> bool:
    return code in ("away", "returned") and problem == NOT_SENT


def slice_name(code: Slice, devices: int, language: Language) -> str:
    one, many = _SLICES[code]
    return (many if devices > 1 else one).said(language)


def stop(found: Stop, rollout: RolloutState, person: str | None, language: Language) -> str:
    """Why it stopped, as a sentence. person: who did it, where that is known. rollout: the state that it is in now."""
    by_itself, by_somebody = _STOPPED[rollout]
    one, many = _STOPS[found.code]
    reason = (
        (one if found.count == 1 else many)
        .said(language)
        .format(
            person=person or _SOMEBODY.said(language),
            faults=_faults(found, language),
            measured=_share(abs(found.measured_pct or 0.0), language),
            outcomes=f" ({outcomes})" if (outcomes := outcomes_said(found, language)) else "",
            lack=lack_said(found.lacks, language),
        )
    )
    if found.code == "person":
        said = f"{by_somebody.said(language)} {reason}"
        return f"{said}{_colon(language)}{found.why}" if found.why else f"{said}."
    said = f"{by_itself.said(language)}{_colon(language)}{reason}{_figures(found, language)}."
    if found.code == "no_outcome" and rollout == "paused":
        return f"{said} {advice_said(found, language)}"
    return said


def plan_problem(detail: str, language: Language) -> str:
    """detail: what fleet.rollouts.plan says: "per_minute: 1 to 3000, not 0"."""
    field = max((each for each in _PLAN if detail.startswith(f"{each}:")), key=len, default=None)
    if field is None:
        return detail
    low, _, high = detail.removeprefix(f"{field}: ").partition(", not ")[0].partition(" to ")
    between = " to " if language == "en" else " à "
    bounds = f"{_number(low, language)}{between}{_number(high, language)}" if high else ""
    return _PLAN[field].said(language).format(bounds)


def _number(text: str, language: Language) -> str:
    try:
        plain = f"{float(text):.12g}"
    except ValueError:
        return text
    return plain if language == "en" else plain.replace(".", ",")


def _figures(found: Stop, language: Language) -> str:
    """What was measured, unless the sentence has said it, and the limit."""
    parts = []
    if found.measured_pct is not None and found.code != "energy":
        parts.append(_share(found.measured_pct, language))
    if found.limit_pct is not None:
        parts.append(_LIMIT.said(language).format(limit=_share(abs(found.limit_pct), language)))
    return f" ({', '.join(parts)})" if parts else ""


def _faults(found: Stop, language: Language) -> str:
    canary = found.wave == 0
    if found.code == "energy" and not found.count:
        return _ALL_CANARIES.said(language)
    one, many = _CANARIES if canary else _DEVICES
    return (one if found.count == 1 else many).said(language).format(found.count, found.of)


def _share(share_pct: float | None, language: Language) -> str:
    text = f"{share_pct or 0.0:.3g}"
    return f"{text}%" if language == "en" else f"{text.replace('.', ',')}\u202f%"


def _colon(language: Language) -> str:
    return ": " if language == "en" else "\u00a0: "

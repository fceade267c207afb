"""What each error code says to people, in French and in English."""

from web import import_texts, onboarding_texts, remote_texts
from web.language import Language
from web.onboarding_texts import Text

_FRENCH: dict[str, Text] = (
    onboarding_texts.FRENCH
    | import_texts.FRENCH
    | remote_texts.FRENCH
    | {
        "not_signed_in": Text("Connexion nécessaire", "Connectez-vous, ou joignez un jeton d'accès valide à la demande."),
        "session_ended": Text("Session terminée", "Cette session n'est plus valable. Connectez-vous de nouveau."),
        "bad_token": Text(
            "Jeton refusé", "Le jeton d'accès est illisible, expiré ou n'a pas été émis par cette plateforme."
        ),
        "bad_credentials": Text("Connexion refusée", "L'adresse e-mail ou le mot de passe n'est pas juste."),
        "bad_refresh_token": Text(
            "Jeton refusé", "Le jeton de renouvellement n'est pas valable. Connectez-vous de nouveau."
        ),
        "too_many_attempts": Text("Trop d'essais", "Trop d'essais infructueux. Réessayez dans quelques minutes."),
        "too_many_requests": Text("Trop de demandes", "Trop de demandes en peu de temps. Réessayez dans une minute."),
        "too_many_viewers": Text(
            "Trop d'affichages en direct", "Le nombre d'affichages en direct est atteint. Réessayez plus tard."
        ),
        "foreign_origin": Text("Origine refusée", "La demande vient d'une autre page que celles de cette plateforme."),
        "not_allowed": Text("Action refusée", "Votre rôle ne permet pas cette action."),
        "bad_host": Text("Hôte refusé", "Cette plateforme ne répond pas sous ce nom d'hôte."),
        "unknown_route": Text("Page introuvable", "Il n'y a rien à cette adresse."),
        "unknown_site": Text("Site introuvable", "Ce site n'existe pas, ou ne vous est pas accessible."),
        "unknown_device": Text("Appareil introuvable", "Cet appareil n'existe pas, ou ne vous est pas accessible."),
        "unknown_alert": Text("Alerte introuvable", "Cette alerte n'existe pas, ou ne vous est pas accessible."),
        "alert_not_open": Text("Alerte déjà résolue", "Cette alerte est résolue et ne peut plus être acquittée."),
        "alert_move": Text("Alerte déjà acquittée", "Cette alerte est déjà acquittée, ou déjà résolue."),
        "method_not_allowed": Text("Méthode refusée", "Cette adresse n'accepte pas cette méthode HTTP."),
        "invalid_request": Text("Demande invalide", "Un champ manque ou n'a pas la forme attendue ; voir « errors »."),
        "malformed_request": Text("Demande illisible", "La demande n'est pas lisible : vérifiez le JSON et les paramètres."),
        "request_too_large": Text("Demande trop grande", "Le corps de la demande dépasse la taille permise."),
        "refused": Text("Demande refusée", "La demande ne peut pas être traitée."),
        "bad_cursor": Text("Curseur invalide", "Reprenez la liste depuis sa première page."),
        "bad_range": Text(
            "Période invalide", "La période doit être bien formée, finir après son début, et rester dans la limite permise."
        ),
        "too_many_steps": Text("Période trop longue", "Demandez une période plus courte, ou un pas plus long."),
        "bad_id": Text("Identifiant invalide", "Un identifiant compte 1 à 32 caractères parmi a-z, 0-9 et -."),
        "wrong_password": Text("Mot de passe refusé", "Le mot de passe actuel n'est pas juste."),
        "weak_password": Text("Mot de passe trop faible", "Le mot de passe doit compter au moins 10 caractères."),
        "email_taken": Text("Adresse déjà utilisée", "Une autre personne utilise déjà cette adresse e-mail."),
        "setup_closed": Text(
            "Installation terminée", "Le premier administrateur existe déjà, ou aucune installation n'est attendue."
        ),
        "bad_setup_token": Text("Jeton d'installation refusé", "Le jeton d'installation n'est pas juste."),
        "twins_slow": Text("Jumeaux trop lents", "Les jumeaux numériques n'ont pas répondu à temps. Réessayez."),
        "twins_away": Text(
            "Jumeaux indisponibles", "Les jumeaux numériques ne répondent pas pour l'instant. Réessayez dans un moment."
        ),
        "database_away": Text(
            "Base de données indisponible", "La base de données ne répond pas pour l'instant. Réessayez dans un moment."
        ),
        "busy": Text("Plateforme occupée", "Trop de vérifications en cours. Réessayez dans un moment."),
        "internal_error": Text("Erreur interne", "La demande a échoué. L'incident est consigné sous son « request_id »."),
    }
)

_ENGLISH: dict[str, Text] = (
    onboarding_texts.ENGLISH
    | import_texts.ENGLISH
    | remote_texts.ENGLISH
    | {
        "not_signed_in": Text("Sign-in needed", "Sign in, or send a valid access token with the request."),
        "session_ended": Text("Session ended", "This session is no longer valid. Sign in again."),
        "bad_token": Text("Token refused", "The access token is unreadable, expired, or was not issued by this platform."),
        "bad_credentials": Text("Sign-in refused", "The e-mail address or the password is not right."),
        "bad_refresh_token": Text("Token refused", "The refresh token is not valid. Sign in again."),
        "too_many_attempts": Text("Too many tries", "Too many wrong tries. Try again in a few minutes."),
        "too_many_requests": Text("Too many requests", "Too many requests in a short time. Try again in a minute."),
        "too_many_viewers": Text("Too many live views", "The number of live views is reached. Try again later."),
        "foreign_origin": Text("Origin refused", "The request comes from a page that is not part of this platform."),
        "not_allowed": Text("Not allowed", "Your role does not allow this action."),
        "bad_host": Text("Host refused", "This platform does not answer under this host name."),
        "unknown_route": Text("Not found", "There is nothing at this address."),
        "unknown_site": Text("No such site", "This site does not exist, or is not yours to see."),
        "unknown_device": Text("No such device", "This device does not exist, or is not yours to see."),
        "unknown_alert": Text("No such alert", "This alert does not exist, or is not yours to see."),
        "alert_not_open": Text("Alert already resolved", "This alert is resolved and cannot be acknowledged any more."),
        "alert_move": Text("Alert already acknowledged", "This alert is acknowledged already, or resolved."),
        "method_not_allowed": Text("Method not allowed", "This address does not take this HTTP method."),
        "invalid_request": Text("Invalid request", "A field is missing or not in the expected form; see `errors`."),
        "malformed_request": Text("Unreadable request", "The request cannot be read: check its JSON and parameters."),
        "request_too_large": Text("Request too large", "The body of the request is larger than allowed."),
        "refused": Text("Request refused", "The request cannot be handled."),
        "bad_cursor": Text("Invalid cursor", "Start the list again from its first page."),
        "bad_range": Text(
            "Invalid range", "The range must be well formed, end after its start, and stay within the allowed length."
        ),
        "too_many_steps": Text("Period too long", "Ask for a shorter period, or a longer step."),
        "bad_id": Text("Invalid identifier", "An identifier is 1 to 32 of a-z, 0-9 and -."),
        "wrong_password": Text("Password refused", "The current password is not right."),
        "weak_password": Text("Password too weak", "The password must have at least 10 characters."),
        "email_taken": Text("Address in use", "Somebody else uses this e-mail address already."),
        "setup_closed": Text("Set-up finished", "The first administrator exists already, or no set-up is expected."),
        "bad_setup_token": Text("Set-up token refused", "The set-up token is not right."),
        "twins_slow": Text("Twins too slow", "The digital twins did not answer in time. Try again."),
        "twins_away": Text("Twins unavailable", "The digital twins do not answer now. Try again in a moment."),
        "database_away": Text("Database unavailable", "The database does not answer now. Try again in a moment."),
        "busy": Text("Platform busy", "Too many checks at once. Try again in a moment."),
        "internal_error": Text("Internal error", "The request failed. The incident is logged under its `request_id`."),
    }
)

_BY_STATUS = {
    401: "not_signed_in",
    403: "not_allowed",
    404: "unknown_route",
    409: "refused",
    412: "stale_version",
    422: "invalid_request",
    429: "too_many_requests",
    503: "twins_away",
}


def text_of(code: str, status: int, language: Language) -> Text:
    """The code's text; of a code that has none, what its status says in general."""
    texts = _ENGLISH if language == "en" else _FRENCH
    return texts.get(code) or texts[_BY_STATUS.get(status, "refused" if status < 500 else "internal_error")]


def codes() -> tuple[frozenset[str], frozenset[str]]:
    """The codes with a French and with an English text; a test holds them equal."""
    return frozenset(_FRENCH), frozenset(_ENGLISH)

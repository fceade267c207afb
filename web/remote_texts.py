"""What the error codes of configuration, commands, groups and rollouts say to people; web.texts hands them out."""

from web.onboarding_texts import Text

FRENCH: dict[str, Text] = {
    "stale_version": Text(
        "Configuration modifiée entre-temps",
        "Quelqu'un a changé cette configuration depuis que vous l'avez lue. Regardez la version actuelle, puis recommencez.",
    ),
    "bad_config": Text(
        "Configuration refusée", "Une valeur au moins n'est pas permise ; chacune est nommée avec ce qui le serait."
    ),
    "not_drifted": Text("Rien à reprendre", "L'appareil applique ce qui lui a été demandé."),
    "unknown_version": Text("Version introuvable", "Cette version de la configuration n'existe pas."),
    "too_many_layers": Text("Trop de groupes", "Trop de groupes agissent sur cet appareil : retirez-en un."),
    "unknown_command": Text("Commande inconnue", "Les appareils de ce modèle ne connaissent pas cette commande."),
    "unknown_command_id": Text("Commande introuvable", "Cette commande n'existe pas, ou ne vous est pas accessible."),
    "bad_args": Text("Commande refusée", "Un argument au moins n'est pas permis ; chacun est nommé avec ce qui le serait."),
    "illegal_move": Text("Trop tard", "La commande est déjà partie, ou déjà terminée : elle ne peut plus être annulée."),
    "key_reused": Text("Clé déjà utilisée", "Cette clé d'idempotence a servi à une autre commande."),
    "too_many_open_commands": Text(
        "Trop de commandes en attente", "Cet appareil a déjà beaucoup de commandes en attente : annulez-en, ou attendez."
    ),
    "behind_gateway": Text(
        "Appareil derrière une passerelle", "Cet appareil n'écoute pas lui-même : adressez-vous à sa passerelle."
    ),
    "device_revoked": Text("Appareil révoqué", "Cet appareil est exclu : il ne reçoit plus rien."),
    "orders_full": Text("Trop de demandes", "Les jumeaux ont trop de demandes en attente. Réessayez dans un instant."),
}

ENGLISH: dict[str, Text] = {
    "stale_version": Text(
        "Configuration changed meanwhile",
        "Somebody has changed this configuration since you read it. Look at the current version, then try again.",
    ),
    "bad_config": Text("Configuration refused", "One value at least is not allowed; each is named with what would be."),
    "not_drifted": Text("Nothing to settle", "The device runs what it was told."),
    "unknown_version": Text("No such version", "This version of the configuration does not exist."),
    "too_many_layers": Text("Too many groups", "Too many groups bear upon this device: take one away."),
    "unknown_command": Text("Unknown command", "Devices of this profile do not know this command."),
    "unknown_command_id": Text("No such command", "This command does not exist, or is not yours to see."),
    "bad_args": Text("Command refused", "One argument at least is not allowed; each is named with what would be."),
    "illegal_move": Text("Too late", "The command has left already, or has ended: it cannot be cancelled any more."),
    "key_reused": Text("Key used already", "This idempotency key was used for another command."),
    "too_many_open_commands": Text(
        "Too many commands waiting", "Many commands wait for this device already: cancel some, or wait."
    ),
    "behind_gateway": Text("Device behind a gateway", "This device does not listen itself: turn to its gateway."),
    "device_revoked": Text("Device revoked", "This device is shut out: it is not told anything any more."),
    "orders_full": Text("Too many requests", "Too many requests wait for the twins. Try again in a moment."),
}

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
    "stale_report": Text(
        "Valeurs changées entre-temps",
        "L'appareil a annoncé d'autres valeurs depuis. Regardez celles de maintenant, puis recommencez.",
    ),
    "unknown_version": Text("Version introuvable", "Cette version de la configuration n'existe pas."),
    "drifted": Text(
        "Modifié sur place",
        "Des valeurs ont été changées sur place : acceptez-les ou écrasez-les sur la page de l'appareil, ou permettez au"
        " déploiement de les écraser.",
    ),
    "too_many_layers": Text(
        "Trop de groupes",
        "Une version antérieure n'acceptait que dix groupes par appareil ; cette limite n'existe plus : recommencez.",
    ),
    "unknown_command": Text("Commande inconnue", "Les appareils de ce modèle ne connaissent pas cette commande."),
    "unknown_command_id": Text("Commande introuvable", "Cette commande n'existe pas, ou ne vous est pas accessible."),
    "bad_args": Text("Commande refusée", "Un argument au moins n'est pas permis ; chacun est nommé avec ce qui le serait."),
    "illegal_move": Text(
        "Trop tard", "La commande, ou le déploiement, n'est plus dans un état qui le permet : regardez où il en est."
    ),
    "key_reused": Text("Clé déjà utilisée", "Cette clé d'idempotence a servi à une autre commande."),
    "too_many_open_commands": Text(
        "Trop de commandes en attente", "Cet appareil a déjà beaucoup de commandes en attente : annulez-en, ou attendez."
    ),
    "behind_gateway": Text(
        "Appareil derrière une passerelle", "Cet appareil n'écoute pas lui-même : adressez-vous à sa passerelle."
    ),
    "device_revoked": Text("Appareil révoqué", "Cet appareil est exclu : il ne reçoit plus rien."),
    "bad_query": Text(
        "Sélection incorrecte",
        "Un critère au moins ne peut pas être compris : trop de valeurs, un texte trop long ou une durée hors limites.",
    ),
    "bad_firmware": Text("Version incorrecte", "Une version contient un chiffre, comme 1.10 ou 2.0-rc1."),
    "unknown_group": Text("Groupe introuvable", "Ce groupe n'existe pas, ou n'existe plus."),
    "group_name_taken": Text("Nom déjà pris", "Un autre groupe porte ce nom : choisissez-en un autre."),
    "bad_group_name": Text("Nom incorrect", "Un nom de groupe tient sur une ligne de 80 caractères au plus."),
    "group_changed": Text(
        "Groupe modifié entre-temps",
        "Quelqu'un a changé ce groupe depuis que vous l'avez lu. Regardez-le, puis recommencez.",
    ),
    "group_in_use": Text("Groupe utilisé", "Un déploiement en cours travaille sur ce groupe : terminez-le d'abord."),
    "too_many_groups": Text("Trop de groupes", "Il y a déjà beaucoup de groupes : supprimez-en un."),
    "too_many_tags": Text("Trop d'étiquettes", "Cet appareil a déjà beaucoup d'étiquettes : retirez-en une."),
    "bad_tag": Text(
        "Étiquette incorrecte", "Une étiquette est faite de 1 à 31 lettres minuscules sans accent, chiffres et tirets."
    ),
    "orders_full": Text("Trop de demandes", "Les jumeaux ont trop de demandes en attente. Réessayez dans un instant."),
    "confirm_needed": Text("Confirmation demandée", "{count} appareils sont concernés : confirmez ce nombre."),
    "empty_selection": Text(
        "Aucun appareil concerné", "Aucun appareil ne correspond, ou aucun de ceux-ci ne peut recevoir cela."
    ),
    "too_many_targets": Text("Trop d'appareils", "Cette sélection est trop grande : restreignez-la."),
    "unknown_batch": Text("Envoi introuvable", "Cet envoi groupé n'existe pas."),
    "batch_expired": Text("Trop tard", "Cet envoi groupé n'est plus valable : plus rien ne partirait."),
    "batch_unlisted": Text(
        "Destinataires inconnus",
        "Une version antérieure l'a commencé sans noter ses appareils. Envoyez une nouvelle commande à ceux qui manquent.",
    ),
    "unknown_rollout": Text("Déploiement introuvable", "Ce déploiement n'existe pas."),
    "rollout_running": Text(
        "Déploiement déjà en cours", "Un autre déploiement vers ce groupe est en cours : terminez-le ou arrêtez-le d'abord."
    ),
    "not_finished": Text("Pas encore fini", "Ses vagues ne sont pas finies : laissez-le continuer, ou arrêtez-le."),
    "bad_plan": Text("Plan refusé", "Le plan du déploiement n'est pas possible ainsi."),
    "bad_target": Text("Cible à préciser", "Nommez soit un groupe, soit ce que les appareils ont en commun."),
    "no_values": Text("Aucune valeur", "Choisissez au moins un réglage à changer."),
}

ENGLISH: dict[str, Text] = {
    "stale_version": Text(
        "Configuration changed meanwhile",
        "Somebody has changed this configuration since you read it. Look at the current version, then try again.",
    ),
    "bad_config": Text("Configuration refused", "One value at least is not allowed; each is named with what would be."),
    "not_drifted": Text("Nothing to settle", "The device runs what it was told."),
    "stale_report": Text(
        "Values changed meanwhile",
        "The device has reported other values since you read them. Look at those of now, then try again.",
    ),
    "unknown_version": Text("No such version", "This version of the configuration does not exist."),
    "drifted": Text(
        "Changed on site",
        "Values were changed on site: accept or overwrite them on the device's page, or let the rollout overwrite them.",
    ),
    "too_many_layers": Text(
        "Too many groups",
        "An earlier release took ten groups for one device only; there is no such limit any more: try again.",
    ),
    "unknown_command": Text("Unknown command", "Devices of this profile do not know this command."),
    "unknown_command_id": Text("No such command", "This command does not exist, or is not yours to see."),
    "bad_args": Text("Command refused", "One argument at least is not allowed; each is named with what would be."),
    "illegal_move": Text(
        "Too late", "The command, or the rollout, is no longer in a state that allows it: look how far it is."
    ),
    "key_reused": Text("Key used already", "This idempotency key was used for another command."),
    "too_many_open_commands": Text(
        "Too many commands waiting", "Many commands wait for this device already: cancel some, or wait."
    ),
    "behind_gateway": Text("Device behind a gateway", "This device does not listen itself: turn to its gateway."),
    "device_revoked": Text("Device revoked", "This device is shut out: it is not told anything any more."),
    "bad_query": Text("Bad query", "A criterion at least cannot be understood; the detail names it."),
    "bad_firmware": Text("No version", "A version has a number in it, such as 1.10 or 2.0-rc1."),
    "unknown_group": Text("No such group", "This group does not exist, or not any more."),
    "group_name_taken": Text("Name taken", "Another group has this name: choose another one."),
    "group_changed": Text(
        "Group changed meanwhile", "Somebody has changed this group since you read it. Look at it, then start again."
    ),
    "group_in_use": Text("Group in use", "A running rollout works on this group: end it first."),
    "bad_group_name": Text("Bad name", "The name of a group is one line of at most 80 characters."),
    "too_many_groups": Text("Too many groups", "There are many groups already: remove one."),
    "too_many_tags": Text("Too many tags", "This device has many tags already: take one away."),
    "bad_tag": Text("Bad tag", "A tag is 1 to 31 lower case letters without accents, digits and hyphens."),
    "orders_full": Text("Too many requests", "Too many requests wait for the twins. Try again in a moment."),
    "confirm_needed": Text("Confirmation needed", "{count} devices are meant: confirm this number."),
    "empty_selection": Text("No device meant", "No device matches, or none of those can be given this."),
    "too_many_targets": Text("Too many devices", "This selection is too large: narrow it."),
    "unknown_batch": Text("No such bulk command", "This bulk command does not exist."),
    "batch_expired": Text("Too late", "This bulk command is not valid any more: nothing would be sent."),
    "batch_unlisted": Text(
        "Nobody knows whom it is for",
        "An older release began it without noting its devices. Give a new command to those that lack theirs.",
    ),
    "unknown_rollout": Text("No such rollout", "This rollout does not exist."),
    "rollout_running": Text("Rollout at work", "Another rollout to this group is at work: end or abort it first."),
    "not_finished": Text("Not finished", "Its waves are not over: let it go on, or abort it."),
    "bad_plan": Text("Plan refused", "The rollout's plan is not possible like this."),
    "bad_target": Text("Whom it is for", "Name either a group, or what the devices have in common."),
    "no_values": Text("No value", "Choose at least one setting to change."),
}

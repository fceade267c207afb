"""The commands that there are, with their arguments. A profile lists by name those that its devices obey."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from fleet import config_limits
from fleet.device_setting import Setting, SettingProblem, check_values, defaults_of, refusal
from fleet.errors import BadInput
from fleet.limits import COMMAND_ARGS_BYTES_MAX, SEQUENCE_MAX
from fleet.order_messages import ConfigValue
from fleet.profiles import DeviceProfile


class CommandSpec(msgspec.Struct, frozen=True):
    """run_s: how long a device may take from its acceptance on. keepers: the site's installers may give it as well.

    confirm: asks before it is sent to one device; it interrupts something.
    """

    name: str
    label_fr: str
    label_en: str
    run_s: float
    args: tuple[Setting, ...] = ()
    keepers: bool = False
    confirm: bool = False
    help_fr: str = ""
    help_en: str = ""


_LIMIT: Final = Setting(
    "active_power_limit_pct",
    "number",
    "Puissance maximale",
    "Maximum power",
    100.0,
    unit="%",
    minimum=0.0,
    maximum=100.0,
    help_fr="En part de la puissance nominale.",
    help_en="As a share of its rated power.",
)
CATALOG: Final[dict[str, CommandSpec]] = {
    spec.name: spec
    for spec in (
        CommandSpec(
            "blink", "Faire clignoter", "Blink", 330.0, keepers=True,
            args=(Setting("duration_s", "integer", "Pendant", "For", 10, unit="s", minimum=1, maximum=300),),
            help_fr="Le voyant de l’appareil clignote un moment : pour le trouver sur place.",
            help_en="The device's light blinks for a while: to find it on site.",
        ),
        CommandSpec(
            "read_info", "Lire l’état du boîtier", "Read its state", 30.0, keepers=True,
            help_fr="Version, entrées, messages en attente, fin du certificat.",
            help_en="Version, inputs, messages held, end of its certificate.",
        ),
        CommandSpec(
            "restart", "Redémarrer", "Restart", 300.0, confirm=True,
            help_fr="Les mesures déjà prises sont gardées.", help_en="What was measured is kept.",
        ),
        CommandSpec(
            "resend", "Renvoyer l’historique", "Resend history", 60.0,
            args=(
                Setting("from_seq", "integer", "À partir du message nº", "From message no.", 0, minimum=0,
                        maximum=SEQUENCE_MAX),
            ),
            help_fr="Ce que l’appareil garde encore est envoyé de nouveau.",
            help_en="What the device still holds is sent again.",
        ),
        CommandSpec(
            "set_power_limit", "Limiter la puissance", "Limit its power", 60.0, confirm=True,
            args=(
                _LIMIT,
                Setting("duration_s", "integer", "Pendant", "For", 3_600, unit="s", minimum=10, maximum=86_400,
                        help_fr="Ensuite la limite de la configuration s’applique de nouveau.",
                        help_en="Then the configuration's own limit holds again."),
            ),
        ),
        CommandSpec(
            "read_registers", "Lire des registres", "Read registers", 60.0,
            args=(
                Setting("input", "text", "Entrée", "Input", "", help_fr="Son nom ; vide : la première.",
                        help_en="Its name; empty: the first one."),
                Setting("address", "integer", "Adresse", "Address", 40_000, minimum=0, maximum=65_535),
                Setting("count", "integer", "Nombre", "Count", 10, minimum=1, maximum=100),
            ),
        ),
        CommandSpec(
            "take_log", "Prendre le journal", "Take its log", 60.0,
            args=(Setting("lines", "integer", "Lignes", "Lines", 100, minimum=1, maximum=500),),
        ),
    )
}  # fmt: skip


def commands_of(profile: DeviceProfile) -> list[CommandSpec]:
    """What devices of this profile obey, in the profile's order; an argument that is also one of its settings has that
    setting's range and grid-code limits.
    """
    specs = [CATALOG[name] for name in profile.commands if name in CATALOG]
    return [msgspec.structs.replace(spec, args=_args_of(spec, profile)) for spec in specs]


def checked(profile: DeviceProfile, name: str, args: Mapping[str, Any]) -> tuple[CommandSpec, dict[str, ConfigValue]]:
    """The command, and its arguments with defaults for those not given.

    Raises BadInput (unknown_command), RefusedValues (bad_args).
    """
    spec = next((each for each in commands_of(profile) if each.name == name), None)
    if spec is None:
        known = ", ".join(each.name for each in commands_of(profile)) or "none"
        raise BadInput("unknown_command", f"devices of profile {profile.id} know no command {name[:40]!r}; known: {known}")
    if len(msgspec.json.encode(args)) > COMMAND_ARGS_BYTES_MAX:
        raise BadInput("bad_args", f"arguments of more than {COMMAND_ARGS_BYTES_MAX} bytes")
    values = defaults_of(spec.args) | dict(args)
    problems = check_values(spec.args, values)
    if problems:
        raise refusal("bad_args", problems)
    return spec, values


def beyond_limits(profile: DeviceProfile, name: str, args: Mapping[str, Any]) -> list[SettingProblem]:
    """Of a command that was given some time ago: what the profile may have been edited to forbid since."""
    spec = CATALOG.get(name)
    return [] if spec is None else config_limits.beyond_limits(_args_of(spec, profile), args)


def _args_of(spec: CommandSpec, profile: DeviceProfile) -> tuple[Setting, ...]:
    settings = {setting.key: setting for setting in profile.settings}
    return tuple(_bounded(arg, settings.get(arg.key)) for arg in spec.args)


def _bounded(arg: Setting, setting: Setting | None) -> Setting:
    """What else a setting depends on stands in the configuration, and not among the command's arguments."""
    if setting is None:
        return arg
    return msgspec.structs.replace(
        arg,
        minimum=setting.minimum,
        maximum=setting.maximum,
        grid_minimum=setting.grid_minimum,
        grid_maximum=setting.grid_maximum,
        grid_code=setting.grid_code,
    )

"""Settings as a form: what stands in their controls, and the values that were typed."""

from collections.abc import Iterable, Mapping

from fleet.configuration import Values
from fleet.device_setting import Setting
from fleet.order_messages import ConfigValue
from web.pages.forms import Fields, number

PREFIX = "set."  # of the names of controls, before the key


def spelt(value: ConfigValue | None) -> str:
    """As it stands in a control."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else f"{value:.15g}"


def values_in(fields: Fields, settings: Iterable[Setting]) -> Values:
    """What the form names. A number that cannot be read stays the text that it is: the check then says what it should be."""
    found: Values = {}
    for setting in settings:
        text = fields.get(PREFIX + setting.key)
        if text is not None and not setting.read_only:
            found[setting.key] = _value(setting, text)
    return found


def texts_of(values: Mapping[str, ConfigValue]) -> dict[str, str]:
    """Key → what stands in its control."""
    return {key: spelt(value) for key, value in values.items()}


def _value(setting: Setting, text: str) -> ConfigValue:
    match setting.kind:
        case "boolean":
            return {"true": True, "false": False}.get(text, text)
        case "number" | "integer":
            read = number(text)
            if read is None:
                return text
            return int(read) if read == int(read) else read
        case _:
            return text

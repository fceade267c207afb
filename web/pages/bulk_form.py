"""The form of one command for many devices: what was typed, and the selection that it makes. Pure."""

import re

import msgspec

from fleet.command_catalog import CommandSpec
from fleet.errors import BadInput
from fleet.limits import COMMAND_EXPIRES_S
from fleet.order_messages import ConfigValue
from web.command_selection import Selection
from web.pages.command_words import VALIDITIES
from web.pages.forms import Fields, request_id_of
from web.pages.setting_form import texts_of, values_in


class BulkForm(msgspec.Struct, frozen=True):
    """texts: what stands in the controls of its arguments; values: what that means. devices: ids, as they were typed."""

    texts: dict[str, str]
    values: dict[str, ConfigValue]
    expires_in_s: int
    group: str
    profile: str
    tag: str
    department: str
    devices: str
    request_id: str


def bulk_form(spec: CommandSpec, fields: Fields, defaults: dict[str, ConfigValue]) -> BulkForm:
    values = defaults | values_in(fields, spec.args)
    known = {str(seconds): seconds for seconds, _ in VALIDITIES}
    return BulkForm(
        texts_of(values),
        values,
        known.get(fields.get("expires_in_s", ""), round(COMMAND_EXPIRES_S)),
        group=fields.get("group", ""),
        profile=fields.get("profile", ""),
        tag=fields.get("tag", ""),
        department=fields.get("department", ""),
        devices=fields.get("devices", ""),
        request_id=request_id_of(fields),
    )


def selection_of(form: BulkForm) -> Selection:
    """Raises BadInput (bad_query)."""
    devices = [each for each in dict.fromkeys(re.split(r"[\s,;]+", form.devices)) if each]
    asked: dict[str, object] = {
        "profiles": [form.profile] if form.profile else [],
        "tags_all": [form.tag] if form.tag else [],
        "departments": [form.department] if form.department else [],
        "devices": devices,
        "group": form.group or None,
    }
    try:
        return msgspec.convert(asked, Selection)
    except msgspec.ValidationError as error:
        raise BadInput("bad_query", str(error)) from None

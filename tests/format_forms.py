"""The form in which a format is described, as a browser would send it for a file that was guessed."""

import msgspec

from fleet.codecs.files.guess import guess
from fleet.codecs.files.reading import Context
from web.pages.format_form import FormatFields, fields_from, first_lines

CONTEXT = Context("export.csv", "Europe/Paris", 1_763_800_000_000)
EXPORT = "Centrale: Mairie;;;\n\nDate;Heure;Puissance AC (kW);Soutirage;Commentaire\n" + "".join(
    f"{day}/06/2024;{hour:02d}:00;{hour / 4:.2f};{hour};ok\n".replace(".", ",") for day in (13, 14) for hour in range(24)
)


def begun(text: str = EXPORT) -> FormatFields:
    shown = first_lines(text.encode())
    found = guess(text.encode(), CONTEXT)
    return fields_from(found.declaration, shown, found.header_line or 0, name="Portail")


def sent(fields: FormatFields) -> dict[str, str]:
    """As a browser would send the form that these fields make."""
    form = {
        "name": fields.name, "format_id": fields.format_id, "version": str(fields.version), "heading": str(fields.heading),
        "delimiter": {"\t": "tab", " ": "space"}.get(fields.delimiter, fields.delimiter), "decimal": fields.decimal,
        "thousands": "space" if fields.thousands == " " else fields.thousands, "date_at": str(fields.date_at),
        "time_at": str(fields.time_at), "pattern": fields.pattern, "order": fields.order, "zone": fields.zone,
        "stamp": fields.stamp, "step_s": fields.step_s, "serial_at": str(fields.serial_at),
        "base": msgspec.json.encode(fields.base).decode(),
    }  # fmt: skip
    for column in fields.columns:
        form[f"title-{column.position}"] = column.title
        form |= {f"measure-{column.position}": column.choice, f"unit-{column.position}": column.unit}
        form[f"factor-{column.position}"] = column.factor
        if column.turned:
            form[f"turned-{column.position}"] = "yes"
    return form

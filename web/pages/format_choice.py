"""What a file can be read as: the company's own formats, then the platform's, by name."""

from fleet.codecs.files import registry
from fleet.ids import SiteId
from fleet.storage import company_formats
from fleet.storage.database import Connection
from web.language import Language


async def format_choices(connection: Connection, site: SiteId, language: Language) -> list[tuple[str, str]]:
    """Id and name."""
    own = [(each.id, each.name) for each in await company_formats.formats_of_site(connection, site)]
    ours = [(each.id, each.label_en if language == "en" else each.label_fr) for each in registry.FORMATS]
    return [*own, *sorted(ours, key=lambda each: each[1].casefold())]

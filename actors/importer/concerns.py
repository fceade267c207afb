"""Tells the keepers of a site, by e-mail and once, of a logger that needs them."""

from typing import Final

import structlog

from fleet.codecs.files.reading import Refusal
from fleet.codecs.files.refusals import WORDS, words
from fleet.errors import BadInput
from fleet.limits import MAIL_SUBJECT_CHARS_MAX
from fleet.storage import concerns
from fleet.storage.concerns import Concern
from fleet.storage.database import Pool
from fleet.storage.mail import queue_mail

log = structlog.get_logger("importer.concerns")

_SUBJECTS: Final = {
    ("failing", "fr"): "{device} ({site}) : ses fichiers ne se lisent plus",
    ("failing", "en"): "{device} ({site}): its files cannot be read any more",
    ("missing", "fr"): "{device} ({site}) : le fichier attendu n'est pas arrivé",
    ("missing", "en"): "{device} ({site}): the expected file did not come",
    ("pull_failing", "fr"): "{device} ({site}) : la récupération de fichiers échoue",
    ("pull_failing", "en"): "{device} ({site}): fetching its files fails",
}
_BODIES: Final = {
    (
        "failing",
        "fr",
    ): "Les derniers fichiers de « {device} » ont tous été mis de côté.\n{why}\nIls sont conservés ici :\n{link}\n",
    ("failing", "en"): "The latest files of “{device}” were all set aside.\n{why}\nThey are kept here:\n{link}\n",
    (
        "missing",
        "fr",
    ): "« {device} » n'a envoyé aucun fichier dans le délai prévu : vérifiez son alimentation, son réseau et son"
    " compte SFTP.\nSes fichiers :\n{link}\n",
    ("missing", "en"): "“{device}” has sent no file within the time that was set: check its power, its network and its SFTP"
    " account.\nIts files:\n{link}\n",
    (
        "pull_failing",
        "fr",
    ): "Le serveur d'où viennent les fichiers de « {device} » refuse ou ne répond pas, plusieurs fois de"
    " suite ({why}).\nRéglages :\n{link}\n",
    (
        "pull_failing",
        "en",
    ): "The server that the files of “{device}” come from refuses or does not answer, several times in a row"
    " ({why}).\nSettings:\n{link}\n",
}


async def tell(pool: Pool, public_url: str) -> None:
    """One round. What could not be told is told by the next one."""
    async with pool.acquire() as connection:
        await concerns.renew(connection)
        due = await concerns.untold(connection)
    for concern in due:
        async with pool.acquire() as connection, connection.transaction():
            for keeper in await concerns.keepers_of(connection, concern.site):
                subject, body = _letter(concern, keeper.locale, public_url)
                try:
                    await queue_mail(connection, recipient=keeper.email, subject=subject, body=body)
                except BadInput as error:
                    log.warning("keeper_not_told", site=concern.site, device=concern.device, code=error.code)
            await concerns.told(connection, concern)
        log.info("concern_told", site=concern.site, device=concern.device, kind=concern.kind)


def _letter(concern: Concern, locale: str, public_url: str) -> tuple[str, str]:
    """Subject and text."""
    language = "en" if locale == "en" else "fr"
    page = "loggers" if concern.kind == "pull_failing" else "imports"
    gaps = {
        "device": concern.device_name,
        "site": concern.site_name,
        "why": _why(concern.problem, french=language == "fr"),
        "link": f"{public_url}/sites/{concern.site}/{page}",
    }
    subject = " ".join(_SUBJECTS[concern.kind, language].format_map(gaps).split())
    return subject[:MAIL_SUBJECT_CHARS_MAX], _BODIES[concern.kind, language].format_map(gaps)


def _why(problem: str | None, *, french: bool) -> str:
    """The words of the newest refusal, without what would fill their gaps."""
    if problem is None:
        return ""
    if problem not in WORDS:
        return problem
    try:
        return words(Refusal(0, None, problem), french=french)
    except KeyError:  # its words have gaps, and the page fills them
        return problem

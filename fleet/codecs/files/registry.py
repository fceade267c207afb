"""All file formats, and which of them a file is in."""

from typing import Final

from fleet.codecs.files import (
    enedis,
    enphase,
    fronius,
    huawei,
    own_csv,
    respelled,
    schneider,
    senml,
    shelly_csv,
    sma_csv,
    solar_log,
    solar_log_csv,
    tic_log,
    webdyn,
    webdyn_definition,
    webdyn_notices,
)
from fleet.codecs.files.reading import FileFormat

FORMATS: Final[tuple[FileFormat, ...]] = (
    own_csv.FORMAT,
    huawei.FORMAT,
    sma_csv.CSV1,
    sma_csv.CSV3,
    sma_csv.SBFSPOT,
    solar_log_csv.FORMAT,
    enphase.FORMAT,
    shelly_csv.FORMAT,
    schneider.FORMAT,
    tic_log.FORMAT,
    webdyn.FORMAT,
    webdyn_definition.FORMAT,
    webdyn_notices.FORMAT,
    solar_log.FORMAT,
    *enedis.FORMATS,
    fronius.FORMAT,
    senml.FORMAT,
)


def by_id(format_id: str) -> FileFormat | None:
    return next((each for each in FORMATS if each.id == format_id), None)


def recognised(head: bytes) -> FileFormat | None:
    """The format of a file that begins like this (unpacked, FILE_HEAD_BYTES or all of it); None: nobody knows it.

    Read the file with this one: of a file that a spreadsheet wrote again, it reads it so.
    """
    return next((each for each in FORMATS if each.recognises(head)), None) or respelled.recognised(head, FORMATS)

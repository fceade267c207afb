"""How much a packed file may grow when it is unpacked."""

from typing import Final

from fleet.codecs.files.reading import Unreadable
from fleet.file_limits import FILE_UNPACK_RATIO_FREE_BYTES, FILE_UNPACK_RATIO_MAX, FILE_UNPACKED_BYTES_MAX


def check_growth(packed: int, unpacked: int) -> None:
    """Bytes: so far, or as announced. Raises Unreadable (archive_bomb)."""
    too_much: Final = unpacked > FILE_UNPACKED_BYTES_MAX
    too_fast: Final = unpacked > FILE_UNPACK_RATIO_FREE_BYTES and unpacked > packed * FILE_UNPACK_RATIO_MAX
    if too_much or too_fast:
        raise Unreadable("archive_bomb", bytes_max=str(FILE_UNPACKED_BYTES_MAX), ratio_max=str(FILE_UNPACK_RATIO_MAX))

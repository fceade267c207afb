"""Lists come in pages: `limit` items, and a cursor that continues after the last of them, whatever is inserted meanwhile."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from typing import Annotated, Generic, TypeVar

import msgspec
from litestar.params import QueryParameter

from fleet.errors import BadInput
from fleet.limits import PAGE_ITEMS_MAX

T = TypeVar("T")
C = TypeVar("C")

Limit = Annotated[int, QueryParameter(ge=1, le=PAGE_ITEMS_MAX, description="Items per page")]
Cursor = Annotated[
    str | None, QueryParameter(max_length=500, description="`next_cursor` of the page before; leave out for the first page")
]


class Page(msgspec.Struct, Generic[T], frozen=True):
    """next_cursor: null on the last page."""

    items: list[T]
    next_cursor: str | None


def encode_cursor(position: object) -> str:
    return urlsafe_b64encode(msgspec.json.encode(position)).decode().rstrip("=")


def decode_cursor(cursor: str | None, kind: type[C]) -> C | None:
    """Raises BadInput (bad_cursor)."""
    if cursor is None:
        return None
    try:
        return msgspec.json.decode(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), type=kind)
    except (NotBase64, ValueError):
        raise BadInput("bad_cursor", "the cursor is not one of this list") from None

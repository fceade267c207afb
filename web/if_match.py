"""The version that whoever changes a thing has read, out of If-Match."""

from typing import Annotated, Final

from litestar.params import HeaderParameter

from fleet.errors import BadInput

_DIGITS_MAX: Final = 16  # as many as a JSON number holds exactly

IfMatch = Annotated[
    str | None,
    HeaderParameter(name="If-Match", max_length=24, description='The version that you have read, such as `"3"`'),
]


def seen_version(if_match: str | None) -> int:
    """Raises BadInput (version_needed). A proxy that compresses makes the tag a weak one: W/"3"."""
    text = (if_match or "").strip().removeprefix("W/").strip('"')
    if not (text.isascii() and text.isdigit() and len(text) < _DIGITS_MAX):
        raise BadInput("version_needed", 'say in If-Match which version you have read, such as "3"')
    return int(text)


def etag(version: int) -> dict[str, str]:
    """As the header of an answer."""
    return {"ETag": f'"{version}"'}

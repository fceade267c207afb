"""Whether a request comes from a page of this platform: the defence against forged requests, beside SameSite cookies."""

from typing import Any
from urllib.parse import urlsplit

from litestar.connection import ASGIConnection


def is_own(connection: ASGIConnection[Any, Any, Any, Any], public_url: str) -> bool:
    """Browsers send Origin with every unsafe request. Without one, nothing is proven and the answer is no.

    The host that was asked for counts as own: the list of allowed hosts has been applied before.
    """
    origin = connection.headers.get("origin")
    if origin is None:
        return connection.headers.get("sec-fetch-site") == "same-origin"
    return _is_own_origin(origin, connection.headers.get("host", ""), public_url)


def is_foreign(connection: ASGIConnection[Any, Any, Any, Any], public_url: str) -> bool:
    """A browser says that another site's page asks. Programs, which send no Origin, are not meant."""
    origin = connection.headers.get("origin")
    return origin is not None and not _is_own_origin(origin, connection.headers.get("host", ""), public_url)


def _is_own_origin(origin: str, host: str, public_url: str) -> bool:
    parts, own = urlsplit(origin), urlsplit(public_url)
    if (parts.scheme, parts.netloc) == (own.scheme, own.netloc):
        return True
    return parts.netloc == host and parts.scheme in ("http", "https")

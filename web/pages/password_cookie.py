"""A logger's new password stays on the screen that made it: in a cookie that only this logger's page gets back.

The platform itself keeps a hash. So a reload and a locked phone do not lose it, no script reads it, and it goes when it was
noted down, or by itself.
"""

from typing import Any, Final

from litestar import Request, Response
from litestar.datastructures import Cookie

from fleet.ids import DeviceId
from web.services import Services

_NAME: Final = "sp_logger_password"
_KEPT_S: Final = 15 * 60
_LENGTHS: Final = (8, 64)


def remember(response: Response[Any], device: DeviceId, password: str, services: Services) -> None:
    response.set_cookie(
        Cookie(
            key=_NAME,
            value=password,
            path=_path(device),
            max_age=_KEPT_S,
            httponly=True,
            secure=services.secure_cookies,
            samesite="lax",
        )
    )


def remembered(request: Request[Any, Any, Any]) -> str | None:
    """None on another screen than the one that made it. Nothing depends on whether it is right: it is only shown."""
    text = request.cookies.get(_NAME, "")
    shortest, longest = _LENGTHS
    return text if text.isascii() and text.isalnum() and shortest <= len(text) <= longest else None


def forget(response: Response[Any], device: DeviceId) -> None:
    response.delete_cookie(_NAME, path=_path(device))


def _path(device: DeviceId) -> str:
    return f"/loggers/{device}"

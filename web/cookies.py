"""The browser's tokens: out of reach of scripts, never sent along by other sites' forms."""

from typing import Any

from litestar import Response
from litestar.datastructures import Cookie

from fleet.limits import ACCESS_TOKEN_S, SESSION_DAYS

ACCESS_COOKIE = "sp_access"
REFRESH_COOKIE = "sp_refresh"
REFRESH_PATH = "/api/v1/auth"  # the refresh token travels nowhere else


def set_access(response: Response[Any], token: str, *, secure: bool) -> None:
    response.set_cookie(_cookie(ACCESS_COOKIE, token, "/", ACCESS_TOKEN_S, secure=secure))


def set_refresh(response: Response[Any], token: str, *, secure: bool) -> None:
    response.set_cookie(_cookie(REFRESH_COOKIE, token, REFRESH_PATH, SESSION_DAYS * 86_400, secure=secure))


def clear(response: Response[Any], *, secure: bool) -> None:
    response.set_cookie(_cookie(ACCESS_COOKIE, "", "/", 0, secure=secure))
    response.set_cookie(_cookie(REFRESH_COOKIE, "", REFRESH_PATH, 0, secure=secure))


def _cookie(name: str, value: str, path: str, age_s: int, *, secure: bool) -> Cookie:
    """secure only over https: on http://127.0.0.1 a Secure cookie would not come back."""
    return Cookie(key=name, value=value, path=path, max_age=age_s, httponly=True, secure=secure, samesite="lax")

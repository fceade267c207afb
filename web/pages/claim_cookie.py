"""The enrolment code stays on the phone that made it: in a cookie that only this claim's page gets back.

The platform itself keeps a hash. So a reload, the back button and a dead zone do not lose the code, and no script reads it.
"""

import time
from typing import Any, Final

from litestar import Request, Response
from litestar.datastructures import Cookie

from fleet import claim_code
from fleet.claim_code import ClaimCode
from fleet.errors import BadInput
from web.claims import ClaimAnswer
from web.services import Services

_NAME: Final = "sp_claim_code"


def remember(response: Response[Any], answer: ClaimAnswer, services: Services) -> None:
    left_s = max(0, round(answer.expires_at / 1000 - time.time()))
    response.set_cookie(
        Cookie(
            key=_NAME,
            value=answer.code,
            path=_path(answer.claim_id),
            max_age=left_s,
            httponly=True,
            secure=services.secure_cookies,
            samesite="lax",
        )
    )


def remembered(request: Request[Any, Any, Any], claim_id: str) -> ClaimCode | None:
    """None on another phone than the one that made the claim."""
    try:
        code = claim_code.parse(request.cookies.get(_NAME, ""))
    except BadInput:
        return None
    return code if code.id == claim_id else None


def forget(response: Response[Any], claim_id: str) -> None:
    response.delete_cookie(_NAME, path=_path(claim_id))


def _path(claim_id: str) -> str:
    return f"/claims/{claim_id}"

"""Refusals as pages: what happened, and a way on."""

from typing import Any
from urllib.parse import quote

from litestar import Request, Response
from litestar.response import Redirect

from web.errors import Problem
from web.pages.rendering import page


def problem_page(request: Request[Any, Any, Any], problem: Problem) -> Response[Any]:
    """Who is not signed in (any more) goes by way of the renewal, which knows whether the browser may come back at once."""
    if problem.status == 401:
        if "hx-request" in request.headers:
            # htmx would put the log-in page into the middle of this one; a reload goes the same way in full.
            return Response(None, status_code=401, headers={"HX-Refresh": "true"})
        return Redirect(f"/api/v1/auth/renew?next={quote(_back(request), safe='')}", status_code=303)
    headers = {"Retry-After": "5"} if problem.status == 503 else {}
    response = page(request, "problem.html", status=problem.status, problem=problem)
    response.headers.update(headers)
    return response


def _back(request: Request[Any, Any, Any]) -> str:
    """Where to go after logging in: this page; after a form, the start."""
    if request.method not in ("GET", "HEAD"):
        return "/"
    query = request.scope.get("query_string", b"").decode("latin-1")
    return request.scope["path"] + (f"?{query}" if query else "")

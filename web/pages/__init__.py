"""The portal and the back office: server-rendered pages, handed to web.app.create_app as `pages` and `problem_page`."""

from litestar.types import ControllerRouterHandler

from web.pages.account import account_page, set_preferences
from web.pages.alerts import acknowledge
from web.pages.login import log_in, log_out, login_page
from web.pages.operations import audit_page, operations_page
from web.pages.problem import problem_page
from web.pages.setup import set_up, setup_page
from web.pages.site import site_page
from web.pages.sites import sites_page, start

__all__ = ["PAGE_ROUTES", "problem_page"]

PAGE_ROUTES: list[ControllerRouterHandler] = [
    start,
    login_page,
    log_in,
    log_out,
    setup_page,
    set_up,
    account_page,
    set_preferences,
    sites_page,
    site_page,
    acknowledge,
    operations_page,
    audit_page,
]

"""The portal and the back office: server-rendered pages, handed to web.app.create_app as `pages` and `problem_page`."""

from litestar.types import ControllerRouterHandler

from web.pages.account import account_page, set_preferences
from web.pages.add_device import add_device, add_device_page
from web.pages.alerts import acknowledge
from web.pages.bulk_commands import batch_page, complete_batch, fleet_commands_page, give_bulk, new_bulk_page
from web.pages.checks import checks_page
from web.pages.claim import cancel_claim, claim_page, new_code
from web.pages.commands import cancel_command, command_page, commands_page, give_command, new_command_page
from web.pages.configuration import (
    configuration_page,
    review_configuration,
    send_configuration,
    settle_configuration,
)
from web.pages.configurations import configurations_page
from web.pages.device import correct, device_page, replace_device, revoke_device, tag_device, take_back
from web.pages.formats import describe_format, format_page, formats_page, remove_format
from web.pages.groups import (
    drop_group,
    edit_group,
    group_count,
    group_devices_page,
    group_page,
    groups_page,
    new_group,
    new_group_page,
)
from web.pages.import_file import attach_from_file, import_page, read_file_again, undo_file
from web.pages.imports import imports_page, send_files, site_imports_page
from web.pages.invitation import accept_invitation, invitation_page
from web.pages.journal import journal_page
from web.pages.logger import change_logger_page, logger_page
from web.pages.loggers import loggers_page, open_account
from web.pages.login import log_in, log_out, login_page
from web.pages.new_rollout import new_rollout, new_rollout_page
from web.pages.new_site import make_new_site, new_site_page
from web.pages.operations import audit_page, operations_page
from web.pages.problem import problem_page
from web.pages.profiles import add_profile, edit_profile, new_profile_page, profile_page, profiles_page
from web.pages.pull import change_source, pull_page, pull_step
from web.pages.report import report_page, sign_report
from web.pages.rollouts import act_on_rollout, rollout_page, rollouts_page
from web.pages.setup import set_up, setup_page
from web.pages.site import site_page
from web.pages.sites import sites_page, start
from web.pages.templates import templates_page

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
    new_site_page,
    make_new_site,
    site_page,
    add_device_page,
    add_device,
    claim_page,
    cancel_claim,
    new_code,
    checks_page,
    report_page,
    sign_report,
    device_page,
    correct,
    take_back,
    replace_device,
    revoke_device,
    tag_device,
    configuration_page,
    review_configuration,
    send_configuration,
    settle_configuration,
    journal_page,
    commands_page,
    new_command_page,
    give_command,
    command_page,
    cancel_command,
    fleet_commands_page,
    new_bulk_page,
    give_bulk,
    batch_page,
    complete_batch,
    imports_page,
    send_files,
    site_imports_page,
    import_page,
    read_file_again,
    undo_file,
    attach_from_file,
    formats_page,
    remove_format,
    format_page,
    describe_format,
    loggers_page,
    open_account,
    logger_page,
    change_logger_page,
    pull_page,
    pull_step,
    change_source,
    invitation_page,
    accept_invitation,
    profiles_page,
    new_profile_page,
    add_profile,
    profile_page,
    edit_profile,
    acknowledge,
    rollouts_page,
    new_rollout_page,
    new_rollout,
    rollout_page,
    act_on_rollout,
    operations_page,
    groups_page,
    new_group_page,
    new_group,
    group_page,
    edit_group,
    drop_group,
    group_count,
    group_devices_page,
    templates_page,
    configurations_page,
    audit_page,
]

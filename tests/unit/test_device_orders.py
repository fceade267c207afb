"""What a device's orders do when its clock, or the device itself, does what it should not."""

import msgspec

from fleet.commands import IssuedCommand
from fleet.configuration import Change
from fleet.device_orders import DeviceOrders
from fleet.ids import device_id, site_id
from fleet.limits import COMMAND_RESEND_S, CONFIG_RESEND_S, SETTING_TEXT_CHARS_MAX
from fleet.order_messages import RejectedConfig, ReportedConfig
from fleet.profiles import shipped

SITE, DEVICE = site_id("s-1"), device_id("d-1")
PROFILE = next(profile for profile in shipped() if profile.id == "gateway")
HOUR_MS, NOW = 3_600_000, 1_800_000_000_000


def test_after_the_clock_stepped_back_it_is_told_again_in_time() -> None:
    mine = DeviceOrders(SITE, DEVICE, now=NOW)
    mine.wish(Change("set", own={"report_interval_s": 30.0}), None, PROFILE, there=True, now=NOW)
    command = IssuedCommand("c1", SITE, DEVICE, 1, "blink", {}, "queued", NOW, NOW + HOUR_MS, 60.0)
    mine.issue(command, PROFILE, there=True, now=NOW)
    back = NOW - HOUR_MS
    assert mine.tell(PROFILE, there=True, now=back).is_empty
    again = mine.tell(PROFILE, there=True, now=back + round(1000 * max(COMMAND_RESEND_S[0], CONFIG_RESEND_S[0])))
    assert (again.command_out, again.config_out is not None) == (command.wire(), True)


def test_of_a_devices_reasons_the_journal_holds_what_is_kept() -> None:
    mine = DeviceOrders(SITE, DEVICE, now=NOW)
    mine.wish(Change("set", own={"report_interval_s": 30.0}), None, PROFILE, there=True, now=NOW)
    said = ReportedConfig(0, {}, RejectedConfig(1, {"report_interval_s": "x" * 60_000}))
    step = mine.report(said, PROFILE, there=True, now=NOW)
    assert step is not None
    (receipt,) = step.receipts
    assert len(msgspec.json.encode(receipt.detail)) < 2 * SETTING_TEXT_CHARS_MAX

"""What a device says that it runs, how that stands to what is wished, and when it is told again."""

import itertools
import math
from typing import Any

import pytest

from fleet.configuration import (
    STATUSES,
    ConfigState,
    Desired,
    Reported,
    drift,
    interval_s,
    is_due,
    judge,
    reported,
    returned,
    sent,
)
from fleet.errors import BadInput
from fleet.limits import (
    CONFIG_RESEND_S,
    CONFIG_VERSION_AHEAD_MAX,
    SETTING_KEY_CHARS_MAX,
    SETTING_TEXT_CHARS_MAX,
    SETTINGS_PER_DEVICE_MAX,
)
from fleet.order_messages import RejectedConfig, ReportedConfig
from tests.device_config import DEFAULTS, PROFILE, SETTINGS, after, change, said


def test_garbage_is_refused_and_changes_nothing() -> None:
    state = after(ConfigState(), change("set", own={"limit_pct": 50.0}))
    for version in (-1, 1 + CONFIG_VERSION_AHEAD_MAX + 1, 10**30):
        with pytest.raises(BadInput, match="bad_version"):
            reported(state, ReportedConfig(version, {}), SETTINGS, 2)
        with pytest.raises(BadInput, match="bad_version"):
            reported(state, ReportedConfig(0, {}, RejectedConfig(version, {})), SETTINGS, 2)
    for values in (
        {f"k{number}": 1.0 for number in range(SETTINGS_PER_DEVICE_MAX + 1)},
        {"note": "x" * (SETTING_TEXT_CHARS_MAX + 1)},
        {"note": "a\0b"},
        {"a\0b": 1.0},
        {"k" * (SETTING_KEY_CHARS_MAX + 1): 1.0},
        {"limit_pct": math.nan},
        {"limit_pct": math.inf},
    ):
        with pytest.raises(BadInput, match="bad_report"):
            reported(state, ReportedConfig(1, values), SETTINGS, 2)


def test_a_devices_reasons_are_kept_however_it_words_them() -> None:
    wordy = {f"k{number}\0" + "k" * 200: "no\0 " + "x" * 5_000 for number in range(SETTINGS_PER_DEVICE_MAX + 50)}
    state = sent(after(ConfigState(), change("set", own={"limit_pct": 50.0})), 2)
    state = reported(state, said(0, RejectedConfig(1, wordy)), SETTINGS, 3)
    assert state.status == "rejected"
    assert state.reported is not None
    assert state.reported.rejected is not None
    errors = state.reported.rejected.errors
    assert len(errors) == SETTINGS_PER_DEVICE_MAX
    assert max(map(len, errors)) <= SETTING_KEY_CHARS_MAX
    assert max(map(len, errors.values())) <= SETTING_TEXT_CHARS_MAX
    assert "\0" not in "".join((*errors, *errors.values()))
    assert reported(state, said(0, RejectedConfig(1, wordy)), SETTINGS, 4) is state  # nothing new


def test_a_report_that_says_nothing_new_is_the_same_object() -> None:
    state = reported(ConfigState(), said(0), SETTINGS, 1)
    assert reported(state, said(0), SETTINGS, 2) is state
    assert reported(state, said(0, report_interval_s=10), SETTINGS, 2) is state


def test_a_device_that_flaps_is_seen_each_time() -> None:
    state = sent(after(ConfigState(), change("set", own={"limit_pct": 50.0})), 2)
    seen = []
    for number in range(6):
        state = reported(state, said(1, limit_pct=50.0 if number % 2 == 0 else 60.0), SETTINGS, 10 + number)
        seen.append((state.status, state.status_at, state.revision))
    assert [status for status, _, _ in seen] == ["in_sync", "drifted"] * 3
    assert [at for _, at, _ in seen] == [10, 11, 12, 13, 14, 15]
    assert [revision for _, _, revision in seen] == list(range(seen[0][2], seen[0][2] + 6))


def test_of_a_device_that_nobody_told_anything_only_what_it_says_counts() -> None:
    assert reported(ConfigState(), ReportedConfig(0, {}), SETTINGS, 1).status == "in_sync"
    assert reported(ConfigState(), ReportedConfig(0, {"limit_pct": 100.0, "own": "x"}), SETTINGS, 1).status == "in_sync"
    state = reported(ConfigState(), ReportedConfig(0, {"limit_pct": 90.0}), SETTINGS, 1)
    assert state.status == "drifted"
    assert drift(state, SETTINGS) == {"limit_pct": (100.0, 90.0)}


VERSIONS = (0, 1, 2, 3, 4)
_ROWS = list(itertools.product((True, False), (None, *VERSIONS), (None, 1, 2, 3), (0, 1, 2), (True, False)))


@pytest.mark.parametrize(("wished", "said_version", "rejected_version", "sent_version", "same"), _ROWS)
def test_every_way_in_which_desired_and_reported_can_stand(
    wished: bool, said_version: int | None, rejected_version: int | None, sent_version: int, same: bool
) -> None:
    """Desired is version 2, or nothing. The rules stand here once more, as sentences."""
    desired = Desired(2, DEFAULTS | {"limit_pct": 50.0}, {"limit_pct": 50.0}, (), 1, "set") if wished else None
    runs = (desired.values if desired else DEFAULTS) if same else DEFAULTS | {"limit_pct": 33.0}
    rejected = RejectedConfig(rejected_version, {}) if rejected_version is not None else None
    heard = Reported(said_version, dict(runs), 1, rejected) if said_version is not None else None
    status = judge(ConfigState(desired, heard, sent_version), SETTINGS)
    assert status in STATUSES
    if heard is None and not wished:
        expected = "unknown"  # nobody wished, nobody said
    elif heard is None:
        expected = "applying" if sent_version == 2 else "pending"
    elif not wished:
        expected = "in_sync" if same and heard.version == 0 else "drifted"  # no version was ever sent
    elif heard.version < 2:
        arrived = "applying" if sent_version == 2 else "pending"
        expected = "rejected" if rejected_version == 2 else arrived
    elif heard.version == 2:
        expected = "in_sync" if same else "drifted"
    else:
        expected = "drifted"  # never sent
    assert status == expected
    state = ConfigState(desired, heard, sent_version, status=status)
    assert bool(drift(state, SETTINGS)) == (status == "drifted" and not same)


def test_a_device_that_says_it_reports_more_rarely_is_waited_for_longer() -> None:
    def interval_of(**values: Any) -> float:
        return interval_s(PROFILE, reported(ConfigState(), ReportedConfig(0, values), SETTINGS, 1).reported)

    assert interval_s(PROFILE, None) == interval_of() == 10
    assert interval_of(report_interval_s=3_600.0) == 3_600
    assert interval_of(report_interval_s=1.0) == 10  # a device may be told to hurry; the profile's patience stays
    assert interval_of(report_interval_s=1e12) == 86_400
    for nonsense in (True, "soon", -5.0):
        assert interval_of(report_interval_s=nonsense) == 10


# When it is sent


def test_it_is_sent_at_once_then_with_growing_patience_and_at_once_when_the_device_returns() -> None:
    state = after(ConfigState(), change("set", own={"limit_pct": 50.0}))
    now = 1_000
    assert is_due(state, now)
    state = sent(state, now)
    assert (state.status, state.sent_version, state.sent_at) == ("applying", 1, now)
    revision = state.revision
    for wait_s in (*CONFIG_RESEND_S, CONFIG_RESEND_S[-1]):
        due = state.asked_at + round(wait_s * 1000)
        assert not is_due(state, due - 1)
        assert is_due(state, due)
        state = sent(state, due)
    assert (state.revision, state.sent_at) == (revision, now)  # repetitions are not stored
    assert is_due(returned(state), state.asked_at)
    state = reported(state, said(1, limit_pct=50.0), SETTINGS, due)
    assert state.status == "in_sync"
    assert not is_due(state, 10**12)
    lost = reported(state, said(0), SETTINGS, 10**9)  # its disk is gone
    assert lost.status == "applying"
    assert is_due(lost, 10**9)


def test_a_newer_wish_is_due_at_once_whatever_was_waited_for() -> None:
    state = sent(sent(after(ConfigState(), change("set", own={"limit_pct": 50.0})), 5), 6)
    newer = after(state, change("set", own={"limit_pct": 60.0}))
    assert newer.status == "pending"
    assert is_due(newer, 6)

"""What people write as `from` and `to`: an instant, a local time of the site, or one of its days."""

import re
from datetime import datetime, timedelta
from typing import Annotated

from litestar.params import QueryParameter

from fleet.calendar import zone
from fleet.errors import BadInput
from fleet.telemetry import UnixMs

_DAY_MS = 86_400_000
_LATEST_MS = 4_102_444_800_000  # 2100: beyond it is a typing error
_SPACE_OFFSET = re.compile(r" (\d\d:?\d\d)$")  # a "+" that was not escaped in the address

_FORMS = "Unix milliseconds, an RFC 3339 instant, or a date or time of the site's own zone (`2026-06-21`)"
From = Annotated[str, QueryParameter(name="from", max_length=40, description=f"First instant: {_FORMS}")]
Until = Annotated[str, QueryParameter(name="to", max_length=40, description=f"End, itself excluded: {_FORMS}")]


def parse_range(since: str, until: str, timezone: str, *, days_max: float | None = None) -> tuple[UnixMs, UnixMs]:
    """[from, to). Raises BadInput (bad_range)."""
    start, end = parse_instant(since, timezone), parse_instant(until, timezone)
    if end <= start:
        raise BadInput("bad_range", "`to` must be later than `from`")
    if days_max is not None and end - start > days_max * _DAY_MS:
        raise BadInput("bad_range", f"at most {days_max:g} days at once")
    return start, end


def parse_instant(text: str, timezone: str) -> UnixMs:
    """Raises BadInput (bad_range)."""
    at = int(text) if text.isascii() and text.isdigit() else _local_instant(text, timezone)
    if not 0 <= at < _LATEST_MS:
        raise BadInput("bad_range", f"not between 1970 and 2100: {text!r}")
    return at


def iso_local(at: UnixMs, timezone: str) -> str:
    """RFC 3339 in the site's zone, with its offset: 2026-06-21T13:30:00+02:00."""
    return datetime.fromtimestamp(at / 1000, zone(timezone)).isoformat(timespec="seconds")


def _local_instant(text: str, timezone: str) -> UnixMs:
    try:
        moment = datetime.fromisoformat(_SPACE_OFFSET.sub(r"+\1", text))
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=zone(timezone))
        return round((moment - _EPOCH) / timedelta(milliseconds=1))
    except (ValueError, OverflowError):
        raise BadInput("bad_range", f"not a time: {text!r}; write {_FORMS}") from None


_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")

"""Enrolment codes of the last minutes. The database holds hashes only, so a form that is sent again, because the network was
lost before the answer came, finds its code here; after that nobody can tell it any more.
"""

from collections import OrderedDict

from fleet.claim_code import ClaimCode
from fleet.limits import FRESH_CODE_S, FRESH_CODES_MAX


class FreshCodes:
    """Pure: the caller brings the time."""

    def __init__(self) -> None:
        self._codes: OrderedDict[str, tuple[float, ClaimCode]] = OrderedDict()

    def keep(self, code: ClaimCode, now_s: float) -> None:
        self._codes[code.id] = (now_s, code)
        while len(self._codes) > FRESH_CODES_MAX or next(iter(self._codes.values()))[0] < now_s - FRESH_CODE_S:
            self._codes.popitem(last=False)

    def find(self, claim_id: str, now_s: float) -> ClaimCode | None:
        kept_s, code = self._codes.get(claim_id, (now_s, None))
        return code if now_s - kept_s <= FRESH_CODE_S else None

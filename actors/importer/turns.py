"""Whose turn it is: that of the company on whose files least time was spent lately, and of its sites that of the one served
longest ago. Pure: the caller brings the time.
"""

from typing import Final

from fleet.ids import SiteId

_HALVED_S: Final = 300.0  # what was spent counts half after that long
_NOTHING_S: Final = 0.01
_SITES_MAX: Final = 1_000  # more begin anew


class Turns:
    def __init__(self) -> None:
        self._spent: dict[str, float] = {}
        self._at_s = 0.0
        self._served: dict[SiteId, None] = {}  # the last one at the end

    def spent(self, now_s: float) -> list[str]:
        """Companies, that with most at the end."""
        self._fade(now_s)
        return sorted(self._spent, key=lambda company: self._spent[company])

    def served(self) -> list[SiteId]:
        return list(self._served)

    def had(self, company: str, site: SiteId, took_s: float, now_s: float) -> None:
        self._fade(now_s)
        self._spent[company] = self._spent.get(company, 0.0) + took_s
        self._served.pop(site, None)
        self._served[site] = None
        if len(self._served) > _SITES_MAX:
            del self._served[next(iter(self._served))]

    def _fade(self, now_s: float) -> None:
        share = 0.5 ** ((now_s - self._at_s) / _HALVED_S)
        self._at_s = now_s
        self._spent = {company: left for company, s in self._spent.items() if (left := s * share) > _NOTHING_S}

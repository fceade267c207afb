from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.sun import clear_sky_ghi_w_m2, elevation_deg

PARIS = (48.8566, 2.3522)


def ms(*when: int) -> int:
    return int(datetime(*when, tzinfo=UTC).timestamp() * 1000)  # type: ignore[misc, arg-type]


@pytest.mark.parametrize(
    ("when", "expected_deg"),
    [
        # At solar noon the elevation is 90° − latitude + declination.
        ((2026, 6, 21, 11, 52), 90 - 48.86 + 23.43),
        ((2026, 12, 21, 11, 49), 90 - 48.86 - 23.43),
        ((2026, 3, 20, 11, 58), 90 - 48.86 - 0.05),
    ],
)
def test_the_sun_culminates_where_astronomy_says(when: tuple[int, ...], expected_deg: float) -> None:
    assert elevation_deg(*PARIS, ms(*when)) == pytest.approx(expected_deg, abs=0.2)


def test_it_is_night_at_midnight() -> None:
    assert elevation_deg(*PARIS, ms(2026, 6, 21, 23, 52)) < -15


def test_clear_sky_as_haurwitz_gives_it() -> None:
    assert clear_sky_ghi_w_m2(90.0) == pytest.approx(1037.2, abs=0.1)  # 1098 e^-0.057
    assert clear_sky_ghi_w_m2(30.0) == pytest.approx(489.8, abs=0.1)  # 549 e^-0.114
    assert clear_sky_ghi_w_m2(0.0) == 0.0
    assert clear_sky_ghi_w_m2(-10.0) == 0.0


@given(st.lists(st.floats(-90, 90), min_size=2))
def test_a_higher_sun_never_gives_less(elevations: list[float]) -> None:
    irradiances = [clear_sky_ghi_w_m2(elevation) for elevation in sorted(elevations)]
    assert all(lower <= higher for lower, higher in pairwise(irradiances))

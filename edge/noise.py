"""Smooth random fields that are functions of place and time: no state, any order, the same on every machine.

Value noise: hashed numbers on the integer lattice, blended by a smoothstep in between.
"""

from itertools import product
from typing import Final
from zlib import crc32

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

# Standard deviation of one-dimensional value noise between uniform lattice values, over a whole cell.
BELL_SIGMA: Final = (26 / 35 / 12) ** 0.5

_MIX_A = np.uint64(0x9E3779B97F4A7C15)
_MIX_B = np.uint64(0xBF58476D1CE4E5B9)


def field_seed(seed: int, name: str) -> int:
    """A seed for one named field of the fleet's seed."""
    return crc32(f"{seed}:{name}".encode())


def noise(seed: int, *coordinates: Floats) -> Floats:
    """0..1, mean 0.5, smooth, in as many dimensions as there are coordinates; one unit is one lattice cell."""
    floors = [np.floor(axis) for axis in coordinates]
    weights = [(axis - floor) ** 2 * (3 - 2 * (axis - floor)) for axis, floor in zip(coordinates, floors, strict=True)]
    cells = [floor.astype(np.int64).astype(np.uint64) for floor in floors]
    total = np.zeros_like(coordinates[0])
    for corner in product((0, 1), repeat=len(coordinates)):
        share = np.ones_like(total)
        for side, weight in zip(corner, weights, strict=True):
            share = share * (weight if side else 1 - weight)
        total += share * _hashed(seed, [cell + np.uint64(side) for cell, side in zip(cells, corner, strict=True)])
    return total


def bell(seed: int, time: Floats) -> Floats:
    """About a standard normal variable that changes smoothly: one independent value per unit of `time`."""
    return (noise(seed, time) - 0.5) / BELL_SIGMA


def _hashed(seed: int, cells: list[npt.NDArray[np.uint64]]) -> Floats:
    mixed = np.full_like(cells[0], seed)
    for cell in cells:
        mixed = (mixed ^ cell) * _MIX_A
        mixed = (mixed ^ (mixed >> np.uint64(29))) * _MIX_B
        mixed ^= mixed >> np.uint64(32)
    return (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53

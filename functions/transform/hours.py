"""The accepted hours of a part as numpy columns."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from functions.core.variables import VARIABLES

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.integer[Any]]
Flags = npt.NDArray[np.bool_]

# The irregular hours that are Python objects at the same time: about 2 KB each.
IRREGULAR_HOURS = 10_000

# The fields of REJECTED_COLUMNS.
RejectedRow = tuple[str, str, str, str, str]

# The position of each variable in ``Hours.values``, and of its bit in a coverage object.
POSITIONS = {name: position for position, name in enumerate(VARIABLES)}


@dataclass(frozen=True, slots=True)
class Locations:
    """What a response says of its locations besides hours, by position in the request.

    ``cells``: latitude, longitude and elevation (degrees, metres) of the grid cell, None where it is not given.
    ``undefined``: the variables without a unit. A location that only Python's json reads is in neither.
    """

    cells: dict[int, tuple[float | None, float | None, float | None]] = field(default_factory=dict)
    undefined: dict[int, list[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Hours:
    """Accepted hours, ordered by city and then by time. Each hour of a city occurs once.

    ``city`` (n): the position of the city in the request. ``hour`` (n): hours since the window's first.
    ``values`` (variables, n): all of VARIABLES in their order and units, NaN for null.
    """

    city: Integers
    hour: Integers
    values: Floats

    def __len__(self) -> int:
        return len(self.city)


def joined(parts: Sequence[Hours]) -> Hours:
    """Return the hours of several cities or parts of the request in order. The parts have no hour in common."""
    if len(parts) == 1:
        return parts[0]
    city = np.concatenate([part.city for part in parts])
    hour = np.concatenate([part.hour for part in parts])
    order = np.lexsort((hour, city))
    return Hours(city[order], hour[order], np.concatenate([part.values for part in parts], axis=1)[:, order])


def of_whole_windows(cities: Iterable[int], values: Floats) -> Hours:
    """Return the hours of cities that have every hour of the window; ``values`` is (variables, cities, hours)."""
    positions = np.fromiter(cities, dtype=np.intp)
    variables, _, hours = values.shape
    return Hours(
        city=np.repeat(positions, hours),
        hour=np.tile(np.arange(hours), len(positions)),
        values=values.reshape(variables, -1),
    )

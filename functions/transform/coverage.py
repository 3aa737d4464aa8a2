"""The coverage object: which variables each hour of a city has, in one row for each city.

The bits of an hour are the sum of 2**n for each value that is not null, n being the variable's position in VARIABLES:
1 temperature, 2 humidity, 4 weather code, 8 precipitation, 16 wind, 32 UV index. ``filled`` is what most accepted
hours of the city have (of two that are equally frequent, the smaller). ``gap_offsets`` and ``gap_filled`` list the
hours between ``first_hour`` and ``last_hour``, the first and last accepted hours, that have other bits: hours since
``first_hour``, and the bits, -1 for an hour without an accepted row. ``sha256`` is that of the city's hours and values,
so that a response which repeats another one is known without reading its rows.
"""

import hashlib
from collections.abc import Iterator, Sequence
from datetime import date

import numpy as np

from functions.core.variables import VARIABLES
from functions.core.wmo import CONDITIONS
from functions.transform.hours import Hours, Integers

_COMBINATIONS = 1 << len(VARIABLES)
_NO_ROW = -1
# What, besides hours and values, decides the rows of a processed object.
_MEANING = repr(([variable.column for variable in VARIABLES.values()], CONDITIONS)).encode()


def coverage_rows(hours: Hours, cities: Sequence[str], start: date, origin: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield COVERAGE_COLUMNS for each city with an accepted hour; ``origin`` are the texts from source to raw_key."""
    grid = _bits_by_hour(hours, len(cities))
    has_row = grid != _NO_ROW
    filled = _most_frequent(hours.city, grid[has_row], len(cities))
    first, last = has_row.argmax(axis=1), grid.shape[1] - 1 - has_row[:, ::-1].argmax(axis=1)
    column = np.arange(grid.shape[1])
    is_gap = (grid != filled[:, None]) & (column >= first[:, None]) & (column <= last[:, None])
    midnight = np.datetime64(start, "h")
    ends = np.searchsorted(hours.city, np.arange(len(cities) + 1))
    for position in np.flatnonzero(has_row.any(axis=1)).tolist():
        gaps = np.flatnonzero(is_gap[position])
        yield (
            cities[position],
            *origin,
            f"{midnight + int(first[position])}:00:00Z",
            f"{midnight + int(last[position])}:00:00Z",
            str(filled[position]),
            _array(gaps - first[position]),
            _array(grid[position, gaps]),
            _sha256(hours, slice(ends[position], ends[position + 1])),
        )


def bits(hours: Hours) -> Integers:
    """Return the bits of each accepted hour (n)."""
    found = np.zeros(len(hours), dtype=np.int8)
    for position, values in enumerate(hours.values):
        found |= (~np.isnan(values)).astype(np.int8) << position
    return found


def _bits_by_hour(hours: Hours, cities: int) -> Integers:
    """Return the bits as (cities, hours of the window), -1 for an hour without an accepted row."""
    grid = np.full((cities, int(hours.hour.max(initial=0)) + 1), _NO_ROW, dtype=np.int8)
    grid[hours.city, hours.hour] = bits(hours)
    return grid


def _most_frequent(city: Integers, found: Integers, cities: int) -> Integers:
    """Return the most frequent bits of each city; ``found`` are the bits in the order of ``city``."""
    counts = np.bincount(city * _COMBINATIONS + found, minlength=cities * _COMBINATIONS)
    most: Integers = counts.reshape(cities, _COMBINATIONS).argmax(axis=1)
    return most


def _sha256(hours: Hours, rows: slice) -> str:
    """Return the hash of the hours and values in these rows; times count from the first of them."""
    since_first = (hours.hour[rows] - hours.hour[rows][:1]).astype("<i4")
    digest = hashlib.sha256(_MEANING)
    digest.update(since_first.tobytes())
    digest.update(hours.values[:, rows].astype("<f8").tobytes())
    return digest.hexdigest()


def _array(numbers: Integers) -> str:
    """Return the text of a Postgres array of integers."""
    return f"{{{','.join(map(str, numbers.tolist()))}}}"

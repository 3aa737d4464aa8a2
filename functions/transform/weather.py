"""The transformation of a response into accepted hours and rejected rows: pure, no I/O."""

from collections.abc import Callable, Sequence

import numpy as np
from msgspec import Raw

from functions.core.run import Run
from functions.core.variables import VARIABLES
from functions.transform.hours import IRREGULAR_HOURS, Hours, Locations, RejectedRow, joined, of_whole_windows
from functions.transform.regular import Reader, possible
from functions.transform.response import hourly_block


def transformed(
    locations: Sequence[Raw],
    run: Run,
    cities: Sequence[str],
    raw_key: str,
    reject: Callable[[Sequence[RejectedRow]], object],
    found: Locations,
) -> Hours:
    """Return the accepted hours of a response; ``cities`` are its ids in the request's order.

    ``reject`` takes the rejected rows, some at a time: all together can be larger than everything else. Each city is
    read on its own: an irregular one (see ``regular.py``) does not slow the others. ``found`` takes what the locations
    say of themselves. Raises UpstreamContractError with the raw object and the first city that is not what was
    requested.
    """
    reader = Reader(run.variables, run.start, run.end, found)
    values = np.full((len(VARIABLES), len(cities), 24 * run.days), np.nan)
    is_regular = np.array(
        [reader.read(location, position, values[:, position]) for position, location in enumerate(locations)],
        dtype=bool,
    )
    is_regular &= possible(values)
    if is_regular.all():
        return of_whole_windows(range(len(cities)), values)

    # imported here: pandas costs more than all other imports together, and most responses are regular
    from functions.transform.irregular import irregular_hours

    parts = [of_whole_windows(np.flatnonzero(is_regular), values[:, is_regular])]
    del values
    waiting = np.flatnonzero(~is_regular).tolist()
    at_once = max(1, IRREGULAR_HOURS // (24 * run.days))
    for begin in range(0, len(waiting), at_once):
        blocks = {
            position: hourly_block(
                locations[position], position, f"{raw_key}: {cities[position]}", run.variables, 24 * run.days
            )
            for position in waiting[begin : begin + at_once]
        }
        for hours, rows in irregular_hours(blocks, cities, run, raw_key):
            parts.append(hours)
            reject(rows)
    return joined(parts)

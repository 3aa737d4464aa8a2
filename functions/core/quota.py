"""Open-Meteo's quota: the weight of a request, the size of a batch, the windows, and when a closed one opens again.

The free hosts count per IP address, in fixed windows that are reset every minute, hour and day (UTC);
see https://open-meteo.com/en/pricing and RateLimiter in https://github.com/open-meteo/open-meteo.
"""

import math
from datetime import UTC, datetime
from typing import Literal

from functions.core.run import MAX_HOURS_PER_RESPONSE

Window = Literal["minutely", "hourly", "daily"]

# Length in seconds, and the weight that a free host accepts.
WINDOWS: dict[Window, tuple[int, int]] = {
    "minutely": (60, 600),
    "hourly": (3600, 5_000),
    "daily": (86_400, 10_000),
}
# The weight of each failed request.
FAILED_REQUEST = 1.0

# A location weighs one for every ten variables, and more if the window is longer than two weeks.
_VARIABLES_PER_UNIT, _DAYS_PER_UNIT = 10, 14
_LARGEST_BATCH = 50

# A batch that a window does not accept is made smaller if the window has this weight left, a tenth of a minute's quota:
# a batch of another size, of this run or another one, may leave a rest that no whole batch fits in.
SMALLEST_REST = WINDOWS["minutely"][1] / 10


def weight(cities: int, variables: int, days: int) -> float:
    """Return the quota weight of a request for this many cities, variables and days."""
    per_city = max(1.0, variables / _VARIABLES_PER_UNIT, variables / _VARIABLES_PER_UNIT * days / _DAYS_PER_UNIT)
    return cities * per_city


def largest_batch(variables: int, days: int) -> int:
    """Return the number of cities in a batch, at most MAX_HOURS_PER_RESPONSE: an equal share of a minute's quota.

    After batches of any other size the rest of a minute's quota would be too small for a whole batch.
    """
    _, quota_weight = WINDOWS["minutely"]
    per_minute = max(1, int(quota_weight / weight(1, variables, days)))
    largest = max(1, min(_LARGEST_BATCH, MAX_HOURS_PER_RESPONSE // (24 * days)))
    return max(1, per_minute // math.ceil(per_minute / largest))


def seconds_to_open(window: Window, now: datetime) -> int:
    """Return the whole seconds from ``now`` (with a time zone) until the window is reset, at least one."""
    length, _ = WINDOWS[window]
    return math.floor(length - now.timestamp() % length) + 1


def window_start(window: Window, moment: datetime) -> datetime:
    """Return the start of the window that ``moment`` (with a time zone) is in."""
    length, _ = WINDOWS[window]
    return datetime.fromtimestamp(moment.timestamp() // length * length, UTC)


def exceeds(window: Window, used: float, next_weight: float) -> bool:
    """Return whether a request of ``next_weight`` exceeds a window of which ``used`` is used.

    An unused window accepts any request: the host checks before it counts.
    """
    _, limit = WINDOWS[window]
    return used > 0 and used + next_weight > limit

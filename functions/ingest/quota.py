"""Open-Meteo's quota: the weight of a request, and when a closed quota window opens again.

The free hosts count per IP address, in fixed windows that are reset every minute, hour and day (UTC);
see https://open-meteo.com/en/pricing and RateLimiter in https://github.com/open-meteo/open-meteo.
"""

import math
from collections.abc import Iterable
from datetime import datetime
from typing import Literal

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


def weight(cities: int, variables: int, days: int) -> float:
    """Return the quota weight of a request for this many cities, variables and days."""
    per_city = max(1.0, variables / _VARIABLES_PER_UNIT, variables / _VARIABLES_PER_UNIT * days / _DAYS_PER_UNIT)
    return cities * per_city


def seconds_to_open(window: Window, now: datetime) -> int:
    """Return the whole seconds from ``now`` (with a time zone) until the window is reset, at least one."""
    length, _ = WINDOWS[window]
    return math.floor(length - now.timestamp() % length) + 1


def full_window(spent: Iterable[tuple[datetime, float]], next_weight: float, now: datetime) -> Window | None:
    """Return the longest window that a request of ``next_weight`` would exceed after the ``spent`` weights, or None.

    An unused window accepts any request: the host checks before it counts.
    """
    spent = list(spent)
    for window in ("daily", "hourly", "minutely"):
        length, limit = WINDOWS[window]
        current = now.timestamp() // length
        used = sum(each for moment, each in spent if moment.timestamp() // length == current)
        if used > 0 and used + next_weight > limit:
            return window
    return None

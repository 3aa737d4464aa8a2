"""Open-Meteo's quota: what a request weighs, and when a closed window opens again.

The free hosts count per address, in fixed windows that are cleared every minute, hour and day (UTC);
see https://open-meteo.com/en/pricing and RateLimiter in https://github.com/open-meteo/open-meteo.
"""

import math
from collections.abc import Iterable
from datetime import datetime
from typing import Literal

Window = Literal["minutely", "hourly", "daily"]

# Length in seconds, and what it holds on a free host.
WINDOWS: dict[Window, tuple[int, int]] = {
    "minutely": (60, 600),
    "hourly": (3600, 5_000),
    "daily": (86_400, 10_000),
}
# Each call that fails costs this.
FAILED_CALL = 1.0

# A location costs one for every ten variables, more when the window is longer than two weeks.
_VARIABLES_PER_UNIT, _DAYS_PER_UNIT = 10, 14


def weight(cities: int, variables: int, days: int) -> float:
    """What a request for this many cities, variables and days counts."""
    per_city = max(1.0, variables / _VARIABLES_PER_UNIT, variables / _VARIABLES_PER_UNIT * days / _DAYS_PER_UNIT)
    return cities * per_city


def seconds_to_open(window: Window, now: datetime) -> int:
    """Whole seconds from ``now`` (with a time zone) until the window has been cleared, at least one."""
    length, _ = WINDOWS[window]
    return math.floor(length - now.timestamp() % length) + 1


def full_window(spent: Iterable[tuple[datetime, float]], next_weight: float, now: datetime) -> Window | None:
    """The longest window that has no room for a request of ``next_weight`` after what was ``spent`` in it.

    A window nothing was spent in takes any request: the host checks before it counts.
    """
    spent = list(spent)
    for window in ("daily", "hourly", "minutely"):
        length, limit = WINDOWS[window]
        current = now.timestamp() // length
        used = sum(each for moment, each in spent if moment.timestamp() // length == current)
        if used > 0 and used + next_weight > limit:
            return window
    return None

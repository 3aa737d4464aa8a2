"""The clocks of time zones: the UTC offset of each hour, by the warehouse's time zone data and by Python's.

A load computes local days with the time zone data of the warehouse's server. Its release can be another one than that
of Python, so what is compared with the warehouse is computed with the warehouse's clocks.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import numpy.typing as npt
from psycopg2.extensions import connection as Connection  # noqa: N812

Hours = npt.NDArray[np.int64]

# The hours between two offsets that are compared to find the changes of a clock. Since 1940 no clock of the time zone
# data changed twice within six days (release 2025b).
_STEP = 72
# The hours before and after a range of hours that a local day of these hours can have.
MARGIN = 72
# Zones in a text; the others are counted.
_NAMED = 20

# The first offset of each zone, and each later one with the first whole hour that has it.
_CHANGES = """
    WITH sample AS (
        SELECT zone, hour, seconds, lag(seconds) OVER (PARTITION BY zone ORDER BY hour) AS before
        FROM unnest(%(zones)s::text[]) AS zone
        CROSS JOIN generate_series(%(first)s::int8, %(last)s::int8, %(step)s::int8) AS hour
        CROSS JOIN LATERAL (
            SELECT extract(epoch FROM to_timestamp(hour * 3600) AT TIME ZONE zone)::int8 - hour * 3600 AS seconds
        ) AS clock
    ), near AS (
        SELECT zone, hour, seconds FROM sample WHERE hour = %(first)s
        UNION ALL
        SELECT zone, near_hour, near_seconds
        FROM sample
        CROSS JOIN generate_series(hour - %(step)s::int8 + 1, hour) AS near_hour
        CROSS JOIN LATERAL (
            SELECT extract(epoch FROM to_timestamp(near_hour * 3600) AT TIME ZONE zone)::int8 - near_hour * 3600
                AS near_seconds
        ) AS clock
        WHERE before <> seconds
    )
    SELECT zone, hour, seconds
    FROM (SELECT *, lag(seconds) OVER (PARTITION BY zone ORDER BY hour) AS before FROM near) AS known
    WHERE before IS DISTINCT FROM seconds
    ORDER BY zone, hour
"""


@dataclass(frozen=True, slots=True)
class Clock:
    """The offsets of a zone, in seconds east of UTC. ``starts``: the hour (since 1970) from which each one holds.

    The first offset holds before its start too, the last one without end.
    """

    starts: Sequence[int]
    offsets: Sequence[int]

    def of_hours(self, first_hour: int, hours: int) -> Hours:
        """Return the offset of each hour from ``first_hour`` (hours since 1970) on."""
        numbers = np.searchsorted(self.starts[1:], first_hour + np.arange(hours), side="right")
        offsets: Hours = np.array(self.offsets, dtype=np.int64)[numbers]
        return offsets

    def changes(self, first_hour: int, end_hour: int) -> bool:
        """Return whether the offset changes after ``first_hour`` and before ``end_hour``."""
        return bisect_right(self.starts, first_hour) < bisect_left(self.starts, end_hour)

    def local_time(self, hour: int) -> datetime:
        """Return the local time of an hour (since 1970)."""
        offset = self.offsets[max(0, bisect_right(self.starts, hour) - 1)]
        return datetime.fromtimestamp(hour * 3600, timezone(timedelta(seconds=offset)))


def warehouse_clocks(connection: Connection, zones: Iterable[str], first_hour: int, hours: int) -> dict[str, Clock]:
    """Return the clocks of zones by the warehouse's time zone data, right for the local days of these hours."""
    first, last = _range(first_hour, hours)
    parameters = {"zones": sorted(set(zones)), "first": first, "last": last, "step": _STEP}
    with connection.cursor() as cursor:
        cursor.execute(_CHANGES, parameters)
        found: dict[str, list[tuple[int, int]]] = {}
        for zone, hour, seconds in cursor.fetchall():
            found.setdefault(zone, []).append((hour, seconds))
    return {zone: Clock(*zip(*changes, strict=True)) for zone, changes in found.items()}


def python_clock(zone: str, first_hour: int, hours: int) -> Clock:
    """Return the clock of a zone by Python's time zone data. Raises ZoneInfoNotFoundError for a zone that it lacks."""
    place = ZoneInfo(zone)

    def offset_of(hour: int) -> int:
        offset = datetime.fromtimestamp(hour * 3600, UTC).astimezone(place).utcoffset()
        return 0 if offset is None else round(offset.total_seconds())

    first, last = _range(first_hour, hours)
    starts, offsets = [first], [offset_of(first)]
    for sample in range(first + _STEP, last + 1, _STEP):
        if offset_of(sample) != offsets[-1]:
            starts.append(_first_other(offset_of, sample - _STEP, sample))
            offsets.append(offset_of(sample))
    return Clock(starts, offsets)


def notes_of(clocks: Mapping[str, Clock], first_hour: int, hours: int) -> list[str]:
    """Return a text for each zone whose clock Python has otherwise within these hours, or not at all."""
    texts = [text for zone, clock in clocks.items() if (text := _note(zone, clock, first_hour, hours))]
    more = len(texts) - _NAMED
    return texts[:_NAMED] + ([f"and {more} more time zones"] if more > 0 else [])


def _note(zone: str, clock: Clock, first_hour: int, hours: int) -> str | None:
    try:
        known = python_clock(zone, first_hour, hours)
    except ZoneInfoNotFoundError:
        return f"time zone {zone}: Python does not know it; the local days are the warehouse's"
    other = np.flatnonzero(clock.of_hours(first_hour, hours) != known.of_hours(first_hour, hours))
    if not len(other):
        return None
    hour = first_hour + int(other[0])
    # 2026-11-01T02:00:00-07:00
    texts = (f"UTC{each.local_time(hour).isoformat()[19:]}" for each in (clock, known))
    return (
        f"time zone {zone}: from {datetime.fromtimestamp(hour * 3600, UTC):%Y-%m-%dT%H:%MZ} the warehouse's time zone "
        f"data have {next(texts)}, Python's {next(texts)}; the local days are the warehouse's"
    )


def _range(first_hour: int, hours: int) -> tuple[int, int]:
    """Return the first and the last hour whose offsets are compared, a whole number of steps apart."""
    first = first_hour - MARGIN
    return first, first + -(-(hours + 2 * MARGIN) // _STEP) * _STEP


def _first_other(offset_of: Callable[[int], int], before: int, after: int) -> int:
    """Return the first hour that has not the offset of ``before``."""
    known = offset_of(before)
    while after - before > 1:
        middle = (before + after) // 2
        before, after = (middle, after) if offset_of(middle) == known else (before, middle)
    return after

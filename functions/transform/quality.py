"""The quality rules that judge a response by itself, over whole columns.

An hour counts once for each rule. Its finding is of the local day of the city; that of an hour without a readable time
inside the window, or of a whole window, is of the window's first UTC day. So there is at most one finding for each
rule, city and day, however bad the response is.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from functions.core.quality import FROZEN_HOURS, FROZEN_VARIABLES, LARGEST_STEPS, STALE_HOURS
from functions.core.run import Run
from functions.core.text import excerpt
from functions.transform.hours import POSITIONS, Flags, Floats, Hours, Integers, Locations, RejectedRow
from functions.transform.reasons import rule_of

Row = tuple[str | int | float | None, ...]

# Of FROZEN_HOURS equal values in a row, each fourth equals the next fourth. Few other series do, so only a quarter of
# the values is compared.
_APART = 4
_IN_A_ROW = FROZEN_HOURS // _APART - 1
# The difference of two decimals is a little beside the decimal difference.
_ROUNDING = 1e-9


class Quality:
    """The findings in one response of a run. ``zones`` has the time zone of each of its cities by id."""

    def __init__(self, run: Run, cities: Sequence[str], zones: Mapping[str, str], fetched_at: datetime) -> None:
        self._run = run
        self._cities = cities
        self._zones = zones
        self._fetched_at = fetched_at
        # by rule, city and day: the number of hours, and the first in words
        self._findings: dict[tuple[str, str, date], tuple[int, str]] = {}

    def __len__(self) -> int:
        return len(self._findings)

    def add_rejected(self, rows: Sequence[RejectedRow]) -> None:
        """Add the findings of rejected hours."""
        for city_id, time, reason, _, _ in rows:
            self._add(rule_of(reason), city_id, self._day_of(city_id, time), 1, f"{time}: {reason}")

    def add_accepted(self, hours: Hours, found: Locations) -> None:
        """Add the findings in the accepted hours of the whole response, and in what its locations say."""
        steps, series = self._steps(hours), self._frozen(hours)
        self._add_hours("large_step", hours, steps, lambda place: _step_text(hours, steps[place], place))
        self._add_hours("frozen_series", hours, series, series.__getitem__)
        self._add_stale(hours)
        for position, names in found.undefined.items():
            count = 24 * self._run.days
            self._add("undefined_unit", self._cities[position], self._run.start, count, ", ".join(names))

    def rows(self, found: Locations) -> Iterator[Row]:
        """Yield QUALITY_COLUMNS: the grid cell of each location, then the findings."""
        fetched_at = self._fetched_at.isoformat()
        for position, cell in sorted(found.cells.items()):
            yield (self._cities[position], None, None, None, None, *cell, fetched_at)
        for (rule, city_id, day), (count, example) in self._findings.items():
            yield city_id, rule, day.isoformat(), count, excerpt(example), None, None, None, fetched_at

    def _add(self, rule: str, city_id: str, day: date, count: int, example: str) -> None:
        earlier, first = self._findings.get((rule, city_id, day), (0, example))
        self._findings[rule, city_id, day] = earlier + count, first

    def _steps(self, hours: Hours) -> dict[int, str]:
        """Return the hours, as places in ``hours``, that differ too much from the hour before, and the variable."""
        found: dict[int, str] = {}
        for name in self._judged(LARGEST_STEPS):
            values = hours.values[POSITIONS[name]]
            step = np.diff(values)
            # comparisons with NaN are false
            places = np.flatnonzero(np.abs(step, out=step) > LARGEST_STEPS[name] + _ROUNDING) + 1
            for place in places[_follows(hours, places)].tolist():
                found.setdefault(place, name)
        return found

    def _frozen(self, hours: Hours) -> dict[int, str]:
        """Return the hours, as places in ``hours``, of each frozen series, and of which variable."""
        found: dict[int, str] = {}
        for name in self._judged(FROZEN_VARIABLES):
            values = hours.values[POSITIONS[name]]
            for city in np.unique(hours.city[_APART * _repeated_fourths(values)]).tolist():
                begin, end = np.searchsorted(hours.city, [city, city + 1]).tolist()
                places = np.arange(begin + 1, end)
                continues = (values[places] == values[places - 1]) & _follows(hours, places)
                breaks = np.flatnonzero(~np.concatenate([[False], continues, [False]]))
                for first, after in zip(breaks[:-1].tolist(), breaks[1:].tolist(), strict=True):
                    if after - first >= FROZEN_HOURS:
                        words = f"{name} is {values[begin + first]:g} for {after - first} hours"
                        for place in range(begin + first, begin + after):
                            found.setdefault(place, words)
        return found

    def _add_stale(self, hours: Hours) -> None:
        """Add the cities whose newest observed temperature is too old, if the window has the time of the fetch."""
        midnight = datetime.combine(self._run.start, datetime.min.time(), UTC)
        fetched = (self._fetched_at - midnight) // timedelta(hours=1)
        is_judged = self._run.source == "forecast" and STALE_HOURS < fetched < 24 * self._run.days
        if not is_judged or "temperature_2m" not in self._run.variables:
            return
        observed = (hours.hour <= fetched) & ~np.isnan(hours.values[POSITIONS["temperature_2m"]])
        newest = np.full(len(self._cities), -1)
        np.maximum.at(newest, hours.city[observed], hours.hour[observed])
        for position in np.flatnonzero(fetched - newest > STALE_HOURS).tolist():
            city_id, last = self._cities[position], int(newest[position])
            words = f"newest temperature at {_time(midnight, last)}" if last >= 0 else "no temperature"
            day = self._local_day(city_id, self._fetched_at)
            self._add("stale", city_id, day, fetched - last, f"{words}, fetched at {self._fetched_at:%Y-%m-%dT%H:%MZ}")

    def _judged(self, names: Sequence[str] | Mapping[str, object]) -> Iterator[str]:
        return (name for name in names if name in self._run.variables)

    def _add_hours(self, rule: str, hours: Hours, places: Iterable[int], words: Callable[[int], str]) -> None:
        """Add the findings of these places in ``hours``; ``words`` says what the hour at a place has."""
        midnight = datetime.combine(self._run.start, datetime.min.time(), UTC)
        for place in sorted(places):
            city_id, hour = self._cities[hours.city[place]], int(hours.hour[place])
            day = self._local_day(city_id, midnight + timedelta(hours=hour))
            # a text for each hour of a hostile response would take more memory than its values
            is_first = (rule, city_id, day) not in self._findings
            self._add(rule, city_id, day, 1, f"{_time(midnight, hour)}: {words(place)}" if is_first else "")

    def _day_of(self, city_id: str, time: str) -> date:
        """Return the local day of a time as Open-Meteo sent it."""
        try:
            moment = datetime.strptime(time, "%Y-%m-%dT%H:%M").replace(tzinfo=UTC)
        except ValueError:
            return self._run.start
        if not self._run.start <= moment.date() <= self._run.end:
            return self._run.start
        return self._local_day(city_id, moment)

    def _local_day(self, city_id: str, moment: datetime) -> date:
        return moment.astimezone(ZoneInfo(self._zones[city_id])).date()


def _follows(hours: Hours, places: Integers) -> Flags:
    """Return for each place whether it is the hour after the place before it, of the same city."""
    before = places - 1
    follows: Flags = (hours.city[places] == hours.city[before]) & (hours.hour[places] == hours.hour[before] + 1)
    return follows


def _repeated_fourths(values: Floats) -> Integers:
    """Return the places in ``values[::_APART]`` at which _IN_A_ROW values equal the next one."""
    fourths = values[::_APART]
    is_equal = fourths[1:] == fourths[:-1]
    in_a_row = is_equal[: max(0, len(is_equal) - _IN_A_ROW + 1)].copy()
    for n in range(1, _IN_A_ROW):
        in_a_row &= is_equal[n : n + len(in_a_row)]
    return np.flatnonzero(in_a_row)


def _step_text(hours: Hours, name: str, place: int) -> str:
    before, after = hours.values[POSITIONS[name], place - 1 : place + 1].tolist()
    return f"{name} from {before:g} to {after:g}"


def _time(midnight: datetime, hour: int) -> str:
    return f"{midnight + timedelta(hours=hour):%Y-%m-%dT%H:%MZ}"

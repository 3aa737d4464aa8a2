"""Verify: the whole mart, or a window of it, computed from the raw objects and compared with the warehouse."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from psycopg2.extensions import connection as Connection  # noqa: N812

from dashboards.warehouse import reading
from deployment.errors import UserError
from emulator.emulator import Emulator
from functions.core.errors import InvalidInputError, PipelineError
from functions.core.run import data_day_of
from functions.core.storage import RawStore
from functions.core.wmo import CONDITIONS
from functions.transform.hours import POSITIONS, Flags
from operations.lineage import days, normals, periods, stored
from operations.lineage.precedence import NO_ROW, TEMPERATURE, WITH_TEMPERATURE, Merge
from operations.lineage.responses import RawProblem, Response, loaded_responses, read_response
from operations.lineage.stored import StoredHours

# Differences that are listed; all are counted.
MAX_LISTED = 1000
# The hours of a grid: about 150 bytes each, and as much again while staging is read.
_HOURS_AT_ONCE = 500_000
# A number with as many digits is a quotient of this computation; the warehouse has 16 decimals and a few more.
_QUOTIENT_DIGITS = 35
_CODE = POSITIONS["weather_code"]
# Columns of a mart row that the raw objects do not give: the time of the write, and the run that wrote it.
_NOT_COMPARED = {"city_id", "date", "period", "updated_at", "run_id"}
# The marts of periods, and what makes their rows from those of the daily mart.
_PERIODS = {"mart_weekly_city_weather": periods.weekly_rows, "mart_monthly_city_weather": periods.monthly_rows}
Json = dict[str, Any]
Window = tuple[date, date]


class VerifyObserver:
    """Receives the progress of a verification; this one ignores it."""

    def progress(self, read: int, responses: int) -> None:
        """So many of the responses were read."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One value, or one whole row (``column`` is "row"), that is not what the raw objects give."""

    table: str
    row: str
    column: str
    expected: str
    found: str


@dataclass(slots=True)
class Verification:
    """What was compared and what differs. ``listed`` are the first MAX_LISTED of ``differences``.

    ``responses_not_loaded``: responses of the raw bucket that belong to no loaded run, such as one that failed. They
    are not compared, and not counted for a window.
    """

    responses: int = 0
    responses_not_loaded: int = 0
    cities: int = 0
    hours: int = 0
    city_days: int = 0
    periods: int = 0
    summaries: int = 0
    differences: int = 0
    listed: list[Difference] = field(default_factory=list)
    raw_problems: list[RawProblem] = field(default_factory=list)

    @property
    def is_equal(self) -> bool:
        return not self.differences and not self.raw_problems

    def add(self, difference: Difference) -> None:
        self.differences += 1
        if len(self.listed) < MAX_LISTED:
            self.listed.append(difference)


def verify(
    emulator: Emulator, start: str | None, end: str | None, cities: Sequence[str] | None, observer: VerifyObserver
) -> Verification:
    """Compare the warehouse with the raw objects of its loaded runs; ``start`` and ``end`` are local days.

    Without a window the summary is compared too; with one, only the weeks and months that are wholly in it.
    Raises UserError for wrong input.
    """
    window = _window(start, end)
    emulator.require_up()
    store = RawStore(emulator.outputs()["RawBucket"], emulator.aws.client)
    try:
        with reading(emulator.reading_url()) as connection:
            return compared(connection, store, window, cities, observer)
    except PipelineError as error:
        raise UserError(f"verify: {error}; `ikirere up` repairs what does not run, then repeat") from error


def compared(
    connection: Connection,
    store: RawStore,
    window: Window | None,
    cities: Sequence[str] | None,
    observer: VerifyObserver,
) -> Verification:
    """Compare one snapshot of a warehouse with a raw bucket. Raises UserError for a city that neither has."""
    found = loaded_responses(connection, store, window)
    result = Verification(responses=len(found.responses), raw_problems=list(found.problems))
    every = list(dict.fromkeys(city_id for each in found.responses for city_id in each.stored.cities))
    every += sorted(stored.city_ids(connection) - set(every))
    if unknown := sorted(set(cities or ()) - set(every)):
        raise UserError(
            f"city {', '.join(unknown)}: has no hour; `ikirere show summary` lists the cities that have one"
        )
    chosen = [city_id for city_id in every if cities is None or city_id in cities]
    if not every and not found.problems:
        raise UserError(
            "the warehouse has no loaded run; `ikirere run` makes one, `ikirere rebuild` loads those of the raw bucket"
        )
    if window is None:
        keys = {each.stored.key for each in found.responses} | {each.key for each in found.problems}
        result.responses_not_loaded = len(set(store.response_keys()) - keys)
    first_hour, hours = _grid(found.responses, window)
    comparison = _Comparison(connection, store, found.responses, window, first_hour, hours, result)
    at_once = max(1, _HOURS_AT_ONCE // max(1, hours))
    for begin in range(0, len(chosen), at_once):
        comparison.compare(chosen[begin : begin + at_once], observer)
    result.cities = len(chosen)
    return result


def _window(start: str | None, end: str | None) -> Window | None:
    if start is None and end is None:
        return None
    try:
        days_given = {"start": start, "end": end}
        first, last = (data_day_of(days_given, name, "verify") for name in days_given)
    except InvalidInputError as error:
        raise UserError(str(error)) from error
    window = first or date(1940, 1, 1), last or date(2100, 1, 1)
    if window[1] < window[0]:
        raise UserError(f"--end {end} is before --start {start}; exchange them")
    return window


def _grid(responses: Sequence[Response], window: Window | None) -> tuple[int, int]:
    """Return the first hour (since 1970) and the number of hours in which responses, or the window, have any."""
    first = min((each.start_hour for each in responses), default=0)
    last = max((each.end_hour for each in responses), default=0)
    if window:
        earliest, latest = _hours_of(window)
        first, last = max(first, earliest), min(last, latest)
    return first, max(0, last - first)


def _hours_of(window: Window) -> tuple[int, int]:
    """Return the first hour (since 1970) of local days in any zone, and the hour after them."""
    # a local day is within 14 hours before and 12 hours after the UTC day of the same date
    return days.number_of(window[0]) * 24 - 14, days.number_of(window[1]) * 24 + 36


class _Comparison:
    """The comparison of some cities at a time; its result is in ``result``."""

    def __init__(
        self,
        connection: Connection,
        store: RawStore,
        responses: Sequence[Response],
        window: Window | None,
        first_hour: int,
        hours: int,
        result: Verification,
    ) -> None:
        self._connection, self._store, self._responses, self._window = connection, store, responses, window
        self._first_hour, self._hours, self._result = first_hour, hours, result
        self._cities = stored.city_rows(connection)
        self._at = (first_hour + np.arange(hours)) * stored.HOUR_MICROSECONDS
        self._fetched = np.array([_microseconds(each.stored.fetched_at) for each in responses] or [0])
        self._is_archive = np.array([each.run.source == "archive" for each in responses] or [False])
        with connection.cursor() as cursor:
            cursor.execute("SELECT run_id FROM pipeline_run")
            self._run_ids = {run_id for (run_id,) in cursor.fetchall()}
        self._read: set[str] = set()

    def compare(self, cities: Sequence[str], observer: VerifyObserver) -> None:
        known = [city_id for city_id in cities if city_id in self._cities]
        for city_id in set(cities) - set(known):
            self._result.add(Difference("dim_city", city_id, "row", "a row", "none"))
        wanted = set(known)
        numbers = [n for n, each in enumerate(self._responses) if not wanted.isdisjoint(each.stored.cities)]
        staged = stored.stored_hours(
            self._connection,
            known,
            {number: self._responses[number] for number in numbers},
            self._first_hour,
            self._hours,
            self._window and _hours_of(self._window),
        )
        merge = Merge({city_id: n for n, city_id in enumerate(known)}, self._first_hour, self._hours, staged.response)
        for number in numbers:
            response = self._responses[number]
            hours, problem = read_response(self._store, response)
            key = response.stored.key
            if problem and key not in self._read:
                self._result.raw_problems.append(problem)
            if hours is not None:
                merge.add(number, hours, response.stored, response.start_hour)
            self._read.add(key)
            observer.progress(len(self._read), len(self._responses))
        self._compare_hours(known, merge, staged)
        self._compare_marts(known, merge)

    # ------------------------------------------------------------------ staging

    def _compare_hours(self, cities: Sequence[str], merge: Merge, staged: StoredHours) -> None:
        compared = np.ones(merge.rank.shape, dtype=bool)
        if self._window:
            first, last = (days.number_of(day) for day in self._window)
            for n, city_id in enumerate(cities):
                day = days.local_days(self._cities[city_id]["timezone"], self._first_hour, self._hours)
                compared[n] = (day >= first) & (day <= last)
        expected, found = merge.rank != NO_ROW, staged.response != stored.NO_ROW
        self._result.hours += int((expected & compared).sum())
        both = expected & found & compared
        # The flagged places of each column, before any text is made: nearly always none.
        flagged = {"row": (expected != found) & compared, **self._different(merge, staged, both)}
        outside = [(city_id, moment) for city_id, moment in staged.outside if self._is_compared(city_id, moment)]
        places = {place for mask in flagged.values() for place in _places(mask, MAX_LISTED)}
        moments = [(cities[n], self._moment(hour)) for n, hour in places]
        rows = stored.staged_rows(self._connection, [*moments, *outside[:MAX_LISTED]])
        for column, mask in flagged.items():
            for count, (n, hour) in enumerate(_places(mask)):
                if count >= MAX_LISTED:
                    self._result.differences += int(mask.sum()) - count
                    break
                row = rows.get((cities[n], self._moment(hour)), {})
                wanted = self._expected(column, merge, n, hour)
                self._add_hour(cities[n], self._moment(hour), column, wanted, row)
        for city_id, moment in outside:
            row = rows.get((city_id, moment), {})
            self._add_hour(city_id, moment, "row", "none", row)

    def _different(self, merge: Merge, staged: StoredHours, both: Flags) -> dict[str, Flags]:
        """Return where each column of staging, values and origin, is not what the responses give."""
        found: dict[str, Flags] = {}
        for position, column in enumerate(stored.MEASURES):
            wanted, stored_value = merge.values[position], staged.values[position]
            is_same = (wanted == stored_value) | (np.isnan(wanted) & np.isnan(stored_value))
            found[column] = both & ~is_same
        for n, hour in _places(both & staged.is_inexact):
            self._compare_digits(n, hour, merge, found)
        codes = np.nan_to_num(merge.values[_CODE], nan=stored.NO_CONDITION).astype(np.int32)
        found["condition"] = both & (codes != staged.condition)
        for bit, column in enumerate(stored.ORIGIN[:-1]):
            found[column] = both & (staged.other_origin >> bit & 1 == 1)
        found["raw_key"] = both & ~self._is_origin(merge, staged)
        return found

    def _compare_digits(self, n: int, hour: int, merge: Merge, found: Mapping[str, Flags]) -> None:
        """Compare the values of a row that have more digits than a double."""
        city_id = list(merge.cities)[n]
        row = stored.staged_rows(self._connection, [(city_id, self._moment(hour))])[city_id, self._moment(hour)]
        for position, column in enumerate(stored.MEASURES):
            value, wanted = row[column], merge.values[position, n, hour]
            if value is not None and not np.isnan(wanted) and Decimal(value) != days.number(float(wanted)):
                found[column][n, hour] = True

    def _is_origin(self, merge: Merge, staged: StoredHours) -> Flags:
        """Return whether the response that a row names can be its origin.

        It has the hour's temperature, or any value, or none, as the response of highest precedence does; and the same
        source, before or after the hour. Of several responses that are equal in all this, the order of loads decides.
        """
        named = np.maximum(staged.response, 0)
        is_forecast = [self._at > self._fetched[number] for number in (named, merge.top)]
        has_temperature = merge.rank == WITH_TEMPERATURE
        is_origin: Flags = (
            (staged.response >= 0)
            & (merge.named_rank == merge.rank)
            & (~has_temperature | (merge.named_temperature == merge.values[TEMPERATURE]))
            & (self._is_archive[named] == self._is_archive[merge.top])
            & (is_forecast[0] == is_forecast[1])
        )
        return is_origin

    def _expected(self, column: str, merge: Merge, n: int, hour: int) -> str:
        """Return what a column of staging should have, as text."""
        if column == "row":
            return "a row" if merge.rank[n, hour] != NO_ROW else "none"
        if column in stored.MEASURES:
            value = float(merge.values[stored.MEASURES.index(column), n, hour])
            return "null" if np.isnan(value) else shown(days.number(value))
        if column == "condition":
            code = float(merge.values[_CODE, n, hour])
            return "null" if np.isnan(code) else CONDITIONS[int(code)]
        top = self._responses[merge.top[n, hour]]
        origin = {
            "source": top.run.source,
            "fetched_at": top.stored.fetched_at,
            "run_id": top.run.run_id,
            "raw_key": top.stored.key,
        }
        return shown(origin[column])

    def _add_hour(self, city_id: str, moment: datetime, column: str, expected: str, row: Json) -> None:
        found = ("a row" if row else "none") if column == "row" else shown(row.get(column))
        self._result.add(Difference("staging_weather", f"{city_id} {moment:%Y-%m-%dT%H:%MZ}", column, expected, found))

    def _is_compared(self, city_id: str, moment: datetime) -> bool:
        zone = ZoneInfo(self._cities[city_id]["timezone"])
        return self._window is None or self._window[0] <= moment.astimezone(zone).date() <= self._window[1]

    def _moment(self, hour: int) -> datetime:
        return datetime.fromtimestamp((self._first_hour + int(hour)) * 3600, UTC)

    # ------------------------------------------------------------------ marts

    def _compare_marts(self, cities: Sequence[str], merge: Merge) -> None:
        marts = stored.daily_rows(self._connection, cities, self._window)
        summaries = stored.summary_rows(self._connection, cities)
        of_periods = {table: stored.period_rows(self._connection, table, cities) for table in _PERIODS}
        climate = {table: stored.climate_rows(self._connection, table, cities) for table in stored.CLIMATE_KEYS}
        earlier = stored.rain_before(self._connection, cities, self._window[0]) if self._window else {}
        is_forecast, is_archive = self._at > self._fetched[merge.top], self._is_archive[merge.top]
        for n, city_id in enumerate(cities):
            city = self._cities[city_id]
            rows = days.daily_rows(
                city, merge.values[:, n], merge.rank[n] != NO_ROW, is_forecast[n], is_archive[n], self._first_hour
            )
            if self._window:
                rows = {day: row for day, row in rows.items() if self._window[0] <= day <= self._window[1]}
            days.add_rolling_rain(rows, earlier.get(city_id, {}))
            found = marts.get(city_id, {})
            self._result.city_days += len(rows)
            self._compare_city("mart_daily_city_weather", city_id, rows, found)
            made = {table: rows_of(city["city"], rows) for table, rows_of in _PERIODS.items()}
            for table, every in made.items():
                wanted = periods.within(every, self._window)
                self._result.periods += len(wanted)
                its_rows = periods.within(of_periods[table].get(city_id, {}), self._window)
                self._compare_city(table, city_id, wanted, its_rows)
            if self._window is None:
                expected = days.summary_row(city, rows) if rows else None
                self._result.summaries += bool(rows)
                self._compare_row("mart_city_weather_summary", city_id, expected, summaries.get(city_id))
                weeks, months = (list(every.values()) for every in made.values())
                for table, its_climate in normals.climate_rows(rows, weeks, months).items():
                    self._compare_climate(table, city_id, its_climate, climate[table].get(city_id, {}))

    def _compare_city(self, table: str, city_id: str, expected: Mapping[Any, Json], found: Mapping[Any, Json]) -> None:
        """Compare the rows of a city in a mart by their day or period."""
        for key in sorted({*expected, *found}):
            label = f"{city_id} {key}"
            self._compare_row(table, label, expected.get(key), found.get(key))
            if key in found and found[key]["run_id"] not in self._run_ids:
                run_id = shown(found[key]["run_id"])
                self._result.add(Difference(table, label, "run_id", "a loaded run", run_id))

    def _compare_climate(self, table: str, city_id: str, expected: normals.Keyed, found: normals.Keyed) -> None:
        for key in sorted({*expected, *found}):
            self._compare_row(table, " ".join(map(str, (city_id, *key))), expected.get(key), found.get(key))

    def _compare_row(self, table: str, label: str, expected: Json | None, found: Json | None) -> None:
        if expected is None or found is None:
            if expected is not found:
                texts = ("none" if row is None else "a row" for row in (expected, found))
                self._result.add(Difference(table, label, "row", *texts))
            return
        for column, value in found.items():
            if column not in _NOT_COMPARED and not days.is_equal(column, expected[column], value):
                self._result.add(Difference(table, label, column, shown(expected[column]), shown(value)))


def shown(value: Any) -> str:
    """Return a value as text: numbers without an exponent, the digits of a quotient that the warehouse has."""
    if value is None:
        return "null"
    if isinstance(value, Decimal):
        text = f"{value:.16f}" if -value.adjusted() + len(value.as_tuple().digits) > _QUOTIENT_DIGITS else f"{value:f}"
        return (text.rstrip("0").rstrip(".") or "0") if "." in text else text
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return str(value)


def _places(mask: Flags, count: int | None = None) -> Iterator[tuple[int, int]]:
    flat = np.flatnonzero(mask)[:count]
    yield from ((int(place) // mask.shape[1], int(place) % mask.shape[1]) for place in flat)


def _microseconds(moment: datetime) -> int:
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds

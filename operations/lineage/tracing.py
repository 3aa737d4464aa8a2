"""Trace: the hours behind one city-day of the mart, and the response that each of their values comes from."""

from collections.abc import Sequence
from dataclasses import dataclass
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
from functions.core.text import quoted
from functions.transform.hours import POSITIONS, Floats, Hours
from operations.lineage import days, stored
from operations.lineage.precedence import NO_ROW, Merge
from operations.lineage.responses import RawProblem, Response, folder_of, loaded_responses, read_response
from operations.lineage.verification import Difference, VerifyObserver, compared

# The measures of staging that a column of the daily mart is made from. The rolling rain is traced for its last day: the
# rain of the days before is taken from the daily mart.
MEASURES_OF = {
    "avg_temperature_c": ("temperature_c",),
    "min_temperature_c": ("temperature_c",),
    "max_temperature_c": ("temperature_c",),
    "temperature_range_c": ("temperature_c",),
    "avg_humidity": ("humidity",),
    "min_humidity": ("humidity",),
    "max_humidity": ("humidity",),
    "max_heat_index_c": ("temperature_c", "humidity"),
    "hours_heat_caution": ("temperature_c", "humidity"),
    "hours_heat_extreme_caution": ("temperature_c", "humidity"),
    "hours_heat_danger": ("temperature_c", "humidity"),
    "hours_heat_extreme_danger": ("temperature_c", "humidity"),
    "precipitation_mm": ("precipitation_mm",),
    "rain_7_days_mm": ("precipitation_mm",),
    "rain_30_days_mm": ("precipitation_mm",),
    "rain_90_days_mm": ("precipitation_mm",),
    "max_wind_speed_kmh": ("wind_speed_kmh",),
    "max_uv_index": ("uv_index",),
    "dominant_condition": ("weather_code",),
    "hours_observed": ("temperature_c",),
    "hours_expected": ("temperature_c",),
    "hours_forecast": ("temperature_c",),
    "hours_archive": ("temperature_c",),
    "hours_humidity": ("humidity",),
}
# The local day, and a day before and after it: no zone is further from UTC.
_HOURS = 72


@dataclass(frozen=True, slots=True)
class TracedResponse:
    """A response that has hours of the day. ``problem`` is None if its bytes are those that were stored.

    Of a raw object that is missing, only its key is known.
    """

    number: int
    run_id: str
    source: str
    fetched_at: datetime | None
    raw_key: str
    sha256: str
    request: str
    problem: RawProblem | None


@dataclass(frozen=True, slots=True)
class OtherValue:
    """What another response has for the same hour: outranked, or null of a response of higher precedence."""

    response: int
    value: Decimal | None


@dataclass(frozen=True, slots=True)
class TracedValue:
    """A value of one hour: ``response`` is None if no response has one; ``staged`` is what staging has."""

    observed_at: datetime
    local_time: datetime
    measure: str
    value: Decimal | None
    response: int | None
    others: Sequence[OtherValue]
    staged: Decimal | None

    @property
    def is_equal(self) -> bool:
        return self.value == self.staged


@dataclass(frozen=True, slots=True)
class TracedColumn:
    """A column of the mart: its value, and what the raw objects give."""

    column: str
    mart: Any
    recomputed: Any
    is_equal: bool


@dataclass(frozen=True, slots=True)
class Trace:
    """A city-day with its columns, the values of its hours, and the responses, the highest precedence first.

    ``differences``: what else verify finds in the rows of the day, such as an origin that no response can have.
    """

    city_id: str
    date: date
    columns: Sequence[TracedColumn]
    values: Sequence[TracedValue]
    responses: Sequence[TracedResponse]
    differences: Sequence[Difference]

    @property
    def problems(self) -> list[RawProblem]:
        return [each.problem for each in self.responses if each.problem]

    @property
    def is_equal(self) -> bool:
        """Whether mart and staging have what the raw objects give, and these are as they were stored."""
        is_mart_equal = all(each.is_equal for each in self.columns)
        is_staging_equal = all(each.is_equal for each in self.values)
        return is_mart_equal and is_staging_equal and not self.differences and not self.problems


def trace(emulator: Emulator, city_id: str, day: str, column: str | None) -> Trace:
    """Trace a city-day, or one column of it. Raises UserError for wrong input and for a day that has no hour."""
    try:
        local_day = data_day_of({"date": day}, "date", "trace")
    except InvalidInputError as error:
        raise UserError(str(error)) from error
    assert local_day  # noqa: S101  # the command requires it
    if column is not None and column not in MEASURES_OF:
        raise UserError(f"trace: column {quoted(column)} must be one of {', '.join(MEASURES_OF)}")
    emulator.require_up()
    store = RawStore(emulator.outputs()["RawBucket"], emulator.aws.client)
    try:
        with reading(emulator.reading_url()) as connection:
            return traced(connection, store, city_id, local_day, column)
    except PipelineError as error:
        raise UserError(f"trace: {error}; `ikirere up` repairs what does not run, then repeat") from error


def traced(connection: Connection, store: RawStore, city_id: str, day: date, column: str | None) -> Trace:
    """Trace a city-day in one snapshot of a warehouse. Raises UserError."""
    city = stored.city_rows(connection).get(city_id)
    if city is None:
        raise UserError(f"city {city_id}: is not known; `ikirere show summary` lists the cities")
    first_hour = days.number_of(day) * 24 - 24
    found = loaded_responses(connection, store, (day, day), city_id)
    local = days.local_days(city["timezone"], first_hour, _HOURS)
    day_hours = np.flatnonzero(local == days.number_of(day)).tolist()
    merge = Merge({city_id: 0}, first_hour, _HOURS, np.full((1, _HOURS), stored.NO_ROW, dtype=np.int32))
    read: list[tuple[Response, Floats, RawProblem | None]] = []
    for response in found.responses:
        if city_id not in response.stored.cities or not overlaps(response, first_hour, day_hours):
            continue
        hours, problem = read_response(store, response)
        if hours is not None:
            merge.add(len(read), hours, response.stored, response.start_hour)
        read.append((response, _values_of(city_id, hours, response, first_hour), problem))
    read.reverse()
    mart = stored.daily_rows(connection, [city_id], (day, day)).get(city_id, {}).get(day)
    has_row = merge.rank[0] != NO_ROW
    fetched = np.array([response.stored.fetched_at.timestamp() for response, _, _ in reversed(read)] or [0.0])
    is_forecast = (first_hour + np.arange(_HOURS)) * 3600.0 > fetched[merge.top[0]]
    is_archive = np.array([response.run.source == "archive" for response, _, _ in reversed(read)] or [False])
    rows = days.daily_rows(city, merge.values[:, 0], has_row, is_forecast, is_archive[merge.top[0]], first_hour)
    recomputed = rows.get(day)
    if recomputed:
        days.add_rolling_rain({day: recomputed}, stored.rain_before(connection, [city_id], day).get(city_id, {}))
    # A run has one response of a city, so another one of a run that has it was not of this city.
    runs = {folder_of(response.stored.key) for response, _, _ in read}
    missing = [problem for problem in found.problems if folder_of(problem.key) not in runs]
    if mart is None and recomputed is None and not missing:
        raise UserError(f"city {city_id}: has no hour of {day}; `ikirere show mart --city {city_id}` lists its days")
    differences: list[Difference] = []
    if mart is not None or recomputed is not None:
        verified = compared(connection, store, (day, day), [city_id], VerifyObserver())
        differences = [each for each in verified.listed if _is_beside(each, column)]
    return Trace(
        city_id=city_id,
        date=day,
        columns=[_column(name, mart, recomputed) for name in MEASURES_OF if column in (None, name)],
        values=_traced_values(connection, city, first_hour, day_hours, read, column),
        responses=[_response(number, *each) for number, each in enumerate(read, 1)]
        + [_missing(len(read) + number, problem) for number, problem in enumerate(missing, 1)],
        differences=differences,
    )


def _is_beside(difference: Difference, column: str | None) -> bool:
    """Return whether a difference is in none of the traced values and columns, but concerns them."""
    if difference.column in MEASURES_OF or difference.column in stored.MEASURES:
        return False
    if column is None:
        return True
    is_condition = difference.column == "condition" and column == "dominant_condition"
    return difference.table == "staging_weather" and (difference.column in ("row", *stored.ORIGIN) or is_condition)


def overlaps(response: Response, first_hour: int, day_hours: Sequence[int]) -> bool:
    """Return whether the window of a response has hours of a local day, given as numbers from ``first_hour``."""
    # a zone that moved over the date line has a local day without hours
    return bool(day_hours) and (
        response.start_hour <= first_hour + day_hours[-1] and response.end_hour > first_hour + day_hours[0]
    )


def _values_of(city_id: str, hours: Hours | None, response: Response, first_hour: int) -> Floats:
    """Return the values of a city as (variables, _HOURS): NaN for null, infinity for an hour without a row."""
    values = np.full((len(POSITIONS), _HOURS), np.inf)
    if hours is not None:
        mine = hours.city == response.stored.cities.index(city_id)
        columns = hours.hour[mine] + (response.start_hour - first_hour)
        inside = (columns >= 0) & (columns < _HOURS)
        values[:, columns[inside]] = hours.values[:, mine][:, inside]
    return values


def _traced_values(
    connection: Connection,
    city: dict[str, Any],
    first_hour: int,
    day_hours: Sequence[int],
    read: Sequence[tuple[Response, Floats, RawProblem | None]],
    column: str | None,
) -> list[TracedValue]:
    moments = [datetime.fromtimestamp((first_hour + hour) * 3600, UTC) for hour in day_hours]
    rows = stored.staged_rows(connection, [(city["city_id"], moment) for moment in moments])
    zone = ZoneInfo(city["timezone"])
    found = []
    for hour, moment in zip(day_hours, moments, strict=True):
        staged = rows.get((city["city_id"], moment), {})
        for position, measure in enumerate(stored.MEASURES):
            if column is not None and measure not in MEASURES_OF[column]:
                continue
            having = [(number, float(values[position, hour])) for number, (_, values, _) in enumerate(read, 1)]
            having = [(number, value) for number, value in having if not np.isinf(value)]
            winner = next(((number, value) for number, value in having if not np.isnan(value)), None)
            staged_value = staged.get(measure)
            found.append(
                TracedValue(
                    observed_at=moment,
                    local_time=moment.astimezone(zone),
                    measure=measure,
                    value=_decimal(winner[1]) if winner else None,
                    response=winner[0] if winner else None,
                    others=[OtherValue(n, _decimal(value)) for n, value in having if not winner or n != winner[0]],
                    staged=None if staged_value is None else Decimal(staged_value),
                )
            )
    return found


def _decimal(value: float) -> Decimal | None:
    return None if np.isnan(value) else days.number(value)


def _column(name: str, mart: dict[str, Any] | None, recomputed: dict[str, Any] | None) -> TracedColumn:
    found, expected = ((row or {}).get(name) for row in (mart, recomputed))
    both = mart is not None and recomputed is not None
    return TracedColumn(name, found, expected, both and days.is_equal(name, expected, found))


def _response(number: int, response: Response, _: Floats, problem: RawProblem | None) -> TracedResponse:
    return TracedResponse(
        number=number,
        run_id=response.run.run_id,
        source=response.run.source,
        fetched_at=response.stored.fetched_at,
        raw_key=response.stored.key,
        sha256=response.sha256 or response.stored.sha256,
        request=response.stored.address,
        problem=problem,
    )


def _missing(number: int, problem: RawProblem) -> TracedResponse:
    """A raw object without metadata: which cities it had is not known, so it may have had this one."""
    return TracedResponse(number, "", "", None, problem.key, problem.expected, "", problem)

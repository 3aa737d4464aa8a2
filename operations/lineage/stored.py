"""The rows of the warehouse that are compared: the hours of staging as numpy columns, the marts as rows."""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
from psycopg2.extensions import connection as Connection  # noqa: N812
from psycopg2.extras import RealDictCursor

from functions.core.variables import VARIABLES
from functions.core.wmo import CONDITIONS
from functions.transform.hours import Flags, Floats
from operations.lineage.days import ROLLING_RAIN
from operations.lineage.precedence import Integers
from operations.lineage.responses import Response

Json = dict[str, Any]

MEASURES = tuple(variable.column for variable in VARIABLES.values())
ORIGIN = ("source", "fetched_at", "run_id", "raw_key")
# The key of the tables of the climate, without the city.
CLIMATE_KEYS = {
    "climate_normal": ("period_type", "period_number", "base_start", "base_end"),
    "climate_threshold": ("measure", "base_start", "base_end"),
}
NO_CONDITION, UNKNOWN_CONDITION = -1, -2
# Numbers of the response that a row names: no row; a raw object of no loaded response.
NO_ROW, UNKNOWN_RESPONSE = -1, -2
HOUR_MICROSECONDS = 3_600_000_000

_NULLS = " + ".join(f"(({column} IS NULL)::int << {place})" for place, column in enumerate(MEASURES))
# A double holds 15 digits of any number: with more, the double does not tell whether the number is the same.
_INEXACT = " OR ".join(f"({column}::float8)::numeric <> {column}" for column in MEASURES)
# Fields of a fixed length only, none of them null: each row of the COPY is a record of the same size.
_STAGING = f"""
    COPY (
        SELECT
            city.n::int4 AS city,
            (extract(epoch FROM observed_at) * 1000000)::int8 AS at,
            {", ".join(f"coalesce({column}::float8, 'NaN')" for column in MEASURES)},
            ({_NULLS})::int4 AS nulls,
            (coalesce({_INEXACT}, false))::int4 AS is_inexact,
            (CASE WHEN hour.condition IS NULL THEN {NO_CONDITION} ELSE coalesce(named.code, {UNKNOWN_CONDITION}) END)
                ::int4 AS condition,
            coalesce(response.n, {UNKNOWN_RESPONSE})::int4 AS response,
            coalesce((hour.source <> response.source)::int + 2 * (hour.fetched_at <> response.fetched_at)::int
                + 4 * (hour.run_id <> response.run_id)::int, 0)::int4 AS other_origin
        FROM unnest(%(cities)s::text[]) WITH ORDINALITY AS city (city_id, n)
        JOIN staging_weather AS hour USING (city_id)
        LEFT JOIN unnest(%(codes)s::int[], %(conditions)s::text[]) AS named (code, condition)
            ON named.condition = hour.condition
        LEFT JOIN unnest(%(keys)s::text[], %(sources)s::text[], %(fetched)s::timestamptz[], %(run_ids)s::text[],
            %(numbers)s::int4[]) AS response (raw_key, source, fetched_at, run_id, n) ON response.raw_key = hour.raw_key
        WHERE hour.observed_at >= %(first)s AND hour.observed_at < %(last)s
    ) TO STDOUT (FORMAT binary)
"""  # noqa: S608  # constants
_HEADER_BYTES, _TRAILER_BYTES = 19, 2
_FIELDS = [("city", ">i4"), ("at", ">i8"), *((column, ">f8") for column in MEASURES), ("nulls", ">i4"),
           ("is_inexact", ">i4"), ("condition", ">i4"), ("response", ">i4"), ("other_origin", ">i4")]  # fmt: skip
# Each field comes after its length, and each row after the number of its fields.
_RECORD = np.dtype(
    [("fields", ">i2"), *(pair for name, kind in _FIELDS for pair in ((f"{name} length", ">i4"), (name, kind)))]
)


@dataclass(frozen=True, slots=True)
class StoredHours:
    """The hours of some cities in ``staging_weather``, on a grid of (cities, hours) like that of ``Merge``.

    ``response``: the number of the response that the row names, NO_ROW or UNKNOWN_RESPONSE. ``other_origin``: whether
    ``source`` (1), ``fetched_at`` (2) or ``run_id`` (4) is not that of this response. ``condition``: the code that
    belongs to the text. ``is_inexact``: a value has more digits than a double. ``outside``: city and time of the rows
    that no response can have: not on the hour, or in no window.
    """

    values: Floats
    response: Integers
    condition: Integers
    other_origin: Integers
    is_inexact: Flags
    outside: Sequence[tuple[str, datetime]]


def stored_hours(
    connection: Connection,
    cities: Sequence[str],
    responses: Mapping[int, Response],
    first_hour: int,
    hours: int,
    bounds: tuple[int, int] | None,
) -> StoredHours:
    """Return the hours of the cities. ``responses``: those that have the cities, by number.

    ``first_hour`` is in hours since 1970. ``bounds``: the first hour of the rows that are read, and the hour after
    them; None for all rows. Those before and after the ``hours`` of the grid are outside.
    """
    times = [datetime.fromtimestamp(hour * 3600, UTC) for hour in bounds] if bounds else ["-infinity", "infinity"]
    parameters = {
        "first": times[0],
        "last": times[1],
        "cities": list(cities),
        "codes": list(CONDITIONS),
        "conditions": list(CONDITIONS.values()),
        "keys": [each.stored.key for each in responses.values()],
        "sources": [each.run.source for each in responses.values()],
        "fetched": [each.stored.fetched_at for each in responses.values()],
        "numbers": list(responses),
        "run_ids": [each.run.run_id for each in responses.values()],
    }
    with connection.cursor() as cursor, io.BytesIO() as stream:
        cursor.copy_expert(cursor.mogrify(_STAGING, parameters).decode(), stream)
        rows = np.frombuffer(stream.getvalue()[_HEADER_BYTES:-_TRAILER_BYTES], _RECORD)
    shape = (len(cities), hours)
    column, remainder = np.divmod(rows["at"].astype(np.int64), HOUR_MICROSECONDS)
    column -= first_hour
    is_inside = (remainder == 0) & (column >= 0) & (column < hours)
    inside = rows[is_inside]
    place = (inside["city"] - 1).astype(np.int64) * hours + column[is_inside]

    def grid(name: str, absent: int) -> npt.NDArray[Any]:
        made = np.full(shape, absent, dtype=np.int32)
        made.reshape(-1)[place] = inside[name]
        return made

    values = np.full((len(MEASURES), *shape), np.nan)
    for position, name in enumerate(MEASURES):
        # a stored NaN is no null
        is_null = (inside["nulls"] >> position) & 1 == 1
        values[position].reshape(-1)[place] = np.where(~is_null & np.isnan(inside[name]), np.inf, inside[name])
    return StoredHours(
        values=values,
        response=grid("response", NO_ROW),
        condition=grid("condition", NO_CONDITION),
        other_origin=grid("other_origin", 0),
        is_inexact=grid("is_inexact", 0) != 0,
        outside=[
            (cities[row["city"] - 1], datetime.fromtimestamp(int(row["at"]) / 1_000_000, UTC))
            for row in rows[~is_inside]
        ],
    )


def staged_rows(connection: Connection, hours: Sequence[tuple[str, datetime]]) -> dict[tuple[str, datetime], Json]:
    """Return the rows of ``staging_weather`` of some cities and hours, by both."""
    rows = _rows(
        connection,
        "SELECT hour.* FROM unnest(%(cities)s::text[], %(times)s::timestamptz[]) AS wanted (city_id, observed_at) "
        "JOIN staging_weather AS hour USING (city_id, observed_at)",
        {"cities": [city_id for city_id, _ in hours], "times": [moment for _, moment in hours]},
    )
    return {(row["city_id"], row["observed_at"]): row for row in rows}


def city_ids(connection: Connection) -> set[str]:
    """Return the cities that any of the compared tables has a row of."""
    with connection.cursor() as cursor:
        cursor.execute(
            # one look at the index for each city, not one for each row
            "WITH RECURSIVE staged AS (SELECT min(city_id) AS city_id FROM staging_weather UNION ALL "
            "SELECT (SELECT min(hour.city_id) FROM staging_weather AS hour WHERE hour.city_id > staged.city_id) "
            "FROM staged WHERE staged.city_id IS NOT NULL) "
            "SELECT city_id FROM staged WHERE city_id IS NOT NULL UNION SELECT city_id FROM mart_daily_city_weather "
            "UNION SELECT city_id FROM mart_weekly_city_weather UNION SELECT city_id FROM mart_monthly_city_weather "
            "UNION SELECT city_id FROM mart_city_weather_summary "
            "UNION SELECT city_id FROM climate_normal UNION SELECT city_id FROM climate_threshold"
        )
        return {city_id for (city_id,) in cursor.fetchall()}


def city_rows(connection: Connection) -> dict[str, Json]:
    """Return the rows of ``dim_city`` by city id."""
    return {row["city_id"]: row for row in _rows(connection, "SELECT * FROM dim_city", {})}


def daily_rows(
    connection: Connection, cities: Sequence[str], window: tuple[date, date] | None
) -> dict[str, dict[date, Json]]:
    """Return the rows of the daily mart of some cities, by city and local day."""
    found: dict[str, dict[date, Json]] = {}
    rows = _rows(
        connection,
        "SELECT * FROM mart_daily_city_weather WHERE city_id = ANY(%(cities)s) "
        "AND (%(start)s::date IS NULL OR date BETWEEN %(start)s AND %(end)s)",
        {"cities": list(cities), "start": window and window[0], "end": window and window[1]},
    )
    for row in rows:
        found.setdefault(row["city_id"], {})[row["date"]] = row
    return found


def period_rows(connection: Connection, table: str, cities: Sequence[str]) -> dict[str, dict[str, Json]]:
    """Return the rows of a mart of weeks or months of some cities, by city and period."""
    found: dict[str, dict[str, Json]] = {}
    statement = f"SELECT * FROM {table} WHERE city_id = ANY(%(cities)s)"  # noqa: S608  # constants
    for row in _rows(connection, statement, {"cities": list(cities)}):
        found.setdefault(row["city_id"], {})[row["period"]] = row
    return found


def climate_rows(connection: Connection, table: str, cities: Sequence[str]) -> dict[str, dict[tuple[Any, ...], Json]]:
    """Return the rows of a table of the climate of some cities, by city and the rest of the key."""
    found: dict[str, dict[tuple[Any, ...], Json]] = {}
    statement = f"SELECT * FROM {table} WHERE city_id = ANY(%(cities)s)"  # noqa: S608  # constants
    for row in _rows(connection, statement, {"cities": list(cities)}):
        found.setdefault(row["city_id"], {})[tuple(row[column] for column in CLIMATE_KEYS[table])] = row
    return found


def rain_before(
    connection: Connection, cities: Sequence[str], first_day: date
) -> dict[str, dict[date, Decimal | None]]:
    """Return the daily mart's rain of the days before a window that its rolling sums need, by city and local day."""
    found: dict[str, dict[date, Decimal | None]] = {}
    rows = _rows(
        connection,
        "SELECT city_id, date, precipitation_mm FROM mart_daily_city_weather "
        "WHERE city_id = ANY(%(cities)s) AND date BETWEEN %(first)s AND %(last)s",
        {
            "cities": list(cities),
            "first": first_day - timedelta(days=max(ROLLING_RAIN.values()) - 1),
            "last": first_day - timedelta(days=1),
        },
    )
    for row in rows:
        found.setdefault(row["city_id"], {})[row["date"]] = row["precipitation_mm"]
    return found


def summary_rows(connection: Connection, cities: Sequence[str]) -> dict[str, Json]:
    """Return the rows of the summary of some cities, by city."""
    rows = _rows(
        connection,
        "SELECT * FROM mart_city_weather_summary WHERE city_id = ANY(%(cities)s)",
        {"cities": list(cities)},
    )
    return {row["city_id"]: row for row in rows}


def _rows(connection: Connection, statement: str, parameters: Mapping[str, Any]) -> Iterator[Json]:
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(statement, parameters)
        yield from (dict(row) for row in cursor.fetchall())

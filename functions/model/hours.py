"""The hours of a run into staging: COPY of its processed objects, and the merge with what is stored."""

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg2.extensions import cursor as Cursor  # noqa: N812

from functions.core.contracts import COVERAGE_COLUMNS, PROCESSED_COLUMNS, ProcessedPart
from functions.core.errors import LoadError
from functions.core.run import Run
from functions.core.storage import coverage_key, processed_key
from functions.model.copying import OpenPart, copy
from functions.model.database import execute_file, single_row


def copy_coverage(cursor: Cursor, run: Run, parts: Sequence[ProcessedPart], open_part: OpenPart) -> None:
    """Copy the coverage objects of the parts into ``incoming_response``.

    Raises LoadError if one is not of this run's response, or a city is in two of them.
    """
    for part in parts:
        copy(cursor, coverage_key(part.raw_key), "incoming_response", COVERAGE_COLUMNS, open_part)
    cursor.execute(
        """
        SELECT raw_key, city_id FROM incoming_response
        GROUP BY raw_key, city_id, source, run_id
        HAVING (source, run_id) <> (%s, %s) OR raw_key <> ALL(%s) OR count(*) > 1
        UNION ALL
        SELECT min(raw_key), city_id FROM incoming_response GROUP BY city_id HAVING count(*) > 1
        """,
        (run.source, run.run_id, [part.raw_key for part in parts]),
    )
    if row := cursor.fetchone():
        raise LoadError(
            f"{row[0]}: its coverage of {row[1]} is of another response than run {run.run_id}'s; replay the run"
        )


def load_hours(cursor: Cursor, run: Run, parts: Sequence[ProcessedPart], open_part: OpenPart) -> int:
    """Load the hours of the parts and return how many were new or changed.

    Hours of which none is stored are copied into ``staging_weather`` itself, others are compared first. The days of the
    changed hours are in ``affected`` afterwards; what a forecast says of whole days is in ``forecast_day``.
    Raises LoadError or TransientError.
    """
    loaded = 0
    compared = False
    new_keys: list[str] = []
    repeated: list[ProcessedPart] = []
    for part in parts:
        if not part.rows:
            continue
        stored = _stored(cursor, part)
        if stored.is_new:
            _set_origin(cursor, run, part, stored.fetched_at)
            _copy_hours(cursor, part, "staging_weather", open_part)
            _add_affected_days(cursor, part)
            loaded += part.rows
            new_keys.append(part.raw_key)
        elif not stored.is_repeated:
            _copy_hours(cursor, part, "incoming", open_part)
            compared = True
        elif stored.has_new_forecast:
            repeated.append(part)
    if compared:
        execute_file(cursor, "03_merge")
        cursor.execute("SELECT count(*) FROM changed_hour")
        loaded += int(single_row(cursor)[0])
    for part in repeated:
        # after the merge, which they do not need
        _copy_hours(cursor, part, "incoming", open_part)
    if run.source == "forecast" and (compared or new_keys or repeated):
        execute_file(cursor, "04_forecast_days", {"new_keys": new_keys})
    return loaded


@dataclass(frozen=True, slots=True)
class _Stored:
    """What staging has of a part.

    ``is_new``: none of its hours. ``is_repeated``: of each city a response with the same rows, which no other one
    outranks, so that this one changes nothing there. ``has_new_forecast``: of some city it reaches beyond its fetch and
    has no row in ``forecast_day``. ``fetched_at`` is the part's, in seconds since 1970.
    """

    is_new: bool
    is_repeated: bool
    has_new_forecast: bool
    fetched_at: str


def _stored(cursor: Cursor, part: ProcessedPart) -> _Stored:
    """Raises LoadError if the coverage of a part has another number of hours than the part."""
    cursor.execute(
        """
        SELECT
            bool_and(hour.city_id IS NULL),
            bool_and(repeated.city_id IS NOT NULL),
            bool_or(
                response.source = 'forecast' AND response.last_hour > response.fetched_at - interval '1 hour'
                AND NOT EXISTS (
                    SELECT FROM forecast_day AS forecast
                    WHERE forecast.city_id = response.city_id
                        -- a local date is at most a day before that in UTC
                        AND forecast.date BETWEEN response.fetched_at::date - 1 AND response.fetched_at::date + 8
                        AND (forecast.fetched_at, forecast.run_id) = (response.fetched_at, response.run_id)
                )
            ),
            min(extract(epoch FROM response.fetched_at))::text,
            sum(
                extract(epoch FROM last_hour - first_hour)::bigint / 3600 + 1
                - cardinality(array_positions(gap_filled, -1::smallint))
            )
        FROM incoming_response AS response
        LEFT JOIN LATERAL (
            SELECT city_id FROM staging_weather AS stored
            WHERE stored.city_id = response.city_id
                AND stored.observed_at BETWEEN response.first_hour AND response.last_hour
            LIMIT 1
        ) AS hour ON true
        LEFT JOIN LATERAL (
            SELECT city_id FROM staging_coverage AS earlier
            WHERE earlier.city_id = response.city_id
                AND earlier.last_hour = response.last_hour
                AND earlier.source = response.source
                AND earlier.sha256 = response.sha256
                AND (earlier.fetched_at, earlier.run_id) <= (response.fetched_at, response.run_id)
                -- no hour that was a forecast hour then has passed since
                AND date_trunc('hour', least(response.fetched_at, response.last_hour)) <= earlier.fetched_at
                AND NOT EXISTS (
                    SELECT FROM staging_coverage AS other
                    WHERE other.city_id = response.city_id
                        AND other.last_hour >= response.first_hour AND other.first_hour <= response.last_hour
                        AND (other.source = 'archive', other.fetched_at, other.run_id)
                            > (earlier.source = 'archive', earlier.fetched_at, earlier.run_id)
                )
            LIMIT 1
        ) AS repeated ON true
        WHERE raw_key = %s
        """,
        (part.raw_key,),
    )
    is_new, is_repeated, has_new_forecast, fetched_at, hours = single_row(cursor)
    if hours != part.rows:
        raise LoadError(
            f"{coverage_key(part.raw_key)}: has {hours or 0} hours, Transform reported {part.rows}; replay the run"
        )
    return _Stored(is_new, is_repeated, has_new_forecast, fetched_at)


def _set_origin(cursor: Cursor, run: Run, part: ProcessedPart, fetched_at: str) -> None:
    """Set what the columns of ``staging_weather`` that a processed object does not have default to."""
    values = {"source": run.source, "fetched_at": fetched_at, "run_id": run.run_id, "raw_key": part.raw_key}
    cursor.execute(
        "SELECT set_config('ikirere.' || name, value, true) FROM unnest(%s, %s) AS setting (name, value)",
        (list(values), list(values.values())),
    )


def _add_affected_days(cursor: Cursor, part: ProcessedPart) -> None:
    cursor.execute(
        """
        INSERT INTO affected (city_id, days)
        SELECT city_id, daterange(
            (first_hour AT TIME ZONE timezone)::date, (last_hour AT TIME ZONE timezone)::date, '[]'
        )
        FROM incoming_response JOIN dim_city USING (city_id)
        WHERE raw_key = %s
        """,
        (part.raw_key,),
    )


def _copy_hours(cursor: Cursor, part: ProcessedPart, table: str, open_part: OpenPart) -> None:
    """Raises LoadError if the object has another number of rows than Transform reported."""
    key = processed_key(part.raw_key)
    copy(cursor, key, table, PROCESSED_COLUMNS, open_part)
    if cursor.rowcount != part.rows:
        raise LoadError(f"{key}: has {cursor.rowcount} rows, Transform reported {part.rows}; replay the run")

"""The load of a run into the warehouse: one transaction that applies the load rules to every table."""

import hashlib
import json
import time
from collections.abc import Sequence

from psycopg2.extensions import connection as Connection  # noqa: N812
from psycopg2.extensions import cursor as Cursor  # noqa: N812
from psycopg2.extras import execute_values

from functions.core.alert_rules import AlertRule
from functions.core.cities import City
from functions.core.contracts import LoadResult, LoadTask
from functions.core.errors import LoadError
from functions.core.quality import is_partial
from functions.core.wmo import CONDITIONS
from functions.model.alerts import evaluate_alerts, has_new_rules, unsent_alerts
from functions.model.copying import OpenPart
from functions.model.database import database_errors, execute_file, single_row
from functions.model.hours import copy_coverage, load_hours
from functions.model.migrations import require_schema
from functions.model.quality import copy_quality, store_findings
from functions.model.run_row import require_own_id, write_run

# A load of more cities locks all cities at once: each lock takes a place in the server's lock table.
_MAX_CITY_LOCKS = 1000


def load(
    connection: Connection, task: LoadTask, cities: Sequence[City], open_part: OpenPart, rules: Sequence[AlertRule]
) -> LoadResult:
    """Load every processed object of a run and return the counts. Readers see all of the load or none of it.

    ``cities`` is the whole city list, ``rules`` are the alert rules; ``open_part`` opens a processed object by key. The
    tables do not depend on the order of loads or on repeated loads. Loads that share a city run one after the other,
    others at the same time.
    Raises InvalidInputError if another run has the run id, LoadError or TransientError; then nothing is written.
    """
    started = time.monotonic()
    run = task.ingest.run
    with database_errors(f"load of run {run.run_id}"), connection, connection.cursor() as cursor:
        require_schema(connection)
        execute_file(cursor, "01_working_tables")
        copy_coverage(cursor, run, task.parts, open_part)
        if task.has_quality:
            copy_quality(cursor, task.parts, open_part)
        new_rules = has_new_rules(cursor, rules)
        is_new_list = _lock_cities(cursor, cities, all_cities=new_rules)
        require_own_id(cursor, run)
        _require_known_cities(cursor)
        loaded = load_hours(cursor, run, task.parts, open_part)
        _store_coverage(cursor)
        city_days = _load_marts(cursor, run.run_id, is_new_list=is_new_list)
        findings = store_findings(cursor, run)
        evaluate_alerts(cursor, rules, everything=new_rules or is_new_list)
        rows_in = sum(part.rows_in for part in task.parts)
        is_whole = not task.ingest.failed_cities and not is_partial(findings.error_hours, rows_in)
        result = LoadResult(
            run_id=run.run_id,
            status="succeeded" if is_whole else "partial",
            rows_in=rows_in,
            rows_loaded=loaded,
            rows_unchanged=sum(part.rows for part in task.parts) - loaded,
            rows_rejected=sum(part.rejected for part in task.parts),
            city_days_changed=city_days,
            failed_cities=task.ingest.failed_cities,
            findings=findings.city_days,
            alerts=unsent_alerts(cursor),
            seconds=round(time.monotonic() - started, 3),
        )
        write_run(cursor, task, result)
    return result


def _lock_cities(cursor: Cursor, cities: Sequence[City], *, all_cities: bool) -> bool:
    """Wait for loads of the same cities, and make ``dim_city`` the list; True if the list is new.

    The locks make reading, comparing and writing one step; they end with the transaction, however that ends. A load
    with a new list, of many cities, or that writes to ``all_cities``, excludes all others.
    """
    rows = [
        (c.city_id, c.city, c.country, c.latitude, c.longitude, c.timezone, c.population, c.area_km2, True)
        for c in cities
    ]
    sha256 = hashlib.sha256(repr(rows).encode()).hexdigest()
    cursor.execute(
        "SELECT (SELECT sha256 FROM city_list), (SELECT count(*) FROM dim_city WHERE active), "
        "(SELECT count(*) FROM incoming_response)"
    )
    *stored, run_cities = single_row(cursor)
    is_new_list = stored != [sha256, len(rows)]
    if is_new_list or all_cities or run_cities > _MAX_CITY_LOCKS:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('ikirere load'))")
    else:
        cursor.execute("SELECT pg_advisory_xact_lock_shared(hashtext('ikirere load'))")
        # in one order everywhere, or two loads could wait for each other
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtext('ikirere city'), key) "
            "FROM (SELECT DISTINCT hashtext(city_id) AS key FROM incoming_response ORDER BY 1) AS city_key"
        )
    if is_new_list:
        cursor.execute("CREATE TEMPORARY TABLE listed_city (LIKE dim_city) ON COMMIT DROP")
        execute_values(cursor, "INSERT INTO listed_city VALUES %s", rows, page_size=1000)
        execute_file(cursor, "02_cities", {"sha256": sha256})
    return is_new_list


def _require_known_cities(cursor: Cursor) -> None:
    """Raise LoadError for a city that dim_city does not have."""
    cursor.execute("SELECT city_id FROM incoming_response WHERE city_id NOT IN (SELECT city_id FROM dim_city) LIMIT 1")
    if row := cursor.fetchone():
        raise LoadError(f"city {row[0]} is not in the city list; put it back, or start the run without it")


def _store_coverage(cursor: Cursor) -> None:
    cursor.execute(
        """
        SELECT EXISTS (
            SELECT FROM staging_coverage AS coverage
            JOIN incoming_response AS response USING (city_id, source, fetched_at, run_id)
            WHERE coverage.sha256 IS DISTINCT FROM response.sha256
        )
        """
    )
    if single_row(cursor) == (True,):
        execute_file(cursor, "04_repeated_coverage")
    execute_file(cursor, "04_coverage")


def _load_marts(cursor: Cursor, run_id: str, *, is_new_list: bool) -> int:
    """Recompute the affected city-days, and what is made from them; the number of city-days that changed."""
    cursor.execute("SELECT EXISTS (SELECT FROM affected)")
    if single_row(cursor) == (False,):
        return 0
    execute_file(cursor, "05_days", {"conditions": json.dumps(CONDITIONS)})
    if is_new_list:
        execute_file(cursor, "06_removed_days")
    execute_file(cursor, "06_marts", {"run_id": run_id})
    execute_file(cursor, "07_periods", {"run_id": run_id})
    execute_file(cursor, "08_normal_cities")
    cursor.execute("SELECT EXISTS (SELECT FROM normal_city)")
    if single_row(cursor) == (True,):
        execute_file(cursor, "08_normals")
    cursor.execute("SELECT count(*) FROM changed_day")
    return int(single_row(cursor)[0])

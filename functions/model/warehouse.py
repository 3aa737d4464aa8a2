"""The load of a run into the warehouse: one transaction that applies the load rules to every table."""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from io import BufferedIOBase
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812
from psycopg2.extensions import cursor as Cursor  # noqa: N812
from psycopg2.extras import execute_values

from functions.core.cities import City
from functions.core.contracts import (
    PROCESSED_COLUMNS,
    FailureRecord,
    IngestResult,
    LoadResult,
    LoadTask,
    ProcessedPart,
)
from functions.core.errors import InvalidInputError, LoadError, TransientError
from functions.core.run import Run
from functions.core.storage import processed_key, rejected_key
from functions.model.database import SQL, database_errors
from functions.model.migrations import pending

OpenPart = Callable[[str], AbstractContextManager[BufferedIOBase]]

_COPY = f"COPY incoming ({', '.join(PROCESSED_COLUMNS)}) FROM STDIN WITH (FORMAT csv, HEADER MATCH)"
_COPY_BYTES = 1 << 18


def load(connection: Connection, task: LoadTask, cities: Iterable[City], open_part: OpenPart) -> LoadResult:
    """Load every processed object of a run and return the counts. Readers see all of the load or none of it.

    ``cities`` is the whole city list; ``open_part`` opens a processed object by key. The tables do not depend on the
    order of loads or on repeated loads. Raises InvalidInputError if another run has the run id, LoadError or
    TransientError; then nothing is written.
    """
    started = time.monotonic()
    with database_errors(f"load of run {task.ingest.run.run_id}"), connection, connection.cursor() as cursor:
        _require_schema(connection)
        _execute_file(cursor, "01_working_tables")
        _require_own_id(cursor, task.ingest.run)
        _load_cities(cursor, cities)
        loaded = sum(_load_part(cursor, part, open_part) for part in task.parts)
        _execute_file(cursor, "04_marts", {"run_id": task.ingest.run.run_id})
        cursor.execute("SELECT count(*) FROM mart_daily_city_weather WHERE updated_at = now()")
        city_days = _number(cursor)
        result = LoadResult(
            run_id=task.ingest.run.run_id,
            status="partial" if task.ingest.failed_cities else "succeeded",
            rows_in=sum(part.rows_in for part in task.parts),
            rows_loaded=loaded,
            rows_unchanged=sum(part.rows for part in task.parts) - loaded,
            rows_rejected=sum(part.rejected for part in task.parts),
            city_days_changed=city_days,
            failed_cities=task.ingest.failed_cities,
            seconds=round(time.monotonic() - started, 3),
        )
        _execute_file(cursor, "05_run", _storable(_run_row(task, result)))
    return result


def record_failure(connection: Connection, failure: FailureRecord) -> str:
    """Write the row of a failed run and return its run id. Raises LoadError or TransientError.

    The row of a loaded run is not overwritten: if a later execution of it fails, the failed run has the
    execution's name as run id.
    """
    row = {
        **_request_columns(failure.ingest),
        "run_id": failure.run_id,
        "status": "failed",
        "rows_in": 0,
        "rows_loaded": 0,
        "rows_unchanged": 0,
        "rows_rejected": 0,
        "transform_seconds": None,
        "model_seconds": None,
        "started_at": failure.execution.started_at,
        "objects": [{"raw_key": part.raw_key} for part in failure.ingest.parts] if failure.ingest else [],
        "execution_arn": failure.execution.arn,
        "error": failure.error,
        "cause": failure.cause,
    }
    if not failure.ingest:
        row["event"] = failure.event
    with database_errors(f"record of failed run {failure.run_id}"), connection, connection.cursor() as cursor:
        _require_schema(connection)
        cursor.execute(
            "SELECT FROM pipeline_run WHERE run_id = %s AND status <> 'failed' AND execution_arn <> %s",
            (failure.run_id, failure.execution.arn),
        )
        if cursor.rowcount:
            row["run_id"] = failure.execution.name
        _execute_file(cursor, "05_run", _storable(row))
    return str(row["run_id"])


def _require_schema(connection: Connection) -> None:
    missing = pending(connection)
    if missing:
        names = ", ".join(f"{migration.version:03d}_{migration.name}" for migration in missing)
        raise LoadError(
            f"warehouse: lacks the migrations {names}; apply them as the owner (DATABASE_URL=... python -m "
            "functions.model.migrations), or invoke the Prepare function if the stack created the warehouse"
        )


def _require_own_id(cursor: Cursor, run: Run) -> None:
    """Raise InvalidInputError if a loaded run with another event has the id: its rows name it. A replay is allowed."""
    cursor.execute("SELECT event FROM pipeline_run WHERE run_id = %s AND status <> 'failed'", (run.run_id,))
    if (row := cursor.fetchone()) and row[0] != run.to_json():
        raise InvalidInputError(f"run_id {run.run_id}: is taken by a run of {json.dumps(row[0])}; choose another")


def _load_cities(cursor: Cursor, cities: Iterable[City]) -> None:
    rows = [
        (c.city_id, c.city, c.country, c.latitude, c.longitude, c.timezone, c.population, c.area_km2, True)
        for c in cities
    ]
    execute_values(cursor, "INSERT INTO listed_city VALUES %s", rows, page_size=1000)
    _execute_file(cursor, "02_cities")


def _load_part(cursor: Cursor, part: ProcessedPart, open_part: OpenPart) -> int:
    """Merge one processed object into staging and return the number of changed rows."""
    key = processed_key(part.raw_key)
    with open_part(key) as stream, database_errors(key):
        source = _Reader(stream, key)
        try:
            cursor.copy_expert(_COPY, source, size=_COPY_BYTES)
        except psycopg2.Error as error:
            # psycopg2 reports a failed read() as a cancelled query: the error of the read is the cause
            raise source.error or error from None
    if cursor.rowcount != part.rows:
        raise LoadError(f"{key}: has {cursor.rowcount} rows, Transform reported {part.rows}; replay the run")
    _execute_file(cursor, "03_merge")
    cursor.execute("SELECT count(*) FROM changed_hour")
    changed = _number(cursor)
    cursor.execute("DROP TABLE higher_precedence, changed_hour, previous_coverage; TRUNCATE incoming")
    return changed


class _Reader(BufferedIOBase):
    """The stream of a processed object for COPY; it stores the error of a failed read."""

    def __init__(self, stream: BufferedIOBase, key: str) -> None:
        self._stream = stream
        self._key = key
        self.error: TransientError | None = None

    def read(self, size: int | None = -1, /) -> bytes:
        try:
            return self._stream.read(size)
        except Exception as error:
            # from botocore, urllib3, gzip or zlib, depending on where the stream broke
            self.error = TransientError(f"{self._key}: the read was interrupted: {error!r}")
            raise


def _run_row(task: LoadTask, result: LoadResult) -> dict[str, Any]:
    return {
        **_request_columns(task.ingest),
        "run_id": task.ingest.run.run_id,
        "status": result.status,
        "rows_in": result.rows_in,
        "rows_loaded": result.rows_loaded,
        "rows_unchanged": result.rows_unchanged,
        "rows_rejected": result.rows_rejected,
        "transform_seconds": sum(part.seconds for part in task.parts),
        "model_seconds": result.seconds,
        "started_at": task.execution.started_at,
        "objects": [
            {
                "raw_key": part.raw_key,
                "processed_key": processed_key(part.raw_key),
                "rejected_key": rejected_key(part.raw_key),
                "sha256": part.sha256,
                "rows_in": part.rows_in,
                "rows": part.rows,
                "rejected": part.rejected,
            }
            for part in task.parts
        ],
        "execution_arn": task.execution.arn,
        "error": None,
        "cause": None,
    }


def _request_columns(ingest: IngestResult | None) -> dict[str, Any]:
    """Return the columns of a run's row about its request and its cost; empty values if Ingest has no result."""
    run = ingest.run if ingest else None
    return {
        "source": run.source if run else None,
        "window_start": run.start if run else None,
        "window_end": run.end if run else None,
        "cities": ingest.cities if ingest else 0,
        "requests": ingest.requests if ingest else 0,
        "quota_weight": ingest.quota_weight if ingest else 0,
        "ingest_seconds": ingest.seconds if ingest else None,
        "failed_cities": ingest.to_json()["failed_cities"] if ingest else [],
        "event": run.to_json() if run else {},
    }


def _storable(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row's values for Postgres: JSON for the jsonb columns, without characters that text cannot hold."""
    json_columns = ("objects", "failed_cities", "event")
    clean = {name: _without_unstorable(value) for name, value in row.items()}
    return clean | {name: json.dumps(clean[name]) for name in json_columns}


def _without_unstorable(value: Any) -> Any:
    """Replace NUL and halves of surrogate pairs: see https://www.postgresql.org/docs/current/datatype-json.html."""
    if isinstance(value, str):
        return value.replace("\0", "\ufffd").encode(errors="replace").decode()
    if isinstance(value, list):
        return [_without_unstorable(each) for each in value]
    if isinstance(value, dict):
        return {_without_unstorable(name): _without_unstorable(each) for name, each in value.items()}
    return value


def _execute_file(cursor: Cursor, name: str, parameters: Mapping[str, Any] | None = None) -> None:
    cursor.execute((SQL / "load" / f"{name}.sql").read_text(encoding="utf-8"), parameters)


def _number(cursor: Cursor) -> int:
    row = cursor.fetchone()
    return int(row[0]) if row else 0

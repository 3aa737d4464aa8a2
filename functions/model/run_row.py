"""The row of a run in ``pipeline_run``: written by its load, or when it failed."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from psycopg2.extensions import connection as Connection  # noqa: N812
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from functions.core.contracts import FailureRecord, IngestResult, LoadResult, LoadTask
from functions.core.errors import InvalidInputError
from functions.core.run import Run
from functions.core.storage import processed_key, rejected_key
from functions.core.text import MESSAGE_LENGTH, bounded, escaped, excerpt
from functions.model.database import database_errors, execute_file
from functions.model.migrations import require_schema

# The bytes of the largest event that is stored whole though it is no run: more than one with run.MAX_NAMED_CITIES has.
_LARGEST_EVENT = 32_768


def record_failure(connection: Connection, failure: FailureRecord) -> str:
    """Write the row of a failed run and return its run id. Raises LoadError or TransientError.

    The row of a loaded run is not overwritten, however late its load is committed: if a later execution of it fails,
    the failed run has the execution's name as run id.
    """
    with _transaction(connection, failure) as cursor:
        return _write_failure(cursor, failure)


def record_execution(connection: Connection, failure: FailureRecord) -> str | None:
    """Write the row of an execution that ended without one; return its run id, or None if nothing was written.

    Nothing is written if the execution has a row, or if a later one of the same run has one.
    Raises LoadError or TransientError.
    """
    with _transaction(connection, failure) as cursor:
        cursor.execute(
            "SELECT FROM pipeline_run WHERE execution_arn = %(arn)s OR (run_id = %(run)s AND started_at > %(start)s)",
            {"arn": failure.execution.arn, "run": failure.run_id, "start": failure.execution.started_at},
        )
        return None if cursor.rowcount else _write_failure(cursor, failure)


@contextmanager
def _transaction(connection: Connection, failure: FailureRecord) -> Iterator[Cursor]:
    with database_errors(f"record of failed run {failure.run_id}"), connection, connection.cursor() as cursor:
        require_schema(connection)
        yield cursor


def _write_failure(cursor: Cursor, failure: FailureRecord) -> str:
    """Write the row of a failure; its run id. ``07_run.sql`` keeps the row of a loaded run and of a later failure."""
    row = {
        **_request_columns(failure.ingest),
        "run_id": failure.run_id,
        "status": "failed",
        "rows_in": 0,
        "rows_loaded": 0,
        "rows_unchanged": 0,
        "rows_rejected": 0,
        "findings": {},
        "transform_seconds": None,
        "model_seconds": None,
        "started_at": failure.execution.started_at,
        "objects": [{"raw_key": part.raw_key} for part in failure.ingest.parts] if failure.ingest else [],
        "execution_arn": failure.execution.arn,
        "error": failure.error,
        "cause": failure.cause,
    }
    if not failure.ingest:
        row["event"] = _rejected_event(failure.event)
    execute_file(cursor, "07_run", _storable(row))
    if not cursor.rowcount:
        cursor.execute(
            "SELECT FROM pipeline_run WHERE run_id = %s AND execution_arn = %s", (failure.run_id, failure.execution.arn)
        )
        # its own load was committed before it failed: the row says what the tables have
        if not cursor.rowcount:
            row["run_id"] = failure.execution.name
            execute_file(cursor, "07_run", _storable(row))
    return str(row["run_id"])


def _rejected_event(event: Any) -> Any:
    """Return an event that is no run with bounded texts: an excerpt of it if it is too large, {} if it is not known."""
    if event is None:
        return {}
    try:
        small = bounded(event)
        if len(json.dumps(small)) <= _LARGEST_EVENT:
            return small
    except RecursionError:  # it is nested too deep
        pass
    return {"excerpt": excerpt(event, MESSAGE_LENGTH)}


def require_own_id(cursor: Cursor, run: Run) -> None:
    """Raise InvalidInputError if a loaded run with another event has the id: its rows name it. A replay is allowed."""
    cursor.execute("SELECT event FROM pipeline_run WHERE run_id = %s AND status <> 'failed'", (run.run_id,))
    if (row := cursor.fetchone()) and row[0] != run.to_json():
        raise InvalidInputError(
            f"run_id {run.run_id}: is taken by a run of {excerpt(json.dumps(row[0]))}; choose another"
        )


def write_run(cursor: Cursor, task: LoadTask, result: LoadResult) -> None:
    """Write the row of a loaded run, in the load's own transaction."""
    execute_file(cursor, "07_run", _storable(_run_row(task, result)))


def _run_row(task: LoadTask, result: LoadResult) -> dict[str, Any]:
    return {
        **_request_columns(task.ingest),
        "run_id": task.ingest.run.run_id,
        "status": result.status,
        "rows_in": result.rows_in,
        "rows_loaded": result.rows_loaded,
        "rows_unchanged": result.rows_unchanged,
        "rows_rejected": result.rows_rejected,
        "findings": result.findings,
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
    """Return a row's values for Postgres: JSON for the jsonb columns, every text escaped.

    Text cannot hold NUL and halves of surrogate pairs: https://www.postgresql.org/docs/current/datatype-json.html.
    """
    json_columns = ("objects", "failed_cities", "event", "findings")
    clean = {name: _escaped(value) for name, value in row.items()}
    return clean | {name: json.dumps(clean[name]) for name in json_columns}


def _escaped(value: Any) -> Any:
    """Return a JSON value with all its texts escaped."""
    if isinstance(value, str):
        return escaped(value)
    if isinstance(value, list):
        return [_escaped(each) for each in value]
    if isinstance(value, dict):
        return {escaped(name): _escaped(each) for name, each in value.items()}
    return value

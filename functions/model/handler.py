"""Model: loads a run into the warehouse, or records that it failed."""

from typing import Any

from functions.core.city_list import listed_cities
from functions.core.contracts import FailureRecord, LoadTask
from functions.core.errors import InvalidInputError
from functions.core.observability import Invocation, invocation, logger
from functions.core.storage import ProcessedStore
from functions.core.text import quoted
from functions.model.database import connect, connection_parameters
from functions.model.prefetch import prefetched
from functions.model.run_row import record_failure
from functions.model.warehouse import load


def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Return the result of ``{"action": "load", ...LoadTask}`` or ``{"action": "record_failure", ...FailureRecord}``.

    Raises InvalidInputError, LoadError or TransientError; then nothing is written.
    """
    with invocation("model", context) as current:
        match event.get("action"):
            case "load":
                return _load(LoadTask.from_json(event), current)
            case "record_failure":
                return _record_failure(FailureRecord.from_json(event), current)
            case other:
                raise InvalidInputError(f"model: action {quoted(other)} must be load or record_failure")


def _load(task: LoadTask, current: Invocation) -> dict[str, Any]:
    current.identify(run_id=task.ingest.run.run_id, cities=task.ingest.cities)
    store = ProcessedStore.from_environment()
    with connect(connection_parameters()) as connection, prefetched(store.read, task.parts) as open_part:
        result = load(connection, task, tuple(listed_cities().values()), open_part)
    logger.info(f"{result.rows_loaded} rows loaded, {result.rows_unchanged} unchanged")
    current.count(
        rows_in=result.rows_in,
        rows_loaded=result.rows_loaded,
        rows_unchanged=result.rows_unchanged,
        rows_rejected=result.rows_rejected,
        seconds=result.seconds,
    )
    return result.to_json()


def _record_failure(failure: FailureRecord, current: Invocation) -> dict[str, Any]:
    failure = failure.resolved(tuple(listed_cities()))
    current.identify(run_id=failure.run_id, cities=failure.ingest.cities if failure.ingest else 0)
    with connect(connection_parameters()) as connection:
        run_id = record_failure(connection, failure)
    logger.info(f"recorded the failed run: {failure.error}")
    current.count(failed_runs=1)
    return {"run_id": run_id, "status": "failed"}

"""Model: loads a run into the warehouse and tells its alerts, or records that it failed or ended without a record."""

from collections.abc import Callable
from typing import Any

from functions.core.alert_rules import alert_rules
from functions.core.city_list import listed_cities
from functions.core.contracts import AlertNotice, FailureRecord, LoadTask
from functions.core.errors import InvalidInputError
from functions.core.observability import Invocation, invocation, logger
from functions.core.storage import ProcessedStore
from functions.core.text import quoted
from functions.model.alerts import describe_alerts, record_alerts
from functions.model.database import connect, connection_parameters
from functions.model.prefetch import prefetched
from functions.model.run_row import record_execution, record_failure
from functions.model.warehouse import load


def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Return the result of an action: ``load`` of a LoadTask, ``describe_alerts``, ``record_alerts`` of ``{"notice"}``,
    which is an AlertNotice, ``record_failure`` of a FailureRecord, or ``record_execution`` of ``{"detail"}``, the
    status change of an execution that did not succeed.

    Raises InvalidInputError, LoadError or TransientError; then nothing is written.
    """
    with invocation("model", context) as current:
        match event.get("action"):
            case "load":
                return _load(LoadTask.from_json(event), current)
            case "describe_alerts":
                with connect(connection_parameters()) as connection:
                    return describe_alerts(connection).to_json()
            case "record_alerts":
                return _record_alerts(AlertNotice.from_json(event.get("notice") or {}), current)
            case "record_failure":
                return _record(FailureRecord.from_json(event), current, record_failure)
            case "record_execution":
                return _record(FailureRecord.from_status_change(event.get("detail") or {}), current, record_execution)
            case other:
                raise InvalidInputError(
                    f"model: action {quoted(other)} must be load, describe_alerts, record_alerts, record_failure or "
                    "record_execution"
                )


def _load(task: LoadTask, current: Invocation) -> dict[str, Any]:
    current.identify(run_id=task.ingest.run.run_id, cities=task.ingest.cities)
    store = ProcessedStore.from_environment()
    with connect(connection_parameters()) as connection, prefetched(store.read, task.parts) as open_part:
        result = load(connection, task, tuple(listed_cities().values()), open_part, alert_rules())
    logger.info(f"{result.rows_loaded} rows loaded, {result.rows_unchanged} unchanged")
    current.count(
        rows_in=result.rows_in,
        rows_loaded=result.rows_loaded,
        rows_unchanged=result.rows_unchanged,
        rows_rejected=result.rows_rejected,
        findings=sum(result.findings.values()),
        partial_runs=1 if result.status == "partial" else 0,
        alerts=result.alerts,
        seconds=result.seconds,
    )
    return result.to_json()


def _record_alerts(notice: AlertNotice, current: Invocation) -> dict[str, Any]:
    with connect(connection_parameters()) as connection:
        sent = record_alerts(connection, notice)
    current.count(alerts_sent=sent)
    return {"sent": sent}


def _record(failure: FailureRecord, current: Invocation, record: Callable[..., str | None]) -> dict[str, Any]:
    """Return the run id, whether its row was written by this call, and whether to notify.

    ``notify`` does not depend on the row: the call or the execution that wrote it may have ended before it notified.
    """
    failure = failure.resolved(_known_cities())
    current.identify(run_id=failure.run_id, cities=failure.ingest.cities if failure.ingest else 0)
    with connect(connection_parameters()) as connection:
        written = record(connection, failure)
    logger.info(f"{'recorded' if written else 'has a record already:'} the failed run: {failure.error}")
    current.count(failed_runs=1 if written else 0)
    return {
        "run_id": written or failure.run_id,
        "is_written": written is not None,
        "status": "failed",
        "error": failure.error,
        "cause": failure.cause,
        "notify": not failure.is_caught,
    }


def _known_cities() -> tuple[str, ...]:
    """Return the ids of the city list; none if the list is wrong, which fails runs that must be recorded."""
    try:
        return tuple(listed_cities())
    except InvalidInputError:
        return ()

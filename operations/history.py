"""Runs that were made: their list, the details of one, its rejected rows and raw objects."""

import csv
import gzip
import io
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from dashboards.warehouse import query
from deployment.errors import UserError
from emulator.emulator import Emulator
from functions.backfill.records import Summary
from functions.core.contracts import cause_message
from functions.core.run import run_id_of
from functions.core.text import excerpt
from operations import backfills, executions
from operations.executions import Step
from operations.following import store_of

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One run of the history; counts are None for a run without a row in ``pipeline_run``."""

    started: datetime
    run_id: str
    started_by: str
    status: str
    rows_in: int | None
    loaded: int | None
    unchanged: int | None
    rejected: int | None
    error: str
    # Of a backfill: how many of its items are loaded and how many failed.
    items: str = ""


@dataclass(frozen=True, slots=True)
class RunDetails:
    """A run's row, made from its execution where it has none, the steps of its execution, and its executions.

    ``executions`` are the newest ones of the run, oldest first: name, start and status of each.
    """

    row: Json
    steps: Sequence[Step] = field(default=())
    executions: Sequence[tuple[str, datetime, str]] = field(default=())


def history(emulator: Emulator, count: int) -> list[HistoryEntry]:
    """The newest runs, newest first: executions, and the rows of ``pipeline_run``, which outlive them.

    A run is one entry, however many executions it took, and so is a backfill; the runs of a backfill are not listed.
    """
    known = executions.newest(emulator, count)
    # After the executions: a run commits its row before it ends, so one that has ended has its row.
    rows = {row["execution_arn"]: row for row in run_rows(emulator, count=count, of_backfills=False)}
    entries: dict[str, HistoryEntry] = {}
    for execution in known:
        row = rows.pop(execution["executionArn"], None)
        # An execution without a row (it runs, was stopped, or its run was run again since) describes itself.
        entry = _entry(execution if row else executions.describe(emulator, execution["executionArn"]), row)
        # the newest execution of a run is the first here
        entries.setdefault(entry.run_id, entry)
    for row in rows.values():
        entries.setdefault(row["run_id"], _entry(None, row))
    listed = [*(_with_row(emulator, entry) for entry in entries.values()), *_backfills(emulator)]
    return sorted(listed, key=lambda entry: entry.started, reverse=True)[:count]


def _with_row(emulator: Emulator, entry: HistoryEntry) -> HistoryEntry:
    """The entry with the state of the run's row, if its newest execution neither runs nor wrote a row.

    An execution that was stopped wrote none: what another one of the run loaded or recorded is the run's state.
    """
    if entry.rows_in is not None or entry.status == "running" or not (rows := run_rows(emulator, entry.run_id)):
        return entry
    return replace(_entry(None, rows[0]), started=entry.started, started_by=entry.started_by)


def run_rows(
    emulator: Emulator,
    run_id: str | None = None,
    *,
    execution: str | None = None,
    of_backfills: bool = True,
    count: int = 20,
) -> list[Json]:
    """Rows of ``pipeline_run``, newest first; only that of a run or of an execution if one is given."""
    return query(
        emulator.reading_url(),
        "SELECT * FROM pipeline_run WHERE (%(run)s::text IS NULL OR run_id = %(run)s) "
        "AND (%(execution)s::text IS NULL OR execution_arn = %(execution)s) "
        "AND (%(of_backfills)s OR execution_arn !~ %(pattern)s) "
        "ORDER BY started_at DESC LIMIT %(count)s",
        {
            "run": run_id,
            "execution": execution,
            "of_backfills": of_backfills,
            "pattern": executions.OF_A_BACKFILL,
            "count": count,
        },
    )


def run_details(emulator: Emulator, run_id: str | None) -> RunDetails:
    """The run, or the latest one, with its steps. Raises UserError where there is none."""
    rows = run_rows(emulator, run_id, count=1)
    row = rows[0] if rows else {}
    run_id = row.get("run_id", run_id)
    execution = executions.find(emulator, run_id, row.get("execution_arn")) if run_id else None
    if not row and execution is None:
        raise _unknown(run_id)
    if not row and execution and (rows := run_rows(emulator, execution=execution["executionArn"], count=1)):
        # the run was named by its execution
        row = rows[0]
    steps = executions.steps_of(emulator, execution["executionArn"]) if execution else []
    attempts = [
        (attempt["name"], attempt["startDate"].astimezone(UTC), attempt["status"].lower())
        for attempt in executions.of_run(emulator, str(run_id))
    ]
    return RunDetails({"objects": [], "failed_cities": [], **(row or _row_of(execution or {}))}, steps, attempts)


def rejected_rows(emulator: Emulator, run_id: str | None, city: str | None) -> tuple[str, list[Json]]:
    """The id of the run, or of the latest one, and its rejected rows. Raises UserError where there is no such run."""
    rows = run_rows(emulator, run_id, count=1)
    if not rows:
        raise _unknown(run_id)
    emulator.require_up()
    bucket = emulator.outputs()["ProcessedBucket"]
    return rows[0]["run_id"], [
        line
        for part in rows[0]["objects"]
        if "rejected_key" in part
        for line in csv.DictReader(io.StringIO(_body(emulator, bucket, part["rejected_key"]).decode(), newline=""))
        if city in (None, line["city_id"])
    ]


def raw_object(emulator: Emulator, key: str) -> bytes:
    """The exact bytes of a stored response. Raises UserError where there is none."""
    emulator.require_up()
    return _body(emulator, emulator.outputs()["RawBucket"], key)


def _body(emulator: Emulator, bucket: str, key: str) -> bytes:
    try:
        return gzip.decompress(emulator.aws.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read())
    except ClientError as error:
        raise UserError(
            f"s3://{bucket}/{excerpt(key)}: cannot be read ({error.response['Error'].get('Code')}); `ikirere show run` "
            "lists the objects of a run"
        ) from error


def _backfills(emulator: Emulator) -> list[HistoryEntry]:
    """An entry for each backfill; none while nothing is deployed."""
    if not emulator.aws.is_healthy() or not emulator.outputs():
        return []
    store, running = store_of(emulator), backfills.running(emulator)
    entries = []
    for backfill_id in store.backfill_ids():
        plan = store.plan(backfill_id)
        if plan is None:
            continue
        summary = Summary.of(plan, store.results(backfill_id).read())
        failed = f", {summary.failed} failed" if summary.failed else ""
        entries.append(
            HistoryEntry(
                started=plan.created_at,
                run_id=backfill_id,
                started_by="backfill",
                status="running" if backfill_id in running else summary.status,
                rows_in=summary.rows_in,
                loaded=summary.rows_loaded,
                unchanged=summary.rows_unchanged,
                rejected=summary.rows_rejected,
                error="",
                items=f"{summary.done} of {summary.items}{failed}",
            )
        )
    return entries


def _entry(execution: Json | None, row: Json | None) -> HistoryEntry:
    name = execution["name"] if execution else str(row and row["execution_arn"]).rsplit(":", 1)[-1]
    row = row or _row_of(execution or {})
    return HistoryEntry(
        started=execution["startDate"].astimezone(UTC) if execution else row["started_at"],
        run_id=row["run_id"],
        started_by=name.split("-", 1)[0] if name.startswith(("run-", "replay-")) else "schedule or API",
        status=row["status"],
        rows_in=row.get("rows_in"),
        loaded=row.get("rows_loaded"),
        unchanged=row.get("rows_unchanged"),
        rejected=row.get("rows_rejected"),
        error=": ".join(part for part in (row.get("error"), row.get("cause")) if part),
    )


def _row_of(execution: Json) -> Json:
    """The columns of ``pipeline_run`` that a described execution without a row has."""
    event = executions.event_of(execution)
    return {
        "run_id": run_id_of(event, execution["name"]),
        "status": execution["status"].lower(),
        "started_at": execution["startDate"].astimezone(UTC),
        "execution_arn": execution["executionArn"],
        "event": event,
        "error": execution.get("error"),
        "cause": cause_message(execution.get("cause") or ""),
    }


def _unknown(run_id: str | None) -> UserError:
    if run_id is None:
        return UserError("there is no run yet; `ikirere run` makes one")
    return UserError(f"run {excerpt(run_id)}: is not known; `ikirere history` lists the runs")

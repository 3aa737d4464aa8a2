"""A run of the pipeline, from its event to its result: started, followed, its row read and its report written."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from psycopg2 import Error as DatabaseError

from dashboards.warehouse import query
from deployment.errors import UserError
from emulator.emulator import Emulator, Options
from functions.core.contracts import cause_message
from functions.core.errors import InvalidInputError
from functions.core.run import Run
from functions.core.text import excerpt
from operations import executions, report
from operations.executions import Step
from operations.history import run_rows

# The number of city-days that a result holds at most.
MAX_CITY_DAYS = 100
Json = dict[str, Any]


class Observer:
    """Receives the progress of a run; this one ignores it."""

    def starting(self, service: str) -> None:
        """A service of the emulator starts."""

    def started(self, run_id: str, weather: str) -> None:
        """The execution was started; ``weather`` names the source of its weather."""

    def step(self, step: Step, seconds: float) -> None:
        """A step happened so many ``seconds`` after the start."""

    def warning(self, message: str) -> None:
        """The run goes on, but something beside it failed."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended. ``outcome`` is the object that ``run --json`` prints."""

    outcome: Json
    # Whether a replay would find the run's window: it was resolved before the run failed.
    is_replayable: bool = False
    # Whether a server ended during the run, so that its end is not known.
    is_lost: bool = False
    # The first MAX_CITY_DAYS rows of the daily mart in the run's window.
    city_days: Sequence[Json] = field(default=())
    # Which weather the mart holds, and the status of the emulator after the run; both for people.
    notice: str = ""
    status: Json = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        return bool(self.outcome["status"] == "failed")


def run(emulator: Emulator, event: Json, options: Options, seconds: float, observer: Observer) -> RunResult:
    """Start what is not up, run the pipeline and wait at most ``seconds`` for its end.

    Event and options are checked before anything starts. Raises UserError for those, and when the time is over.
    """
    name = executions.new_name()
    emulator.check(options)
    _resolve(event, emulator, options.cities, name)
    source = emulator.up(options, observer.starting)
    if source.window:
        # Weather that is limited to a window: it completes the event.
        event = {"start": source.window[0].isoformat(), "end": source.window[1].isoformat(), **event}
        _resolve(event, emulator, options.cities, name)
    return _execute(emulator, event, name, source.notice, seconds, observer)


def replay(emulator: Emulator, run_id: str, seconds: float, observer: Observer) -> RunResult:
    """Run a run again from its stored responses. Raises UserError when it is not known or still runs."""
    emulator.require_up()
    rows = run_rows(emulator, run_id)
    event = rows[0]["event"] if rows and rows[0]["window_start"] else _event_without_row(emulator, run_id)
    _resolve(event, emulator, None, run_id)
    return _execute(emulator, event, executions.new_name("replay"), "", seconds, observer)


def invoke(emulator: Emulator, function: str, event: str) -> tuple[Json, bool]:
    """Call one function with an event (JSON); its response, and whether that is an error."""
    emulator.require_up()
    name = emulator.outputs()[f"{function.title()}FunctionName"]
    response = emulator.aws.client("lambda").invoke(FunctionName=name, Payload=event.encode())
    return json.loads(response["Payload"].read() or "null"), "FunctionError" in response


def _resolve(event: Json, emulator: Emulator, cities: str | None, name: str, started_at: datetime | None = None) -> Run:
    """The check that Ingest makes of an event. Raises UserError."""
    started_at = started_at or datetime.now(UTC)
    try:
        return Run.from_event(event, tuple(emulator.cities(cities)), run_id=name, started_at=started_at)
    except InvalidInputError as error:
        raise UserError(str(error)) from error


def _event_without_row(emulator: Emulator, run_id: str) -> Json:
    """The resolved event of a run that was stopped before it had a row. Raises UserError when there is none."""
    execution = executions.find(emulator, run_id)
    if execution is None:
        raise UserError(f"run {excerpt(run_id)}: there is nothing to replay; `ikirere history` lists the runs")
    if execution["status"] == "RUNNING":
        raise UserError(f"run {excerpt(run_id)}: is running; `ikirere history` shows how it ends")
    event = executions.event_of(execution)
    return _resolve(event, emulator, None, execution["name"], execution["startDate"]).to_json()


def _execute(emulator: Emulator, event: Json, name: str, weather: str, seconds: float, observer: Observer) -> RunResult:
    began = datetime.now(UTC)
    execution = executions.start(emulator, event, name)
    run_id = event.get("run_id") or name
    observer.started(run_id, weather)
    try:
        for step in executions.follow(emulator, execution, seconds):
            observer.step(step, (step.at - began).total_seconds())
        result = _result(emulator, execution, run_id, event)
    except TimeoutError:
        raise UserError(
            f"run {run_id} is not over after {seconds:g} s and goes on; `ikirere history` shows how it ends"
        ) from None
    except (BotoCoreError, ClientError, DatabaseError, UserError) as error:
        # A server ended while the run went on: how the run ended cannot be read.
        outcome = {"run_id": run_id, "execution_arn": execution, "status": "failed", "error": type(error).__name__}
        outcome["cause"] = (
            f"{excerpt(error)}; `ikirere up` repairs what does not run, `ikirere history` shows how the run ended"
        )
        return RunResult(outcome, is_lost=True)
    try:
        if not result.failed:
            report.remember_weather(emulator)
        report.write(emulator)
    except (DatabaseError, UserError) as error:
        observer.warning(excerpt(error))
    status = emulator.status()
    return replace(result, notice=report.notice(emulator) or status["weather"], status=status)


def _result(emulator: Emulator, execution: str, run_id: str, event: Json) -> RunResult:
    ended = executions.describe(emulator, execution)
    # The failure of a run that was loaded before is recorded under the execution's name.
    rows = run_rows(emulator, execution=execution)
    row = rows[0] if rows else {"run_id": run_id, "window_start": None, "objects": []}
    outcome = {
        "run_id": row["run_id"],
        "execution_arn": ended["executionArn"],
        "seconds": round((ended.get("stopDate", datetime.now(UTC)) - ended["startDate"]).total_seconds(), 3),
    }
    if ended["status"] != "SUCCEEDED":
        error, cause = excerpt(ended.get("error", ended["status"])), cause_message(ended.get("cause") or "")
        outcome |= {"status": "failed", "error": error, "cause": cause}
        return RunResult(outcome, is_replayable=bool(row["window_start"]))
    loaded = json.loads(ended["output"])
    outcome = {**loaded, **outcome, "model_seconds": loaded["seconds"], "objects": row["objects"]}
    return RunResult(outcome, city_days=_city_days(emulator, row["run_id"], event.get("cities")))


def _city_days(emulator: Emulator, run_id: str, cities: Sequence[str] | None) -> list[Json]:
    return query(
        emulator.reading_url(),
        """
        SELECT mart.*
        FROM mart_daily_city_weather AS mart
        JOIN pipeline_run AS run ON run.run_id = %(run_id)s
        WHERE (%(cities)s::text[] IS NULL OR city_id = ANY(%(cities)s))
            AND date BETWEEN window_start - 1 AND window_end + 1
        ORDER BY city, date LIMIT %(count)s
        """,
        {"cities": cities, "run_id": run_id, "count": MAX_CITY_DAYS},
    )

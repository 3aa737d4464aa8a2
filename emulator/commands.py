"""The commands of ``ikirere`` that do something: each takes its parsed arguments and answers an exit code."""

import json
import shutil
import sys
from argparse import Namespace
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from psycopg2 import Error as DatabaseError

from emulator import deploy, display, inspection, runs
from emulator.database import query
from emulator.inspection import SUCCEEDED
from emulator.refusal import RefusalError
from emulator.services import Emulator, Options
from functions.core.contracts import cause_message
from functions.core.errors import InvalidInputError, UpstreamContractError
from functions.core.run import Run

FAILED = 1
Json = dict[str, Any]


def up(arguments: Namespace) -> int:
    emulator = inspection.emulator_of(arguments)
    options = Options(
        weather=arguments.weather,
        cities=arguments.cities,
        schedule=arguments.schedule,
        port=arguments.port,
        postgres_port=arguments.postgres_port,
    )
    source = emulator.up(options, _progress())
    print(f"Up. Weather: {source.notice}.")
    inspection.print_status(emulator)
    return SUCCEEDED


def down(arguments: Namespace) -> int:
    emulator = inspection.emulator_of(arguments)
    if not emulator.state.exists:
        print(f"Nothing runs: nothing is kept in {emulator.state.folder}.")
        return SUCCEEDED
    emulator.down()
    print("Down. What was kept is still there: `ikirere up` goes on with it.")
    return SUCCEEDED


def reset(arguments: Namespace) -> int:
    emulator = inspection.emulator_of(arguments)
    folder = emulator.state.folder
    if not emulator.state.exists:
        # never delete a folder that is not the emulator's own
        print(f"Nothing is kept in {folder}.")
        return SUCCEEDED
    if not arguments.yes:
        if not sys.stdin.isatty():
            raise RefusalError(f"reset deletes everything in {folder}; say --yes")
        if input(f"Delete everything in {folder}, the warehouse too? [y/N] ").strip().lower() not in ("y", "yes"):
            return SUCCEEDED
    emulator.down()
    emulator.state.delete()
    print(f"Deleted {folder}.")
    return SUCCEEDED


def run(arguments: Namespace) -> int:
    emulator = inspection.emulator_of(arguments)
    options = Options(weather=arguments.weather, cities=arguments.cities)
    event = _event(arguments)
    name = runs.new_name()
    emulator.check(options)
    # before anything starts: the same check that Ingest makes
    _resolve(event, emulator, arguments.cities, name)
    source = emulator.up(options, _progress(arguments.json))
    if source.window:
        # weather that is limited to a window: what the event leaves out is the window's
        event = {"start": source.window[0].isoformat(), "end": source.window[1].isoformat(), **event}
        _resolve(event, emulator, arguments.cities, name)
    if not arguments.json:
        print(f"Weather: {source.notice}.")
    return _run(emulator, event, name, arguments)


def replay(arguments: Namespace) -> int:
    emulator = inspection.emulator_of(arguments)
    inspection.require_up(emulator)
    rows = runs.run_rows(inspection.database_of(emulator), arguments.run)
    event = rows[0]["event"] if rows and rows[0]["window_start"] else _event_of_execution(emulator, arguments.run)
    _resolve(event, emulator, None, arguments.run)
    return _run(emulator, event, runs.new_name().replace("run-", "replay-"), arguments)


def _event_of_execution(emulator: Emulator, run_id: str) -> Json:
    """The resolved event of a run without a row: it was stopped. Raises RefusalError when there is none, or it runs."""
    execution = inspection.execution_of(emulator, run_id)
    if execution is None:
        raise RefusalError(f"run {run_id}: there is nothing to replay; `ikirere history` lists the runs")
    if execution["status"] == "RUNNING":
        raise RefusalError(f"run {run_id}: is running; `ikirere history` tells how it ends")
    event = runs.event_of(execution)
    return _resolve(event, emulator, None, execution["name"], execution["startDate"]).to_json()


def invoke(arguments: Namespace) -> int:
    emulator = inspection.emulator_of(arguments)
    text = arguments.event
    if text == "-":
        text = sys.stdin.read()
    elif text.startswith("@"):
        try:
            text = Path(text[1:]).read_text(encoding="utf-8")
        except OSError as error:
            raise RefusalError(f"--event {arguments.event}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise RefusalError(f"--event {arguments.event}: is not UTF-8 text") from error
    _json_object(text, "--event")
    inspection.require_up(emulator)
    function = deploy.outputs(emulator.cloud)[f"{arguments.function.title()}FunctionName"]
    answer = emulator.cloud.client("lambda").invoke(FunctionName=function, Payload=text.encode())
    payload = json.loads(answer["Payload"].read() or "null")
    print(json.dumps(payload, indent=2, ensure_ascii=False))
    return FAILED if "FunctionError" in answer else SUCCEEDED


def _run(emulator: Emulator, event: Json, name: str, arguments: Namespace) -> int:
    """Start an execution, show it as it happens, and end with what it did."""
    machine = deploy.outputs(emulator.cloud)["PipelineArn"]
    execution = runs.start(emulator.cloud, machine, event, name)
    run_id = event.get("run_id") or name
    if not arguments.json:
        print(f"Run {run_id}")
    try:
        outcome, row = _followed(emulator, execution, run_id, arguments)
    except TimeoutError:
        raise RefusalError(
            f"run {run_id} is not over after {arguments.timeout} s and goes on; `ikirere history` tells how it ends"
        ) from None
    except (BotoCoreError, ClientError, DatabaseError, RefusalError) as error:
        # a server ended while the run went on: how the run ended cannot be asked
        lost = {"run_id": run_id, "execution_arn": execution, "status": "failed", "error": type(error).__name__}
        lost["cause"] = f"{error}; `ikirere up` repairs what does not run, `ikirere history` tells how the run ended"
        print(json.dumps(lost, indent=2) if arguments.json else f"\nRun {run_id} was lost sight of: {lost['cause']}")
        return FAILED
    if outcome["status"] != "failed":
        with emulator.state.lock():
            settings = emulator.state.settings()
            kinds = {settings["weather_now"]["kind"], *settings.get("weather_loaded", [])}
            emulator.state.remember(weather_loaded=sorted(kinds))
    try:
        inspection.write_report_to(emulator, emulator.report)
    except (DatabaseError, RefusalError) as error:
        print(f"ikirere: {error}", file=sys.stderr)
    if arguments.json:
        print(json.dumps(outcome, indent=2))
    else:
        _print_outcome(emulator, outcome, event, can_be_replayed=bool(row["window_start"]))
    return FAILED if outcome["status"] == "failed" else SUCCEEDED


def _followed(emulator: Emulator, execution: str, run_id: str, arguments: Namespace) -> tuple[Json, Json]:
    """What a run did, as ``run --json`` prints it, and its row; its steps are shown as they happen."""
    began = datetime.now(UTC)
    for step in runs.follow(emulator.cloud, execution, arguments.timeout):
        line = display.step_line(step, began)
        if line and not arguments.json:
            print(line, flush=True)
    ended = runs.describe(emulator.cloud, execution)
    # a failure of what was loaded before is recorded under the execution's name
    (row,) = runs.run_rows(inspection.database_of(emulator), execution=execution) or [
        {"run_id": run_id, "window_start": None, "objects": []}
    ]
    return _outcome(ended, row), row


def _outcome(ended: Json, row: Json) -> Json:
    """What ``run --json`` prints, of how an execution ended and the run's row."""
    seconds = round((ended.get("stopDate", datetime.now(UTC)) - ended["startDate"]).total_seconds(), 3)
    base = {"run_id": row["run_id"], "execution_arn": ended["executionArn"], "seconds": seconds}
    if ended["status"] == "SUCCEEDED":
        result = json.loads(ended["output"])
        return {**result, **base, "model_seconds": result["seconds"], "objects": row["objects"]}
    return {
        **base,
        "status": "failed",
        "error": ended.get("error", ended["status"]),
        "cause": cause_message(ended.get("cause") or ""),
    }


def _print_outcome(emulator: Emulator, outcome: Json, event: Json, *, can_be_replayed: bool) -> None:
    if outcome["status"] == "failed":
        print(f"\nRun {outcome['run_id']} failed: {outcome['error']}: {outcome['cause']}")
        print(f"  what happened:    ikirere show run --run {outcome['run_id']}")
        print(f"  what was logged:  ikirere logs --run {outcome['run_id']}")
        if outcome["error"] == UpstreamContractError.__name__:
            print("  to ask anew:      ikirere run  (a replay would read the same answer)")
        elif can_be_replayed and outcome["error"] != InvalidInputError.__name__:
            print(f"  to try it again:  ikirere replay --run {outcome['run_id']}  (keeps what it fetched)")
        return
    rows = query(
        inspection.database_of(emulator),
        f"""{display.MART} JOIN dim_city USING (city_id, city)
        WHERE (%(cities)s::text[] IS NULL OR city_id = ANY(%(cities)s))
            AND date BETWEEN (SELECT window_start - 1 FROM pipeline_run WHERE run_id = %(run_id)s)
                AND (SELECT window_end + 1 FROM pipeline_run WHERE run_id = %(run_id)s)
        ORDER BY city, date LIMIT 100""",  # noqa: S608  # our own text
        {"cities": event.get("cities"), "run_id": outcome["run_id"]},
    )
    console = display.console()
    console.print(display.mart_table(rows))
    if len(rows) == 100:
        print("  the first 100 city-days; all of them: ikirere show mart")
    print(
        f"Run {outcome['run_id']} {outcome['status']} in {outcome['seconds']:.1f} s: {outcome['rows_in']} rows in, "
        f"{outcome['rows_loaded']} loaded, {outcome['rows_unchanged']} unchanged, {outcome['rows_rejected']} rejected"
    )
    for failure in outcome["failed_cities"]:
        print(f"  refused: {failure['city_id']}: {failure['reason']}")
    if outcome["rows_rejected"]:
        print(f"  the rejected rows and why: ikirere show rejected --run {outcome['run_id']}")
    state = emulator.status()
    print(f"  weather    {inspection.notice(emulator) or state['weather']}")
    print(f"  report     {state['report']}")
    print(f"  answers    s3://{state['raw_bucket']}/raw/  (ikirere show run)")
    print("  warehouse  ikirere sql, or the database_url of ikirere status --json")
    print(f"  state      {state['state']}  (still running: ikirere down)")


def _event(arguments: Namespace) -> Json:
    options = {
        "source": arguments.source,
        "start": arguments.start,
        "end": arguments.end,
        "cities": arguments.city,
        "variables": arguments.variable,
        "run_id": arguments.run_id,
    }
    given = {key: value for key, value in options.items() if value is not None}
    if arguments.event is None:
        return given
    if given:
        raise RefusalError(f"--event is the whole event: say {', '.join(given)} in it")
    return _json_object(arguments.event, "--event")


def _json_object(text: str, name: str) -> Json:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RefusalError(f"{name}: is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise RefusalError(f"{name}: must be a JSON object, not {type(value).__name__}")
    return value


def _resolve(event: Json, emulator: Emulator, cities: str | None, name: str, started_at: datetime | None = None) -> Run:
    started_at = started_at or datetime.now(UTC)
    try:
        return Run.from_event(event, tuple(emulator.cities(cities)), run_id=name, started_at=started_at)
    except InvalidInputError as error:
        raise RefusalError(str(error)) from error


def _progress(silent: bool = False) -> Callable[[str], None]:
    """Steps of starting up, in one line that is wiped at the end; nothing where nobody watches."""
    if silent or not sys.stderr.isatty():
        return lambda _: None
    width = shutil.get_terminal_size().columns
    return lambda text: print(f"\r{f'Starting: {text}':{width - 1}.{width - 1}}\r", end="", file=sys.stderr, flush=True)

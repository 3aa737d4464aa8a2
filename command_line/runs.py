"""The commands that run the pipeline: run, replay, invoke."""

import json
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

from command_line import steps, tables
from command_line.parsing import Commands, add_waiting_options, add_weather_options, emulator_of
from command_line.services import startup_line
from command_line.terminal import write
from deployment.errors import UserError
from emulator.emulator import Options
from functions.core.errors import InvalidInputError, UpstreamContractError
from functions.core.text import excerpt, json_text
from operations import runs as operations
from operations.executions import Step
from operations.logs import FUNCTIONS
from operations.runs import MAX_CITY_DAYS, Observer, RunResult

FAILED = 1
Json = dict[str, Any]


def add_commands(commands: Commands) -> None:
    run = commands.add("run", _run, "run the pipeline and show the mart; starts what is not up")
    add_weather_options(run)
    run.add_argument(
        "--source", choices=("forecast", "archive"), help="which of Open-Meteo's hosts (default: forecast)"
    )
    run.add_argument("--start", metavar="YYYY-MM-DD", help="first UTC day (default: two days ago)")
    run.add_argument("--end", metavar="YYYY-MM-DD", help="last UTC day (default: tomorrow)")
    run.add_argument("--city", action="append", metavar="ID", help="a city of the list, again for more (default: all)")
    run.add_argument(
        "--variable", action="append", metavar="NAME", help="an hourly variable, again for more (default: all)"
    )
    run.add_argument("--run-id", metavar="ID", help="default: the execution's name")
    run.add_argument("--event", metavar="JSON", help="the whole pipeline event as JSON, instead of the options above")
    add_waiting_options(run)

    replay = commands.add(
        "replay", _replay, "run a run again from its stored responses; requests only what has no response"
    )
    replay.add_argument("--run", required=True, metavar="ID", help="a run of `ikirere history`")
    add_waiting_options(replay)

    invoke = commands.add("invoke", _invoke, "call one function and print its response")
    invoke.add_argument("function", choices=FUNCTIONS)
    invoke.add_argument(
        "--event", default="{}", metavar="JSON", help="JSON, @FILE, or - for standard input (default: {})"
    )


def _run(arguments: Namespace) -> int:
    event, options = _event(arguments), Options(weather=arguments.weather, cities=arguments.cities)
    result = operations.run(emulator_of(arguments), event, options, arguments.timeout, _observer(arguments))
    return _show(result, as_json=arguments.json)


def _replay(arguments: Namespace) -> int:
    result = operations.replay(emulator_of(arguments), arguments.run, arguments.timeout, _observer(arguments))
    return _show(result, as_json=arguments.json)


def _invoke(arguments: Namespace) -> int:
    event = _text(arguments.event)
    _json_object(event)
    response, is_error = operations.invoke(emulator_of(arguments), arguments.function, event)
    write(json_text(response, indent=2))
    return FAILED if is_error else 0


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
        raise UserError(f"--event is the whole event: put {', '.join(given)} into it")
    return _json_object(arguments.event)


def _text(event: str) -> str:
    if event == "-":
        return sys.stdin.read()
    if not event.startswith("@"):
        return event
    try:
        return Path(event[1:]).read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"--event {excerpt(event)}: cannot be read ({error.strerror}); name a file that this user can read"
        ) from error
    except UnicodeDecodeError as error:
        raise UserError(f"--event {excerpt(event)}: is not UTF-8 text; save it as UTF-8") from error


def _json_object(text: str) -> Json:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"--event: is not JSON: {error}; write one object, such as {{}}") from error
    if not isinstance(value, dict):
        raise UserError(f"--event: must be a JSON object, not {type(value).__name__}")
    return value


class _Warnings(Observer):
    """Prints warnings alone, for commands whose output is JSON."""

    def warning(self, message: str) -> None:
        write(f"ikirere: {message}", error=True)


class _Printer(_Warnings):
    """Prints a run's progress as it happens."""

    def __init__(self) -> None:
        self._startup_line = startup_line()

    def starting(self, service: str) -> None:
        self._startup_line(service)

    def started(self, run_id: str, weather: str) -> None:
        if weather:
            write(f"Weather: {weather}.")
        write(f"Run {run_id}")

    def step(self, step: Step, seconds: float) -> None:
        if line := steps.step_line(step, seconds):
            write(line)


def _observer(arguments: Namespace) -> Observer:
    return _Warnings() if arguments.json else _Printer()


def _show(result: RunResult, *, as_json: bool) -> int:
    """Print how a run ended; the exit code."""
    if as_json:
        write(json.dumps(result.outcome, indent=2))
    elif result.is_lost:
        write(f"\nRun {result.outcome['run_id']} has an unknown end: {result.outcome['cause']}")
    elif result.failed:
        _show_failure(result)
    else:
        _show_success(result)
    return FAILED if result.failed else 0


def _show_failure(result: RunResult) -> None:
    outcome = result.outcome
    write(f"\nRun {outcome['run_id']} failed: {outcome['error']}: {outcome['cause']}")
    write(f"  steps and objects: ikirere show run --run {outcome['run_id']}")
    write(f"  log lines:         ikirere logs --run {outcome['run_id']}")
    if outcome["error"] == UpstreamContractError.__name__:
        write("  request again:     ikirere run  (a replay would read the same response)")
    elif result.is_replayable and outcome["error"] != InvalidInputError.__name__:
        write(f"  try again:         ikirere replay --run {outcome['run_id']}  (uses the stored responses)")


def _show_success(result: RunResult) -> None:
    outcome = result.outcome
    tables.print_mart(result.city_days)
    if len(result.city_days) == MAX_CITY_DAYS:
        write(f"  the first {MAX_CITY_DAYS} city-days; all of them: ikirere show mart")
    write(
        f"Run {outcome['run_id']} {outcome['status']} in {outcome['seconds']:.1f} s: {outcome['rows_in']} rows in, "
        f"{outcome['rows_loaded']} loaded, {outcome['rows_unchanged']} unchanged, {outcome['rows_rejected']} rejected"
    )
    for failure in outcome["failed_cities"]:
        write(f"  failed city: {failure['city_id']}: {failure['reason']}")
    if outcome["findings"]:
        write(f"  quality findings, in city-days: {steps.findings_line(outcome['findings'])}")
    if outcome["rows_rejected"]:
        write(f"  the rejected rows and their reasons: ikirere show rejected --run {outcome['run_id']}")
    status = result.status
    write(f"  weather    {result.notice}")
    write(f"  report     {status['report']}")
    write(f"  responses  s3://{status['raw_bucket']}/raw/  (ikirere show run)")
    write("  warehouse  ikirere sql, or the database_url of ikirere status --json")
    write(f"  state      {status['state']}  (still running: ikirere down)")

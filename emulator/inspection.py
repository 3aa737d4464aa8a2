"""The commands of ``ikirere`` that only look: what runs, what ran, what it left.

Each takes its parsed arguments and answers an exit code.
"""

import csv
import gzip
import json
import sys
import textwrap
import webbrowser
from argparse import Namespace
from datetime import UTC
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from emulator import deploy, display, runs
from emulator import logs as function_logs
from emulator.database import answer, query, shown
from emulator.refusal import RefusalError
from emulator.report import write_report
from emulator.services import Emulator
from emulator.state import State
from functions.core.contracts import cause_message
from functions.core.run import run_id_of

SUCCEEDED = 0
# The whole of it: ikirere show run.
_ERROR_SHOWN = 100
Json = dict[str, Any]


def status(arguments: Namespace) -> int:
    emulator = emulator_of(arguments)
    if arguments.json:
        print(json.dumps(emulator.status(), indent=2))
    else:
        print_status(emulator)
    return SUCCEEDED


def history(arguments: Namespace) -> int:
    emulator = emulator_of(arguments)
    rows = _history(emulator, arguments.n)
    if arguments.json:
        print(display.json_text(rows))
    elif rows:
        short = [{**row, "error": textwrap.shorten(row["error"], _ERROR_SHOWN, placeholder=" ...")} for row in rows]
        display.console().print(display.table(short))
    else:
        print("No run yet: `ikirere run` makes one.")
    return SUCCEEDED


def logs(arguments: Namespace) -> int:
    emulator = emulator_of(arguments)
    require_up(emulator)
    functions = (arguments.function,) if arguments.function else function_logs.FUNCTIONS
    lines = function_logs.lines(emulator.cloud, functions, arguments.run, follow=arguments.follow)
    if not display.print_all(lines):
        print(f"ikirere: nothing is logged{f' of run {arguments.run}' if arguments.run else ''}", file=sys.stderr)
    return SUCCEEDED


def show(arguments: Namespace) -> int:
    emulator = emulator_of(arguments)
    database_url = database_of(emulator)
    if arguments.what == "raw":
        return _show_raw(emulator, arguments.key)
    if arguments.what in ("mart", "summary"):
        statement = display.MART if arguments.what == "mart" else "SELECT * FROM mart_city_weather_summary"
        rows = query(
            database_url,
            f"{statement} WHERE %(city)s::text IS NULL OR city_id = %(city)s ORDER BY 1, 2",  # our own text
            {"city": arguments.city},
        )
        if rows:
            display.console().print(display.mart_table(rows) if arguments.what == "mart" else display.table(rows))
        else:
            print(f"no rows{f' of city {arguments.city}' if arguments.city else ''}")
        return SUCCEEDED
    found = runs.run_rows(database_url, arguments.run, most=1)
    row = found[0] if found else {}
    if row and arguments.what == "rejected":
        return _show_rejected(emulator, row, arguments.city)
    execution = execution_of(emulator, row.get("run_id", arguments.run), row.get("execution_arn"))
    if not row and (execution is None or arguments.what == "rejected"):
        raise RefusalError(f"run {arguments.run or '(none yet)'}: is not known; `ikirere history` lists the runs")
    return _show_run(emulator, row, execution)


def sql(arguments: Namespace) -> int:
    columns, rows = answer(database_of(emulator_of(arguments)), arguments.statement)
    if arguments.json:
        if len(set(columns)) < len(columns):
            raise RefusalError(f"--json: columns of one name ({', '.join(columns)}); name them with AS")
        print(display.json_text([dict(zip(columns, row, strict=True)) for row in rows]))
    elif arguments.csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
    elif rows:
        display.console().print(display.grid(columns, rows))
        print(f"{len(rows)} row{'' if len(rows) == 1 else 's'}")
    else:
        print("no rows")
    return SUCCEEDED


def report(arguments: Namespace) -> int:
    emulator = emulator_of(arguments)
    path = write_report_to(emulator, Path(arguments.output) if arguments.output else emulator.report)
    print(path)
    if arguments.open:
        webbrowser.open(path.absolute().as_uri())
    return SUCCEEDED


def emulator_of(arguments: Namespace) -> Emulator:
    return Emulator(State.find(arguments.state))


def require_up(emulator: Emulator) -> None:
    if not emulator.is_up():
        raise RefusalError("nothing runs; `ikirere up` starts it with all that was kept")


def database_of(emulator: Emulator) -> str:
    url = emulator.reading_url()
    if url is None:
        raise RefusalError("the warehouse does not run; `ikirere up` starts it with all that was kept")
    return url


def print_status(emulator: Emulator) -> None:
    state = emulator.status()
    state["services"] = ", ".join(
        f"{name} {f'(pid {pid})' if pid else 'is down'}" for name, pid in state["services"].items()
    )
    if url := state["database_url"]:
        state["database_url"] = f"{shown(url)}  (with its password: ikirere status --json)"
    for key, value in state.items():
        print(f"{key:17} {'-' if value is None else value}")


def write_report_to(emulator: Emulator, path: Path) -> Path:
    try:
        return write_report(database_of(emulator), path, notice=notice(emulator))
    except OSError as error:
        raise RefusalError(f"report {path}: cannot be written ({error.strerror})") from error


def notice(emulator: Emulator) -> str:
    """What the mart holds that is not measured weather of today, in sentences; nothing when it is all live."""
    settings = emulator.state.settings()
    now = settings.get("weather_now", {"kind": "live", "notice": ""})
    said = [] if now["kind"] == "live" else [f"{now['notice'][:1].upper()}{now['notice'][1:]}."]
    earlier = [kind for kind in settings.get("weather_loaded", []) if kind not in (now["kind"], "live")]
    if earlier:
        kinds = " and ".join("weather from elsewhere" if kind == "address" else f"{kind} weather" for kind in earlier)
        said.append(f"The mart also holds {kinds} of earlier runs; `ikirere reset` starts afresh.")
    return " ".join(said)


def _history(emulator: Emulator, most: int) -> list[Json]:
    """Executions and rows of ``pipeline_run``, which outlive them, as one list."""
    machine = deploy.outputs(emulator.cloud).get("PipelineArn") if emulator.cloud.answers() else None
    known = runs.executions(emulator.cloud, machine, most) if machine else []
    # after the executions: a run commits its row before it ends, so one that has ended has its row
    rows = {row["execution_arn"]: row for row in runs.run_rows(database_of(emulator), most=most)}
    found = []
    for execution in known:
        row = rows.pop(execution["executionArn"], None)
        # what has no row (it runs, was stopped, or was run again since) tells of itself
        found.append(_history_row(execution if row else runs.describe(emulator.cloud, execution["executionArn"]), row))
    found += [_history_row(None, row) for row in rows.values()]
    return sorted(found, key=lambda row: str(row["started"]), reverse=True)[:most]


def _history_row(execution: Json | None, row: Json | None) -> Json:
    name = execution["name"] if execution else str(row and row["execution_arn"]).rsplit(":", 1)[-1]
    by_hand = name.startswith(("run-", "replay-"))
    row = row or _row_of(execution or {})
    return {
        "started": execution["startDate"].astimezone(UTC) if execution else row["started_at"],
        "run_id": row["run_id"],
        "started_by": name.split("-", 1)[0] if by_hand else "schedule or API",
        "status": row["status"],
        "rows_in": row.get("rows_in"),
        "loaded": row.get("rows_loaded"),
        "unchanged": row.get("rows_unchanged"),
        "rejected": row.get("rows_rejected"),
        "error": ": ".join(part for part in (row.get("error"), row.get("cause")) if part),
    }


def _row_of(execution: Json) -> Json:
    """What a described execution that has no row tells of its run."""
    event = runs.event_of(execution)
    return {
        "run_id": run_id_of(event, execution["name"]),
        "status": execution["status"].lower(),
        "started_at": execution["startDate"].astimezone(UTC),
        "execution_arn": execution["executionArn"],
        "event": event,
        "error": execution.get("error"),
        "cause": cause_message(execution.get("cause") or ""),
    }


def execution_of(emulator: Emulator, run_id: str | None, arn: str | None = None) -> Json | None:
    """A run's execution, described, where one is known."""
    if run_id is None or not emulator.cloud.answers():
        return None
    machine = deploy.outputs(emulator.cloud).get("PipelineArn")
    return runs.find(emulator.cloud, machine, run_id, arn) if machine else None


def _show_run(emulator: Emulator, row: Json, execution: Json | None) -> int:
    """A run's story: its row, its steps, its objects."""
    console = display.console()
    row = {"objects": [], "failed_cities": [], **(row or _row_of(execution or {}))}
    for key, value in row.items():
        if key not in ("objects", "failed_cities", "event", "cause", "error"):
            print(f"{key:18} {display.text(value)}")
    print(f"{'event':18} {json.dumps(row['event'])}")
    if row["error"]:
        print(f"\nFailed: {row['error']}: {row['cause']}")
    if execution:
        print()
        steps = runs.history_of(emulator.cloud, execution["executionArn"])
        display.print_all(line for step in steps if (line := display.step_line(step, steps[0].at)))
    for failure in row["failed_cities"]:
        print(f"refused: {failure['city_id']}: {failure['reason']} (ikirere show raw {failure['raw_key']})")
    if row["objects"]:
        console.print(
            display.table(row["objects"], {k: k for k in ("raw_key", "rows_in", "rows", "rejected", "sha256")})
        )
    return SUCCEEDED


def _show_rejected(emulator: Emulator, row: Json, city: str | None) -> int:
    require_up(emulator)
    store = emulator.cloud.client("s3"), deploy.outputs(emulator.cloud)["ProcessedBucket"]
    rejected = [
        line
        for part in row["objects"]
        if "rejected_key" in part
        for line in csv.DictReader(_unzipped(*store, part["rejected_key"]).decode().splitlines())
        if city in (None, line["city_id"])
    ]
    if rejected:
        display.console().print(display.table(rejected))
    else:
        print(f"Run {row['run_id']} rejected no row.")
    return SUCCEEDED


def _show_raw(emulator: Emulator, key: str | None) -> int:
    require_up(emulator)
    if not key:
        raise RefusalError("show raw needs a KEY; `ikirere show run` lists those of a run")
    sys.stdout.buffer.write(_unzipped(emulator.cloud.client("s3"), deploy.outputs(emulator.cloud)["RawBucket"], key))
    print()
    return SUCCEEDED


def _unzipped(s3: Any, bucket: str, key: str) -> bytes:
    try:
        return gzip.decompress(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    except ClientError as error:
        raise RefusalError(f"s3://{bucket}/{key}: {error.response['Error'].get('Code')}") from error

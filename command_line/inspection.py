"""The commands that show runs and what they left: history, show, logs."""

import dataclasses
import json
import textwrap
from argparse import Namespace
from collections.abc import Sequence
from typing import Any

from command_line import steps, tables
from command_line.parsing import Commands, emulator_of, positive
from command_line.terminal import write, write_bytes
from deployment.errors import UserError
from emulator.emulator import Emulator
from functions.core.text import MESSAGE_LENGTH, excerpt
from operations import history, items, logs, marts
from operations.history import HistoryEntry, RunDetails
from operations.items import ItemEntry

Json = dict[str, Any]

# Characters of an error in the list of runs; `show run` has all of it.
_ERROR_WIDTH = 100


def add_commands(commands: Commands) -> None:
    runs = commands.add("history", _history, "list the latest runs, newest first, scheduled ones included")
    runs.add_argument("-n", type=positive, default=20, metavar="N", help="how many (default: 20)")
    runs.add_argument("--backfill", metavar="ID", help="the items of this backfill instead")
    runs.add_argument("--json", action="store_true", help="as a JSON list")

    show = commands.add("show", _show, "show a run, the mart, the rejected rows, or a raw object")
    show.add_argument("what", choices=list(_SHOW), nargs="?", default="run", help="default: run")
    show.add_argument("key", nargs="?", help="of a raw object (show raw KEY)")
    show.add_argument("--run", metavar="ID", help="of this run (default: the latest)")
    show.add_argument("--city", metavar="ID", help="of this city")

    log = commands.add("logs", _logs, "print the log lines of the functions")
    log.add_argument("--run", metavar="ID", help="only this run")
    log.add_argument("--function", choices=logs.FUNCTIONS, help="only this function")
    log.add_argument("--follow", action="store_true", help="go on until interrupted")


def _history(arguments: Namespace) -> int:
    emulator = emulator_of(arguments)
    entries: Sequence[HistoryEntry | ItemEntry] = (
        items.items(emulator, arguments.backfill) if arguments.backfill else history.history(emulator, arguments.n)
    )
    rows = [dataclasses.asdict(entry) for entry in entries]
    if arguments.json:
        write(tables.json_text(rows))
    elif rows:
        short = [{**row, "error": textwrap.shorten(row["error"], _ERROR_WIDTH, placeholder=" ...")} for row in rows]
        tables.print_table(short)
    else:
        write("No run yet: `ikirere run` makes one.")
    return 0


def _logs(arguments: Namespace) -> int:
    functions = (arguments.function,) if arguments.function else logs.FUNCTIONS
    count = 0
    for line in logs.lines(emulator_of(arguments), functions, arguments.run, follow=arguments.follow):
        write(line)
        count += 1
    if not count:
        write(f"ikirere: no log lines{f' of run {excerpt(arguments.run)}' if arguments.run else ''}", error=True)
    return 0


def _show(arguments: Namespace) -> int:
    _SHOW[arguments.what](emulator_of(arguments), arguments)
    return 0


def _show_run(emulator: Emulator, arguments: Namespace) -> None:
    _print_run(history.run_details(emulator, arguments.run))


def _show_mart(emulator: Emulator, arguments: Namespace) -> None:
    tables.print_mart(_or_none(marts.daily_rows(emulator, arguments.city), arguments.city))


def _show_summary(emulator: Emulator, arguments: Namespace) -> None:
    tables.print_summary(_or_none(marts.summary_rows(emulator, arguments.city), arguments.city))


def _show_rejected(emulator: Emulator, arguments: Namespace) -> None:
    run_id, rows = history.rejected_rows(emulator, arguments.run, arguments.city)
    if rows:
        tables.print_table(rows)
    else:
        write(f"Run {run_id} rejected no row.")


def _show_raw(emulator: Emulator, arguments: Namespace) -> None:
    if not arguments.key:
        raise UserError("show raw needs a KEY; `ikirere show run` lists those of a run")
    write_bytes(history.raw_object(emulator, arguments.key))


_SHOW = {
    "run": _show_run,
    "mart": _show_mart,
    "summary": _show_summary,
    "rejected": _show_rejected,
    "raw": _show_raw,
}


def _or_none(rows: list[Json], city: str | None) -> list[Json]:
    """The rows; says so where there is none."""
    if not rows:
        write(f"no rows{f' of city {excerpt(city)}' if city else ''}")
    return rows


def _print_run(run: RunDetails) -> None:
    row = run.row
    for key, value in row.items():
        if key not in ("objects", "failed_cities", "event", "cause", "error", "findings"):
            write(f"{key:18} {tables.text(value)}")
    write(f"{'event':18} {excerpt(json.dumps(row['event']), MESSAGE_LENGTH)}")
    if row.get("findings"):
        write(f"{'findings':18} {steps.findings_line(row['findings'])}")
    if row["error"]:
        write(f"\nFailed: {excerpt(row['error'])}: {excerpt(row['cause'] or '', MESSAGE_LENGTH)}")
    if len(run.executions) > 1:
        write("\nExecutions of this run, oldest first:")
        for name, started, status in run.executions:
            write(f"  {tables.text(started)}  {name}  {status}")
    if run.steps:
        write()
    for step in run.steps:
        if line := steps.step_line(step, (step.at - run.steps[0].at).total_seconds()):
            write(line)
    for failure in row["failed_cities"]:
        write(f"failed city: {failure['city_id']}: {failure['reason']} (ikirere show raw {failure['raw_key']})")
    for part in row["objects"]:
        write(f"\n{part['raw_key']}")
        if "sha256" in part:
            write(f"  {part['rows_in']} rows in, {part['rows']} accepted, {part['rejected']} rejected")
            write(f"  sha256 {part['sha256']}")

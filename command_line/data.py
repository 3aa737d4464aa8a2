"""The commands about the warehouse's data: sql and report read it, trace, verify and rebuild compute it again."""

import webbrowser
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from command_line import tables
from command_line.parsing import Commands, emulator_of
from command_line.terminal import ProgressLine, write, write_bytes
from deployment.errors import UserError
from functions.core.storage import csv_text
from operations import marts, report
from operations.lineage import rebuilding, tracing, verification
from operations.lineage.rebuilding import Rebuild, RebuildObserver
from operations.lineage.responses import RawProblem
from operations.lineage.tracing import Trace, TracedValue
from operations.lineage.verification import MAX_LISTED, Verification, VerifyObserver, shown

FAILED = 1
# Differences that are printed; --json has the first MAX_LISTED.
_SHOWN = 50


def add_commands(commands: Commands) -> None:
    sql = commands.add("sql", _sql, "query the warehouse; reads only")
    sql.add_argument("statement", help='such as "SELECT * FROM mart_city_weather_summary"')
    form = sql.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="as a JSON list")
    form.add_argument("--csv", action="store_true", help="as CSV")

    html = commands.add("report", _report, "write the HTML report of the mart")
    html.add_argument("--output", metavar="FILE", help="default: report.html in the state folder")
    html.add_argument("--open", action="store_true", help="open it in a browser")

    trace = commands.add("trace", _trace, "show the hours and responses behind a mart value, and compute it again")
    trace.add_argument("--city", required=True, metavar="ID", help="a city of the list")
    trace.add_argument("--date", required=True, metavar="YYYY-MM-DD", help="the city's local day")
    trace.add_argument("--column", metavar="NAME", help="a column of mart_daily_city_weather (default: all)")
    trace.add_argument("--json", action="store_true", help="as one JSON object")

    verify = commands.add("verify", _verify, "compute staging and marts from the raw objects, and compare them")
    verify.add_argument("--start", metavar="YYYY-MM-DD", help="first local day (default: all, the summary too)")
    verify.add_argument("--end", metavar="YYYY-MM-DD", help="last local day (default: all, the summary too)")
    verify.add_argument("--city", action="append", metavar="ID", help="a city, again for more (default: all)")
    verify.add_argument("--json", action="store_true", help="as one JSON object")

    rebuild = commands.add("rebuild", _rebuild, "make the warehouse from the raw objects alone; resumes after a stop")
    rebuild.add_argument("--replace", action="store_true", help="replace the tables of a warehouse that has data")
    rebuild.add_argument(
        "--unfinished", action="store_true", help="load responses too that were stored and never transformed"
    )
    rebuild.add_argument("--cities", metavar="FILE", help="a city list for this rebuild (default: the one in use)")
    rebuild.add_argument("--json", action="store_true", help="as one JSON object")


def _sql(arguments: Namespace) -> int:
    columns, rows = marts.query_result(emulator_of(arguments), arguments.statement)
    if arguments.json:
        if len(set(columns)) < len(columns):
            raise UserError(f"--json: columns of one name ({', '.join(columns)}); name them with AS")
        write(tables.json_text([dict(zip(columns, row, strict=True)) for row in rows]))
    elif arguments.csv:
        write_bytes(csv_text([columns, *rows]).encode(errors="backslashreplace"))
    elif rows:
        tables.print_result_set(columns, rows)
        write(f"{len(rows)} row{'' if len(rows) == 1 else 's'}")
    else:
        write("no rows")
    return 0


def _report(arguments: Namespace) -> int:
    path = report.write(emulator_of(arguments), Path(arguments.output) if arguments.output else None)
    write(path)
    if arguments.open:
        webbrowser.open(path.absolute().as_uri())
    return 0


def _trace(arguments: Namespace) -> int:
    found = tracing.trace(emulator_of(arguments), arguments.city, arguments.date, arguments.column)
    if arguments.json:
        write(tables.json_object({**asdict(found), "is_equal": found.is_equal}))
    else:
        _print_trace(found, arguments.column)
    return 0 if found.is_equal else FAILED


def _print_trace(found: Trace, column: str | None) -> None:
    write(f"{found.city_id} {found.date}")
    tables.print_table(
        [
            {
                "column": each.column,
                "mart": shown(each.mart),
                "from the raw objects": shown(each.recomputed),
                "equal": _yes(each.is_equal),
            }
            for each in found.columns
        ]
    )
    write()
    tables.print_table(_hour_rows(found.values) if column is None else [_value_row(each) for each in found.values])
    for response in found.responses:
        write(f"\n[{response.number}] {response.raw_key}")
        if response.request:
            write(f"  run {response.run_id}, {response.source}, fetched at {shown(response.fetched_at)}")
            write(f"  {response.request}")
        problem = response.problem
        if problem is None:
            write(f"  sha256 {response.sha256}: equal to that of the bytes now")
        else:
            _print_problem(problem)
    if found.differences:
        write()
        tables.print_table([asdict(each) for each in found.differences])
    write(f"\n{'Equal' if found.is_equal else 'NOT equal'}: the mart, staging and the raw objects of this day.")


def _hour_rows(values: Sequence[TracedValue]) -> list[dict[str, str]]:
    """A row for each hour with all its values, each with the number of its response."""
    rows: dict[str, dict[str, str]] = {}
    for each in values:
        hour = f"{each.observed_at:%m-%d %H:%MZ}"
        row = rows.setdefault(hour, {"hour": hour, "local": f"{each.local_time:%H:%M}"})
        row[each.measure] = (
            f"{shown(each.value)}{'' if each.response is None else f' [{each.response}]'}{_staged(each)}"
        )
    return list(rows.values())


def _value_row(each: TracedValue) -> dict[str, str]:
    others = (f"[{other.response}] {shown(other.value)}" for other in each.others)
    return {
        "hour": f"{each.observed_at:%Y-%m-%d %H:%MZ}",
        "local": f"{each.local_time:%H:%M}",
        each.measure: f"{shown(each.value)}{_staged(each)}",
        "response": "" if each.response is None else f"[{each.response}]",
        "outranked or null": ", ".join(others),
    }


def _staged(each: TracedValue) -> str:
    return "" if each.is_equal else f" (staging: {shown(each.staged)})"


def _verify(arguments: Namespace) -> int:
    found = verification.verify(
        emulator_of(arguments), arguments.start, arguments.end, arguments.city, _VerifyPrinter()
    )
    if arguments.json:
        write(tables.json_object({**asdict(found), "is_equal": found.is_equal}))
    else:
        _print_verification(found)
    return 0 if found.is_equal else FAILED


def _print_verification(found: Verification) -> None:
    for problem in found.raw_problems[:_SHOWN]:
        write(problem.key)
        _print_problem(problem)
    if len(found.raw_problems) > _SHOWN:
        write(f"and {len(found.raw_problems) - _SHOWN} more raw objects: --json lists them")
    if found.listed:
        tables.print_table([asdict(each) for each in found.listed[:_SHOWN]])
    if found.differences > _SHOWN:
        write(f"and {found.differences - _SHOWN:,} more differences: --json lists the first {MAX_LISTED:,}")
    write(
        f"{_count(found.responses, 'response')}, {_count(found.cities, 'city', 'cities')}: "
        f"{_count(found.hours, 'hour')}, {_count(found.city_days, 'city-day')}, "
        f"{_count(found.periods, 'week or month', 'weeks and months')} and "
        f"{_count(found.summaries, 'summary', 'summaries')} computed from the raw objects"
    )
    if found.responses_not_loaded:
        more = _count(found.responses_not_loaded, "response")
        write(f"of runs that were not loaded, the raw bucket has {more} more")
    if found.is_equal:
        write("Equal: the warehouse is what its raw objects give, and they are as they were stored.")
    else:
        damaged = _count(len(found.raw_problems), "damaged raw object")
        write(f"NOT equal: {_count(found.differences, 'difference')}, {damaged}.")


def _print_problem(problem: RawProblem) -> None:
    write(f"  {problem.kind.upper()}: {problem.reason}")
    if problem.expected:
        write(f"  sha256 expected {problem.expected}")
    if problem.found:
        write(f"  sha256 found    {problem.found}")


def _rebuild(arguments: Namespace) -> int:
    made = rebuilding.rebuild(
        emulator_of(arguments),
        arguments.cities,
        replace=arguments.replace,
        unfinished_too=arguments.unfinished,
        observer=_RebuildPrinter(),
    )
    if arguments.json:
        write(tables.json_object({**asdict(made), "is_whole": made.is_whole}))
    else:
        _print_rebuild(made)
    return 0 if made.is_whole else FAILED


def _print_rebuild(made: Rebuild) -> None:
    for reason in made.left_out:
        write(f"left out: {reason}")
    for folder, reason in made.never_loaded.items():
        write(f"not loaded: {folder}: {reason}")
    for folder, reason in made.uncertain.items():
        write(f"not loaded, not certain: {folder}: {reason}")
    for key in made.never_transformed:
        write(f"stored and never transformed: {key}  (--unfinished loads it)")
    resumed = f", {made.resumed} of them before the stop" if made.resumed else ""
    rows = ", ".join(f"{count:,} {table}" for table, count in made.rows.items())
    write(f"Rebuilt from {_count(made.runs, 'run')}{resumed}. Rows: {rows}.")
    if made.uncertain:
        write("NOT certain: the runs named above may have been in the lost warehouse")
    if made.left_out:
        write("NOT whole: restore the raw objects that were left out, then: ikirere rebuild --replace")


class _VerifyPrinter(VerifyObserver):
    def __init__(self) -> None:
        self._line = ProgressLine()

    def progress(self, read: int, responses: int) -> None:
        self._line.write(f"{read:,} of {responses:,} responses" if read < responses else "")


class _RebuildPrinter(RebuildObserver):
    def __init__(self) -> None:
        self._line = ProgressLine()

    def loaded(self, run_id: str, done: int, runs: int) -> None:
        self._line.write(f"{done:,} of {runs:,} runs: {run_id}")

    def publishing(self) -> None:
        self._line.write("")


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def _yes(is_equal: bool) -> str:
    return "yes" if is_equal else "NO"

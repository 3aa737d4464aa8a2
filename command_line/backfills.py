"""The command that loads a long past window: backfill."""

import json
import sys
import time
from argparse import Namespace
from dataclasses import asdict

from command_line.parsing import Commands, add_weather_options, emulator_of, positive
from command_line.services import startup_line
from command_line.terminal import write, write_over
from emulator.emulator import Options
from functions.backfill.records import Plan
from operations import backfills
from operations.backfills import BackfillOptions
from operations.estimates import Estimate
from operations.following import BackfillObserver, BackfillResult, Progress

FAILED = 1
# A backfill on the free host can take weeks.
_LONGEST_SECONDS = 31 * 86_400
_SECONDS_BETWEEN_LINES = 30
_SHOWN_FAILURES = 50


def add_commands(commands: Commands) -> None:
    backfill = commands.add(
        "backfill", _backfill, "load a long past window from the archive, in work items; resumes an unfinished one"
    )
    add_weather_options(backfill)
    backfill.add_argument("--start", required=True, metavar="YYYY-MM-DD", help="first UTC day, from 1940-01-01")
    backfill.add_argument("--end", required=True, metavar="YYYY-MM-DD", help="last UTC day, at most today")
    backfill.add_argument(
        "--city", action="append", metavar="ID", help="a city of the list, again for more (default: all)"
    )
    backfill.add_argument(
        "--parallel", type=positive, default=1, metavar="N", help="items at a time (default: 1, as the free host needs)"
    )
    backfill.add_argument(
        "--gaps", action="store_true", help="only the city-days that the mart lacks or has incomplete"
    )
    backfill.add_argument("--plan", action="store_true", help="print what it will cost, and stop")
    backfill.add_argument(
        "--backfill-id", metavar="ID", help="default: the latest unfinished one of this window and cities, or a new one"
    )
    backfill.add_argument(
        "--timeout",
        type=positive,
        default=_LONGEST_SECONDS,
        metavar="SECONDS",
        help="how long to wait (default: a month)",
    )
    backfill.add_argument("--json", action="store_true", help="print one JSON object and nothing else")


def _backfill(arguments: Namespace) -> int:
    emulator = emulator_of(arguments)
    wanted = BackfillOptions(
        start=arguments.start,
        end=arguments.end,
        cities=arguments.city,
        backfill_id=arguments.backfill_id,
        parallel=arguments.parallel,
        gaps=arguments.gaps,
    )
    options = Options(weather=arguments.weather, cities=arguments.cities, parallel=arguments.parallel)
    if arguments.plan:
        cost = backfills.plan(emulator, wanted, options)
        write(json.dumps(asdict(cost), indent=2) if arguments.json else _cost_text(cost))
        return 0
    observer = BackfillObserver() if arguments.json else _Printer()
    result = backfills.run(emulator, wanted, options, arguments.timeout, observer)
    if arguments.json:
        write(json.dumps(result.to_json(), indent=2))
    else:
        _show(result)
    return FAILED if result.failed else 0


class _Printer(BackfillObserver):
    """Prints a backfill's progress: on a terminal one line that changes, else a line now and then."""

    def __init__(self) -> None:
        self._startup_line = startup_line()
        self._is_terminal = sys.stdout.isatty()
        self._printed_at = time.monotonic()
        self._done = 0

    def starting(self, service: str) -> None:
        self._startup_line(service)

    def planned(self, cost: Estimate) -> None:
        write(_cost_text(cost))

    def started(self, plan: Plan, weather: str) -> None:
        write(f"Weather: {weather}.")
        write(f"Backfill {plan.backfill_id} (its items: ikirere history --backfill {plan.backfill_id})")

    def progress(self, progress: Progress) -> None:
        text = _progress_text(progress)
        if self._is_terminal:
            write_over(text)
        elif progress.summary.done != self._done or time.monotonic() - self._printed_at >= _SECONDS_BETWEEN_LINES:
            write(text)
            self._printed_at, self._done = time.monotonic(), progress.summary.done

    def warning(self, message: str) -> None:
        write(f"ikirere: {message}", error=True)


def _cost_text(cost: Estimate) -> str:
    unsettled = (
        f"\n  unsettled   the last {_count(cost.unsettled_days, 'day')}: the archive may still complete them; "
        "the schedule requests them again"
    )
    return (
        f"{_count(cost.items, 'work item')}, {_count(cost.requests, 'request')}, "
        f"quota weight {cost.quota_weight:,.0f}, {_count(cost.rows, 'row')}\n"
        f"  free host   {_duration(cost.free_host_hours * 3600)} if nobody else uses its quota\n"
        f"  paid plan   {_duration(cost.paid_plan_hours * 3600)}\n"
        f"  storage     {cost.raw_gb:,.2f} GB raw, {cost.processed_gb:,.2f} GB processed, "
        f"{cost.warehouse_gb:,.2f} GB warehouse"
        f"{unsettled if cost.unsettled_days else ''}"
    )


def _progress_text(progress: Progress) -> str:
    summary = progress.summary
    failed = f", {summary.failed} failed" if summary.failed else ""
    left = f", {_duration(progress.seconds_left)} left" if progress.seconds_left is not None else ""
    return (
        f"{summary.done} of {_count(summary.items, 'item')}{failed}, {progress.responses} of "
        f"{_count(progress.requests, 'response')}, "
        f"{summary.rows_in:,} rows, {progress.rows_per_second:,.0f} rows/s{left}"
    )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{max(1, seconds):.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 2 * 86_400 else f"{seconds / 86_400:.1f} days"


def _show(result: BackfillResult) -> None:
    summary = result.summary
    if not summary.items:
        write("Nothing to load: the mart has every city-day of the window complete.")
        return
    write(
        f"\nBackfill {summary.backfill_id} {summary.status}: {summary.done} of {_count(summary.items, 'item')}, "
        f"{summary.rows_in:,} rows in, {summary.rows_loaded:,} loaded, {summary.rows_unchanged:,} unchanged, "
        f"{summary.rows_rejected:,} rejected"
    )
    lines = [f"  failed item: {item.run_id}: {item.error}: {item.cause}" for item in result.failed_items]
    lines += [
        f"  partial item: {each.run_id}: many of its hours have errors (ikirere show run --run {each.run_id})"
        for each in result.results
        if each.status == "partial" and not each.failed_cities
    ]
    lines += [
        f"  failed city: {city.city_id}: {city.reason} ({each.run_id})"
        for each in result.results
        for city in each.failed_cities
    ]
    for line in lines[:_SHOWN_FAILURES]:
        write(line)
    if len(lines) > _SHOWN_FAILURES:
        write(f"  and {len(lines) - _SHOWN_FAILURES} more: ikirere history --backfill {summary.backfill_id}")
    if result.cause:
        write(f"  {result.cause}")
    if result.failed:
        write("  The same command runs the items that were not loaded; it requests nothing that is stored.")

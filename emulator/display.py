"""What the command line shows: steps as they happen, and tables that fit the terminal."""

import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from emulator.runs import Step
from functions.core.contracts import cause_message

Json = dict[str, Any]

MART = """
    SELECT city, date, avg_temperature_c, min_temperature_c, max_temperature_c, avg_humidity, precipitation_mm,
        max_wind_speed_kmh, max_uv_index, dominant_condition, hours_observed, hours_expected, hours_forecast
    FROM mart_daily_city_weather
"""
_MART_HEADS = {
    "city": "city",
    "date": "date",
    "avg_temperature_c": "avg °C",
    "min_temperature_c": "min °C",
    "max_temperature_c": "max °C",
    "avg_humidity": "humidity %",
    "precipitation_mm": "rain mm",
    "max_wind_speed_kmh": "wind km/h",
    "max_uv_index": "UV",
    "dominant_condition": "condition",
    "hours": "hours",
    "hours_forecast": "forecast h",
}


def console() -> Console:
    """Standard output; wide enough for a table when it is not a terminal."""
    return Console(highlight=False, soft_wrap=not sys.stdout.isatty(), width=None if sys.stdout.isatty() else 160)


def table(rows: Sequence[Mapping[str, Any]], heads: Mapping[str, str] | None = None) -> Table:
    """Rows as a table; the first row's keys are its columns unless ``heads`` names them."""
    shown = heads or {key: key for key in (rows[0] if rows else {})}
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for key, head in shown.items():
        numeric = any(isinstance(row.get(key), int | float | Decimal) for row in rows)
        made.add_column(head, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        made.add_row(*(escape(text(row.get(key))) for key in shown))
    return made


def text(value: Any) -> str:
    """A value as a cell: numbers to two decimals, times to the second, nothing for null."""
    if value is None:
        return ""
    if isinstance(value, float | Decimal):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, date):
        return value.isoformat()
    return printable(value)


def json_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as a JSON list: numbers as numbers, times and what JSON has no number for as text."""

    def plain(value: Any) -> Any:
        if isinstance(value, Decimal | float):
            return float(value) if math.isfinite(value) else str(value)
        return value

    found = [{key: plain(value) for key, value in row.items()} for row in rows]
    return json.dumps(found, indent=2, default=str, ensure_ascii=False)


def grid(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    """Whatever was asked of the warehouse as a table, each value as it is."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for place, column in enumerate(columns):
        numeric = any(isinstance(row[place], int | float | Decimal) for row in rows)
        made.add_column(escape(column), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        made.add_row(*("" if value is None else escape(printable(value)) for value in row))
    return made


def printable(value: Any) -> str:
    """Text without control characters, of a city's name or of an answer: they are not for the terminal."""
    return "".join(character if character.isprintable() else " " for character in str(value))


def mart_table(rows: Sequence[Json]) -> Table:
    return table([{**row, "hours": f"{row['hours_observed']}/{row['hours_expected']}"} for row in rows], _MART_HEADS)


def step_line(step: Step, began: datetime) -> str | None:
    """A step as a line with its seconds since the run began; None for those that tell nothing."""
    seconds = f"{(step.at - began).total_seconds():7.1f}s"
    if step.kind == "failed":
        message = cause_message(step.data.get("cause") or "")
        return f"{seconds}  {step.state:13} failed: {step.data.get('error', '')}: {message}"
    if step.kind == "entered":
        if step.state == "WaitForQuota":
            ingest = step.data["ingest"]
            return f"{seconds}  {step.state:13} {ingest['wait_seconds']} s: {ingest['reason']}"
        return f"{seconds}  {step.state:13} ..." if step.state in ("Ingest", "Transform", "Model") else None
    return _left(step, seconds)


def _left(step: Step, seconds: str) -> str | None:
    if step.state == "Ingest" and step.data.get("ingest"):
        ingest = step.data["ingest"]
        answered = sum(part["cities"] for part in ingest["parts"])
        return (
            f"{seconds}  {step.state:13} {ingest['status']}: {answered} of {ingest['cities']} cities, "
            f"{_count(ingest['requests'], 'request')}, weight {ingest['quota_weight']:g}"
        )
    if step.state == "Transform" and "parts" in step.data:
        parts = step.data["parts"]
        rows, rejected = (sum(part[key] for part in parts) for key in ("rows", "rejected"))
        return f"{seconds}  {step.state:13} {_count(rows, 'row')}, {rejected} rejected, {_count(len(parts), 'object')}"
    if step.state == "Model" and "rows_loaded" in step.data:
        return (
            f"{seconds}  {step.state:13} {step.data['rows_loaded']} loaded, {step.data['rows_unchanged']} unchanged, "
            f"{_count(step.data['city_days_changed'], 'city-day')} changed"
        )
    if step.state in ("RecordFailure", "NotifyFailure"):
        return f"{seconds}  {step.state:13} done"
    return None


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def print_all(lines: Iterable[str]) -> int:
    """Print lines as they come; how many."""
    count = 0
    for count, line in enumerate(lines, start=1):  # noqa: B007  # the last count is the answer
        print(line, flush=True)
    return count

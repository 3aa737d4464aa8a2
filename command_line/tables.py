"""Rows as text: tables that fit the terminal, and JSON."""

import json
import math
import sys
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

Json = dict[str, Any]

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
_SUMMARY_HEADS = {
    "city_id": "city id",
    "city": "city",
    "total_days_recorded": "days",
    "highest_temperature_c": "highest °C",
    "highest_temperature_date": "on",
    "lowest_temperature_c": "lowest °C",
    "lowest_temperature_date": "on",
    "average_humidity": "average humidity %",
    "period": "first and last day",
}
# A word of at most this many characters, such as a date, is never broken.
_WHOLE_WORD = 10


def console() -> Console:
    """Standard output; wide enough for a table when it is not a terminal."""
    return Console(highlight=False, soft_wrap=not sys.stdout.isatty(), width=None if sys.stdout.isatty() else 160)


def table(rows: Sequence[Mapping[str, Any]], heads: Mapping[str, str] | None = None) -> Table:
    """Rows as a table; the first row's keys are its columns unless ``heads`` names them."""
    shown = heads or {key: key.replace("_", " ") for key in (rows[0] if rows else {})}
    made = _empty()
    for key, head in shown.items():
        _add_column(made, head, [row.get(key) for row in rows])
    for row in rows:
        made.add_row(*(escape(text(row.get(key))) for key in shown))
    return made


def grid(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    """The result of any statement as a table, each value as it is."""
    made = _empty()
    for place, column in enumerate(columns):
        numeric = any(isinstance(row[place], int | float | Decimal) for row in rows)
        made.add_column(escape(column), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        made.add_row(*("" if value is None else escape(printable(value)) for value in row))
    return made


def mart_table(rows: Sequence[Json]) -> Table:
    """Rows of ``mart_daily_city_weather`` as a table."""
    return table([{**row, "hours": f"{row['hours_observed']}/{row['hours_expected']}"} for row in rows], _MART_HEADS)


def summary_table(rows: Sequence[Json]) -> Table:
    """Rows of ``mart_city_weather_summary`` as a table."""
    return table(
        [{**row, "period": f"{text(row['first_day'])} {text(row['last_day'])}"} for row in rows], _SUMMARY_HEADS
    )


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


def printable(value: Any) -> str:
    """Text with a space for each control character: names and responses must not control the terminal."""
    return "".join(character if character.isprintable() else " " for character in str(value))


def json_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as a JSON list: numbers as numbers, times and what JSON has no number for as text."""

    def plain(value: Any) -> Any:
        if isinstance(value, Decimal | float):
            return float(value) if math.isfinite(value) else str(value)
        return value

    plain_rows = [{key: plain(value) for key, value in row.items()} for row in rows]
    return json.dumps(plain_rows, indent=2, default=str, ensure_ascii=False)


def _empty() -> Table:
    return Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=0)


def _add_column(made: Table, head: str, values: Sequence[Any]) -> None:
    """Numbers and dates stay whole, as do heads and short words; where the terminal is narrow, text folds."""
    cells = [text(value) for value in values]
    if any(isinstance(value, int | float | Decimal | date) for value in values):
        width = max(len(word) for word in (*head.split(), *cells))
        made.add_column(head, justify="right", width=width)
    else:
        words = " ".join((head, *cells)).split()
        width = max((len(word) for word in words if len(word) <= _WHOLE_WORD), default=1)
        made.add_column(head, overflow="fold", min_width=width)

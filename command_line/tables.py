"""Rows as text: tables that fit the terminal, and JSON."""

import math
import sys
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from functions.core import text as outside

Json = dict[str, Any]

MART_HEADS = {
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
SUMMARY_HEADS = {
    "city_id": "city id",
    "city": "city",
    "total_days_recorded": "days",
    "highest_temperature_c": "highest °C",
    "highest_temperature_date": "on",
    "lowest_temperature_c": "lowest °C",
    "lowest_temperature_date": "on",
    "average_humidity": "average humidity %",
    "first_day": "first day",
    "last_day": "last day",
}


def print_table(rows: Sequence[Mapping[str, Any]], heads: Mapping[str, str] | None = None) -> None:
    """Print rows on standard output; the first row's keys are its columns unless ``heads`` names them."""
    if rows:
        _console().print(table(rows, heads, _console().width))


def print_mart(rows: Sequence[Json]) -> None:
    """Print rows of ``mart_daily_city_weather``."""
    print_table([{**row, "hours": f"{row['hours_observed']}/{row['hours_expected']}"} for row in rows], MART_HEADS)


def print_summary(rows: Sequence[Json]) -> None:
    """Print rows of ``mart_city_weather_summary``."""
    print_table(rows, SUMMARY_HEADS)


def print_result_set(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print the result of any statement, each value as it is."""
    cells = [["" if value is None else outside.escaped(str(value)) for value in row] for row in rows]
    heads = [outside.escaped(column) for column in columns]
    _console().print(_fitted(heads, cells, _numeric(list(zip(*rows, strict=True))), _console().width))


def table(rows: Sequence[Mapping[str, Any]], heads: Mapping[str, str] | None, width: int) -> RenderableType:
    """Rows as a table of at most ``width`` columns, or as a block of lines for each row where no table fits."""
    shown = heads or {key: key for key in (rows[0] if rows else {})}
    cells = [[text(row.get(key)) for key in shown] for row in rows]
    numeric = _numeric([[row.get(key) for row in rows] for key in shown])
    return _fitted(list(shown.values()), cells, numeric, width)


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
    return outside.escaped(str(value))


def json_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as a JSON list: numbers as numbers, times and what JSON has no number for as text."""

    def plain(value: Any) -> Any:
        if isinstance(value, Decimal | float):
            return float(value) if math.isfinite(value) else str(value)
        return value

    plain_rows = [{key: plain(value) for key, value in row.items()} for row in rows]
    return outside.json_text(plain_rows, indent=2, default=str)


def json_object(value: Mapping[str, Any]) -> str:
    """A nested result as one JSON object: numbers as numbers, times as text."""

    def plain(item: Any) -> Any:
        return float(item) if isinstance(item, Decimal) and math.isfinite(item) else str(item)

    return outside.json_text(value, indent=2, default=plain)


def _console() -> Console:
    """Standard output; wide enough for a table when it is not a terminal."""
    return Console(highlight=False, soft_wrap=not sys.stdout.isatty(), width=None if sys.stdout.isatty() else 160)


def _numeric(columns: Sequence[Sequence[Any]]) -> list[bool]:
    return [any(isinstance(value, int | float | Decimal) for value in column) for column in columns]


def _fitted(heads: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[bool], width: int) -> RenderableType:
    """No value is ever cut: a table with whole cells, else one whose text folds between words, else blocks."""
    columns = list(zip(heads, *rows, strict=True))
    whole = [max(map(cell_len, column)) for column in columns]
    # heads and text fold between words; numbers, dates and ids have none to fold at
    folded = [max(cell_len(word) for cell in column for word in (cell.split() or [""])) for column in columns]
    for widths, gap in (whole, 3), (folded, 1):
        if sum(widths) + gap * (len(widths) - 1) <= width:
            return _table(heads, rows, numeric, widths, gap)
    return _blocks(heads, rows)


def _table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[bool], widths: Sequence[int], gap: int
) -> Table:
    made = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="bold", show_edge=False)
    for head, is_number, width in zip(heads, numeric, widths, strict=True):
        rule = f"{escape(head)}\n{'─' * width}"
        made.add_column(rule, justify="right" if is_number else "left", width=width, overflow="fold", vertical="bottom")
    for row in rows:
        made.add_row(*map(escape, row))
    return made


def _blocks(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Text:
    """A line for each value: its heading, then the value, however long."""
    indent = max(map(cell_len, heads), default=0)
    blocks = ("\n".join(f"{head:{indent}}  {value}" for head, value in zip(heads, row, strict=True)) for row in rows)
    return Text("\n\n".join(blocks))

"""Rows of the marts, and the result of any statement that reads the warehouse."""

from typing import Any

from dashboards.warehouse import query, result_set
from emulator.emulator import Emulator

Json = dict[str, Any]


def daily_rows(emulator: Emulator, city: str | None = None) -> list[Json]:
    """The rows of ``mart_daily_city_weather``, of one city id if given. Raises UserError without a warehouse."""
    return _rows(emulator, "SELECT * FROM mart_daily_city_weather", "city, date", city)


def summary_rows(emulator: Emulator, city: str | None = None) -> list[Json]:
    """The rows of ``mart_city_weather_summary``, of one city id if given. Raises UserError without a warehouse."""
    return _rows(emulator, "SELECT * FROM mart_city_weather_summary", "city_id", city)


def query_result(emulator: Emulator, statement: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """The columns and rows of a statement. Raises UserError without a warehouse, psycopg2.Error for the statement."""
    return result_set(emulator.reading_url(), statement)


def _rows(emulator: Emulator, selection: str, order: str, city: str | None) -> list[Json]:
    statement = f"{selection} WHERE %(city)s::text IS NULL OR city_id = %(city)s ORDER BY {order}"
    return query(emulator.reading_url(), statement, {"city": city})

"""Rows of the questions, as the report shows them."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from psycopg2.extensions import connection as Connection  # noqa: N812  # a class that psycopg2 names in lower case
from psycopg2.extras import RealDictCursor

from functions.core.text import excerpt

Json = dict[str, Any]
Rows = list[Json]


def read_rows(connection: Connection, statement: str, parameters: Mapping[str, Any] | None = None) -> Rows:
    """Return the rows of a statement: its numerics as float, its texts as excerpts. Raises psycopg2.Error."""
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(statement, parameters)
        return [{key: _plain(value) for key, value in row.items()} for row in cursor]


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return excerpt(value)
    return float(value) if isinstance(value, Decimal) else value

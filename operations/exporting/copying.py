"""Rows as lines of CSV, made by Postgres (COPY): the speed does not depend on Python, and one line is in memory."""

from collections.abc import Callable
from typing import Final, Protocol

from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812

from operations.exporting.selection import Column, Rows

# How a time is written, for Postgres and for strptime.
_TIME: Final = 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'
TIME_FORMAT: Final = "%Y-%m-%dT%H:%M:%S.%fZ"
_PLAIN: Final = ("smallint", "integer", "bigint", "numeric", "double precision", "date", "text")

TextExpression = Callable[[sql.Composable], sql.Composable]


class LineWriter(Protocol):
    """Receives the lines of a COPY, each with its end; a row with line breaks in a text is one line."""

    def write(self, line: bytes) -> None: ...


def copy_lines(
    connection: Connection, rows: Rows, lines: LineWriter, *, header: bool, text: TextExpression | None = None
) -> int:
    """Write the rows as CSV in UTF-8 and return their number: null is nothing, an empty text is in quotes.

    ``text`` makes the expression of a text column from its value. Raises psycopg2.Error, and what ``lines`` raises.
    """
    statement = rows.statement(connection, [_expression(column, text) for column in rows.columns])
    with connection.cursor() as cursor:
        cursor.copy_expert(f"COPY ({statement}) TO STDOUT (FORMAT csv, HEADER {header}, ENCODING 'UTF8')", lines)
        return int(cursor.rowcount)


def _expression(column: Column, text: TextExpression | None) -> sql.Composable:
    value = sql.SQL("source.{}").format(sql.Identifier(column.name))
    if column.type == "text" and text:
        return text(value)
    if column.type in _PLAIN:
        return value
    if column.type == "timestamp with time zone":
        return sql.SQL("to_char({} AT TIME ZONE 'UTC', {})").format(value, sql.Literal(_TIME))
    if column.type == "boolean":
        return sql.SQL("{}::text").format(value)
    return sql.SQL("to_jsonb({})::text").format(value)

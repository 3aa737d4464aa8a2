"""A table as CSV in UTF-8: a header, times as 2026-11-30T06:00:00.000000Z, nothing for null.

Postgres writes it (COPY), so its speed does not depend on Python.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812

from functions.core.cities import FORMULA_STARTS
from operations.exporting.selection import Column, Rows

# How a time is written, for Postgres and, as in a Table Schema, for strptime.
_TIME_FOR_POSTGRES: Final = 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'
TIME_FORMAT: Final = "%Y-%m-%dT%H:%M:%S.%fZ"
# A text that a spreadsheet may evaluate: the wide forms are those of East Asian scripts.
_FORMULA: Final = "^[[:space:][:cntrl:]]*[{}]".format(
    "".join(f"\\{start}{chr(ord(start) + 0xFEE0)}" for start in FORMULA_STARTS)
)
_PLAIN: Final = ("smallint", "integer", "bigint", "numeric", "double precision", "date")
_BUFFER: Final = 1 << 20
_REPORTED: Final = 10_000

Progress = Callable[[int], None]


def write_csv(connection: Connection, rows: Rows, path: Path, progress: Progress) -> int:
    """Write the rows to ``path`` and return their number. Raises OSError, psycopg2.Error.

    ``progress`` is called with the number of rows that are written.
    """
    statement = rows.statement(connection, [_expression(column) for column in rows.columns])
    with path.open("xb", buffering=_BUFFER) as file, connection.cursor() as cursor:
        cursor.copy_expert(
            f"COPY ({statement}) TO STDOUT (FORMAT csv, HEADER, ENCODING 'UTF8')", _Lines(file.write, progress)
        )
        return int(cursor.rowcount)


def _expression(column: Column) -> sql.Composable:
    value = sql.SQL("source.{}").format(sql.Identifier(column.name))
    match column.type:
        case kind if kind in _PLAIN:
            return value
        case "timestamp with time zone":
            return sql.SQL("to_char({} AT TIME ZONE 'UTC', {})").format(value, sql.Literal(_TIME_FOR_POSTGRES))
        case "boolean":
            return sql.SQL("{}::text").format(value)
        case "text":
            # an apostrophe before it makes it text for every spreadsheet
            formula = sql.Literal(_FORMULA)
            return sql.SQL("CASE WHEN {0} ~ {1} THEN '''' || {0} ELSE {0} END").format(value, formula)
        case _:
            return sql.SQL("to_jsonb({})::text").format(value)


class _Lines:
    """The file that COPY writes to, one row for each call: it counts them."""

    def __init__(self, write: Callable[[bytes], object], progress: Progress) -> None:
        self._write, self._progress, self._rows = write, progress, -1

    def write(self, line: bytes) -> None:
        self._write(line)
        self._rows += 1
        if self._rows % _REPORTED == 0:
            self._progress(self._rows)

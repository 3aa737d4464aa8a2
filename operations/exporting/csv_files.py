"""A table as a CSV file: a header, times as 2026-11-30T06:00:00.000000Z, nothing for null."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812

from functions.core.cities import FORMULA_STARTS
from operations.exporting.copying import copy_lines
from operations.exporting.selection import Rows

# A text that a spreadsheet may evaluate; the wide forms are those of East Asian scripts.
_FORMULA: Final = "^[[:space:][:cntrl:]]*[{}]".format(
    "".join(f"\\{start}{chr(ord(start) + 0xFEE0)}" for start in FORMULA_STARTS)
)
_BUFFER: Final = 1 << 20
# Rows between two reports of progress.
_REPORTED: Final = 10_000


def write_csv(connection: Connection, rows: Rows, path: Path, progress: Callable[[int], None]) -> int:
    """Write the rows to ``path`` and return their number. Raises OSError, psycopg2.Error.

    A text that begins a spreadsheet formula gets an apostrophe before it, with which it is text. ``progress`` is called
    with the number of rows that are written.
    """
    with path.open("xb", buffering=_BUFFER) as file:
        return copy_lines(connection, rows, _File(file.write, progress), header=True, text=_not_evaluated)


def _not_evaluated(value: sql.Composable) -> sql.Composable:
    return sql.SQL("CASE WHEN {0} ~ {1} THEN '''' || {0} ELSE {0} END").format(value, sql.Literal(_FORMULA))


class _File:
    def __init__(self, write: Callable[[bytes], object], progress: Callable[[int], None]) -> None:
        self._write, self._progress = write, progress
        # the header is no row
        self._rows = -1

    def write(self, line: bytes) -> None:
        self._write(line)
        self._rows += 1
        if self._rows % _REPORTED == 0:
            self._progress(self._rows)

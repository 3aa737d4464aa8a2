"""A table as a Parquet file: types for other programs, with meaning and unit of each column as metadata of its field.

A measure is a double, because R and pandas compute with doubles and would convert decimals. The warehouse's measured
values have far fewer digits than a double keeps; a mean is rounded to the nearest double.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa
from psycopg2.extensions import connection as Connection  # noqa: N812
from pyarrow import csv, parquet

from operations.exporting.copying import copy_lines
from operations.exporting.selection import Column, Rows

# Rows of a row group, and bytes of its lines after which it ends sooner: what is in memory at a time.
_GROUP = 100_000
_GROUP_BYTES = 1 << 26
# By Postgres's type; any other one (JSON, arrays) is text.
_TYPES = {
    "text": pa.string(),
    "smallint": pa.int16(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "numeric": pa.float64(),
    "double precision": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp with time zone": pa.timestamp("us", tz="UTC"),
}


def write_parquet(
    connection: Connection, rows: Rows, path: Path, about: Mapping[str, str], progress: Callable[[int], None]
) -> int:
    """Write the rows to ``path`` and return their number; ``about`` is metadata of the file.

    ``progress`` is called with the number of rows that are written. Raises OSError, psycopg2.Error.
    """
    metadata = {"description": rows.table.description, "primary_key": ",".join(rows.key), **about}
    schema = pa.schema([_field(column) for column in rows.columns], metadata)
    with path.open("xb") as file, parquet.ParquetWriter(file, schema) as writer:
        groups = _Groups(writer, schema, progress)
        count = copy_lines(connection, rows, groups, header=False)
        groups.end()
    return count


def _field(column: Column) -> pa.Field:
    meaning = column.meaning
    known = {
        "description": meaning.description, "unit": meaning.unit, "standard": meaning.standard, "source": meaning.source
    }  # fmt: skip
    metadata = {name: text for name, text in known.items() if text}
    return pa.field(column.name, _TYPES.get(column.type, pa.string()), not column.is_required, metadata)


class _Groups:
    """Collects the lines of a row group, and writes it."""

    def __init__(self, writer: parquet.ParquetWriter, schema: pa.Schema, progress: Callable[[int], None]) -> None:
        self._writer, self._schema, self._progress = writer, schema, progress
        self._lines: list[bytes] = []
        self._bytes = 0
        self._rows = 0

    def write(self, line: bytes) -> None:
        self._lines.append(line)
        self._bytes += len(line)
        if len(self._lines) == _GROUP or self._bytes >= _GROUP_BYTES:
            self.end()

    def end(self) -> None:
        """Write the rows since the last group. Raises OSError."""
        if not self._lines:
            return
        found = csv.read_csv(
            pa.BufferReader(b"".join(self._lines)),
            # one block: a line must not be longer than a block
            csv.ReadOptions(column_names=self._schema.names, use_threads=False, block_size=self._bytes + 1),
            csv.ParseOptions(newlines_in_values=True),
            csv.ConvertOptions(
                column_types=self._schema, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
            ),
        )
        self._writer.write_table(found.cast(self._schema))
        self._rows += len(self._lines)
        self._lines.clear()
        self._bytes = 0
        self._progress(self._rows)

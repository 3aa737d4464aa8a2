"""A table as Parquet: types for other programs, with the meaning and unit of each column in its field's metadata.

A measure is a double, because R's arrow and pandas read decimals as text or slowly; the warehouse's decimals have far
fewer digits than a double keeps, except means, which are rounded to 15 to 17 digits.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812

from operations.exporting.selection import Column, Rows

# Rows of a row group: what is in memory at a time is one group, and the Python objects of one fetch.
_GROUP = 100_000
_FETCH = 10_000
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
    statement = rows.statement(connection, [_expression(column) for column in rows.columns])
    written, batches = 0, []
    with pq.ParquetWriter(path, schema) as writer, connection.cursor("export") as cursor:
        cursor.execute(statement)
        while fetched := cursor.fetchmany(_FETCH):
            columns = [
                pa.array(values, field.type) for values, field in zip(zip(*fetched, strict=True), schema, strict=True)
            ]
            batches.append(pa.record_batch(columns, schema=schema))
            written += len(fetched)
            if written % _GROUP == 0:
                writer.write_table(pa.Table.from_batches(batches))
                batches.clear()
            progress(written)
        if batches or not written:
            writer.write_table(pa.Table.from_batches(batches, schema))
    return written


def _field(column: Column) -> pa.Field:
    meaning = column.meaning
    known = {
        "description": meaning.description, "unit": meaning.unit, "standard": meaning.standard, "source": meaning.source
    }  # fmt: skip
    metadata = {name: text for name, text in known.items() if text}
    return pa.field(column.name, _TYPES.get(column.type, pa.string()), not column.is_required, metadata)


def _expression(column: Column) -> sql.Composable:
    value = sql.SQL("source.{}").format(sql.Identifier(column.name))
    if column.type == "numeric":
        return sql.SQL("{}::double precision").format(value)
    return value if column.type in _TYPES else sql.SQL("to_jsonb({})::text").format(value)

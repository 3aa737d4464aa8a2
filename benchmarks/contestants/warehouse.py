"""What a contestant's work leaves in its database: bytes of WAL, rows, rows of the marts that were written again."""

from contextlib import closing
from typing import Any

import psycopg2
from psycopg2.extensions import cursor as Cursor  # noqa: N812  # a class that psycopg2 names in lower case


class Observer:
    """A connection of its own that reads before and after a run."""

    def __init__(self, url: str, *, is_small: bool = True) -> None:
        self._is_small = is_small
        self._connection = psycopg2.connect(url)
        self._connection.autocommit = True
        self._lsn = "0/0"
        self._mart_rows: set[tuple[Any, ...]] = set()

    def begin(self) -> None:
        """Vacuum as autovacuum does within minutes, so that it writes nothing during the run; then look.

        A large warehouse is left as it is.
        """
        if self._is_small:
            self._rows("VACUUM ANALYZE")
            self._mart_rows = self._versions()
        self._rows("CHECKPOINT")
        ((self._lsn,),) = self._rows("SELECT pg_current_wal_insert_lsn()")

    def end(self) -> dict[str, int]:
        """Return the WAL bytes since ``begin``, and the rows of the marts that were written, deleted ones included.

        The rows are -1 for a large warehouse.
        """
        ((wal,),) = self._rows(f"SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '{self._lsn}')")
        written = len(self._mart_rows ^ self._versions()) if self._is_small else -1
        return {"wal_bytes": int(wal), "mart_rows_written": written}

    def count(self, table: str) -> int:
        ((rows,),) = self._rows(f'SELECT count(*) FROM "{table}"')
        return int(rows)

    def _versions(self) -> set[tuple[Any, ...]]:
        """Return table, place and writer of every row of the marts: a row that is written again has others."""
        tables = [name for (name,) in self._rows("SELECT tablename FROM pg_tables WHERE tablename LIKE 'mart%'")]
        return {(name, *row) for name in tables for row in self._rows(f'SELECT ctid::text, xmin::text FROM "{name}"')}

    def _rows(self, statement: str) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def close(self) -> None:
        self._connection.close()


class Statements:
    """Counts what is sent to the server through psycopg2, before the code under measurement imports it."""

    def __init__(self) -> None:
        self.number = 0
        counter, connect = self, psycopg2.connect

        class CountingCursor(Cursor):
            def execute(self, *arguments: Any, **options: Any) -> None:
                counter.number += 1
                super().execute(*arguments, **options)

            def copy_expert(self, *arguments: Any, **options: Any) -> None:
                counter.number += 1
                super().copy_expert(*arguments, **options)

        def counting(*arguments: Any, **options: Any) -> Any:
            return connect(*arguments, **{"cursor_factory": CountingCursor, **options})

        psycopg2.connect = counting


def column_list(url: str, table: str) -> list[tuple[str, str]]:
    """Return name and type of each column of a table that is not generated, in order."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = %s::regclass "
            "AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum",
            (table,),
        )
        return cursor.fetchall()

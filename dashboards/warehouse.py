"""Read-only access to the warehouse."""

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812  # a class that psycopg2 names in lower case
from psycopg2.extras import RealDictCursor

from functions.model.database import with_options

Json = dict[str, Any]

_READ_ONLY = "-c default_transaction_read_only=on"


@contextmanager
def reading(url: str) -> Iterator[Connection]:
    """Open a read-only connection with one snapshot, in UTC. Raises psycopg2.Error.

    This prevents accidental writes; only the rights of the role prevent deliberate ones.
    """
    with closing(psycopg2.connect(**with_options({"dsn": url}, _READ_ONLY), client_encoding="UTF8")) as connection:
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        # After its first query a transaction can no longer be set to read-write. An option at the start of the session
        # would not do: the user's PGTZ outranks it.
        connection.cursor().execute("SELECT set_config('TimeZone', 'UTC', false)")
        yield connection


def query(url: str, statement: str, parameters: Mapping[str, Any] | None = None) -> list[Json]:
    """Return the rows of one of our own statements, by column name. Raises psycopg2.Error."""
    with reading(url) as connection, connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(statement, parameters)
        return [dict(row) for row in cursor.fetchall()]


def result_set(url: str, statement: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Return the columns and rows of any statement; column names may repeat. Raises psycopg2.Error."""
    with reading(url) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        if cursor.description is None:
            return [], []
        return [column.name for column in cursor.description], cursor.fetchall()

"""The warehouse as the emulator reads it: addresses shown without their passwords, statements that only read."""

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812  # a class that psycopg2 names in lower case
from psycopg2.extensions import parse_dsn
from psycopg2.extras import RealDictCursor

from functions.model.database import with_options

Json = dict[str, Any]

_READS = "-c default_transaction_read_only=on -c timezone=UTC"


def shown(url: str) -> str:
    """An address without its password, whatever its form."""
    parts = parse_dsn(url)
    return (
        f"{parts.get('user', '')}@{parts.get('host', 'localhost')}:{parts.get('port', 5432)}/{parts.get('dbname', '')}"
    )


def said(error: psycopg2.Error) -> str:
    """What the server or the driver said, as one line."""
    return " ".join(str(error).split())


@contextmanager
def reading(url: str) -> Iterator[Connection]:
    """A connection that reads one snapshot, in UTC.

    This guards against mistakes; against intent only the rights of the role do.
    """
    with closing(psycopg2.connect(**with_options({"dsn": url}, _READS))) as connection:
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        # a transaction that has read can no longer be made one that writes
        connection.cursor().execute("SELECT 1")
        yield connection


def query(url: str, statement: str, parameters: Mapping[str, Any] | None = None) -> list[Json]:
    """The rows of a statement of our own, by column."""
    with reading(url) as connection, connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(statement, parameters)
        return [dict(row) for row in cursor.fetchall()]


def answer(url: str, statement: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """The columns and rows of whatever statement; columns may have the same name."""
    with reading(url) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        if cursor.description is None:
            return [], []
        return [column.name for column in cursor.description], cursor.fetchall()

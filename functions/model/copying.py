"""COPY of the objects of a run into tables."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from io import BufferedIOBase

import psycopg2
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from functions.core.errors import TransientError
from functions.core.text import quoted
from functions.model.database import database_errors

OpenPart = Callable[[str], AbstractContextManager[BufferedIOBase]]

_COPY_BYTES = 1 << 18


def copy(cursor: Cursor, key: str, table: str, columns: Sequence[str], open_part: OpenPart) -> None:
    """COPY an object into a table. Raises LoadError for its content, TransientError if it cannot be read."""
    statement = f"COPY {table} ({', '.join(columns)}) FROM STDIN WITH (FORMAT csv, HEADER MATCH)"
    with open_part(key) as stream, database_errors(key):
        source = _Reader(stream, key)
        try:
            cursor.copy_expert(statement, source, size=_COPY_BYTES)
        except psycopg2.Error as error:
            # psycopg2 reports a failed read() as a cancelled query: the error of the read is the cause
            raise source.error or error from None


class _Reader(BufferedIOBase):
    """The stream of a processed object for COPY; it stores the error of a failed read."""

    def __init__(self, stream: BufferedIOBase, key: str) -> None:
        self._stream = stream
        self._key = key
        self.error: TransientError | None = None

    def read(self, size: int | None = -1, /) -> bytes:
        try:
            return self._stream.read(size)
        except Exception as error:
            # from botocore, urllib3, gzip or zlib, depending on where the stream broke
            self.error = TransientError(f"{self._key}: the read was interrupted: {quoted(error)}")
            raise

"""Rows of the questions, as the report shows them."""

from decimal import Decimal
from typing import Any

from psycopg2.extensions import connection as Connection  # noqa: N812  # a class that psycopg2 names in lower case
from psycopg2.extras import RealDictCursor

from dashboards.questions import Question
from functions.core.text import excerpt

Json = dict[str, Any]
Rows = list[Json]


def read_rows(connection: Connection, question: Question, *conditions: str, **parameters: Any) -> Rows:
    """Return the rows of a question that meet the SQL ``conditions``. Raises psycopg2.Error.

    Numerics are float, texts excerpts.
    """
    statement = question.unfiltered_sql
    if conditions:
        escaped = statement.replace("%", "%%")
        statement = f"SELECT * FROM ({escaped}) AS question WHERE {' AND '.join(conditions)}"  # noqa: S608  # our own
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(statement, parameters or None)
        return [{key: _plain(value) for key, value in row.items()} for row in cursor]


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return excerpt(value)
    return float(value) if isinstance(value, Decimal) else value

"""Which rows and columns are exported, and their types."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812

from deployment.errors import UserError
from functions.core import dictionary
from functions.core.errors import InvalidInputError
from functions.core.run import data_day_of
from functions.core.text import excerpt

# The columns by which a window selects: the local day, else the first day of a period or an alert, else the UTC day.
_DAYS = ("date", "start_date", "opened_on", "observed_at")
# Tables without one of these have no days, such as dim_city; tables without this one no cities, such as pipeline_run.
_CITY = "city_id"
_COLUMNS = """
    SELECT attname, format_type(atttypid, NULL), attnotnull, array_position(indkey::integer[], attnum::integer)
    FROM pg_attribute
    LEFT JOIN pg_index ON indrelid = attrelid AND indisprimary
    WHERE attrelid = to_regclass(quote_ident(%s)) AND attnum > 0 AND NOT attisdropped
    ORDER BY attnum
"""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of an exported table; ``type`` is Postgres's name of its type."""

    name: str
    type: str
    is_required: bool
    meaning: dictionary.Column


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of one table that are exported, in the order of its key."""

    table: dictionary.Table
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    _conditions: tuple[sql.Composable, ...] = ()
    _parameters: dict[str, Any] = field(default_factory=dict)

    @property
    def has_runs(self) -> bool:
        return any(column.name == "run_id" for column in self.columns)

    def statement(self, connection: Connection, expressions: Sequence[sql.Composable]) -> str:
        """Return the query whose result has one column for each of the table's, made from ``expressions``."""
        aliases = [
            sql.SQL("{} AS {}").format(e, sql.Identifier(c.name))
            for e, c in zip(expressions, self.columns, strict=True)
        ]
        query = sql.SQL("SELECT {} ").format(sql.SQL(", ").join(aliases)) + self._source()
        if self.key:
            # of the table, not of the result, where a column can be a text
            names = [sql.SQL("source.{}").format(sql.Identifier(name)) for name in self.key]
            query += sql.SQL(" ORDER BY ") + sql.SQL(", ").join(names)
        return self._text(connection, query)

    def runs(self, connection: Connection) -> list[str]:
        """Return the ids of the runs that wrote these rows, in order."""
        if not self.has_runs:
            return []
        query = sql.SQL("SELECT DISTINCT run_id ") + self._source() + sql.SQL(" ORDER BY run_id")
        with connection.cursor() as cursor:
            cursor.execute(self._text(connection, query))
            return [run_id for (run_id,) in cursor.fetchall()]

    def _source(self) -> sql.Composable:
        source = sql.SQL("FROM {} AS source").format(sql.Identifier(self.table.name))
        if self._conditions:
            source += sql.SQL(" WHERE ") + sql.SQL(" AND ").join(self._conditions)
        return source

    def _text(self, connection: Connection, query: sql.Composable) -> str:
        """Return the query with its values: COPY takes no parameters."""
        with connection.cursor() as cursor:
            return cursor.mogrify(query, self._parameters).decode()


@dataclass(frozen=True, slots=True)
class Selection:
    """What a user asks for: tables, local days (first and last included) and cities; None is all of them."""

    tables: tuple[str, ...]
    start: date | None = None
    end: date | None = None
    cities: tuple[str, ...] | None = None

    @classmethod
    def of(cls, tables: Sequence[str], start: str | None, end: str | None, cities: Sequence[str] | None) -> "Selection":
        """Return the selection of these arguments. Raises UserError for an unknown table or a wrong day."""
        if unknown := [name for name in tables if name not in dictionary.tables()]:
            raise UserError(f"export: no table {excerpt(unknown[0])}; the tables are {', '.join(dictionary.tables())}")
        days = {"start": start, "end": end}
        try:
            first, last = (data_day_of(days, name, "export") for name in days)
        except InvalidInputError as error:
            raise UserError(str(error)) from error
        if first and last and last < first:
            raise UserError(f"export: the end {last} is before the start {first}; exchange --start and --end")
        return cls(tuple(dict.fromkeys(tables)), first, last, None if cities is None else tuple(cities))

    def rows(self, connection: Connection) -> Iterator[Rows]:
        """Yield the rows of each table. Raises UserError if nothing can be selected as asked."""
        self._check_cities(connection)
        found = [(dictionary.tables()[name], self._columns(connection, name)) for name in self.tables]
        names = {column.name for _, (columns, _) in found for column in columns}
        if (self.start or self.end) and names.isdisjoint(_DAYS):
            raise UserError(f"export: {', '.join(self.tables)} has no days; leave out --start and --end")
        if self.cities is not None and _CITY not in names:
            raise UserError(f"export: {', '.join(self.tables)} has no cities; leave out --city")
        for table, (columns, key) in found:
            conditions, parameters = self._conditions({column.name for column in columns})
            yield Rows(table, columns, key or table.key, conditions, parameters)

    def _check_cities(self, connection: Connection) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT wanted FROM unnest(%s::text[]) AS wanted WHERE wanted NOT IN (SELECT city_id FROM dim_city)",
                (list(self.cities or ()),),
            )
            if unknown := [excerpt(city_id) for (city_id,) in cursor.fetchall()]:
                raise UserError(
                    f"export: the warehouse has no city {', '.join(unknown)}; `ikirere show summary` lists its cities"
                )

    def _columns(self, connection: Connection, table: str) -> tuple[tuple[Column, ...], tuple[str, ...]]:
        """Return the columns of a table and those of its primary key. Raises UserError if it is not there."""
        meanings = dictionary.tables()[table].columns
        with connection.cursor() as cursor:
            cursor.execute(_COLUMNS, (table,))
            rows = cursor.fetchall()
        if not rows:
            raise UserError(f"export: the warehouse has no table {table}; `ikirere up` migrates it")
        if unknown := [name for name, *_ in rows if name not in meanings]:
            raise UserError(
                f"export: table {table} has a column {excerpt(unknown[0])} that this version does not know; use the "
                "version that migrated the warehouse"
            )
        columns = tuple(Column(name, kind, required, meanings[name]) for name, kind, required, _ in rows)
        places = sorted((place, name) for name, _, _, place in rows if place is not None)
        return columns, tuple(name for _, name in places)

    def _conditions(self, names: set[str]) -> tuple[tuple[sql.Composable, ...], dict[str, Any]]:
        conditions: list[sql.Composable] = []
        parameters: dict[str, Any] = {}
        day = next((name for name in _DAYS if name in names), None)
        if day:
            column = sql.SQL("source.{}").format(sql.Identifier(day))
            if self.start:
                conditions.append(sql.SQL("{} >= date %(start)s").format(column))
                parameters["start"] = self.start
            if self.end:
                conditions.append(sql.SQL("{} < date %(end)s + 1").format(column))
                parameters["end"] = self.end
        if self.cities is not None and _CITY in names:
            conditions.append(sql.SQL("source.city_id = ANY (%(cities)s)"))
            parameters["cities"] = list(self.cities)
        return tuple(conditions), parameters

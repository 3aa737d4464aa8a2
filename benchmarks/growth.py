"""Growth: what a daily batch costs in warehouses of very different size.

The pipeline loads 100 cities and a year; SQL copies these rows within the database to earlier years and more cities,
whatever columns they have, so that 44 million rows take minutes. Each round then loads the next day's batch into every
warehouse: four days of 100 cities, two of which the warehouse has.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from typing import Any

import psycopg2

from benchmarks import contest
from benchmarks.setup.services import Services, archive, execute
from benchmarks.setup.workload import SIZES, workload

# Years and copies of the 100 cities: 876,000 rows, 4.4 million, 44 million.
WAREHOUSES = {"876,000": (1, 1), "4.4 million": (5, 1), "44 million": (5, 10)}
MAX_ROUNDS = 11
_BATCH_DAYS, _NEW_DAYS = 4, 2
# The columns by which a row belongs to a year.
_TIMES = {
    "observed_at": "interval '1 day'",
    "first_hour": "interval '1 day'",
    "last_hour": "interval '1 day'",
    "date": "1",
}


def growth(services: Services, names: Sequence[str], rounds: int, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Return the seconds of each step of a daily batch, for each warehouse and round."""
    size = SIZES["growth"]
    made, rows = workload(size), []
    with ExitStack() as stack:
        archive_url = stack.enter_context(archive(size))
        package = stack.enter_context(contest.functions_copy(services, made))
        databases = {name: stack.enter_context(services.database(f"bench_{n}")) for n, name in enumerate(names)}
        for name, url in databases.items():
            say(f"growth: filling a warehouse of {name} rows ...")
            contest.load(services, package, url, archive_url, "year", (size.day(0), size.day(364)))
            multiply(url, *WAREHOUSES[name])
        # the first round is not counted: it reads everything for the first time
        for number in range(-1, rounds):
            end = 365 + _NEW_DAYS * (number + 2)
            window = made.size.day(end - _BATCH_DAYS), made.size.day(end - 1)
            for name, url in databases.items():
                run = contest.load(services, package, url, archive_url, f"day{number + 1}", window)
                if number >= 0:
                    rows.append({"warehouse": name, "round": number, **run})
                    say(f"growth: round {number + 1} of {rounds}: {name}: load {run['seconds']['load']:.2f} s")
    return rows


def multiply(url: str, years: int, copies: int) -> None:
    """Copy the rows of every table that has a city to earlier years, then all of them to further cities."""
    tables = _tables(url)
    # no foreign key is checked: each copy has its city
    statements = ["SET session_replication_role = replica", "SET synchronous_commit = off"]
    for table, columns in tables.items():
        if shifted := [column for column in columns if column in _TIMES]:
            earlier = {column: f"{column} - 365 * year * {_TIMES[column]}" for column in shifted}
            copy = _copy(table, columns, earlier, f"generate_series(1, {years - 1}) AS year")
            # west of Greenwich the first local day of a year is the last one of the year before
            statements.append(f"{copy} ON CONFLICT DO NOTHING")
    for table, columns in tables.items():
        other = {"city_id": "city_id || '-' || copy"}
        statements.append(_copy(table, columns, other, f"generate_series(1, {copies - 1}) AS copy"))
    execute(url, *statements, "VACUUM ANALYZE", "CHECKPOINT")


def _copy(table: str, columns: Sequence[str], changes: dict[str, str], numbers: str) -> str:
    values = ", ".join(changes.get(column, f'"{column}"') for column in columns)
    names = ", ".join(f'"{column}"' for column in columns)
    return f'INSERT INTO "{table}" ({names}) SELECT {values} FROM {numbers}, "{table}"'


def _tables(url: str) -> dict[str, list[str]]:
    """Return each table that has a city, with its columns; a partitioned table without its partitions."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname, array_agg(attname::text ORDER BY attnum) "
            "FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid "
            "WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = 'public'::regnamespace "
            "AND attnum > 0 AND NOT attisdropped AND attgenerated = '' "
            "GROUP BY relname HAVING 'city_id' = ANY (array_agg(attname::text))"
        )
        return dict(cursor.fetchall())

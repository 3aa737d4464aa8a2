"""Readers that poll the mart while loads write it."""

import random
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg2
from faults.histories import History, Run, Weather
from faults.services.laboratory import OBSERVER, Laboratory
from faults.trial import Trial

# Each table as a reader sees it in one query: its rows as one text, and their number.
_QUERIES = {
    table: f"SELECT md5(coalesce(string_agg(row::text, '|' ORDER BY row::text), '')), count(*) FROM {table} AS row"
    for table in (
        "mart_daily_city_weather",
        "mart_weekly_city_weather",
        "mart_monthly_city_weather",
        "mart_city_weather_summary",
    )
}
_READERS = 3
_NULLS = ("none", "none", "some", "tail", "temperature")
View = tuple[str, int]


def check_readers(laboratory: Laboratory, loads: int, seed: int = 1) -> int:
    """Load ``loads`` random runs while readers poll; the number of their queries.

    Raises AssertionError if one saw anything but the tables of before or after a load, an earlier state after a later
    one, or fewer city-days than before. The tables of each load are compared with the oracle.
    """
    chance = random.Random(seed)
    runs = tuple(
        Run(
            source=chance.choice(["forecast", "forecast", "archive"]),
            first_day=chance.randint(-6, 6),
            days=chance.randint(1, 5),
            hour=chance.randint(0, 96),
            weather=Weather(chance.randint(0, 9), chance.choice(_NULLS)),
        )
        for _ in range(loads)
    )
    states: dict[str, list[View]] = {table: [] for table in _QUERIES}

    def after_load() -> None:
        for table, query in _QUERIES.items():
            (row,) = laboratory.rows(query)
            states[table].append(tuple(row.values()))  # type: ignore[arg-type]

    trial = Trial(laboratory, History(0, runs), after_step=after_load)
    after_load()
    with _polling(laboratory) as views:
        trial.run()
    for seen in views:
        for table, viewed in seen.items():
            _require_in_order(table, viewed, states[table])
            counts = [count for _, count in viewed]
            assert counts == sorted(counts), f"{table}: a reader saw fewer rows than before: {counts}"
    return sum(len(viewed) for seen in views for viewed in seen.values())


def _require_in_order(table: str, viewed: list[View], states: list[View]) -> None:
    """Raise AssertionError unless the views are states in their order; two loads can leave equal tables."""
    place = 0
    for view in viewed:
        assert view in states[place:], f"{table}: a reader saw what no load made, or an earlier state after a later one"
        place = states.index(view, place)


@contextmanager
def _polling(laboratory: Laboratory) -> Iterator[list[dict[str, list[View]]]]:
    """Readers for as long as the context lasts, and what each saw of each table, in order."""
    views: list[dict[str, list[View]]] = [{table: [] for table in _QUERIES} for _ in range(_READERS)]
    is_over = threading.Event()
    errors: list[Exception] = []

    def read(seen: dict[str, list[View]]) -> None:
        try:
            with closing(psycopg2.connect(laboratory.database_url(), application_name=OBSERVER)) as connection:
                connection.autocommit = True
                cursor: Any = connection.cursor()
                while not is_over.is_set():
                    for table, query in _QUERIES.items():
                        cursor.execute(query)
                        seen[table].append(cursor.fetchone())
                    is_over.wait(0.02)
        except psycopg2.Error as error:
            errors.append(error)

    readers = [threading.Thread(target=read, args=(seen,)) for seen in views]
    for reader in readers:
        reader.start()
    try:
        yield views
    finally:
        is_over.set()
        for reader in readers:
            reader.join()
    assert not errors, errors

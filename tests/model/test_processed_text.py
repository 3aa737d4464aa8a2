"""The CSV text of accepted hours, as Postgres reads it: the same hours, and the same decimal numbers."""

import io
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import numpy as np
import psycopg2
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from functions.core.contracts import PROCESSED_COLUMNS
from functions.core.variables import VARIABLES
from functions.core.wmo import CONDITIONS
from functions.model.database import execute_file
from functions.model.migrations import migrate
from functions.transform.hours import Hours
from functions.transform.text import csv_lines

CODE = list(VARIABLES).index("weather_code")
START = date(2024, 2, 28)
CITIES = ("kigali", "a.b_c-d", "huye")
# Values as Open-Meteo sends them, sums of such values, and any other double that JSON can have.
NUMBERS = st.one_of(
    st.just(np.nan),
    st.integers(-950, 5000).map(lambda tenths: tenths / 10),
    st.integers(-(10**7), 10**7).map(lambda parts: parts / 10**4),
    st.sampled_from([-0.0, 0.0, 1e-7, 0.1 + 0.2, 1e22, 123456789.123456789, 5e-324, 1e300]),
    st.floats(-1e300, 1e300),
)


@st.composite
def some_hours(draw):
    places = sorted(
        draw(st.sets(st.tuples(st.integers(0, len(CITIES) - 1), st.integers(0, 71)), min_size=1, max_size=20))
    )
    size = {"min_size": len(places), "max_size": len(places)}
    values = np.array([draw(st.lists(NUMBERS, **size)) for _ in VARIABLES])
    values[CODE] = draw(st.lists(st.sampled_from([np.nan, *map(float, CONDITIONS)]), **size))
    city, hour = np.array(places, dtype=np.intp).T
    return Hours(city, hour, values)


@pytest.fixture(scope="module")
def connection(new_database):
    url = new_database()
    migrate({"dsn": url})
    with closing(psycopg2.connect(url)) as opened:
        yield opened


def stored(connection, text):
    """The rows that a load copies from a processed object."""
    try:
        with connection.cursor() as cursor:
            execute_file(cursor, "01_working_tables")
            columns = ", ".join(PROCESSED_COLUMNS)
            cursor.copy_expert(
                f"COPY incoming ({columns}) FROM STDIN WITH (FORMAT csv, HEADER MATCH)", io.BytesIO(text)
            )
            cursor.execute(f"SELECT {columns} FROM incoming")
            return cursor.fetchall()
    finally:
        connection.rollback()


def expected(hours):
    midnight = datetime(START.year, START.month, START.day, tzinfo=UTC)
    rows = []
    for city, hour, *values in zip(hours.city.tolist(), hours.hour.tolist(), *hours.values.tolist(), strict=True):
        numbers = [None if np.isnan(value) else Decimal(repr(value)) for value in values]
        code = numbers[CODE]
        numbers.insert(CODE + 1, None if code is None else CONDITIONS[int(code)])
        rows.append((CITIES[city], midnight + timedelta(hours=hour), *numbers))
    return rows


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(some_hours())
@example(
    Hours(np.array([0, 0]), np.array([0, 1]), np.array([[-0.0, np.nan]] * 2 + [[0.0, 3.0]] + [[1e-7, 0.1 + 0.2]] * 3))
)
def test_hours_are_the_same_after_their_csv_text_was_copied_into_the_warehouse(connection, hours):
    assert stored(connection, b"".join(csv_lines(hours, CITIES, START))) == expected(hours)

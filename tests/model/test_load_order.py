"""Any responses in any order: the tables against the oracle of the fault runs."""

import dataclasses
import random
from contextlib import closing
from decimal import Decimal

import psycopg2
from faults.oracle import rules as oracle
from faults.oracle.comparison import check_tables
from faults.oracle.rules import Place
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loads import CITIES, CONDITIONS, MEASURES, Hour, Response, at, load_responses, rows_of
from pipeline import CLEAR
from psycopg2.extras import RealDictCursor

PLACES = {
    city.city_id: Place(city.city_id, city.city, city.timezone, city.population, city.area_km2)
    for city in CITIES.values()
}
VALUES = st.one_of(st.none(), st.integers(-5, 5))


def clear(warehouse) -> None:
    rows_of(warehouse, CLEAR)


def table(warehouse, sql):
    with closing(psycopg2.connect(warehouse, options="-c timezone=UTC", cursor_factory=RealDictCursor)) as connection:
        cursor = connection.cursor()
        cursor.execute(sql)
        return [dict(row) for row in cursor]


@st.composite
def some_loads(draw):
    hours = st.builds(
        Hour,
        city_id=st.sampled_from(["kigali", "huye"]),
        # across local midnights (22:00 UTC) of three days
        observed_at=st.one_of(st.integers(18, 28), st.integers(44, 48)).map(at),
        **{
            **dict.fromkeys(MEASURES, VALUES),
            "humidity": st.one_of(st.none(), st.integers(0, 3)),
            "weather_code": st.one_of(st.none(), st.sampled_from(sorted(CONDITIONS))),
            "precipitation_mm": st.one_of(st.none(), st.integers(0, 2)),
        },
    )
    responses = []
    for n in range(draw(st.integers(1, 5))):
        chosen = draw(st.lists(hours, min_size=1, max_size=12, unique_by=lambda hour: (hour.city_id, hour.observed_at)))
        source = draw(st.sampled_from(["forecast", "archive"]))
        responses.append(Response(f"run-{n}", at(draw(st.integers(16, 30))), tuple(chosen), source))
    return responses


def as_stored(response):
    """The response as the oracle has it."""
    hours = {
        (hour.city_id, hour.observed_at): {
            measure: None if getattr(hour, measure) is None else Decimal(getattr(hour, measure)) for measure in MEASURES
        }
        for hour in response.hours
    }
    cities = tuple(dict.fromkeys(hour.city_id for hour in response.hours))
    return oracle.Response(
        response.raw_key, response.run_id, response.source, response.fetched_at, 200, cities, hours, 0, 0, None
    )


def thinned(response, chance):
    """The same response without some hours and some values."""
    hours = [
        dataclasses.replace(hour, **{measure: None for measure in MEASURES if chance.random() < 0.4})
        for hour in response.hours
        if chance.random() < 0.8
    ]
    return dataclasses.replace(response, hours=tuple(hours or response.hours))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(responses=some_loads(), seed=st.integers(0, 99))
def test_staging_and_marts_depend_on_the_loaded_responses_and_not_on_the_order_of_loads(warehouse, responses, seed):
    """Every table is the oracle's, in any order of loads, and loading again changes none."""
    stored = [as_stored(each) for each in responses]
    staging, forecasts = oracle.staging(stored), dict.fromkeys(PLACES, stored)
    clear(warehouse)
    for each in responses:
        load_responses(warehouse, each)
    check_tables(lambda sql: table(warehouse, sql), staging, PLACES, forecasts)

    # some are loaded twice, once with fewer values: a replay after a fix of the transformation
    chance = random.Random(seed)
    again = [*responses, *(thinned(each, chance) for each in chance.choices(responses, k=3))]
    chance.shuffle(again)
    clear(warehouse)
    for each in again:
        load_responses(warehouse, each)
    check_tables(lambda sql: table(warehouse, sql), staging, PLACES, forecasts)

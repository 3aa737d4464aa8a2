"""The gaps of the mart: local days that are missing, incomplete or forecast, as windows of UTC days."""

from contextlib import closing
from datetime import date, timedelta
from itertools import pairwise

import psycopg2
import pytest

from functions.core.cities import City, load_cities
from functions.model.migrations import migrate
from operations.gaps import find

KIGALI = load_cities()["kigali"]
TORONTO = City("toronto", "Toronto", "Canada", 43.7, -79.4, "America/Toronto", None, None)
MARCH = (date(2024, 3, 1), date(2024, 3, 10))


@pytest.fixture
def mart(database_url):
    """A function that stores complete city-days of the mart, and then changes some."""
    migrate({"dsn": database_url})

    def store(city, first, last, **changed):
        with closing(psycopg2.connect(database_url)) as connection, connection, connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO dim_city (city_id, city, country, latitude, longitude, timezone) "
                "VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
                (city.city_id, city.city, city.country, city.latitude, city.longitude, city.timezone),
            )
            cursor.execute(
                "INSERT INTO mart_daily_city_weather "
                "(city_id, city, date, hours_observed, hours_expected, hours_forecast, hours_humidity, "
                "hours_archive, hours_heat_caution, hours_heat_extreme_caution, hours_heat_danger, "
                "hours_heat_extreme_danger, run_id) SELECT %s, %s, day, 24, 24, 0, 24, 24, 0, 0, 0, 0, 'r' "
                "FROM generate_series(%s::date, %s::date, interval '1 day') AS day",
                (city.city_id, city.city, first, last),
            )
            for day, column in changed.items():
                cursor.execute(
                    f"UPDATE mart_daily_city_weather SET {column[0]} = %s WHERE city_id = %s AND date = %s",
                    (column[1], city.city_id, day),
                )

    store.url = database_url
    return store


def march(first, last):
    return date(2024, 3, first), date(2024, 3, last)


def test_an_empty_mart_lacks_the_whole_window(mart):
    assert find(mart.url, [KIGALI, TORONTO], MARCH) == {MARCH: ["kigali", "toronto"]}
    assert find(mart.url, [KIGALI], march(1, 1)) == {march(1, 1): ["kigali"]}


def test_a_complete_mart_lacks_nothing(mart):
    mart(KIGALI, "2024-03-01", "2024-03-11")
    assert find(mart.url, [KIGALI], MARCH) == {}


def test_a_local_day_that_begins_or_ends_outside_the_window_needs_only_the_hours_inside(mart):
    """Kigali's first of March begins on 29 February at 22:00 UTC, its eleventh has two hours of the tenth."""
    day = {"2024-03-01": ("hours_observed", 22), "2024-03-11": ("hours_observed", 2)}
    mart(KIGALI, "2024-03-01", "2024-03-11", **day)
    assert find(mart.url, [KIGALI], MARCH) == {}


@pytest.mark.parametrize("change", [("hours_observed", 23), ("hours_forecast", 1)])
@pytest.mark.parametrize(("city", "days"), [(KIGALI, (4, 5)), (TORONTO, (5, 6))])
def test_an_incomplete_or_forecast_day_is_requested_with_the_utc_days_that_it_lies_in(mart, change, city, days):
    mart(city, "2024-02-28", "2024-03-11", **{"2024-03-05": change})
    assert find(mart.url, [city], MARCH) == {march(*days): [city.city_id]}


def test_gaps_of_several_cities_in_the_same_days_are_one_window(mart):
    huye = load_cities()["huye"]
    for city in (KIGALI, huye):
        mart(city, "2024-03-01", "2024-03-04")
        mart(city, "2024-03-08", "2024-03-11")
    mart(TORONTO, "2024-02-28", "2024-03-11")
    assert find(mart.url, [KIGALI, huye, TORONTO], MARCH) == {march(4, 7): ["huye", "kigali"]}


def test_the_day_of_a_clock_change_needs_its_own_number_of_hours(mart):
    """In Toronto 10 March 2024 has 23 hours."""
    mart(TORONTO, "2024-03-01", "2024-03-14", **{"2024-03-10": ("hours_observed", 23)})
    assert find(mart.url, [TORONTO], (date(2024, 3, 3), date(2024, 3, 13))) == {}


def test_the_windows_of_a_city_never_overlap(mart):
    odd = {str(date(2024, 3, 1) + timedelta(days=n)): ("hours_observed", 1) for n in range(0, 11, 2)}
    for city in (KIGALI, TORONTO):
        mart(city, "2024-02-28", "2024-03-12", **odd)
        windows = sorted(find(mart.url, [city], MARCH))
        assert all(before[1] < after[0] for before, after in pairwise(windows))

"""The marts: local days, dominant condition, summary, and what a change of the city list does to them."""

import dataclasses
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from loads import CITIES, Hour, Response, at, load_responses, response, rows_of


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Africa/Kigali", "2026-03-08", 24),
        ("Africa/Cairo", "2026-04-24", 23),  # the clock skips midnight itself
        ("Africa/Cairo", "2026-10-29", 25),
        ("America/Havana", "2026-11-01", 25),  # midnight happens twice
        ("America/Toronto", "2026-03-08", 23),
        ("Asia/Kathmandu", "2026-03-08", 24),  # 5:45 from UTC
        ("Pacific/Kiritimati", "2026-03-08", 24),  # 14 hours ahead
        ("Pacific/Pago_Pago", "2026-03-08", 24),  # 11 hours behind
        ("Etc/GMT+12", "2026-03-08", 24),  # the last to end a day
        ("Pacific/Kwajalein", "1993-08-20", 24),  # 12 hours behind, on its last day before the date line moved
        ("Pacific/Apia", "2012-01-08", 24),  # 14 hours ahead with daylight saving time
    ],
)
def test_a_local_day_has_as_many_hours_as_its_time_zone_gives_it(warehouse, zone, day, hours):
    cities = {"there": dataclasses.replace(CITIES["kigali"], city_id="there", timezone=zone)}
    noon = datetime.fromisoformat(day).replace(hour=12, tzinfo=ZoneInfo(zone))
    around = (noon.astimezone(UTC).replace(minute=0) + timedelta(hours=n) for n in range(-40, 40))
    inside = [hour for hour in around if hour.astimezone(ZoneInfo(zone)).date().isoformat() == day]
    observed = Response("a", at(0), tuple(Hour("there", hour, temperature_c=1) for hour in inside), "archive")
    load_responses(warehouse, observed, cities=cities)
    assert rows_of(warehouse, "SELECT date::text, hours_observed, hours_expected FROM mart_daily_city_weather") == [
        (day, hours, hours)
    ]


@pytest.mark.parametrize(
    ("zone", "day"),
    [
        ("America/Goose_Bay", "1988-10-30"),  # the clock goes back across midnight: the hours of two days alternate
        ("Antarctica/Casey", "2010-03-05"),
        ("Pacific/Apia", "2011-12-30"),  # the calendar skips this day
    ],
)
def test_each_hour_belongs_to_the_day_of_its_local_date_however_the_clock_changes(warehouse, zone, day):
    cities = {"there": dataclasses.replace(CITIES["kigali"], city_id="there", timezone=zone)}
    midnight = datetime.fromisoformat(day).replace(tzinfo=UTC)
    hours = [midnight + timedelta(hours=n) for n in range(-60, 60)]
    load_responses(
        warehouse,
        Response("a", at(0), tuple(Hour("there", hour, temperature_c=1) for hour in hours), "archive"),
        cities=cities,
    )
    dates = Counter(hour.astimezone(ZoneInfo(zone)).date().isoformat() for hour in hours)
    rows = rows_of(
        warehouse, "SELECT date::text, hours_observed, hours_expected FROM mart_daily_city_weather ORDER BY date"
    )
    assert [row[:2] for row in rows] == sorted(dates.items())
    # all hours of the days within the window are loaded
    assert all(observed == expected for _, observed, expected in rows[1:-1])


def test_of_equally_frequent_conditions_the_most_severe_is_dominant(warehouse):
    codes = [0, 0, 3, 3, 61, 61, 95]
    hours = tuple(Hour("kigali", at(n), weather_code=code) for n, code in enumerate(codes))
    load_responses(warehouse, Response("a", at(100), hours))
    assert rows_of(warehouse, "SELECT dominant_condition FROM mart_daily_city_weather") == [("Slight rain",)]


def test_the_summary_averages_over_hours_and_not_over_days(warehouse):
    hours = tuple(Hour("kigali", at(n), temperature_c=n, humidity=50 if n < 20 else 90) for n in range(18, 24))
    load_responses(warehouse, Response("a", at(100), hours))
    assert rows_of(
        warehouse,
        "SELECT total_days_recorded, highest_temperature_c, highest_temperature_date::text, lowest_temperature_c, "
        "lowest_temperature_date::text, round(average_humidity, 6), first_day::text, last_day::text "
        "FROM mart_city_weather_summary",
    ) == [(2, 23, "2026-03-02", 18, "2026-03-01", Decimal("76.666667"), "2026-03-01", "2026-03-02")]


EXTREMES = (
    "SELECT highest_temperature_c::int, highest_temperature_date::text, lowest_temperature_c::int, "
    "lowest_temperature_date::text FROM mart_city_weather_summary"
)


def day(run_id, number, *temperatures):
    """A response with these temperatures in the hours from noon of a local day of Kigali."""
    hours = [Hour("kigali", at(24 * number + 10 + n), temperature_c=value) for n, value in enumerate(temperatures)]
    return Response(run_id, at(1000), tuple(hours))


def days(run_id, **temperatures):
    """A response with the temperatures of several days: ``d3`` is the third of March."""
    return Response(
        run_id,
        at(1000),
        tuple(hour for name, its in temperatures.items() for hour in day("", int(name[1:]) - 1, *its).hours),
    )


@pytest.mark.parametrize(
    "loads",
    [
        # all days of a new city at once
        [days("a", d2=[9, 1], d3=[5], d4=[9, 1], d5=[9, 1])],
        # days with new extremes into a summary that has others
        [days("a", d1=[5]), days("b", d2=[9, 1], d4=[9, 1])],
        # a later day that equals the extremes of the summary
        [days("a", d2=[9, 1]), days("b", d4=[9, 1])],
        # an earlier one
        [days("a", d4=[9, 1]), days("b", d2=[9, 1])],
        # the day of the extremes changes, so that all days are read
        [
            days("a", d1=[20, -20], d2=[9, 1], d3=[9, 1], d4=[9, 1]),
            dataclasses.replace(days("b", d1=[5, 5]), fetched_at=at(1001)),
        ],
    ],
    ids=["new city", "new extremes", "later", "earlier", "changed"],
)
def test_of_several_days_with_the_same_extreme_the_summary_names_the_first(warehouse, loads):
    for each in loads:
        load_responses(warehouse, each)
    assert rows_of(warehouse, EXTREMES) == [(9, "2026-03-02", 1, "2026-03-02")]


def test_a_changed_city_has_all_its_days_recomputed_in_its_new_time_zone(warehouse):
    load_responses(warehouse, response("a", 100, [1] * 24))
    moved = CITIES | {"kigali": dataclasses.replace(CITIES["kigali"], timezone="Asia/Tokyo", population=5)}
    load_responses(warehouse, response("b", 101, [1], city="huye"), cities=moved)
    assert rows_of(
        warehouse,
        "SELECT date::text, hours_observed, population FROM mart_daily_city_weather "
        "WHERE city_id = 'kigali' ORDER BY date",
    ) == [("2026-03-01", 15, 5), ("2026-03-02", 9, 5)]
    assert rows_of(warehouse, "SELECT last_day::text FROM mart_city_weather_summary WHERE city_id = 'kigali'") == [
        ("2026-03-02",)
    ]


def test_a_city_removed_from_the_list_keeps_its_days_and_is_marked_inactive(warehouse):
    load_responses(warehouse, response("a", 100, [1], city="huye"))
    shorter = {city_id: city for city_id, city in CITIES.items() if city_id != "huye"}
    load_responses(warehouse, response("b", 101, [2]), cities=shorter)
    assert rows_of(warehouse, "SELECT active FROM dim_city WHERE city_id = 'huye'") == [(False,)]
    assert rows_of(warehouse, "SELECT count(*) FROM mart_daily_city_weather WHERE city_id = 'huye'") == [(1,)]

"""The rules of a day, in SQL and in Python, for any time zone and clock change, against zoneinfo and plain counting."""

import json
from collections import Counter
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from zoneinfo import ZoneInfo

import numpy as np
import psycopg2
import pytest
from faults.oracle.rules import heat_index
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from psycopg2.extras import execute_values

from functions.core.cities import _timezones
from functions.core.variables import VARIABLES
from functions.core.wmo import CONDITIONS
from functions.model.database import execute_file
from functions.model.migrations import migrate
from operations.lineage import days, heat

ZONES = sorted(_timezones())
HOUR = timedelta(hours=1)
FIRST, LAST = datetime(1950, 1, 1, tzinfo=UTC), datetime(2037, 12, 31, tzinfo=UTC)
# The hours around a clock change: two local days before it and two after it, wherever they begin.
AROUND = range(-60, 60)


@pytest.fixture(scope="module")
def connection(new_database):
    url = new_database()
    migrate({"dsn": url})
    with closing(psycopg2.connect(url)) as opened:
        yield opened


@cache
def clock_changes(zone):
    """The first whole hour (UTC) after each change of the zone's clock."""
    place, found = ZoneInfo(zone), []
    step = timedelta(days=7)
    moment, offset = FIRST, FIRST.astimezone(place).utcoffset()
    while moment < LAST:
        later = (moment + step).astimezone(place).utcoffset()
        if later != offset:
            before, after = 0, 7 * 24
            while after - before > 1:
                middle = (before + after) // 2
                if (moment + middle * HOUR).astimezone(place).utcoffset() == offset:
                    before = middle
                else:
                    after = middle
            found.append(moment + after * HOUR)
        moment, offset = moment + step, later
    return found


@st.composite
def zones_and_moments(draw):
    """A zone, and one of its clock changes or any hour."""
    zone = draw(st.sampled_from(ZONES))
    hours = int((LAST - FIRST) / HOUR)
    any_hour = st.integers(0, hours).map(lambda hour: FIRST + hour * HOUR)
    changes = clock_changes(zone)
    return zone, draw(st.sampled_from(changes) if changes else any_hour)


def local_date(moment, zone):
    return moment.astimezone(ZoneInfo(zone)).date()


def since_1970(moment):
    return int(moment.timestamp()) // 3600


def in_postgres(connection, rows):
    """The local time of each zone and moment by the server's time zone data."""
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT moment AT TIME ZONE zone FROM unnest(%s::text[], %s::timestamptz[]) WITH ORDINALITY "
            "AS known (zone, moment, n) ORDER BY n",
            tuple(map(list, zip(*rows, strict=True))),
        )
        return [local for (local,) in cursor]


def local_time(moment, zone):
    return moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None)


def test_postgres_has_every_zone_that_a_city_may_have_and_its_clock_changes(connection):
    """But for few: the time zone data of server and Python may be of different releases."""
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT array_agg(name) FROM pg_timezone_names")
        assert set(ZONES) <= set(cursor.fetchone()[0])
    changes = [(zone, change) for zone in ZONES for change in clock_changes(zone) if change.year >= 1970]
    rows = [(zone, moment) for zone, change in changes for moment in (change - HOUR, change)]
    assert len(rows) > 30_000
    local = [local_time(moment, zone) for zone, moment in rows]
    others = sum(found != known for found, known in zip(in_postgres(connection, rows), local, strict=True))
    assert others < len(rows) / 100


@given(zones_and_moments())
@example(("America/Goose_Bay", datetime(1988, 10, 30, 3, tzinfo=UTC)))
@example(("Antarctica/Casey", datetime(2010, 3, 4, 15, tzinfo=UTC)))
@example(("Pacific/Apia", datetime(2011, 12, 30, 10, tzinfo=UTC)))
def test_the_days_of_a_trace_are_the_local_dates_of_their_hours(place):
    zone, moment = place
    dates = [local_date(moment + n * HOUR, zone) for n in AROUND]
    found = days.local_days(zone, since_1970(moment) + AROUND[0], len(AROUND))
    assert [days.day_of(int(number)) for number in found] == dates
    counts = Counter(dates)
    for day in (local_date(moment - HOUR, zone), local_date(moment, zone)):
        assert days.hours_expected(zone, day) == counts[day]


def recomputed(connection, zone, codes):
    """The days that the SQL of a load makes of these hours with a weather code, each an hour with a temperature."""
    dates = {local_date(moment, zone) for moment in codes}
    rows = [
        ("there", moment, 1, code, None if code is None else CONDITIONS[code], "archive", moment, "r", "k")
        for moment, code in codes.items()
    ]
    try:
        with connection.cursor() as cursor:
            execute_file(cursor, "01_working_tables")
            cursor.execute(
                "INSERT INTO dim_city (city_id, city, country, latitude, longitude, timezone) "
                "VALUES ('there', 'There', 'Test', 0, 0, %s)",
                (zone,),
            )
            execute_values(
                cursor,
                "INSERT INTO staging_weather (city_id, observed_at, temperature_c, weather_code, condition, source, "
                "fetched_at, run_id, raw_key) VALUES %s",
                rows,
                page_size=200,
            )
            cursor.execute("INSERT INTO affected VALUES ('there', daterange(%s, %s, '[]'))", (min(dates), max(dates)))
            execute_file(cursor, "05_days", {"conditions": json.dumps(CONDITIONS)})
            cursor.execute(
                "SELECT date, hours_observed, hours_expected, dominant_condition FROM recomputed_day ORDER BY date"
            )
            return cursor.fetchall()
    finally:
        connection.rollback()


def dominant(codes):
    """The most frequent of some codes; of equally frequent ones the greatest."""
    counts = Counter(code for code in codes if code is not None)
    code = max(counts, key=lambda code: (counts[code], code), default=None)
    return None if code is None else CONDITIONS[code]


def computed(zone, codes):
    """The same days by the second computation, which verify and trace use."""
    first = since_1970(min(codes))
    values = np.full((len(VARIABLES), len(codes)), np.nan)
    values[list(VARIABLES).index("temperature_2m")] = 1
    values[list(VARIABLES).index("weather_code")] = [np.nan if code is None else code for code in codes.values()]
    city = {"city": "There", "timezone": zone, "population": None, "area_km2": None}
    rows = days.daily_rows(city, values, np.ones(len(codes), bool), *np.zeros((2, len(codes)), bool), first)
    return [
        (day, row["hours_observed"], row["hours_expected"], row["dominant_condition"])
        for day, row in sorted(rows.items())
    ]


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    place=zones_and_moments(),
    # few codes, so that most days have two that are equally frequent
    codes=st.lists(st.sampled_from([None, 0, 3, 61, 95]), min_size=1, max_size=12),
)
@example(("America/Goose_Bay", datetime(1988, 10, 30, 3, tzinfo=UTC)), [0, 3])
@example(("Antarctica/Casey", datetime(2010, 3, 4, 15, tzinfo=UTC)), [0, 3])
@example(("Pacific/Apia", datetime(2011, 12, 30, 10, tzinfo=UTC)), [None])
@example(("Etc/GMT+12", datetime(2026, 1, 1, tzinfo=UTC)), [3, 0])
@example(("Pacific/Kiritimati", datetime(2026, 1, 1, tzinfo=UTC)), [3, 0])
def test_a_day_has_the_hours_of_its_local_date_and_their_most_frequent_condition(connection, place, codes):
    zone, moment = place
    wider = [moment + n * HOUR for n in range(AROUND[0] - 48, AROUND[-1] + 48)]
    # by the same clock: a release of the time zone data may have another one
    assume(in_postgres(connection, [(zone, each) for each in wider]) == [local_time(each, zone) for each in wider])
    hours = {moment + n * HOUR: codes[n % len(codes)] for n in AROUND}
    by_date: dict[date, list[int | None]] = {}
    for each, code in hours.items():
        by_date.setdefault(local_date(each, zone), []).append(code)
    whole = Counter(local_date(each, zone) for each in wider)
    expected = [(day, len(inside), whole[day], dominant(inside)) for day, inside in sorted(by_date.items())]
    assert recomputed(connection, zone, hours) == expected
    assert computed(zone, hours) == expected


def test_the_heat_index_of_each_possible_hour_is_the_same_in_sql_and_in_python(connection):
    """Its value, its rounding, and the thresholds that it reaches: all pairs of 0.1 °C and whole percent."""
    thresholds = ", ".join(f"heat_index_f >= {threshold}" for threshold in heat.THRESHOLDS_F)
    with connection, connection.cursor() as cursor:
        cursor.execute(
            f"SELECT t / 10.0, h, heat_index_f, round((heat_index_f - 32) / 1.8, 1), {thresholds} "
            "FROM generate_series(-950, 650) AS t CROSS JOIN generate_series(0, 100) AS h "
            "CROSS JOIN LATERAL heat_index_f(t / 10.0, h) AS heat_index_f"
        )
        rows = cursor.fetchall()
    temperature, humidity, index, celsius, *reached = zip(*rows, strict=True)
    computed = heat.heat_index_f(np.array(temperature, dtype=float), np.array(humidity, dtype=float))
    assert np.abs(computed - np.array(index, dtype=float)).max() < 1e-8
    assert [Decimal(repr(value)) for value in heat.tenths_of_celsius(computed).tolist()] == list(celsius)
    assert [flags.tolist() for flags in heat.at_least(computed)] == [list(flags) for flags in reached]
    # the oracle of the fault runs is slower: some of them
    for t, h, found, *_ in rows[::13]:
        assert abs(heat_index(t, Decimal(h)) - found) < Decimal("1e-15")


@given(
    values=st.dictionaries(st.integers(0, 260), st.one_of(st.none(), st.decimals(0, 99, places=2)), max_size=260),
    first=st.integers(0, 260),
)
def test_rolling_rain_in_python_is_a_sum_of_so_many_days_or_null(values, first):
    rain = {days.day_of(n): value for n, value in values.items()}
    rows = {day: {"precipitation_mm": value} for day, value in rain.items() if day >= days.day_of(first)}
    days.add_rolling_rain(rows, {day: value for day, value in rain.items() if day not in rows})
    for day, row in rows.items():
        for column, length in days.ROLLING_RAIN.items():
            window = [rain.get(day - timedelta(days=n)) for n in range(length)]
            assert row[column] == (None if None in window else sum(window))

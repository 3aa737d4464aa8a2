"""Heat, the range of humidity and temperature, and rolling rain in the daily mart; migration 006."""

import dataclasses
from datetime import date, timedelta
from decimal import Decimal

import pytest
from loads import CITIES, Hour, Response, at, load_responses, response, rows_of

from functions.model import migrations
from functions.model.migrations import migrate

FIRST_DAY = date(2026, 3, 1)
RAIN = (
    "SELECT date, rain_7_days_mm, rain_30_days_mm, rain_90_days_mm FROM mart_daily_city_weather "
    "WHERE city_id = 'kigali' ORDER BY date"
)

# ------------------------------------------------------------------ heat


@pytest.mark.parametrize(
    ("celsius", "humidity", "fahrenheit"),
    [
        # up to 40 °F the temperature itself: 39.2 °F
        ("4", 90, "39.2"),
        # the simple formula: 0.5 (77 + 61 + 9 * 1.2 + 50 * 0.094); MetPy's documentation has 59.93 °F for 60 °F, 90 %
        ("25", 50, "76.75"),
        ("15.5555555556", 90, "59.93"),
        # the regression: MetPy's documentation has 121.901204 °F for 90 °F and 90 %
        ("32.2222222222", 90, "121.901204"),
        # 104 °F and 40 %, computed by hand from the published equation; the weather service's table has 119 °F
        ("40", 40, "118.877065"),
        # dry: 95 °F and 10 % less the greatest adjustment, (13 - 10) / 4 * 1
        ("35", 10, "89.449587"),
        # humid: 86 °F and 95 % plus (95 - 85) / 10 * (87 - 86) / 5 = 0.2
        ("30", 95, "108.526762"),
        # beyond 112 °F dry air changes nothing: 113 °F and 10 %
        ("45", 10, "107.819098"),
    ],
)
def test_the_heat_index_is_that_of_the_weather_service(warehouse, celsius, humidity, fahrenheit):
    ((found,),) = rows_of(warehouse, "SELECT heat_index_f(%s::numeric, %s)", [celsius, humidity])
    assert abs(found - Decimal(fahrenheit)) < Decimal("1e-4")


def test_a_day_counts_the_hours_from_each_threshold_that_have_temperature_and_humidity(warehouse):
    hours = [(26, 40), (35, 10), (30, 90), (40, 40), (40, 60), (55, None), (None, 100)]
    load_responses(
        warehouse,
        Response("a", at(100), tuple(Hour("kigali", at(n), t, humidity) for n, (t, humidity) in enumerate(hours))),
    )
    assert rows_of(
        warehouse,
        "SELECT max_heat_index_c, hours_heat_caution, hours_heat_extreme_caution, hours_heat_danger, "
        "hours_heat_extreme_danger, temperature_range_c, min_humidity, max_humidity FROM mart_daily_city_weather",
        # 104 °F and 60 %: 144.76 °F; 35 °C and 10 %: 89.4 °F
    ) == [(Decimal("62.6"), 4, 3, 3, 1, 29, 10, 100)]


def test_a_day_without_humidity_has_no_heat_index_and_no_range_of_humidity(warehouse):
    load_responses(warehouse, response("a", 100, [40, 41]))
    assert rows_of(
        warehouse,
        "SELECT max_heat_index_c, hours_heat_caution, temperature_range_c, min_humidity FROM mart_daily_city_weather",
    ) == [(None, 0, 1, None)]


def test_the_hours_of_the_archive_are_those_whose_temperature_it_gave(warehouse):
    load_responses(warehouse, response("a", 100, [20, 21, 22]))
    load_responses(warehouse, response("b", 101, [19, None], source="archive"))
    assert rows_of(warehouse, "SELECT hours_observed, hours_archive FROM mart_daily_city_weather") == [(3, 1)]


# ------------------------------------------------------------------ rolling rain


def rain(run_id, values, fetched=8000, city="kigali", source="forecast"):
    """A response with the rain of some days of March 2026 and later, by their numbers from 0, in an hour each."""
    hours = [Hour(city, at(24 * n + 10), precipitation_mm=value) for n, value in values.items()]
    return Response(run_id, at(fetched), tuple(hours), source)


def rolling(values, length):
    """The sum of each day by plain addition, None where one of the days has no rain value."""
    days = [[values.get(day - n) for n in range(length)] for day in sorted(values)]
    return [None if None in window else sum(window) for window in days]


def check_rolling(url, values):
    """Raise AssertionError unless the mart has exactly these days of Kigali and their rolling rain."""
    rows = rows_of(url, RAIN)
    assert [day for day, *_ in rows] == [FIRST_DAY + timedelta(days=n) for n in sorted(values)]
    for column, length in enumerate((7, 30, 90), 1):
        assert [row[column] for row in rows] == rolling(values, length)


def amounts(days):
    return {n: Decimal(n * 7 % 23) / 10 for n in days}


def versions(url):
    """The version of each row of the daily mart, by city and number of the day."""
    rows = rows_of(url, "SELECT city_id, date, ctid::text, xmin::text, run_id FROM mart_daily_city_weather")
    return {(city_id, (day - FIRST_DAY).days): tuple(version) for city_id, day, *version in rows}


def test_the_rain_of_7_30_and_90_days_is_exact_and_null_where_a_day_or_its_rain_is_missing(warehouse):
    values = amounts(range(230))
    del values[100]
    values[140] = None
    load_responses(warehouse, rain("a", values))
    check_rolling(warehouse, values)


def test_a_first_load_inserts_final_rows_and_updates_none(warehouse):
    load_responses(warehouse, rain("a", amounts(range(120))))
    assert rows_of(warehouse, "SELECT count(*), count(DISTINCT cmin::text) FROM mart_daily_city_weather") == [(120, 1)]


def test_days_loaded_one_by_one_in_any_order_have_the_same_sums(warehouse):
    values = amounts(range(100))
    for run_id, days in (
        ("a", range(60, 70)),
        ("b", range(20)),
        ("c", range(90, 100)),
        ("d", range(40, 60)),
        ("e", range(70, 90)),
        ("f", range(20, 40)),
    ):
        load_responses(warehouse, rain(run_id, amounts(days)))
    check_rolling(warehouse, values)


def test_a_late_correction_changes_its_day_and_the_sums_of_89_days_after_it_and_nothing_else(warehouse):
    values = amounts(range(300))
    load_responses(warehouse, rain("a", values))
    load_responses(warehouse, rain("huye", values, city="huye"))
    before = versions(warehouse)
    load_responses(warehouse, rain("b", {150: Decimal("55.5")}, fetched=8001))
    check_rolling(warehouse, values | {150: Decimal("55.5")})
    after = versions(warehouse)
    changed = {key for key in before if before[key] != after[key]}
    assert changed == {("kigali", n) for n in range(150, 240)}
    assert {after[key][2] for key in changed} == {"b"}


def test_an_unchanged_rerun_and_a_correction_of_another_measure_write_no_sum(warehouse):
    values = amounts(range(100))
    load_responses(warehouse, rain("a", values))
    before = versions(warehouse)
    load_responses(warehouse, rain("b", values, fetched=8001))
    assert versions(warehouse) == before
    warmer = Response("c", at(8002), (Hour("kigali", at(24 * 30 + 10), temperature_c=20),))
    load_responses(warehouse, warmer)
    after = versions(warehouse)
    assert {key for key in before if before[key] != after[key]} == {("kigali", 30)}


def test_two_changed_days_apart_change_the_sums_that_either_is_part_of(warehouse):
    values = amounts(range(300))
    load_responses(warehouse, rain("a", values))
    changed = {10: Decimal(9), 60: None, 250: Decimal(4)}
    load_responses(warehouse, rain("b", changed, fetched=8001, source="archive"))
    # a null never overwrites a value
    check_rolling(warehouse, values | {10: Decimal(9), 250: Decimal(4)})


def test_a_day_that_is_removed_takes_the_sums_of_later_days_with_it(warehouse):
    # one hour at 23:00 of each local day: in a zone further west it belongs to the same date, further east to the next
    hours = [Hour("kigali", at(24 * n + 21), precipitation_mm=1) for n in range(100)]
    late = Hour("kigali", at(24 * 50 + 10), precipitation_mm=5)
    load_responses(warehouse, Response("a", at(5000), (*hours[:50], late, *hours[51:])))
    assert rows_of(warehouse, RAIN)[99][1:] == (7, 30, 94)
    moved = CITIES | {"kigali": dataclasses.replace(CITIES["kigali"], timezone="Asia/Tokyo")}
    load_responses(warehouse, rain("b", {0: 1}, city="huye"), cities=moved)
    # the hours before and after noon of day 50 are of two dates now: day 50 is the last one before the gap
    values = {n + 1: 1 for n in range(100)} | {50: 6}
    del values[51]
    check_rolling(warehouse, values)


# ------------------------------------------------------------------ migration 006


def test_a_warehouse_of_the_version_before_gets_the_measures_of_its_days(warehouse, new_database, monkeypatch):
    hours = [
        Hour("kigali", at(n), 24 + n % 24, 30 + n % 70, precipitation_mm=Decimal(n % 5) / 10) for n in range(24 * 100)
    ]
    del hours[24 * 50 : 24 * 52], hours[24 * 60 + 5]
    load_responses(warehouse, Response("a", at(5000), tuple(hours)))
    load_responses(warehouse, Response("b", at(50), tuple(hours[:40]), "archive"))
    load_responses(warehouse, response("c", 100, [1, None, 3], city="huye"))

    shipped = migrations.migrations()
    older = new_database()
    monkeypatch.setattr(migrations, "migrations", lambda: shipped[:5])
    migrate({"dsn": older})
    columns = {}
    for table in ("dim_city", "staging_weather", "mart_daily_city_weather"):
        listed = rows_of(
            older,
            "SELECT column_name FROM information_schema.columns WHERE table_name = %s ORDER BY ordinal_position",
            [table],
        )
        columns[table] = ", ".join(name for (name,) in listed)
        rows = rows_of(warehouse, f"SELECT {columns[table]} FROM {table}")
        for row in rows:
            places = ", ".join(["%s"] * len(row))
            rows_of(older, f"INSERT INTO {table} ({columns[table]}) VALUES ({places})", row)
    monkeypatch.setattr(migrations, "migrations", lambda: shipped[:6])
    assert migrate({"dsn": older}) == ["006_daily_measures"]
    mart = "SELECT * FROM mart_daily_city_weather ORDER BY city_id, date"
    assert rows_of(older, mart) == rows_of(warehouse, mart)

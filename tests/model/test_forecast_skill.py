"""What was forecast for each local day, and how good it was."""

import dataclasses
import random
from contextlib import closing
from decimal import Decimal

import psycopg2
import pytest
from faults.oracle import rules as oracle
from faults.oracle.comparison import check_tables
from faults.oracle.rules import Place
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loads import CITIES, MEASURES, Hour, Response, at, load_responses, rows_of
from pipeline import CLEAR
from psycopg2.extras import RealDictCursor

DAYS = "SELECT date::text, lead_days, run_id FROM forecast_day ORDER BY date, lead_days"
VALUES = (
    "SELECT min_temperature_c, max_temperature_c, avg_temperature_c, precipitation_mm, run_id FROM forecast_day "
    "ORDER BY date, lead_days"
)
SKILL = (
    "SELECT variable, days, bias, mean_absolute_error, hits, misses, false_alarms, correct_negatives, hit_rate, "
    "false_alarm_rate FROM mart_forecast_skill ORDER BY variable, lead_days"
)


def of_days(run_id, fetched, first, last, temperature=20.0, rain=0.0, source="forecast", city="kigali"):
    """A response with every hour of some local days of Kigali (UTC+2); the days are counted from 1 March."""
    hours = range(24 * first - 2, 24 * (last + 1) - 2)
    values = {"temperature_c": temperature, "precipitation_mm": rain}
    return Response(run_id, at(fetched), tuple(Hour(city, at(n), **values) for n in hours), source)


def without(response, hour, *measures):
    """The same response without these measures in its hour of this number."""
    hours = list(response.hours)
    hours[hour] = dataclasses.replace(hours[hour], **dict.fromkeys(measures))
    return dataclasses.replace(response, hours=tuple(hours))


def test_a_response_forecasts_the_day_of_its_fetch_and_the_seven_days_after_it(warehouse):
    load_responses(warehouse, of_days("a", 24 + 5, -2, 12))
    assert rows_of(warehouse, DAYS) == [(f"2026-03-{2 + lead:02}", lead, "a") for lead in range(8)]


@pytest.mark.parametrize(("fetched", "first_day"), [(21.9, "2026-03-01"), (22, "2026-03-02")])
def test_the_day_of_a_fetch_is_the_local_one(warehouse, fetched, first_day):
    load_responses(warehouse, of_days("a", fetched, 0, 1))
    assert rows_of(warehouse, DAYS)[0] == (first_day, 0, "a")


def test_a_day_counts_if_its_last_hour_has_begun_before_the_fetch(warehouse):
    load_responses(warehouse, of_days("a", 21.5, 0, 0))
    assert rows_of(warehouse, DAYS) == [("2026-03-01", 0, "a")]


def test_a_day_of_which_an_hour_is_missing_is_not_forecast(warehouse):
    whole = of_days("a", 5, 0, 2)
    load_responses(warehouse, dataclasses.replace(whole, hours=(*whole.hours[1:30], *whole.hours[31:])))
    assert rows_of(warehouse, DAYS) == [("2026-03-03", 2, "a")]


def test_the_archive_forecasts_nothing(warehouse):
    load_responses(warehouse, of_days("a", 5, 0, 2, source="archive"))
    assert rows_of(warehouse, DAYS) == []


def test_the_latest_response_of_a_lead_wins_in_any_order(warehouse):
    earlier, later = of_days("b", 5, 0, 2, 20), of_days("a", 6, 0, 2, 21)
    yesterday = of_days("c", -5, 0, 2, 19)
    for each in later, yesterday, earlier:
        load_responses(warehouse, each)
    assert rows_of(warehouse, DAYS) == [
        ("2026-03-01", 0, "a"),
        ("2026-03-01", 1, "c"),
        ("2026-03-02", 1, "a"),
        ("2026-03-02", 2, "c"),
        ("2026-03-03", 2, "a"),
        ("2026-03-03", 3, "c"),
    ]
    assert {row[1] for row in rows_of(warehouse, VALUES)} == {19, 21}


def test_a_measure_is_null_unless_every_hour_of_the_day_has_it(warehouse):
    load_responses(warehouse, without(of_days("a", 5, 0, 0, 20, 0.5), 7, "temperature_c"))
    assert rows_of(warehouse, VALUES) == [(None, None, None, 12, "a")]


def test_a_response_with_one_measure_does_not_displace_one_with_both(warehouse):
    load_responses(warehouse, of_days("a", 5, 0, 0, 20, 0.5))
    load_responses(warehouse, of_days("b", 6, 0, 0, 21, None))
    assert rows_of(warehouse, VALUES) == [(20, 20, 20, 12, "a")]
    load_responses(warehouse, without(of_days("c", 7, 0, 0, 22, 1), 7, "temperature_c", "precipitation_mm"))
    assert rows_of(warehouse, VALUES) == [(20, 20, 20, 12, "a")]


def test_a_forecast_is_its_own_response_whatever_staging_has(warehouse):
    load_responses(warehouse, of_days("archive", 100, 0, 0, 30, 9, source="archive"))
    load_responses(warehouse, of_days("a", 5, 0, 0, 20, 0.5))
    assert rows_of(warehouse, VALUES) == [(20, 20, 20, 12, "a")]


def test_an_unchanged_load_writes_no_row(warehouse):
    first = of_days("a", 5, 0, 4)
    load_responses(warehouse, first)
    written = rows_of(warehouse, "SELECT xmin, ctid FROM forecast_day")
    load_responses(warehouse, first)
    load_responses(warehouse, of_days("b", 4, 0, 4, 25))
    assert rows_of(warehouse, "SELECT xmin, ctid FROM forecast_day") == written


def test_a_response_that_repeats_another_one_on_the_next_local_day_has_other_leads(warehouse):
    # midnight of Kolkata is 18:30 UTC: the hours that have passed are the same, so no hour is loaded again
    cities = CITIES | {"kigali": dataclasses.replace(CITIES["kigali"], timezone="Asia/Kolkata")}
    before, after = of_days("a", 18.2, 0, 4), of_days("b", 18.8, 0, 4)
    load_responses(warehouse, before, cities=cities)
    assert load_responses(warehouse, after, cities=cities).rows_loaded == 0
    assert rows_of(warehouse, DAYS) == [
        ("2026-03-02", 0, "b"),
        ("2026-03-02", 1, "a"),
        ("2026-03-03", 1, "b"),
        ("2026-03-03", 2, "a"),
        ("2026-03-04", 2, "b"),
        ("2026-03-04", 3, "a"),
        ("2026-03-05", 3, "b"),
        ("2026-03-05", 4, "a"),
    ]


def test_a_city_that_moves_to_another_zone_loses_its_forecasts_until_a_load_or_a_replay(warehouse):
    load_responses(warehouse, of_days("a", 5, 0, 2))
    load_responses(warehouse, of_days("b", 5, 0, 0, city="huye"))
    moved = CITIES | {"kigali": dataclasses.replace(CITIES["kigali"], timezone="Europe/London")}
    load_responses(warehouse, of_days("c", 6, 0, 0, city="musanze"), cities=moved)
    assert rows_of(warehouse, "SELECT DISTINCT city_id FROM forecast_day ORDER BY 1") == [("huye",), ("musanze",)]
    load_responses(warehouse, of_days("a", 5, 0, 2), cities=moved)
    dates = "SELECT date::text, lead_days FROM forecast_day WHERE city_id = 'kigali' ORDER BY date"
    assert rows_of(warehouse, dates) == [("2026-03-01", 0), ("2026-03-02", 1)]


def test_a_warehouse_without_forecasts_of_its_runs_gets_them_from_a_replay(warehouse):
    first = of_days("a", 5, 0, 1)
    load_responses(warehouse, first)
    # as a warehouse of an earlier version is after its migration
    rows_of(warehouse, "DELETE FROM forecast_day")
    assert load_responses(warehouse, first).rows_loaded == 0
    assert rows_of(warehouse, DAYS) == [("2026-03-01", 0, "a"), ("2026-03-02", 1, "a")]


def test_the_reader_reads_the_skill_and_not_the_forecasts(warehouse):
    parameters = psycopg2.extensions.parse_dsn(warehouse)
    reader = psycopg2.extensions.make_dsn(**parameters, options="-c role=metabase_reader")
    assert rows_of(reader, SKILL) == []
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        rows_of(reader, DAYS)


def test_the_scores_of_three_days(warehouse):
    for number, (temperature, rain) in enumerate([(21, 0.1), (22, 0), (17, 0.2)]):
        load_responses(warehouse, of_days(f"f{number}", 24 * number + 5, number, number, temperature, rain))
    load_responses(warehouse, of_days("archive", 1000, 0, 2, 20, 0.05, source="archive"))
    # the archive has 1.2 mm on each day, the forecasts had 2.4, 0 and 4.8
    third = Decimal(1) / 3
    rows = [
        tuple(v if v is None or isinstance(v, str) else round(float(v), 9) for v in row)
        for row in rows_of(warehouse, SKILL)
    ]
    none = (None,) * 6
    assert rows == [
        ("avg_temperature_c", 3, 0, 2, *none),
        ("max_temperature_c", 3, 0, 2, *none),
        ("min_temperature_c", 3, 0, 2, *none),
        ("precipitation_mm", 3, 1.2, 2, 2, 1, 0, 0, round(float(2 * third), 9), None),
    ]


def test_a_day_is_compared_once_the_archive_has_all_of_it(warehouse):
    load_responses(warehouse, of_days("a", 5, 0, 1))
    whole = of_days("b", 1000, 0, 0, source="archive")
    load_responses(warehouse, dataclasses.replace(whole, hours=whole.hours[:-1]))
    assert rows_of(warehouse, SKILL) == []
    load_responses(warehouse, dataclasses.replace(whole, run_id="c"))
    assert [row[:2] for row in rows_of(warehouse, SKILL)] == [
        ("avg_temperature_c", 1),
        ("max_temperature_c", 1),
        ("min_temperature_c", 1),
        ("precipitation_mm", 1),
    ]


# Clock changes on 8 March and 5 April; half an hour; 14 hours ahead and 11 behind.
ZONES = ("America/Toronto", "Australia/Adelaide", "Pacific/Kiritimati", "Pacific/Pago_Pago", "Africa/Kigali")


RESPONSES = st.lists(
    st.fixed_dictionaries(
        {
            "source": st.sampled_from(["forecast", "forecast", "archive"]),
            "fetched": st.sampled_from([1, 30, 90, 150, 170, 191, 192.5, 400]),
            "first": st.sampled_from([0, 96, 144, 149, 168, 192]),
            "days": st.sampled_from([1, 2, 3, 11]),
            "unknown": st.sampled_from(["", "", "", "temperature_c", "precipitation_mm"]),
            "gaps": st.sampled_from([0, 0, 0.01, 0.3]),
            "nulls": st.sampled_from([0, 0, 0.01]),
            "seed": st.integers(0, 99),
        }
    ),
    min_size=1,
    max_size=6,
)


def made(number, source, fetched, first, days, unknown, gaps, nulls, seed):
    """The hours of a window from ``first`` on, some missing and some without a value."""
    chance = random.Random(seed)
    hours = [hour for hour in range(first, first + 24 * days) if hour == first or chance.random() >= gaps]
    values = [
        {"temperature_c": chance.choice([20, 15.5, -3, 0.25]), "precipitation_mm": chance.choice([0, 0, 0, 0.1])}
        | dict.fromkeys([unknown] if unknown else [])
        | dict.fromkeys(["temperature_c", "precipitation_mm"] if chance.random() < nulls else [])
        for _ in hours
    ]
    rows = [Hour("kigali", at(hour), **row) for hour, row in zip(hours, values, strict=True)]
    return Response(f"run-{number}", at(fetched), tuple(rows), source)


def as_stored(response):
    hours = {
        (hour.city_id, hour.observed_at): {
            measure: None if getattr(hour, measure) is None else Decimal(str(getattr(hour, measure)))
            for measure in MEASURES
        }
        for hour in response.hours
    }
    return oracle.Response(
        response.raw_key, response.run_id, response.source, response.fetched_at, 200, ("kigali",), hours, 0, 0, None
    )


def table(warehouse, sql):
    with closing(psycopg2.connect(warehouse, options="-c timezone=UTC", cursor_factory=RealDictCursor)) as connection:
        cursor = connection.cursor()
        cursor.execute(sql)
        return [dict(row) for row in cursor]


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(windows=RESPONSES, zone=st.sampled_from(ZONES), seed=st.integers(0, 99))
def test_forecasts_and_skill_are_the_oracles_in_any_order_of_loads(warehouse, windows, zone, seed):
    responses = [made(number, **window) for number, window in enumerate(windows)]
    cities = {"kigali": dataclasses.replace(CITIES["kigali"], timezone=zone)}
    city = cities["kigali"]
    places = {"kigali": Place("kigali", city.city, zone, city.population, city.area_km2)}
    stored = [as_stored(response) for response in responses]
    for order in range(2):
        rows_of(warehouse, CLEAR)
        loads = responses
        if order:
            loads = [*responses, *responses[:2]]
            random.Random(seed).shuffle(loads)
        for each in loads:
            load_responses(warehouse, each, cities=cities)
        check_tables(lambda sql: table(warehouse, sql), oracle.staging(stored), places, {"kigali": stored})

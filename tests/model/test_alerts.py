"""Weather alerts: which events a load writes, and which of them are sent."""

import random
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import psycopg2
import pytest
from faults.oracle import alerts as oracle
from loads import Hour, Response, load_responses, rows_of
from psycopg2.extras import RealDictCursor
from test_normals import year_of
from test_periods import LATE, archive, there

from functions.core.alert_rules import parse_rules
from functions.model import alerts, migrations
from functions.model.database import connect

DAY = timedelta(days=1)
FIRST = date(2026, 3, 1)
CITIES = {"a": there("UTC", "a", "A"), "b": there("UTC", "b", "B")}
TEXT = 'meaning = "m"\nsource = "s"\n'
RULES = parse_rules(
    f'[heat]\nkind = "heat"\nthreshold = 30\ndays = 3\n{TEXT}'
    f'[heavy_rain]\nkind = "heavy_rain"\nthreshold = 20.5\ndays = 1\n{TEXT}'
    f'[dry_spell]\nkind = "dry_spell"\nthreshold = 1\ndays = 4\n{TEXT}'
    f'[data_missing]\nkind = "data_missing"\ndays = 2\n{TEXT}'
)
HEAT = tuple(rule for rule in RULES if rule.rule == "heat")


def table(url, sql, *key):
    with closing(psycopg2.connect(url)) as connection, connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(sql)
        return {tuple(row[column] for column in key): dict(row) for row in cursor}


def stored(url):
    return table(url, "SELECT * FROM weather_alert", "city_id", "rule", "opened_on")


def expected(url):
    return oracle.events(
        list(table(url, "SELECT * FROM alert_rule", "rule").values()),
        table(url, "SELECT * FROM mart_daily_city_weather", "city_id", "date"),
        table(url, "SELECT * FROM climate_threshold", "city_id", "measure", "base_start", "base_end"),
        [city_id for (city_id,) in rows_of(url, "SELECT city_id FROM dim_city WHERE active")],
    )


def assert_equal_to_the_oracle(url):
    """Every event, and no other but withdrawn ones, which were sent."""
    found, wanted = stored(url), expected(url)
    assert wanted.keys() <= found.keys()
    for key, row in found.items():
        if key in wanted:
            assert {name: row[name] for name in wanted[key]} == wanted[key], key
        else:
            assert row["notified_at"] is not None, key
            assert row["closed_on"] == row["opened_on"], key


def hours(city_id, day, temperature, rain):
    """The hours of a day; a temperature of None is no data, a rain of None is unknown."""
    first = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return [
        Hour(
            city_id,
            first + timedelta(hours=n),
            temperature_c=None if temperature is None else temperature if n == 14 else temperature - 5,
            precipitation_mm=None if rain is None else rain if n == 17 else 0,
            humidity=50,
        )
        for n in range(24)
    ]


def days(run_id, values, first=FIRST, city_id="a", fetched=None):
    """A response with a (highest temperature, rain) for each day; those after ``fetched`` are forecasts."""
    rows = [hour for n, (hot, rain) in enumerate(values) for hour in hours(city_id, first + n * DAY, hot, rain)]
    moment = fetched or datetime(2026, 9, 1, tzinfo=UTC)
    return Response(run_id, moment, tuple(rows))


def load(url, *responses, cities=CITIES, rules=RULES):
    return load_responses(url, *responses, cities=cities, rules=rules)


def temperatures(*values):
    return [(value, 5) for value in values]


def at(hour):
    """A time of fetch: later ones outrank earlier ones."""
    return datetime(2026, 9, 1, tzinfo=UTC) + timedelta(hours=hour)


def heat_events(url):
    sql = "SELECT opened_on - %s, last_day - %s, closed_on - %s FROM weather_alert WHERE rule = 'heat' ORDER BY 1"
    return rows_of(url, sql, (FIRST, FIRST, FIRST))


def test_an_event_opens_on_the_first_of_enough_days_in_a_row_and_closes_on_the_first_known_day_after_them(warehouse):
    load(warehouse, days("r", temperatures(25, 30, 31, 30, 29.9, 31, 31, 25)))
    ((city_id, rule, opened_on),) = [key for key in stored(warehouse) if key[1] == "heat"]
    row = stored(warehouse)[city_id, rule, opened_on]
    assert (opened_on, row["last_day"], row["closed_on"]) == (FIRST + DAY, FIRST + 3 * DAY, FIRST + 4 * DAY)
    assert (row["value"], row["threshold"], row["days_forecast"], row["notified_at"]) == (31, 30, 0, None)
    assert_equal_to_the_oracle(warehouse)


def test_an_event_is_not_over_until_a_later_day_is_known(warehouse):
    load(warehouse, days("r", temperatures(31, 31, 31, None)))
    assert heat_events(warehouse) == [(0, 2, None)]
    load(warehouse, days("s", temperatures(20), FIRST + 6 * DAY))
    assert heat_events(warehouse) == [(0, 2, 6)]
    load(warehouse, days("t", temperatures(31), FIRST + 3 * DAY))
    assert heat_events(warehouse) == [(0, 3, 6)]
    assert_equal_to_the_oracle(warehouse)


def test_days_in_the_future_count_as_forecast(warehouse):
    fetched = datetime(2026, 3, 2, 12, tzinfo=UTC)
    load(warehouse, days("r", temperatures(31, 31, 31, 20), fetched=fetched))
    (row,) = [row for key, row in stored(warehouse).items() if key[1] == "heat"]
    assert row["days_forecast"] == 2
    assert_equal_to_the_oracle(warehouse)


def test_rain_is_summed_over_three_known_days_and_must_be_over_the_threshold(warehouse):
    load(warehouse, days("r", [(20, rain) for rain in (10, 5, 5.5, 10.1, 5, 5, None, 30, 5, 5, 0, 0, 0)]))
    rows = {key[2] - FIRST: row for key, row in stored(warehouse).items() if key[1] == "heavy_rain"}
    # 10 + 5 + 5.5 is the threshold itself
    assert {first.days: (row["value"], (row["closed_on"] - FIRST).days) for first, row in rows.items()} == {
        3: (Decimal("20.6"), 5),
        9: (40, 10),
    }
    assert_equal_to_the_oracle(warehouse)


def test_data_are_missing_while_another_city_has_newer_days_until_an_hour_is_observed(warehouse):
    load(warehouse, days("q", temperatures(20, 20)))
    load(warehouse, days("r", temperatures(*[20] * 4), city_id="b"))
    assert not [key for key in stored(warehouse) if key[1] == "data_missing"]
    load(warehouse, days("s", temperatures(20), FIRST + 4 * DAY, city_id="b"))
    (key,) = [key for key in stored(warehouse) if key[1] == "data_missing"]
    assert (key, stored(warehouse)[key]["value"]) == (("a", "data_missing", FIRST + 2 * DAY), 2)
    load(warehouse, days("t", temperatures(20), FIRST + 7 * DAY, city_id="b"))
    lacking = {key[0]: row["value"] for key, row in stored(warehouse).items() if key[1] == "data_missing"}
    assert lacking == {"a": 5, "b": 2}
    load(warehouse, days("u", temperatures(20), FIRST + 7 * DAY))
    assert stored(warehouse)[key]["closed_on"] == FIRST + 7 * DAY
    assert_equal_to_the_oracle(warehouse)
    # a city that left the list lacks nothing
    load(warehouse, days("v", temperatures(20), FIRST + 20 * DAY), cities={"a": CITIES["a"]})
    assert_equal_to_the_oracle(warehouse)


def test_the_events_are_the_oracles_in_any_order_of_loads_and_an_unchanged_rerun_writes_nothing(warehouse):
    chance = random.Random(10)
    for number in range(60):
        first = FIRST + chance.randrange(60) * DAY
        values = [
            (chance.choice((20, 29, 31, 31, 31, None)), chance.choice((0, 0, 0, 0.5, 12, None)))
            for _ in range(chance.randrange(1, 12))
        ]
        city_id, fetched = chance.choice("ab"), at(chance.randrange(1000))
        if number % 4 == 0:
            fetched = datetime(first.year, first.month, first.day, 12, tzinfo=UTC) + chance.randrange(4) * DAY
        last = days(f"r{number}", values, first, city_id, fetched)
        load(warehouse, last)
        assert_equal_to_the_oracle(warehouse)
    before = rows_of(warehouse, "SELECT xmin::text, * FROM weather_alert ORDER BY 2, 3, 4")
    assert len(before) > 10
    assert {row[2] for row in before} == {"heat", "heavy_rain", "dry_spell", "data_missing"}
    load(warehouse, last)
    assert rows_of(warehouse, "SELECT xmin::text, * FROM weather_alert ORDER BY 2, 3, 4") == before


# ------------------------------------------------------------------ percentiles


PERCENTILES = parse_rules(
    f'[heat]\nkind = "heat"\npercentile = 95\nyears = 1\ndays = 3\n{TEXT}'
    f'[heavy_rain]\nkind = "heavy_rain"\npercentile = 99\nyears = 1\ndays = 1\n{TEXT}'
    f'[never]\nkind = "heat"\npercentile = 95\nyears = 2\ndays = 1\n{TEXT}'
)


def test_events_are_found_with_the_citys_own_percentiles_and_again_when_these_change(warehouse):
    cities = {"there": there("UTC")}
    load(warehouse, archive("years", year_of(2001)), cities=cities, rules=PERCENTILES)
    assert_equal_to_the_oracle(warehouse)
    before = stored(warehouse)
    assert {rule for _, rule, _ in before} == {"heat", "heavy_rain"}
    # a summer month that is hotter than all others moves the percentile, and so events of other months
    moments = [datetime(2001, 7, 1, tzinfo=UTC) + n * DAY + timedelta(hours=12) for n in range(31)]
    hot = tuple(Hour("there", moment, temperature_c=30, precipitation_mm=0) for moment in moments)
    load(warehouse, archive("hot", hot, LATE + timedelta(hours=1)), cities=cities, rules=PERCENTILES)
    assert_equal_to_the_oracle(warehouse)
    assert len([key for key in before.keys() - stored(warehouse).keys() if key[2].month != 7]) > 0


def test_a_changed_rule_evaluates_all_days_again_and_the_same_rules_do_not(warehouse):
    load(warehouse, days("r", temperatures(31, 31, 31, 20)))
    load(warehouse, days("s", temperatures(20), FIRST + 50 * DAY), rules=RULES[:1])
    assert {rule for _, rule, _ in stored(warehouse)} == {"data_missing"}
    load(warehouse, days("t", temperatures(20), FIRST + 51 * DAY))
    assert heat_events(warehouse) == [(0, 2, 3)]
    assert_equal_to_the_oracle(warehouse)
    written = rows_of(warehouse, "SELECT xmin::text FROM alert_rule")
    load(warehouse, days("u", temperatures(20), FIRST + 52 * DAY))
    assert rows_of(warehouse, "SELECT xmin::text FROM alert_rule") == written


def test_a_warehouse_of_the_version_before_has_its_alerts_after_the_next_load(database_url, monkeypatch):
    shipped = migrations.migrations()
    migrations.migrate({"dsn": database_url})
    load(database_url, days("r", temperatures(31, 31, 31, 20)))
    wanted = stored(database_url)
    # version 9 had neither tables nor functions of alerts
    rows_of(database_url, "DROP TABLE weather_alert, alert_rule; DELETE FROM schema_migration WHERE version = 10")
    rows_of(database_url, "DROP FUNCTION is_same_alert, newest_observed_day")
    assert migrations.migrate({"dsn": database_url}) == [f"010_{shipped[9].name}"]
    assert stored(database_url) == {}
    load(database_url, days("s", temperatures(20), FIRST + 40 * DAY, city_id="b"))
    assert stored(database_url).keys() >= wanted.keys()
    assert_equal_to_the_oracle(database_url)


# ------------------------------------------------------------------ what is sent


@pytest.fixture
def today(monkeypatch):
    """The day on which events are sent: the third day of the responses."""
    monkeypatch.setattr(alerts, "_since", lambda: FIRST + 2 * DAY - timedelta(alerts.RECENT_DAYS))


def send(url):
    """Describe what is to be sent, record it as sent, and return the message."""
    with connect({"dsn": url}) as connection:
        notice = alerts.describe_alerts(connection)
    with connect({"dsn": url}) as connection:
        assert alerts.record_alerts(connection, notice) == notice.count
    return notice.message


def sent(url):
    return rows_of(url, "SELECT opened_on - %s, notified_at IS NOT NULL FROM weather_alert ORDER BY 1", (FIRST,))


def test_an_event_is_sent_once_with_city_days_value_and_threshold(warehouse, today):
    fetched = datetime(2026, 3, 3, 12, tzinfo=UTC)
    result = load(warehouse, days("r", temperatures(31, 31.25, 31, 20), fetched=fetched), rules=HEAT)
    assert result.alerts == 1
    assert send(warehouse) == (
        "1 weather alert:\n- A: heat, 2026-03-01 to 2026-03-03 (over on 2026-03-04, 1 of these days forecast): "
        "31.2 °C, threshold 30 °C. m"
    )
    assert load(warehouse, days("r", temperatures(31, 31.25, 31, 20), fetched=fetched), rules=HEAT).alerts == 0
    assert send(warehouse) == "0 weather alerts:"


def test_an_event_that_was_not_sent_is_counted_by_the_next_load_even_if_that_changes_nothing(warehouse, today):
    same = days("r", temperatures(31, 31, 31, 20))
    assert [load(warehouse, same, rules=HEAT).alerts for _ in range(2)] == [1, 1]


def test_an_event_of_the_past_is_recorded_and_not_sent(warehouse, monkeypatch):
    assert load(warehouse, days("r", temperatures(31, 31, 31)), rules=HEAT).alerts == 0
    assert sent(warehouse) == [(0, False)]
    assert send(warehouse) == "0 weather alerts:"
    assert sent(warehouse) == [(0, False)]


def test_an_event_after_days_that_are_not_known_is_another_one_and_is_sent_too(warehouse, today):
    load(warehouse, days("r", temperatures(31, 31, 31), fetched=at(1)), rules=HEAT)
    send(warehouse)
    later = days("s", temperatures(31, 31, 31), first=FIRST + 20 * DAY, fetched=at(2))
    assert load(warehouse, later, rules=HEAT).alerts == 1
    assert sent(warehouse) == [(0, True), (20, False)]
    assert_equal_to_the_oracle(warehouse)


@pytest.mark.parametrize(
    ("values", "events"),
    [
        # longer, shorter, from another day on, in two parts, at the day that had closed it
        ((31, 31, 31, 31, 31, 31, 31, 20), [(0, True)]),
        ((20, 20, 31, 31, 31, 20), [(2, True)]),
        ((31, 31, 31, 20, 31, 31, 31), [(0, True), (4, True)]),
        ((20, 20, 20, 20, 20, 31, 31, 31), [(5, True)]),
    ],
)
def test_a_revision_that_moves_or_splits_an_event_that_was_sent_sends_nothing_again(warehouse, today, values, events):
    load(warehouse, days("r", temperatures(31, 31, 31, 31, 31, 20), fetched=at(1)), rules=HEAT)
    send(warehouse)
    assert load(warehouse, days("s", temperatures(*values), fetched=at(2)), rules=HEAT).alerts == 0
    assert sent(warehouse) == events
    assert_equal_to_the_oracle(warehouse)


def test_a_withdrawn_event_is_kept_if_it_was_sent_and_comes_back_without_a_second_message(warehouse, today):
    hot, cool = temperatures(31, 31, 31, 20), temperatures(31, 20, 31, 20)
    load(warehouse, days("r", hot, fetched=at(1)), rules=HEAT)
    load(warehouse, days("s", cool, fetched=at(2)), rules=HEAT)
    assert stored(warehouse) == {}
    load(warehouse, days("t", hot, fetched=at(3)), rules=HEAT)
    send(warehouse)
    load(warehouse, days("u", cool, fetched=at(4)), rules=HEAT)
    (row,) = stored(warehouse).values()
    assert (row["opened_on"], row["closed_on"], row["last_day"]) == (FIRST, FIRST, FIRST + 2 * DAY)
    written = rows_of(warehouse, "SELECT xmin::text FROM weather_alert")
    load(warehouse, days("v", temperatures(21), FIRST + DAY, fetched=at(5)), rules=HEAT)
    assert rows_of(warehouse, "SELECT xmin::text FROM weather_alert") == written
    assert load(warehouse, days("w", hot, fetched=at(6)), rules=HEAT).alerts == 0
    assert sent(warehouse) == [(0, True)]
    assert_equal_to_the_oracle(warehouse)


def test_an_event_that_is_found_after_the_message_was_made_is_not_recorded_as_sent(warehouse, today):
    load(warehouse, days("r", temperatures(31, 31, 31)), rules=HEAT)
    with connect({"dsn": warehouse}) as connection:
        notice = alerts.describe_alerts(connection)
    load(warehouse, days("s", temperatures(31, 31, 31), city_id="b"), rules=HEAT)
    with connect({"dsn": warehouse}) as connection:
        assert alerts.record_alerts(connection, notice) == 1
    assert rows_of(warehouse, "SELECT city_id FROM weather_alert WHERE notified_at IS NULL") == [("b",)]


def test_a_message_lists_a_bounded_number_of_events_with_names_escaped(warehouse, today):
    named = there("UTC", "c00", "C\u202e\n" + "x" * 900)
    cities = {f"c{n:02}": there("UTC", f"c{n:02}", "C") for n in range(70)} | {"c00": named}
    rows = [hour for city_id in cities for n in range(3) for hour in hours(city_id, FIRST + n * DAY, 31, 5)]
    assert load(warehouse, Response("r", at(0), tuple(rows)), cities=cities, rules=HEAT).alerts == 70
    lines = send(warehouse).split("\n")
    assert len(lines) == 52
    assert lines[0] == "70 weather alerts:"
    assert lines[-1] == "and 20 more; the table weather_alert has all of them"
    assert lines[1].startswith("- C\\u202e\\nxxx")
    assert max(len(line.encode()) for line in lines) < 800
    assert sent(warehouse) == [(0, True)] * 70

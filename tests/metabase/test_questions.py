"""The questions of dashboards and report, on a real Postgres."""

import re
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal

import psycopg2
import pytest

from dashboards.metabase.layout import DASHBOARDS, FILTERS
from dashboards.questions import load_question, question_names
from functions.model.migrations import migrate


@pytest.fixture(scope="module")
def reader(new_database):
    """A connection with the rights of Metabase's role."""
    url = new_database()
    migrate({"dsn": url})
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        connection.cursor().execute("SET ROLE metabase_reader")
        yield connection


@pytest.mark.parametrize("name", question_names())
def test_the_reading_role_can_run_a_question_with_and_without_filters(reader, name):
    question = load_question(name)
    with reader.cursor() as cursor:
        cursor.execute(question.unfiltered_sql)
        # Metabase puts a condition on the physical column in the place of a field filter
        filtered = question.sql.replace("[[", "").replace("]]", "")
        for tag, each in FILTERS.items():
            condition = "= 'Kigali'" if tag.endswith("city") else "BETWEEN '2026-01-01' AND '2026-02-01'"
            column = f'"public"."{each.table}"."{each.column}"'
            filtered = filtered.replace(f"{{{{{tag}}}}}", f"{column} {condition}")
        assert "{{" not in filtered
        cursor.execute(filtered)


# The required and the optional settings of each display: Metabase accepts any, and draws nothing for a wrong one.
_GRAPH = {"graph.dimensions", "graph.metrics", "graph.x_axis.scale"}
SETTINGS = {
    "line": (_GRAPH, set()),
    "bar": (_GRAPH, {"stackable.stack_type"}),
    "map": ({"map.type", "map.latitude_column", "map.longitude_column"}, set()),
    "table": (set(), {"table.column_formatting", "table.pivot", "table.pivot_column", "table.cell_column"}),
}
CARDS = [card for dashboard in DASHBOARDS for card in dashboard.cards]


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.question)
def test_a_card_draws_columns_of_its_sql(reader, card):
    with reader.cursor() as cursor:
        cursor.execute(load_question(card.question).unfiltered_sql)
        columns = {column.name for column in cursor.description}
    needed, possible = SETTINGS[card.display]
    assert needed <= card.settings.keys() <= needed | possible
    named = [name for key in ("graph.dimensions", "graph.metrics") for name in card.settings.get(key, ())]
    named += [card.settings[key] for key in ("map.latitude_column", "map.longitude_column") if key in card.settings]
    named += [name for rule in card.settings.get("table.column_formatting", ()) for name in rule["columns"]]
    named += [card.settings[key] for key in ("table.pivot_column", "table.cell_column") if key in card.settings]
    assert set(named) <= columns
    if card.settings.get("table.pivot"):
        assert len(columns) == 3  # with more, Metabase does not cross a table


def test_every_question_is_on_a_dashboard():
    assert sorted(card.question for card in CARDS) == question_names()


@pytest.mark.parametrize("name", question_names())
def test_a_question_has_a_title_and_a_description(name):
    question = load_question(name)
    assert question.title
    assert question.description.endswith(".")
    assert not re.search(r"\[\[|\{\{", question.unfiltered_sql)


# ------------------------------------------------------------------ the results of the questions

CITY = "INSERT INTO dim_city VALUES (%s, %s, 'Rwanda', -1.5, 30, 'Africa/Kigali', 1, 1, true)"
DAY = """
    INSERT INTO mart_daily_city_weather (city_id, city, date, avg_temperature_c, min_temperature_c, max_temperature_c,
        precipitation_mm, max_wind_speed_kmh, dominant_condition, hours_observed, hours_expected, hours_forecast,
        hours_humidity, hours_archive, hours_heat_caution, hours_heat_extreme_caution, hours_heat_danger,
        hours_heat_extreme_danger, run_id)
    VALUES (%s, %s, %s, 20, 15, %s, %s, 9, 'Fog', %s, 24, %s, 0, 0, 0, 0, 0, 0, 'r')
"""
RUN = """
    INSERT INTO pipeline_run (run_id, status, started_at, finished_at, requests, quota_weight, rows_loaded,
        ingest_seconds, transform_seconds, model_seconds)
    VALUES (%s, %s, %s, %s::timestamptz + interval '9 seconds', %s, %s, 5, 1, 2, 3)
"""
WEEK = """
    INSERT INTO mart_weekly_city_weather (city_id, city, period, iso_year, iso_week, start_date, end_date,
        avg_temperature_c, precipitation_mm, days_expected, days_complete, hours_forecast, is_complete, run_id)
    VALUES (%s, %s, %s, 2026, %s, %s, %s::date + 6, %s, %s, 7, 7, 0, %s, 'r')
"""
MONTH = """
    INSERT INTO mart_monthly_city_weather (city_id, city, period, year, month, start_date, end_date, avg_temperature_c,
        avg_humidity, precipitation_mm, is_rain_suitable, is_temperature_suitable, is_humidity_suitable,
        is_malaria_suitable, days_expected, days_complete, hours_forecast, is_complete, run_id)
    VALUES (%s, %s, '202602', 2026, 2, '2026-02-01', '2026-02-28', 21.26, 70.5, 81, true, true, true, true, 28, 28, 0,
        true, 'r')
"""
NORMAL = """
    INSERT INTO climate_normal
    VALUES ('huye', %s, %s, 1991, 2020, 30, 20, 0.5, 19, 20, 21, 10, 2, 8, 10, 12)
"""
FORECAST = """
    INSERT INTO forecast_day (city_id, date, lead_days, avg_temperature_c, min_temperature_c, max_temperature_c,
        precipitation_mm, fetched_at, run_id)
    VALUES ('huye', '2026-02-01', %s, 20, %s, 25, %s, now(), 'r')
"""
FINDING = "INSERT INTO quality_result VALUES (%s, %s, %s, %s, %s, %s, %s, %s)"
TODAY = datetime.now(UTC).date()


@pytest.fixture(scope="module")
def rows_of(new_database):
    """A function that runs a question on known rows and returns the result rows by column."""
    url = new_database()
    migrate({"dsn": url})
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute("SET timezone = UTC")
        for city in (("kigali", "Kigali"), ("huye", "Huye"), ("new", "Newly listed")):
            cursor.execute(CITY, city)
        for day in (
            # city, date, highest, rain, hours observed, hours forecast
            ("kigali", "Kigali", date(2026, 3, 1), 31, 1.5, 24, 0),
            ("kigali", "Kigali", date(2026, 3, 2), 30, 2, 24, 0),
            ("kigali", "Kigali", date(2026, 3, 4), 29.9, None, 12, 0),
            ("kigali", "Kigali", date(2026, 3, 5), 33, 4, 24, 24),
            ("huye", "Huye", date(2026, 2, 1), 25, 7, 24, 0),
            ("huye", "Huye", date(2026, 2, 9), None, None, 0, 0),
        ):
            cursor.execute(DAY, day)
        for run in (
            ("a", "succeeded", "2026-03-01 04:00+00", "2026-03-01 04:00+00", 1, 3),
            ("b", "partial", "2026-03-01 06:00+00", "2026-03-01 06:00+00", 2, 4.5),
            ("c", "failed", "2026-03-02 04:00+00", "2026-03-02 04:00+00", 0, 0),
        ):
            cursor.execute(RUN, run)
        cursor.execute(
            "UPDATE pipeline_run SET findings = '{\"large_step\": 2, \"incomplete_day\": 1}' WHERE run_id = 'b'"
        )
        for finding in (
            ("a", "large_step", "kigali", date(2026, 3, 1), "warning", 5, "first", "2026-03-01 04:00+00"),
            ("b", "large_step", "kigali", date(2026, 3, 1), "warning", 2, "second", "2026-03-01 06:00+00"),
            ("b", "large_step", "kigali", date(2026, 3, 2), "warning", 1, "third", "2026-03-01 06:00+00"),
            ("a", "incomplete_day", "kigali", date(2026, 3, 4), "warning", 12, "12 of 24", "2026-03-01 04:00+00"),
            # complete since
            ("a", "incomplete_day", "kigali", date(2026, 3, 1), "warning", 3, "21 of 24", "2026-03-01 04:00+00"),
            ("a", "impossible_value", "huye", date(2026, 2, 1), "error", 1, "hot", "2026-03-01 04:00+00"),
        ):
            cursor.execute(FINDING, finding)

        for week in (
            # city, period, week, first day, temperature, rain, complete
            ("huye", "Huye", "2026W05", 5, date(2026, 1, 26), date(2026, 1, 26), 21.24, 13, True),
            ("huye", "Huye", "2026W06", 6, date(2026, 2, 2), date(2026, 2, 2), 22, 4, False),
            ("kigali", "Kigali", "2026W09", 9, date(2026, 2, 23), date(2026, 2, 23), 19, 3, True),
        ):
            cursor.execute(WEEK, week)
        for city in (("huye", "Huye"), ("kigali", "Kigali")):
            cursor.execute(MONTH, city)
        for normal in (("week", 5), ("week", 6), ("month", 2)):
            cursor.execute(NORMAL, normal)
        # a day of which every hour is from the archive: lowest 15 °C, rain 7 mm
        cursor.execute(
            "UPDATE mart_daily_city_weather SET hours_archive = 24, hours_heat_caution = 5, hours_heat_danger = 1"
            " WHERE (city_id, date) = ('huye', '2026-02-01')"
        )
        for forecast in ((1, 14, 6), (2, 17.5, 0)):
            cursor.execute(FORECAST, forecast)

        def rows(name, **filters):
            sql = load_question(name).sql
            for tag, condition in filters.items():
                clause = re.compile(r"\[\[([^]]*)\{\{" + tag + r"\}\}([^]]*)\]\]")
                column = f'"public"."{FILTERS[tag].table}"."{FILTERS[tag].column}"'
                sql = clause.sub(lambda found, put=f"{column} {condition}": f"{found[1]}{put}{found[2]}", sql)
            cursor.execute(re.sub(r"\[\[.*?\]\]", "", sql))
            names = [column.name for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor]

        yield rows


def columns(rows, *names):
    return [tuple(row[name] for name in names) for row in rows]


def test_freshness_lists_the_stalest_city_first_and_cities_without_data(rows_of):
    rows = rows_of("freshness")
    assert columns(rows, "city", "days", "missing_days", "incomplete_days", "hours_forecast") == [
        ("Newly listed", 0, 0, 0, 0),
        ("Huye", 2, 7, 1, 0),
        ("Kigali", 4, 1, 1, 24),
    ]
    assert [row["days_behind"] for row in rows[1:]] == [
        (TODAY - date(2026, 2, 9)).days,
        (TODAY - date(2026, 3, 5)).days,
    ]
    assert columns(rows_of("freshness", city="= 'Huye'"), "city") == [("Huye",)]


def test_the_last_seven_days_are_per_city_with_their_quality(rows_of):
    assert columns(rows_of("quality_flags"), "city", "date", "quality") == [
        ("Kigali", date(2026, 3, 5), "forecast"),
        ("Kigali", date(2026, 3, 4), "incomplete"),
        ("Kigali", date(2026, 3, 2), "complete"),
        ("Kigali", date(2026, 3, 1), "complete"),
        ("Huye", date(2026, 2, 9), "no data"),
    ]


def test_the_map_shows_the_newest_day_that_is_complete_and_not_a_forecast(rows_of):
    assert columns(rows_of("latest_map"), "city", "date", "max_temperature_c", "latitude") == [
        ("Huye", date(2026, 2, 1), 25, -1.5),
        ("Kigali", date(2026, 3, 2), 30, -1.5),
    ]


def test_a_month_is_complete_when_all_its_days_have_data(rows_of):
    assert columns(rows_of("city_month"), "city", "month", "days", "days_of_month", "rain_mm", "percent_observed") == [
        ("Kigali", date(2026, 3, 1), 4, 31, Decimal("7.5"), Decimal("11.3")),
        ("Huye", date(2026, 2, 1), 2, 28, 7, Decimal("3.6")),
    ]


def test_heat_and_rain_are_counted_by_city(rows_of):
    assert columns(rows_of("heat_days"), "city", "heat_days", "days_with_temperature") == [
        ("Huye", 0, 1),
        ("Kigali", 3, 4),
    ]
    assert columns(rows_of("cumulative_rain"), "city", "cumulative_rain_mm") == [
        ("Kigali", Decimal("7.5")),
        ("Kigali", Decimal("3.5")),
        ("Kigali", Decimal("3.5")),
        ("Kigali", Decimal("1.5")),
        ("Huye", 7),
        ("Huye", 7),
    ]


BY_CITY = [name for name in question_names() if "{{city}}" in load_question(name).sql]


@pytest.mark.parametrize("name", BY_CITY)
def test_a_filter_returns_only_matching_rows(rows_of, name):
    assert {row["city"] for row in rows_of(name, city="= 'Huye'")} == {"Huye"}
    if "{{date}}" in load_question(name).sql:
        assert {row["city"] for row in rows_of(name, date="< '2026-02-05'")} == {"Huye"}
        assert rows_of(name, city="= 'Kigali'", date="< '2026-02-05'") == []


def test_the_newest_finding_of_each_day_counts_unless_the_day_is_complete_now(rows_of):
    names = ("severity", "rule", "city", "days", "hours", "last_day", "example")
    assert columns(rows_of("quality_findings"), *names) == [
        ("error", "impossible_value", "Huye", 1, 1, date(2026, 2, 1), "hot"),
        ("warning", "large_step", "Kigali", 2, 3, date(2026, 3, 2), "third"),
        ("warning", "incomplete_day", "Kigali", 1, 12, date(2026, 3, 4), "12 of 24"),
    ]


def test_a_week_has_its_difference_from_normal_or_the_reason_why_not(rows_of):
    names = ("city", "period", "temperature_c", "temperature_anomaly_c", "precipitation_percent_of_normal", "reason")
    assert columns(rows_of("climate_weeks"), *names) == [
        ("Kigali", "2026W09", 19, None, None, "no normal"),
        ("Huye", "2026W06", 22, None, None, "the period is not complete"),
        ("Huye", "2026W05", Decimal("21.2"), Decimal("1.2"), 130, None),
    ]
    assert columns(rows_of("climate_weeks", week_date="< '2026-02-01'"), "period") == [("2026W05",)]
    assert columns(rows_of("climate_months", month_city="= 'Huye'"), "period", "precipitation_percent_of_normal") == [
        ("202602", 810)
    ]


def test_charts_of_anomalies_have_only_the_weeks_that_have_one(rows_of):
    assert columns(rows_of("anomaly_heat_map"), "city", "period", "temperature_anomaly_c") == [
        ("Huye", "2026W05", Decimal("1.24"))
    ]
    assert columns(rows_of("temperature_anomaly"), "start_date") == [(date(2026, 1, 26),)]
    assert columns(rows_of("rain_anomaly", week_city="= 'Huye'"), "precipitation_anomaly_mm") == [(3,)]
    assert rows_of("rain_anomaly", week_city="= 'Kigali'") == []


def test_a_month_has_each_condition_beside_the_verdict(rows_of):
    names = ("precipitation_mm", "is_rain_suitable", "avg_temperature_c", "is_malaria_suitable")
    assert columns(rows_of("suitability", suitability_city="= 'Huye'"), *names) == [(81, True, Decimal("21.3"), True)]


def test_hours_of_heat_are_of_the_week_that_begins_on_monday(rows_of):
    rows = rows_of("heat_hours", city="= 'Huye'")
    assert columns(rows, "week", "hours_caution", "hours_danger") == [
        (date(2026, 2, 9), 0, 0),
        (date(2026, 1, 26), 5, 1),
    ]


def test_skill_is_by_days_ahead(rows_of):
    rows = [row for row in rows_of("forecast_skill") if row["variable"] in ("min_temperature_c", "precipitation_mm")]
    assert columns(rows, "lead_days", "bias", "mean_absolute_error", "hit_percent") == [
        (1, -1, 1, None),
        (2, Decimal("2.5"), Decimal("2.5"), None),
        (1, -1, 1, 100),
        (2, -7, 7, 0),
    ]
    errors = [row for row in rows_of("forecast_error") if row["variable"] == "min_temperature_c"]
    assert columns(errors, "lead_days", "mean_absolute_error", "days") == [(1, 1, 1), (2, Decimal("2.5"), 1)]
    assert columns(rows_of("forecast_rain"), "lead_days", "hit_percent", "false_alarm_percent") == [
        (1, 100, None),
        (2, 0, None),
    ]


def test_completeness_counts_hours_with_a_temperature(rows_of):
    rows = rows_of("completeness", date="= '2026-03-04'")
    assert columns(rows, "city", "hours_observed", "percent_observed") == [("Kigali", 12, 50)]


def test_the_runs_of_a_day_are_counted_by_status_and_quota(rows_of):
    assert columns(rows_of("run_outcomes"), "day", "succeeded", "partial", "failed") == [
        (date(2026, 3, 1), 1, 1, 0),
        (date(2026, 3, 2), 0, 0, 1),
    ]
    assert columns(rows_of("run_quota", run_date="< '2026-03-02'"), "requests", "quota_weight") == [(3, Decimal("7.5"))]
    assert columns(rows_of("run_durations"), "ingest_seconds", "transform_seconds", "model_seconds") == [(1, 2, 3)] * 2
    assert columns(rows_of("run_rows"), "rows_loaded") == [(5,), (5,)]
    assert columns(rows_of("recent_runs"), "run_id", "seconds", "findings") == [
        ("c", 9, None),
        ("b", 9, "incomplete_day 1, large_step 2"),
        ("a", 9, None),
    ]

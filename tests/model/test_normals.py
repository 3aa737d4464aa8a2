"""Climate normals, thresholds and anomalies: their base period and values, and what a load writes of them."""

import random
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import psycopg2
import pytest
from faults.oracle import climate as oracle
from loads import Hour, Response, load_responses, rows_of
from psycopg2.extras import RealDictCursor, execute_values
from test_periods import LATE, archive, hours_of, there

from functions.model import migrations
from functions.model.database import execute_file
from functions.model.migrations import migrate
from operations.lineage import days as lineage_days
from operations.lineage import normals

CITIES = {"there": there("UTC"), "zero": there("UTC", "zero", "Zero")}
DAY = timedelta(days=1)
KEYS = {
    "mart_daily_city_weather": ("city_id", "date"),
    "mart_weekly_city_weather": ("city_id", "period"),
    "mart_monthly_city_weather": ("city_id", "period"),
    "climate_normal": ("city_id", "period_type", "period_number", "base_start", "base_end"),
    "climate_threshold": ("city_id", "measure", "base_start", "base_end"),
}
ANOMALIES = {"week": "mart_weekly_city_anomaly", "month": "mart_monthly_city_anomaly"}


def table(url, name, key=("city_id", "period")):
    """The rows of a table or view by their key, each as a mapping."""
    written = ", xmin::text AS written" if name in KEYS else ""
    with closing(psycopg2.connect(url)) as connection, connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(f"SELECT *{written} FROM {name}")
        return {tuple(row[column] for column in KEYS.get(name, key)): dict(row) for row in cursor}


def year_of(year, city_id="there"):
    """All hours of a year (UTC): July has no rain, and the same temperature each day, in each year."""
    chance = random.Random(f"{year} {city_id}")
    hours = []
    day = date(year, 1, 1)
    while day.year == year:
        is_july = day.month == 7
        base = 20 if is_july else round(chance.uniform(10, 25), 1)
        rain = 0 if is_july or chance.random() < 0.6 else round(chance.expovariate(0.1), 1)
        first = datetime(day.year, day.month, day.day, tzinfo=UTC)
        hours += [
            Hour(
                city_id,
                first + timedelta(hours=n),
                temperature_c=round(base + n / 10, 1),
                precipitation_mm=rain if n == 17 else 0,
            )
            for n in range(24)
        ]
        day += DAY
    return tuple(hours)


def correction(run_id, moment, temperature, rain):
    """A response, later than those of ``load_years``, with one hour."""
    hour = Hour("there", moment, temperature_c=temperature, precipitation_mm=rain)
    return archive(run_id, (hour,), LATE + timedelta(hours=1))


def load_years(url, *years, run_id=None, cities=CITIES, city_id="there"):
    hours = tuple(hour for year in years for hour in year_of(year, city_id))
    return load_responses(url, archive(run_id or f"years {years}", hours), cities=cities)


def bases(url):
    return rows_of(
        url, "SELECT DISTINCT city_id, base_start, base_end, max(years_used) OVER (PARTITION BY city_id) "
        "FROM climate_normal ORDER BY 1",
    )  # fmt: skip


def assert_rows_equal(found, expected, name):
    assert found.keys() == expected.keys(), name
    for key, row in expected.items():
        for column, value in row.items():
            close = pytest.approx(value, abs=Decimal("1e-12")) if isinstance(value, Decimal) else value
            assert found[key][column] == close, (name, key, column)


def assert_equal_to_the_oracle(url):
    """Compare normals, thresholds and anomalies with those that the oracle computes from the marts."""
    days, weeks, months = (table(url, name) for name in list(KEYS)[:3])
    expected = oracle.normals(weeks, months)
    assert_rows_equal(table(url, "climate_normal"), expected, "climate_normal")
    assert_rows_equal(table(url, "climate_threshold"), oracle.thresholds(days, months), "climate_threshold")
    for period_type, rows in (("week", weeks), ("month", months)):
        name = ANOMALIES[period_type]
        found = table(url, name)
        assert_rows_equal(found, oracle.anomalies(rows, period_type, expected), name)
        for row in found.values():
            # a null has a reason, and a reason has a null
            assert (None in [row[column] for column in row if column != "reason"]) == (row["reason"] is not None), row


@pytest.fixture(scope="module")
def twelve_years(new_database):
    """A warehouse with 1990 to 2001 and the first half of 2002: eleven whole years of 1991 to 2020."""
    url = new_database()
    migrate({"dsn": url})
    load_years(url, *range(1990, 2002))
    half = tuple(hour for hour in year_of(2002) if hour.observed_at.month <= 6)
    load_responses(url, archive("half", half), cities=CITIES)
    return url


@pytest.fixture
def climate(twelve_years, new_database):
    """A copy of it for one test."""
    url, name = new_database(), twelve_years.rsplit("/", 1)[1]
    copy = url.rsplit("/", 1)[1]
    with closing(psycopg2.connect(twelve_years.replace(f"/{name}", "/ikirere"))) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute(f"DROP DATABASE {copy}")
        cursor.execute(f"CREATE DATABASE {copy} TEMPLATE {name}")
        yield url
        cursor.execute(f"DROP DATABASE {copy} WITH (FORCE)")


# ------------------------------------------------------------------ values


def test_normals_thresholds_and_anomalies_are_those_of_the_marts(twelve_years):
    assert_equal_to_the_oracle(twelve_years)
    assert rows_of(
        twelve_years,
        "SELECT period_type, count(*), min(base_start), max(base_end), min(years_used), max(years_used) "
        "FROM climate_normal GROUP BY 1 ORDER BY 1",
    ) == [("month", 12, 1991, 2020, 11, 12), ("week", 53, 1991, 2020, 2, 12)]
    # the first half of 2002 counts for its months, and not for the days
    assert rows_of(twelve_years, "SELECT measure, years_used, days_used FROM climate_threshold ORDER BY 1") == [
        ("max_temperature_p95_c", 11, 365 * 11 + 3),
        ("rain_3_days_p99_mm", 11, 365 * 11 + 3 - 2),
    ]


@pytest.mark.parametrize(
    ("values", "fraction", "expected"),
    [
        ([], "0.5", None),
        ([3], "0.9", 3),
        ([1, 2], "0.1", "1.1"),
        ([1, 2, 4], "0.5", 2),
        ([1, 2, 4, 8], "0.9", "6.8"),
        (range(1, 12), "0.1", 2),
        (range(1, 102), "0.99", 100),
        ([1, 2, 4], "1", 4),
        ([1, 2, 4], "0", 1),
    ],
)
def test_a_percentile_between_two_values_is_on_a_straight_line(warehouse, values, fraction, expected):
    rows = rows_of(warehouse, "SELECT percentile_of(%s::numeric[], %s::numeric)", (list(values), fraction))
    assert rows == [(None if expected is None else Decimal(expected),)]


def test_week_53_has_no_anomaly_until_there_are_ten_of_it(twelve_years):
    rows = table(twelve_years, "mart_weekly_city_anomaly")
    found = {period: row for (_, period), row in rows.items() if period.endswith("W53") and row["is_complete"]}
    assert found.keys() == {"1992W53", "1998W53"}
    for row in found.values():
        assert (row["years_used"], row["reason"]) == (2, "fewer than ten years")
        assert (row["temperature_normal_c"], row["temperature_anomaly_c"], row["precipitation_percentile"]) == (
            None,
        ) * 3
        assert row["temperature_c"] is not None


def test_what_cannot_be_divided_by_is_named(twelve_years):
    row = table(twelve_years, "mart_monthly_city_anomaly")["there", "199507"]
    assert (row["precipitation_normal_mm"], row["precipitation_anomaly_mm"]) == (0, 0)
    assert (row["temperature_anomaly_c"], row["temperature_percentile"]) == (0, 50)
    assert (row["precipitation_percent_of_normal"], row["precipitation_standardised"]) == (None, None)
    assert row["temperature_standardised"] is None
    assert row["reason"] == (
        "the deviation of the temperature is zero; the normal of the precipitation is zero; "
        "the deviation of the precipitation is zero"
    )


def test_a_period_that_is_not_complete_has_its_normal_but_no_anomaly(climate):
    hours = hours_of(date(2002, 7, 1), date(2002, 7, 2), city_id="there", temperature_c=9, precipitation_mm=1)
    load_responses(climate, archive("more", hours), cities=CITIES)
    row = table(climate, "mart_monthly_city_anomaly")["there", "200207"]
    assert (row["temperature_c"], row["temperature_normal_c"], row["precipitation_mm"]) == (9, Decimal("21.15"), 48)
    assert (row["temperature_anomaly_c"], row["precipitation_anomaly_mm"], row["precipitation_percentile"]) == (
        None,
    ) * 3
    assert row["reason"] == "the period is not complete"
    assert_equal_to_the_oracle(climate)


@pytest.mark.parametrize("seed", range(6))
def test_of_any_weeks_and_months_the_normals_and_anomalies_are_those_of_the_oracle(warehouse, seed):
    """Written into the marts directly: years of every number with gaps, ties, and periods without rain."""
    chance = random.Random(seed)
    first = chance.choice([1960, 1985, 1995, 2005])
    years = range(first, first + chance.choice([3, 11, 35]))
    share = chance.choice([0, 0.001, 0.01])
    rows_of(warehouse, "INSERT INTO dim_city VALUES ('there', 'There', 'Test', 0, 0, 'UTC')")
    for name, numbers in (("weekly", range(1, 54)), ("monthly", range(1, 13))):
        columns = ("iso_year", "iso_week") if name == "weekly" else ("year", "month")
        rows = [
            (
                "there", "There", f"{year}-{number}", year, number, date(year, 1, 1), date(year, 1, 1),
                Decimal(chance.randint(180, 190)) / 10,
                None if chance.random() < share else Decimal(chance.choice([0, 0, 1, 5, 21])),
                7, 7, 0, chance.random() >= share, "a",
            )
            for year in years
            for number in numbers
            if number < 53 or chance.random() < 0.2
        ]  # fmt: skip
        with closing(psycopg2.connect(warehouse)) as connection, connection, connection.cursor() as cursor:
            execute_values(
                cursor,
                f"INSERT INTO mart_{name}_city_weather (city_id, city, period, {columns[0]}, {columns[1]}, start_date, "
                "end_date, avg_temperature_c, precipitation_mm, days_expected, days_complete, hours_forecast, "
                "is_complete, run_id) VALUES %s",
                rows,
            )
    rows_of(warehouse, "INSERT INTO climate_normal SELECT * FROM climate_normals('there')")
    rows_of(warehouse, "INSERT INTO climate_threshold SELECT * FROM climate_thresholds('there')")
    assert len(bases(warehouse)) == 1
    assert_equal_to_the_oracle(warehouse)


# ------------------------------------------------------------------ the base period


def test_the_base_is_the_loaded_years_until_ten_of_1991_to_2020_are_whole(warehouse):
    load_years(warehouse, 1999, 2000)
    assert bases(warehouse) == [("there", 1999, 2000, 2)]
    load_years(warehouse, 1997)
    assert bases(warehouse) == [("there", 1997, 2000, 3)]
    assert {row["reason"] for name in ANOMALIES.values() for row in table(warehouse, name).values()} == {
        "fewer than ten years",
        "the period is not complete; fewer than ten years",
        "the period is not complete; no normal",
    }
    assert_equal_to_the_oracle(warehouse)
    load_years(warehouse, *range(2001, 2006), 2021)
    assert bases(warehouse)[0][:3] == ("there", 1997, 2021)
    load_years(warehouse, 1998)
    assert bases(warehouse)[0][:3] == ("there", 1997, 2021)
    load_years(warehouse, 2006)
    assert bases(warehouse) == [("there", 1991, 2020, 10)]
    assert_equal_to_the_oracle(warehouse)


def test_a_city_without_a_whole_year_has_no_normals(warehouse):
    hours = year_of(2000)
    load_responses(warehouse, archive("a", hours[:-1]), cities=CITIES)
    assert table(warehouse, "climate_normal") == table(warehouse, "climate_threshold") == {}
    assert {row["reason"] for row in table(warehouse, "mart_monthly_city_anomaly").values()} == {
        "no normal",
        "the period is not complete; no normal",
    }
    # its last hour makes the year whole
    load_responses(warehouse, archive("b", hours[-1:]), cities=CITIES)
    assert bases(warehouse) == [("there", 2000, 2000, 1)]
    assert_equal_to_the_oracle(warehouse)


def test_the_normals_of_a_base_that_is_no_longer_go(warehouse):
    load_years(warehouse, 2000, 2001)
    # the last evening of 2001 becomes the first morning of 2002
    moved = {"there": there("Asia/Tokyo"), "zero": CITIES["zero"]}
    load_years(warehouse, 2001, cities=moved, run_id="moved")
    assert bases(warehouse) == [("there", 2001, 2001, 1)]
    assert_equal_to_the_oracle(warehouse)
    # two cities in one load, one of them with a base of its own
    load_responses(warehouse, archive("b", (*year_of(2003), *year_of(2004, "zero"))), cities=moved)
    assert [row[:3] for row in bases(warehouse)] == [("there", 2001, 2001), ("zero", 2004, 2004)]
    assert_equal_to_the_oracle(warehouse)


def test_a_forecast_does_not_make_a_year_whole(warehouse):
    hours = year_of(2000)
    fetched_at = datetime(2000, 12, 31, 12, 30, tzinfo=UTC)
    load_responses(warehouse, Response("a", fetched_at, hours, "forecast"), cities=CITIES)
    assert bases(warehouse) == []
    load_responses(warehouse, archive("b", hours), cities=CITIES)
    assert bases(warehouse) == [("there", 2000, 2000, 1)]


# ------------------------------------------------------------------ what a load writes


def everything(url):
    return {
        (name, *key): {column: value for column, value in row.items() if column not in ("updated_at", "run_id")}
        for name in (*KEYS, *ANOMALIES.values())
        for key, row in table(url, name).items()
    }


def test_a_late_correction_of_one_hour_changes_what_depends_on_it_in_one_transaction_and_a_rerun_nothing(climate):
    before = everything(climate)
    # a Wednesday of week 20
    moment = datetime(1995, 5, 17, 23, tzinfo=UTC)
    assert load_responses(climate, correction("correction", moment, 60, 0), cities=CITIES).rows_loaded == 1
    after = everything(climate)
    assert before.keys() == after.keys()
    changed = {key for key in before if before[key] != after[key]}
    assert changed == {
        ("mart_daily_city_weather", "there", date(1995, 5, 17)),
        ("mart_weekly_city_weather", "there", "1995W20"),
        ("mart_monthly_city_weather", "there", "199505"),
        ("climate_normal", "there", "week", 20, 1991, 2020),
        ("climate_normal", "there", "month", 5, 1991, 2020),
        *(("mart_weekly_city_anomaly", "there", f"{year}W20") for year in range(1990, 2003)),
        *(("mart_monthly_city_anomaly", "there", f"{year}05") for year in range(1990, 2003)),
    } | ({("climate_threshold", "there", "max_temperature_p95_c", 1991, 2020)} & changed)
    transactions = {after[key]["written"] for key in changed if "written" in after[key]}
    assert len(transactions) == 1
    assert not transactions & {row["written"] for row in before.values() if "written" in row}
    assert_equal_to_the_oracle(climate)

    load_responses(climate, correction("correction", moment, 60, 0), cities=CITIES)
    load_responses(climate, correction("repeated", moment, 60, 0), cities=CITIES)
    assert everything(climate) == after


def test_a_late_correction_of_rain_changes_its_normals_and_threshold(climate):
    before = everything(climate)
    load_responses(climate, correction("a", datetime(1995, 7, 19, 3, tzinfo=UTC), 20.3, 400), cities=CITIES)
    after = everything(climate)
    assert {key[1:4] for key in before if before[key] != after[key] and key[0].startswith("climate_")} == {
        ("there", "week", 29),
        ("there", "month", 7),
        ("there", "rain_3_days_p99_mm", 1991),
    }
    assert_equal_to_the_oracle(climate)


def test_days_outside_the_base_make_no_normals_again(climate):
    before = {name: table(climate, name) for name in ("climate_normal", "climate_threshold")}
    load_years(climate, 2021)
    rows_of(climate, "DELETE FROM climate_normal WHERE period_type = 'week'")
    load_years(climate, 2022)
    # a row that something else removed stays removed: the load did not look at it
    assert {key[1] for key in table(climate, "climate_normal")} == {"month"}
    assert table(climate, "climate_threshold") == before["climate_threshold"]
    # the first week of 1991 has a day of 1990
    load_responses(climate, correction("edge", datetime(1990, 12, 31, 3, tzinfo=UTC), 0, 0), cities=CITIES)
    assert len(table(climate, "climate_normal")) == len(before["climate_normal"])
    assert_equal_to_the_oracle(climate)


def test_a_load_outside_the_base_or_without_a_whole_year_computes_no_normals(climate, monkeypatch):
    executed = []

    def recorded(cursor, name, *parameters):
        executed.append(name)
        execute_file(cursor, name, *parameters)

    monkeypatch.setattr("functions.model.warehouse.execute_file", recorded)
    noon = datetime(2002, 8, 1, 12, tzinfo=UTC)
    load_responses(climate, archive("new city", (Hour("zero", noon, temperature_c=1),)), cities=CITIES)
    load_responses(
        climate, archive("any day", (Hour("there", datetime(2026, 8, 1, 12, tzinfo=UTC), 1),)), cities=CITIES
    )
    whole_month = hours_of(date(2026, 9, 1), date(2026, 9, 30), temperature_c=1)
    load_responses(climate, archive("month", whole_month), cities=CITIES)
    assert "08_normal_cities" in executed
    assert "08_normals" not in executed
    load_responses(climate, archive("base", (Hour("there", noon, temperature_c=1),)), cities=CITIES)
    assert "08_normals" in executed


@pytest.mark.parametrize("seed", range(2))
def test_after_any_loads_the_normals_are_those_of_the_marts(warehouse, seed):
    chance = random.Random(seed)
    years = chance.sample(range(2008, 2014), 4)
    for number in range(4):
        hours = [hour for city_id in CITIES for hour in year_of(chance.choice(years), city_id) if chance.random() > 0.2]
        whole = [hour for city_id in CITIES for hour in year_of(chance.choice(years), city_id)]
        chosen = chance.choice([hours, whole, whole, whole[:5000], whole[-3000:]])
        fetched_at = datetime(2030, 1, 1, chance.randint(0, 9), tzinfo=UTC)
        load_responses(warehouse, archive(f"run-{number}", tuple(chosen), fetched_at), cities=CITIES)
        assert_equal_to_the_oracle(warehouse)
    assert bases(warehouse)


# ------------------------------------------------------------------ the same rules in Python, for verify


def test_verify_computes_the_normals_and_thresholds_that_loads_make(twelve_years):
    days, weeks, months = (table(twelve_years, name) for name in list(KEYS)[:3])
    made = normals.climate_rows({day: row for (_, day), row in days.items()}, weeks.values(), list(months.values()))
    for name in ("climate_normal", "climate_threshold"):
        found = {key[1:]: row for key, row in table(twelve_years, name).items()}
        assert found.keys() == made[name].keys()
        for key, row in found.items():
            assert row.keys() - made[name][key].keys() == {"city_id", "written"}
            for column, value in made[name][key].items():
                assert lineage_days.is_equal(column, value, row[column]), (key, column, value, row[column])


# ------------------------------------------------------------------ the migration and the rights


def test_the_migration_makes_the_normals_of_a_filled_warehouse_as_loads_do(climate, monkeypatch):
    before = {name: table(climate, name) for name in ("climate_normal", "climate_threshold")}
    shipped = migrations.migrations()
    (number,) = (each.version for each in shipped if each.name == "normals")
    for statement in (
        "DROP VIEW mart_weekly_city_anomaly, mart_monthly_city_anomaly, city_anomaly, city_period",
        "DROP TABLE climate_normal, climate_threshold",
        "DROP FUNCTION climate_normals, climate_thresholds, climate_base, percentile_of",
        f"DELETE FROM schema_migration WHERE version >= {number}",
    ):
        rows_of(climate, statement)
    monkeypatch.setattr(migrations, "migrations", lambda: shipped[:number])
    assert migrate({"dsn": climate}) == ["008_normals"]
    for name, rows in before.items():
        made = table(climate, name)
        assert {key: {**row, "written": None} for key, row in made.items()} == {
            key: {**row, "written": None} for key, row in rows.items()
        }


@pytest.mark.parametrize("name", ["climate_normal", "climate_threshold", *ANOMALIES.values()])
def test_the_reader_role_may_read_normals_and_anomalies(climate, name):
    parameters = psycopg2.extensions.parse_dsn(climate)
    reader = psycopg2.extensions.make_dsn(**parameters, options="-c role=metabase_reader")
    assert rows_of(reader, f"SELECT count(*) FROM {name}") != [(0,)]
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        rows_of(reader, "SELECT * FROM city_period")


def test_the_loader_role_may_make_normals(climate):
    parameters = psycopg2.extensions.parse_dsn(climate)
    loader = psycopg2.extensions.make_dsn(**parameters, options="-c role=ikirere_loader")
    load_responses(loader, correction("a", datetime(1995, 5, 17, 23, tzinfo=UTC), 60, 0), cities=CITIES)
    assert_equal_to_the_oracle(climate)

"""Migrations and roles, on a real Postgres."""

import threading
from contextlib import closing

import psycopg2
import pytest
from loads import load_responses, response, rows_of, temperatures

from functions.core.errors import LoadError
from functions.model import migrations
from functions.model.migrations import Migration, migrate

SHIPPED = [f"{migration.version:03d}_{migration.name}" for migration in migrations.migrations()]
LAST = len(SHIPPED)


def test_each_migration_is_applied_once_in_order(database_url):
    assert SHIPPED[:2] == ["001_warehouse", "002_roles"]
    assert migrate({"dsn": database_url}) == SHIPPED
    assert migrate({"dsn": database_url}) == []
    versions = rows_of(database_url, "SELECT version FROM schema_migration ORDER BY applied_at, version")
    assert versions == [(n,) for n in range(1, LAST + 1)]


def test_concurrent_calls_apply_each_migration_once(database_url):
    applied: list = []
    threads = [threading.Thread(target=lambda: applied.extend(migrate({"dsn": database_url}))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(applied) == SHIPPED


def test_a_migration_that_fails_leaves_nothing_of_itself_and_keeps_those_before_it(database_url, monkeypatch):
    broken = Migration(LAST + 1, "broken", "CREATE TABLE half (x int); SELECT no_such_function();")
    monkeypatch.setattr(migrations, "migrations", lambda shipped=migrations.migrations(): [*shipped, broken])  # noqa: B008
    with pytest.raises(LoadError, match=rf"migration {LAST + 1:03d}_broken: .*no_such_function"):
        migrate({"dsn": database_url})
    assert rows_of(database_url, "SELECT max(version), to_regclass('half') FROM schema_migration") == [(LAST, None)]


def test_a_migration_changed_after_it_was_applied_is_rejected(database_url):
    migrate({"dsn": database_url})
    rows_of(database_url, "UPDATE schema_migration SET sha256 = 'other' WHERE version = 1")
    with pytest.raises(LoadError, match="001_warehouse: was changed after it was applied"):
        migrate({"dsn": database_url})


def test_a_warehouse_newer_than_the_package_is_rejected(database_url):
    migrate({"dsn": database_url})
    rows_of(database_url, "INSERT INTO schema_migration VALUES (999, 'future', 'x')")
    with pytest.raises(LoadError, match=f"version 999, this package has {LAST}"):
        load_responses(database_url, response("a", 0, [1]))


@pytest.fixture
def as_role(warehouse):
    """A function from the name of a role to the address of the warehouse as that role."""
    parameters = psycopg2.extensions.parse_dsn(warehouse)
    return lambda role: psycopg2.extensions.make_dsn(**parameters, options=f"-c role={role}")


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO dim_city VALUES ('a', 'A', 'B', 0, 0, 'UTC')",
        "DELETE FROM mart_daily_city_weather",
        "CREATE TEMPORARY TABLE working (x int)",
        "SELECT max(version) FROM schema_migration",
    ],
)
def test_the_loader_role_may_do_what_a_load_needs(as_role, statement):
    rows_of(as_role("ikirere_loader"), statement)


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE staging_weather",
        "CREATE TABLE mine (x int)",
        "TRUNCATE pipeline_run",
        "DELETE FROM schema_migration",
    ],
)
def test_the_loader_role_cannot_change_the_schema_or_delete_its_records(as_role, statement):
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        rows_of(as_role("ikirere_loader"), statement)


@pytest.mark.parametrize(
    "table",
    [
        "mart_daily_city_weather",
        "mart_weekly_city_weather",
        "mart_monthly_city_weather",
        "mart_city_weather_summary",
        "dim_city",
        "pipeline_run",
        "quality_result",
        "weather_alert",
        "alert_rule",
    ],
)
def test_the_reader_role_may_read_the_marts(as_role, table):
    assert rows_of(as_role("metabase_reader"), f"SELECT * FROM {table}") == []


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM staging_weather",
        "SELECT * FROM staging_coverage",
        "SELECT * FROM schema_migration",
        "SELECT * FROM city_grid_cell",
        "INSERT INTO dim_city VALUES ('a', 'A', 'B', 0, 0, 'UTC')",
        "DELETE FROM mart_daily_city_weather",
        "CREATE TABLE mine (x int)",
    ],
)
def test_the_reader_role_can_do_nothing_else(as_role, statement):
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        rows_of(as_role("metabase_reader"), statement)


def test_a_warehouse_of_the_version_before_keeps_its_precedence_and_its_summary(database_url, monkeypatch):
    shipped = migrations.migrations()
    monkeypatch.setattr(migrations, "migrations", lambda: shipped[:2])
    migrate({"dsn": database_url})
    # as version 2 stored the response "b" at 101 hours with the temperatures 5, null and 7: one row for each stretch
    for statement in (
        "INSERT INTO dim_city VALUES ('kigali', 'Kigali', 'Rwanda', -1.95, 30.06, 'Africa/Kigali', 1, 1)",
        "INSERT INTO staging_weather (city_id, observed_at, temperature_c, source, fetched_at, run_id, raw_key) "
        "SELECT 'kigali', timestamptz '2026-03-01 00:00Z' + n * interval '1 hour', value, 'forecast', "
        "'2026-03-05 05:00Z', 'b', 'raw/b' FROM unnest('{5,NULL,7}'::numeric[]) WITH ORDINALITY AS hour (value, place) "
        "CROSS JOIN LATERAL (SELECT place - 1 AS n) AS offset_hours",
        "INSERT INTO staging_coverage SELECT 'kigali', 'forecast', '2026-03-05 05:00Z', 'b', hour, hour, filled "
        "FROM (VALUES (timestamptz '2026-03-01 00:00Z', 1), ('2026-03-01 01:00Z', 0), ('2026-03-01 02:00Z', 1)) "
        "AS stretch (hour, filled)",
        "INSERT INTO mart_daily_city_weather (city_id, city, date, avg_temperature_c, min_temperature_c, "
        "max_temperature_c, hours_observed, hours_expected, hours_forecast, hours_humidity, run_id) "
        "VALUES ('kigali', 'Kigali', '2026-03-01', 6, 5, 7, 2, 24, 0, 0, 'b')",
        "INSERT INTO mart_city_weather_summary VALUES ('kigali', 'Kigali', 1, 7, '2026-03-01', 5, '2026-03-01', NULL, "
        "'2026-03-01', '2026-03-01')",
    ):
        rows_of(database_url, statement)
    monkeypatch.setattr(migrations, "migrations", lambda: shipped)
    assert migrate({"dsn": database_url}) == SHIPPED[2:]
    load_responses(database_url, response("a", 100, [1, 2, 3]))  # fetched before "b", loaded after it
    assert temperatures(database_url) == [5, 2, 7]
    load_responses(database_url, response("b", 101, [5, None, 7, 9]))  # a replay of "b" with one hour more
    load_responses(database_url, response("c", 100.5, [8, 8, 8, 8]))
    assert temperatures(database_url) == [5, 8, 7, 9]
    assert rows_of(
        database_url,
        "SELECT total_days_recorded, highest_temperature_c, lowest_temperature_c FROM mart_city_weather_summary",
    ) == [(1, 9, 5)]


def test_a_warehouse_of_version_3_is_vacuumed_by_a_hundredth_of_its_rows_and_its_rows_stay(database_url, monkeypatch):
    shipped = migrations.migrations()
    monkeypatch.setattr(migrations, "migrations", lambda: shipped[:3])
    migrate({"dsn": database_url})
    # as version 3 stored the response "a" at 100 hours
    for statement in (
        "INSERT INTO dim_city VALUES ('kigali', 'Kigali', 'Rwanda', -1.95, 30.06, 'Africa/Kigali', 1, 1)",
        "INSERT INTO staging_weather (city_id, observed_at, temperature_c, source, fetched_at, run_id, raw_key) "
        "SELECT 'kigali', timestamptz '2026-03-01 00:00Z' + (place - 1) * interval '1 hour', value, 'forecast', "
        "'2026-03-05 04:00Z', 'a', 'raw/a' FROM unnest('{5,NULL,7}'::numeric[]) WITH ORDINALITY AS hour (value, place)",
        "INSERT INTO staging_coverage VALUES ('kigali', 'forecast', '2026-03-05 04:00Z', 'a', '2026-03-01 00:00Z', "
        "'2026-03-01 02:00Z', 1, '{1}', '{0}', NULL)",
    ):
        rows_of(database_url, statement)
    files = "SELECT relname, pg_relation_filenode(oid) FROM pg_class WHERE relname = ANY (%s) ORDER BY relname"
    tables = ["mart_daily_city_weather", "staging_weather"]
    files_before = rows_of(database_url, files, [tables])
    monkeypatch.setattr(migrations, "migrations", lambda: shipped[:4])
    # beside a load and a reader: both hold their locks until the end
    with closing(psycopg2.connect(database_url)) as other, other.cursor() as cursor:
        for table in tables:
            cursor.execute(f"SELECT * FROM {table}")
            cursor.execute(f"LOCK TABLE {table} IN ROW EXCLUSIVE MODE")
        monkeypatch.setattr("functions.model.database._SESSION", "-c lock_timeout=5s")
        assert migrate({"dsn": database_url}) == ["004_growth"]
    assert temperatures(database_url) == [5, None, 7]
    assert rows_of(database_url, files, [tables]) == files_before
    settings = "SELECT relname, unnest(reloptions) FROM pg_class WHERE relname = ANY (%s) ORDER BY 1, 2"
    assert rows_of(database_url, settings, [tables]) == [
        (table, f"autovacuum_{task}_scale_factor=0.01")
        for table in tables
        for task in ("analyze", "vacuum_insert", "vacuum")
    ]
    monkeypatch.setattr(migrations, "migrations", lambda: shipped)
    migrate({"dsn": database_url})
    load_responses(database_url, response("b", 101, [6, 8, 7]))
    assert temperatures(database_url) == [6, 8, 7]


def test_a_warehouse_of_version_4_keeps_its_runs_and_the_next_load_stores_its_findings(database_url, monkeypatch):
    shipped = migrations.migrations()
    monkeypatch.setattr(migrations, "migrations", lambda: shipped[:4])
    migrate({"dsn": database_url})
    rows_of(
        database_url,
        "INSERT INTO pipeline_run (run_id, status, started_at, finished_at) VALUES ('old', 'succeeded', now(), now())",
    )
    monkeypatch.setattr(migrations, "migrations", lambda: shipped[:5])
    assert migrate({"dsn": database_url}) == ["005_quality"]
    assert rows_of(database_url, "SELECT findings FROM pipeline_run") == [({},)]
    monkeypatch.setattr(migrations, "migrations", lambda: shipped)
    migrate({"dsn": database_url})
    load_responses(database_url, response("new", 100, [5, None, 7]))
    assert rows_of(database_url, "SELECT run_id, rule, count FROM quality_result") == [("new", "incomplete_day", 22)]
    assert rows_of(database_url, "SELECT findings FROM pipeline_run WHERE run_id = 'new'") == [({"incomplete_day": 1},)]

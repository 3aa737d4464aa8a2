"""Migrations and roles, on a real Postgres."""

import threading

import psycopg2
import pytest
from loads import load_responses, response, rows_of

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


@pytest.mark.parametrize("table", ["mart_daily_city_weather", "mart_city_weather_summary", "dim_city", "pipeline_run"])
def test_the_reader_role_may_read_the_marts(as_role, table):
    assert rows_of(as_role("metabase_reader"), f"SELECT * FROM {table}") == []


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM staging_weather",
        "SELECT * FROM staging_coverage",
        "SELECT * FROM schema_migration",
        "INSERT INTO dim_city VALUES ('a', 'A', 'B', 0, 0, 'UTC')",
        "DELETE FROM mart_daily_city_weather",
        "CREATE TABLE mine (x int)",
    ],
)
def test_the_reader_role_can_do_nothing_else(as_role, statement):
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        rows_of(as_role("metabase_reader"), statement)

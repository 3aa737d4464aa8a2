"""The warehouse's comments are those of the data dictionary, which has every table, view and column."""

import json
import subprocess
import sys

import psycopg2
import pytest
from loads import rows_of

from functions.core.dictionary import Table, tables
from functions.model import migrations
from functions.model.comments import write_comments
from functions.model.migrations import migrate

COLUMNS = """
    SELECT relname, attname, col_description(pg_class.oid, attnum), obj_description(pg_class.oid, 'pg_class')
    FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm')
"""


def test_every_table_view_and_column_is_in_the_dictionary_and_no_other(warehouse):
    found = {(table, column) for table, column, *_ in rows_of(warehouse, COLUMNS)}
    assert found == {(table.name, column) for table in tables().values() for column in table.columns}


def test_a_view_names_its_key(warehouse):
    views = rows_of(warehouse, "SELECT viewname FROM pg_views WHERE schemaname = 'public'")
    assert [name for (name,) in views if not tables()[name].key] == []


def test_readers_are_told_which_tables_they_may_read(warehouse):
    granted = rows_of(
        warehouse,
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm') "
        "AND has_table_privilege('metabase_reader', oid, 'SELECT')",
    )
    assert {name for (name,) in granted} == {table.name for table in tables().values() if table.is_for_readers}


def test_comments_are_written_once_and_again_only_where_they_differ(warehouse):
    rows_of(warehouse, "CREATE VIEW city_name AS SELECT city FROM dim_city")
    assert write_comments({"dsn": warehouse}) == sum(1 + len(table.columns) for table in tables().values())
    for table, column, comment, about in rows_of(warehouse, COLUMNS):
        if table != "city_name":
            assert (comment, about) == (tables()[table].columns[column].comment, tables()[table].description)
    assert write_comments({"dsn": warehouse}) == 0
    rows_of(warehouse, "COMMENT ON COLUMN dim_city.latitude IS 'changed'")
    assert write_comments({"dsn": warehouse}) == 1


def test_a_view_has_its_comments_too(warehouse, monkeypatch):
    columns = {name: tables()["dim_city"].columns[name] for name in ("city_id", "city")}
    monkeypatch.setattr(
        "functions.model.comments.tables",
        lambda: {"city_name": Table("city_name", 'The "names"; of 100 % it\'s', columns)},
    )
    rows_of(warehouse, "CREATE VIEW city_name AS SELECT city FROM dim_city")
    assert write_comments({"dsn": warehouse}) == 2
    ((comment,),) = rows_of(warehouse, "SELECT obj_description('city_name'::regclass)")
    assert comment == 'The "names"; of 100 % it\'s'


def test_an_older_warehouse_gets_the_comments_of_what_it_has(database_url, monkeypatch):
    shipped = migrations.migrations()
    monkeypatch.setattr(migrations, "migrations", lambda: shipped[:2])
    migrate({"dsn": database_url})
    assert write_comments({"dsn": database_url}) > 0
    assert write_comments({"dsn": database_url}) == 0


@pytest.mark.parametrize("role", ["ikirere_loader", "metabase_reader"])
def test_a_role_that_does_not_own_the_tables_changes_nothing(warehouse, role):
    address = psycopg2.extensions.parse_dsn(warehouse)
    assert write_comments({"dsn": psycopg2.extensions.make_dsn(**address, options=f"-c role={role}")}) == 0


def test_model_does_not_import_the_dictionary():
    code = "import functions.model.handler, sys, json; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "functions.core.dictionary" not in json.loads(done.stdout)

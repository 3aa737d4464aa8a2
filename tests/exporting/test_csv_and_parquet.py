"""One table as CSV and as Parquet: its values, types, units, and what spreadsheets make of it."""

import csv
import hashlib
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from loads import rows_of

from functions.core.dictionary import CREDIT, tables
from operations.exporting import parquet_files


def read_csv(path):
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_csv_file_has_the_rows_of_the_table_in_the_order_of_its_key(export, warehouse):
    made = export("csv", "--output", "daily.csv")
    (file,) = made["files"]
    body = Path("daily.csv").read_bytes()
    assert (file["path"], file["rows"], file["bytes"]) == ("daily.csv", 9, len(body))
    assert file["sha256"] == hashlib.sha256(body).hexdigest()
    assert made["credit"] == CREDIT
    rows = read_csv("daily.csv")
    assert [(row["city_id"], row["date"]) for row in rows] == [(c, f"2026-11-0{d}") for c in "abc" for d in (1, 2, 3)]
    assert set(rows[0]) == set(tables()["mart_daily_city_weather"].columns)
    second = rows[4]
    assert second["city"] == 'São "Tomé", the\ncity'
    assert second["avg_temperature_c"] == "21.4583333333333333"
    assert (second["min_temperature_c"], second["avg_humidity"], second["population"]) == ("-0.1", "", "")
    assert second["updated_at"] == "2026-11-30T05:06:07.000009Z"


def test_a_text_that_begins_a_formula_is_text_in_csv_and_unchanged_in_parquet(export, warehouse):
    texts = ["=1+1", "+1", "-1", "@x", "\t=1", " \r\n=1", "＝1", "＠x", "1-1", "", "a=1", "'=1"]
    rows_of(warehouse, "DELETE FROM pipeline_run")
    for n, text in enumerate(texts):
        rows_of(
            warehouse,
            "INSERT INTO pipeline_run (run_id, status, started_at, finished_at, cause) "
            "VALUES (%s, 'failed', now(), now(), %s)",
            [f"run-{n:02d}", text],
        )
    export("csv", "--table", "pipeline_run", "--output", "runs.csv")
    assert [row["cause"] for row in read_csv("runs.csv")] == [f"'{t}" for t in texts[:8]] + texts[8:]
    export("parquet", "--table", "pipeline_run", "--output", "runs.parquet")
    assert pq.read_table("runs.parquet")["cause"].to_pylist() == texts


def test_a_parquet_file_has_types_and_units_that_other_programs_read(export):
    export("parquet", "--output", "daily.parquet")
    table = pq.read_table("daily.parquet")
    assert {field.name: str(field.type) for field in table.schema}.items() >= {
        "city_id": "string", "city": "string", "date": "date32[day]", "avg_temperature_c": "double",
        "min_temperature_c": "double", "max_temperature_c": "double", "avg_humidity": "double",
        "precipitation_mm": "double", "max_wind_speed_kmh": "double", "max_uv_index": "double",
        "dominant_condition": "string", "hours_observed": "int16", "hours_expected": "int16", "hours_forecast": "int16",
        "hours_humidity": "int16", "population": "int64", "area_km2": "double",
        "updated_at": "timestamp[us, tz=UTC]", "run_id": "string",
    }.items()  # fmt: skip
    for field in table.schema:
        meaning = tables()["mart_daily_city_weather"].columns[field.name]
        assert field.metadata[b"unit"].decode() == meaning.unit
        assert field.metadata[b"description"].decode() == meaning.description
    assert table.schema.field("max_temperature_c").metadata[b"standard"] == b"TX"
    about = {name.decode(): text.decode() for name, text in table.schema.metadata.items()}
    assert about["credit"] == CREDIT
    assert about["primary_key"] == "city_id,date"
    row = table.to_pylist()[3]
    assert row["city"] == 'São "Tomé", the\ncity'
    assert (row["date"], row["avg_temperature_c"]) == (date(2026, 11, 1), 20.4583333333333333)
    assert (row["avg_humidity"], row["population"], row["dominant_condition"]) == (None, None, "")
    assert row["updated_at"] == datetime(2026, 11, 30, 5, 6, 7, 9, tzinfo=UTC)


@pytest.mark.parametrize("size", [1, 4, 9, 100])
def test_a_parquet_file_has_all_rows_however_many_are_in_a_group(export, monkeypatch, size):
    monkeypatch.setattr(parquet_files, "_GROUP", size)
    export("parquet", "--output", "daily.parquet")
    assert pq.ParquetFile("daily.parquet").num_row_groups == -(-9 // size)
    days = [row["date"].day for row in pq.read_table("daily.parquet").to_pylist()]
    assert days == [1, 2, 3] * 3


@pytest.mark.parametrize("table", list(tables()))
def test_every_table_can_be_exported_also_without_a_row(export, warehouse, table):
    names = [column.name for column in tables()[table].columns.values()]
    for rows in (True, False):
        if not rows:
            # all: a view is empty when its tables are
            names_of_tables = rows_of(warehouse, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            rows_of(warehouse, f"TRUNCATE {', '.join(name for (name,) in names_of_tables)}")
        count = rows_of(warehouse, f"SELECT count(*) FROM {table}")[0][0]
        for form in ("csv", "parquet"):
            (file,) = export(form, "--table", table, "--output", f"all.{form}", "--force")["files"]
            assert file["rows"] == count
        assert set(pq.read_table("all.parquet").schema.names) == set(names)
        assert pq.read_table("all.parquet").num_rows == count
        with Path("all.csv").open(newline="") as opened:
            assert set(next(csv.reader(opened))) == set(names)


def test_json_and_arrays_are_json_texts(export, warehouse):
    rows_of(
        warehouse,
        "INSERT INTO staging_coverage VALUES ('a', 'archive', now(), 'r', now(), now(), 63, '{1,2}', '{-1,3}', NULL)",
    )
    export("parquet", "--table", "staging_coverage", "--output", "coverage.parquet")
    assert pq.read_table("coverage.parquet")["gap_filled"].to_pylist() == ["[-1, 3]"]
    export("csv", "--table", "pipeline_run", "--output", "runs.csv")
    assert read_csv("runs.csv")[0]["objects"] == '[{"raw_key": "raw/x"}]'


def test_days_and_cities_select_rows(export):
    def days(*arguments):
        export("csv", *arguments, "--output", "some.csv", "--force")
        return [row["city_id"] + row["date"][-1] for row in read_csv("some.csv")]

    assert days("--start", "2026-11-02", "--end", "2026-11-02") == ["a2", "b2", "c2"]
    assert days("--start", "2026-11-03", "--city", "a", "--city", "c") == ["a3", "c3"]
    assert days("--end", "2026-11-01", "--city", "b") == ["b1"]
    assert days("--start", "2027-01-01") == []


def test_the_hours_of_a_day_are_those_of_the_utc_day(export, warehouse):
    for hour in ("2026-11-01 23:00Z", "2026-11-02 00:00Z", "2026-11-02 23:00Z", "2026-11-03 00:00Z"):
        rows_of(
            warehouse,
            "INSERT INTO staging_weather (city_id, observed_at, source, fetched_at, run_id, raw_key) "
            "VALUES ('a', %s, 'archive', now(), 'r', 'k')",
            [hour],
        )
    export(
        "csv", "--table", "staging_weather", "--start", "2026-11-02", "--end", "2026-11-02", "--output", "hours.csv"
    )  # fmt: skip
    hours = [row["observed_at"] for row in read_csv("hours.csv")]
    assert hours == ["2026-11-02T00:00:00.000000Z", "2026-11-02T23:00:00.000000Z"]


def test_periods_are_selected_by_their_first_day_and_views_are_exported_in_the_order_of_their_key(
    export, warehouse, monkeypatch
):
    rows_of(
        warehouse,
        "CREATE VIEW mart_weekly AS SELECT * FROM (VALUES ('b', '2026W45', date '2026-11-02', date '2026-11-08'), "
        "('a', '2026W46', '2026-11-09', '2026-11-15'), ('a', '2026W45', '2026-11-02', '2026-11-08')) "
        "AS week (city_id, period, start_date, end_date)",
    )
    daily = tables()["mart_daily_city_weather"]
    columns = dict.fromkeys(("city_id", "period", "start_date", "end_date"), daily.columns["city"])
    known = tables() | {"mart_weekly": type(daily)("mart_weekly", "Weeks.", columns, ("city_id", "period"))}
    monkeypatch.setattr("functions.core.dictionary.tables", lambda: known)
    export("csv", "--table", "mart_weekly", "--output", "weeks.csv")
    assert [(r["city_id"], r["period"]) for r in read_csv("weeks.csv")] == [
        ("a", "2026W45"), ("a", "2026W46"), ("b", "2026W45")
    ]  # fmt: skip
    export("csv", "--table", "mart_weekly", "--start", "2026-11-03", "--end", "2026-11-09", "--output", "one.csv")
    assert [(r["city_id"], r["period"]) for r in read_csv("one.csv")] == [("a", "2026W46")]


def test_the_time_zone_and_encoding_of_the_user_change_no_row(export, warehouse, monkeypatch):
    rows_of(
        warehouse,
        "INSERT INTO staging_weather (city_id, observed_at, source, fetched_at, run_id, raw_key) "
        "SELECT 'a', timestamptz '2026-11-01 00:00Z' + n * interval '1 hour', 'archive', now(), 'r', 'k' "
        "FROM generate_series(-3, 30) AS n",
    )
    selected = ("csv", "--table", "staging_weather", "--start", "2026-11-01", "--end", "2026-11-01", "--output")
    made = export(*selected, "before")["files"][0]
    monkeypatch.setenv("PGTZ", "Africa/Kigali")
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    assert export(*selected, "after")["files"][0] | {"path": "before"} == made


def test_a_text_longer_than_what_is_read_at_a_time_is_whole_in_parquet(export, warehouse):
    rows_of(warehouse, "UPDATE pipeline_run SET objects = to_jsonb(ARRAY[repeat('x', 3000000)]) WHERE run_id = 'run-0'")
    export("parquet", "--table", "pipeline_run", "--output", "runs")
    assert [len(text) for text in pq.read_table("runs")["objects"].to_pylist()] == [3_000_004, 2]

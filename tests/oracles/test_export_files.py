"""Exported files as other programs read them: frictionless, DuckDB and pandas."""

import json
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from loads import rows_of

from functions.core.dictionary import tables

duckdb = pytest.importorskip("duckdb")
frictionless = pytest.importorskip("frictionless")
pd = pytest.importorskip("pandas")

DAILY = "SELECT * FROM mart_daily_city_weather ORDER BY city_id, date"


def as_measured(rows):
    """Rows of the warehouse with decimals as doubles, as a program computes with them."""
    return [tuple(float(each) if hasattr(each, "as_tuple") else each for each in row) for row in rows]


def test_frictionless_validates_a_package_of_every_table(export):
    export("package", *(word for name in tables() for word in ("--table", name)), "--output", "package")
    report = frictionless.validate("package/datapackage.json")
    assert report.flatten(["type", "message"]) == []
    assert report.valid
    assert {task.name: task.stats.get("rows") for task in report.tasks}["mart_daily_city_weather"] == 9


@pytest.mark.parametrize(
    ("path", "old", "new", "error"),
    [
        ("data/mart_daily_city_weather.csv", b",28.4,", b",warm,", "type-error"),
        ("data/mart_daily_city_weather.csv", b"2026-11-02", b"2026-11-32", "type-error"),
        ("data/mart_daily_city_weather.csv", b"2026-11-02", b"2026-11-01", "primary-key"),
        ("data/mart_daily_city_weather.csv", b",24,24,0,24,", b",,24,0,24,", "constraint-error"),
        ("data/mart_daily_city_weather.csv", b"28.4", b"28.5", "hash-count"),
        ("data/dim_city.csv", b"false", b"maybe", "type-error"),
        ("datapackage.json", b'"rows": 9', b'"rows": 8', "row-count"),
        ("datapackage.json", b'"name": "latitude"', b'"name": "height"', "incorrect-label"),
    ],
)
def test_frictionless_finds_what_is_wrong_in_a_changed_package(export, path, old, new, error):
    export("package", "--output", "package")
    file = Path("package") / path
    body = file.read_bytes()
    assert old in body
    file.write_bytes(body.replace(old, new))
    assert [error] in frictionless.validate("package/datapackage.json").flatten(["type"])


def test_frictionless_reads_the_values_of_the_warehouse(export, warehouse):
    export("package", "--table", "mart_daily_city_weather", "--output", "package")
    resource = frictionless.Package("package/datapackage.json").get_resource("mart_daily_city_weather")
    rows = [tuple(row.to_dict().values()) for row in resource.read_rows()]
    wanted = rows_of(warehouse, DAILY)
    conditions = resource.schema.field_names.index("dominant_condition")
    # an empty text is a missing value in CSV, and a formula is text
    expected = [
        tuple(
            None if n == conditions and each == "" else f"'{each}" if each == "=1+1" else each
            for n, each in enumerate(row)
        )
        for row in wanted
    ]
    read = [
        tuple(each.replace(tzinfo=UTC) if isinstance(each, datetime) and not each.tzinfo else each for each in row)
        for row in rows
    ]
    assert read == expected


def test_duckdb_reads_types_and_values_from_parquet_and_csv(export, warehouse):
    export("parquet", "--output", "daily.parquet")
    export("csv", "--output", "daily.csv")
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    types = {name: kind for name, kind, *_ in connection.execute("DESCRIBE FROM 'daily.parquet'").fetchall()}
    columns = tables()["mart_daily_city_weather"].columns.values()
    assert {types[column.name] for column in columns if column.unit in ("°C", "mm", "%", "km²")} == {"DOUBLE"}
    assert (types["date"], types["hours_observed"], types["population"], types["updated_at"], types["city"]) == (
        "DATE", "SMALLINT", "BIGINT", "TIMESTAMP WITH TIME ZONE", "VARCHAR"
    )  # fmt: skip
    wanted = as_measured(rows_of(warehouse, DAILY))
    found = connection.execute("FROM 'daily.parquet' ORDER BY city_id, date").fetchall()
    assert [row[:17] + row[18:] for row in found] == [row[:17] + row[18:] for row in wanted]
    moments = connection.execute("SELECT DISTINCT epoch_us(updated_at) FROM 'daily.parquet'").fetchall()
    assert moments == [(int(wanted[0][17].timestamp()) * 1_000_000 + wanted[0][17].microsecond,)]
    from_csv = {name: kind for name, kind, *_ in connection.execute("DESCRIBE FROM 'daily.csv'").fetchall()}
    assert (from_csv["date"], from_csv["avg_temperature_c"]) == ("DATE", "DOUBLE")
    assert from_csv["updated_at"].startswith("TIMESTAMP")
    assert connection.execute("SELECT sum(max_temperature_c), count(*) FROM read_csv('daily.csv')").fetchall() == [
        (pytest.approx(9 * 28.4), 9)
    ]


def test_pandas_reads_types_values_and_units(export):
    export("parquet", "--output", "daily.parquet")
    frame = pd.read_parquet("daily.parquet")
    assert frame["avg_temperature_c"].dtype == "float64"
    assert frame["hours_observed"].dtype == "int16"
    assert str(frame["updated_at"].dtype) == "datetime64[us, UTC]"
    assert frame["date"].iloc[0] == date(2026, 11, 1)
    assert frame["avg_humidity"].isna().all()
    assert frame["avg_temperature_c"].iloc[1] == 21.4583333333333333
    schema = pytest.importorskip("pyarrow.parquet").read_schema("daily.parquet")
    assert schema.field("precipitation_mm").metadata[b"unit"] == b"mm"
    assert schema.field("max_wind_speed_kmh").metadata[b"unit"] == b"km/h"


def test_pandas_reads_a_csv_file_with_the_types_of_its_package(export):
    export("package", "--table", "mart_daily_city_weather", "--output", "package")
    (resource,) = json.loads(Path("package/datapackage.json").read_text(encoding="utf-8"))["resources"]
    days = [field["name"] for field in resource["schema"]["fields"] if field["type"] in ("date", "datetime")]
    frame = pd.read_csv(Path("package") / resource["path"], parse_dates=days)
    assert str(frame["date"].dtype).startswith("datetime64")
    assert str(frame["updated_at"].dtype).endswith("UTC]")
    assert len(frame) == resource["rows"]
    assert frame["city"].iloc[3] == 'São "Tomé", the\ncity'

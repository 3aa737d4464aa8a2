"""The data package, read by hand; tests/oracles reads it with frictionless."""

import csv
import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

from loads import rows_of

from functions.core.dictionary import CREDIT, tables
from operations.exporting import csv_files
from operations.exporting import export as exports

PARSERS = {
    "string": str,
    "integer": int,
    "number": float,
    "boolean": {"true": True, "false": False}.__getitem__,
    "date": lambda text: datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC),
}


def package(folder="package"):
    return json.loads((Path(folder) / "datapackage.json").read_text(encoding="utf-8"))


def test_a_package_describes_its_files(export, warehouse):
    made = export("package", "--output", "package")
    found = package()
    assert found["profile"] == "tabular-data-package"
    assert [each["name"] for each in found["licenses"]] == ["CC-BY-4.0"]
    assert [each["path"] for each in found["sources"]] == ["https://open-meteo.com/"]
    assert CREDIT in found["description"]
    assert abs(datetime.now(UTC) - datetime.fromisoformat(found["created"])).days == 0
    names = [each["name"] for each in found["resources"]]
    assert names == [table.name for table in tables().values() if table.is_for_readers]
    assert "staging_weather" not in names
    assert [file["table"] for file in made["files"]] == names
    files = {path.relative_to("package").as_posix() for path in Path("package").rglob("*") if path.is_file()}
    assert files == {"datapackage.json", *(each["path"] for each in found["resources"])}
    for each, file in zip(found["resources"], made["files"], strict=True):
        body = (Path("package") / each["path"]).read_bytes()
        assert each["bytes"] == file["bytes"] == len(body)
        assert each["hash"] == f"sha256:{file['sha256']}" == f"sha256:{hashlib.sha256(body).hexdigest()}"
        assert each["rows"] == file["rows"] == rows_of(warehouse, f"SELECT count(*) FROM {each['name']}")[0][0]


def test_every_cell_has_the_type_of_its_field_and_every_field_a_description_and_a_unit(export):
    export("package", *(word for name in tables() for word in ("--table", name)), "--output", "package")
    found = package()
    assert len(found["resources"]) == len(tables())
    for resource in found["resources"]:
        schema = resource["schema"]
        with (Path("package") / resource["path"]).open(encoding="utf-8", newline="") as file:
            head, *rows = csv.reader(file)
        assert head == [field["name"] for field in schema["fields"]]
        assert set(schema["primaryKey"]) <= set(head)
        for field in schema["fields"]:
            assert field["description"]
            assert field["unit"]
        for row in rows:
            for field, cell in zip(schema["fields"], row, strict=True):
                if cell in schema["missingValues"]:
                    assert "constraints" not in field, field
                elif field["type"] == "datetime":
                    datetime.strptime(cell, field["format"]).replace(tzinfo=UTC)
                else:
                    PARSERS[field["type"]](cell)
        keys = [tuple(row[head.index(name)] for name in schema["primaryKey"]) for row in rows]
        assert len(set(keys)) == len(rows)


def test_a_package_names_the_runs_that_wrote_its_rows_and_what_was_selected(export):
    export(
        "package", "--table", "mart_daily_city_weather", "--table", "dim_city", "--start", "2026-11-02", "--city", "b",
        "--output", "package",
    )  # fmt: skip
    daily, cities = package()["resources"]
    assert (daily["runs"], daily["rows"]) == (["run-1", "run-2"], 2)
    assert (cities["runs"], cities["rows"]) == ([], 1)
    assert package()["selection"] == {"start": "2026-11-02", "end": None, "cities": ["b"]}


def test_a_package_is_of_one_moment_whatever_is_loaded_meanwhile(export, warehouse, monkeypatch):
    def write(connection, rows, path, progress):
        rows_of(warehouse, "DELETE FROM mart_daily_city_weather")
        rows_of(warehouse, "UPDATE dim_city SET city = 'changed'")
        return csv_files.write_csv(connection, rows, path, progress)

    monkeypatch.setattr(exports, "write_csv", write)
    export("package", "--output", "package")
    counts = {each["name"]: each["rows"] for each in package()["resources"]}
    assert (counts["dim_city"], counts["mart_daily_city_weather"]) == (3, 9)
    assert "changed" not in (Path("package") / "data" / "dim_city.csv").read_text(encoding="utf-8")


def test_the_columns_that_are_empty_texts_are_missing(export):
    export("package", "--table", "mart_daily_city_weather", "--output", "package")
    (resource,) = package()["resources"]
    fields = {field["name"]: field for field in resource["schema"]["fields"]}
    assert resource["schema"]["missingValues"] == [""]
    assert "constraints" not in fields["dominant_condition"]
    assert fields["hours_observed"]["constraints"] == {"required": True}
    assert fields["max_temperature_c"] == {
        "name": "max_temperature_c", "type": "number", "unit": "°C", "standard": "TX",
        "description": tables()["mart_daily_city_weather"].columns["max_temperature_c"].description,
        "source": "https://www.ecad.eu/indicesextremes/indicesdictionary.php",
    }  # fmt: skip

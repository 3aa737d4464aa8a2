"""``ikirere export`` on the emulator's own warehouse; tests/exporting has its files."""

import json
import subprocess
import sys

import pyarrow.parquet as pq
from command import ROOT

from functions.core.dictionary import CREDIT, tables

RECORDED = "2025-11-19 and 20"


def test_a_file_and_the_command_say_whose_data_it_is_and_that_it_is_not_of_today(up, tmp_path):
    for form in ("csv", "parquet", "package"):
        said = up("export", form, "--output", str(tmp_path / form)).stdout.splitlines()
        assert said[0].startswith(str(tmp_path / form))
        assert RECORDED in said[-2]
        assert said[-1] == f"Where you show or pass it on: {CREDIT}"
    assert "mart_daily_city_weather.csv: 9 rows, " in "\n".join(said)
    metadata = pq.read_schema(tmp_path / "parquet").metadata
    assert RECORDED in metadata[b"notice"].decode()
    description = json.loads((tmp_path / "package" / "datapackage.json").read_text(encoding="utf-8"))["description"]
    assert RECORDED in description
    assert CREDIT in description


def test_the_files_have_the_rows_that_sql_shows(up, tmp_path):
    made = up.json("export", "csv", "--output", str(tmp_path / "daily.csv"))
    assert made["notice"]
    rows = up("sql", "SELECT city_id, date, max_temperature_c FROM mart_daily_city_weather ORDER BY 1, 2", "--csv")
    lines = (tmp_path / "daily.csv").read_text(encoding="utf-8").splitlines()
    place = lines[0].split(",").index("max_temperature_c")
    shown = [",".join([*line.split(",")[:1], line.split(",")[2], line.split(",")[place]]) for line in lines[1:]]
    assert shown == rows.stdout.splitlines()[1:]


def test_nobody_who_watches_no_terminal_sees_progress(up, tmp_path):
    assert up("export", "csv", "--output", str(tmp_path / "x")).stderr == ""


def test_the_warehouse_of_the_emulator_has_its_comments(up):
    (row,) = up.json("sql", "SELECT obj_description('mart_daily_city_weather'::regclass) AS said")
    assert row == {"said": tables()["mart_daily_city_weather"].description}


def test_only_the_export_of_parquet_imports_pyarrow():
    code = (
        "import sys; from command_line import main; from operations.exporting import export; "
        "sys.exit('pyarrow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0

"""An export is whole or nothing: what is there already stays, and a failure leaves no file."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from command import ROOT
from loads import rows_of

from operations.exporting import csv_files


def files():
    return sorted(path.name for path in Path().iterdir())


@pytest.mark.parametrize("form", ["csv", "parquet", "package"])
def test_what_is_there_already_is_replaced_only_if_that_is_asked_for(export, warehouse, form):
    export(form, "--output", "x")
    assert files() == ["x"]
    size = export(form, "--output", "x", "--force")["files"][-1]["bytes"]
    rows_of(warehouse, "DELETE FROM mart_daily_city_weather WHERE city_id <> 'a'")
    assert "x is there already; name another --output, or replace it with --force" in export(
        form, "--output", "x", expect=2
    )
    made = export(form, "--output", "x", "--force")
    assert {file["table"]: file["rows"] for file in made["files"]}["mart_daily_city_weather"] == 3
    assert size
    assert files() == ["x"]


def test_a_link_and_a_link_to_nothing_are_there_already(export):
    Path("link").symlink_to("nothing")
    assert "link is there already" in export("csv", "--output", "link", expect=2)
    assert files() == ["link"]


def test_a_folder_that_is_no_package_is_never_replaced(export):
    Path("mine").mkdir()
    (Path("mine") / "thesis.txt").write_text("years")
    assert "mine is no data package" in export("package", "--output", "mine", "--force", expect=2)
    assert "mine is no file" in export("csv", "--output", "mine", "--force", expect=2)
    assert (Path("mine") / "thesis.txt").read_text() == "years"
    Path("file").write_text("mine")
    assert "file is no data package" in export("package", "--output", "file", "--force", expect=2)
    assert "/ is no name for a file" in export("csv", "--output", "/", "--force", expect=2)
    assert files() == ["file", "mine"]


@pytest.mark.parametrize("own", ["analysis.R", "data/mine.txt", "data/more/weather.csv"])
def test_a_package_in_which_somebody_put_a_file_is_not_replaced(export, own):
    export("package", "--output", "x")
    (Path("x") / own).parent.mkdir(exist_ok=True)
    (Path("x") / own).write_text("years")
    name = "data/more" if "more" in own else own
    assert f"x has {name}, which is no file of an export, so --force" in export(
        "package", "--output", "x", "--force", expect=2
    )
    assert (Path("x") / own).read_text() == "years"


def test_something_that_was_made_meanwhile_stays(export, monkeypatch):
    def write(*arguments):
        Path("x").write_text("mine")
        return csv_files.write_csv(*arguments)

    monkeypatch.setattr("operations.exporting.export.write_csv", write)
    assert "x is there already" in export("csv", "--output", "x", expect=2)
    assert Path("x").read_text() == "mine"
    assert files() == ["x"]


@pytest.mark.parametrize("form", ["csv", "parquet", "package"])
def test_a_database_that_ends_meanwhile_leaves_nothing(export, warehouse, monkeypatch, form):
    def progress(self, table, rows):
        rows_of(warehouse, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()")  # fmt: skip

    monkeypatch.setattr("command_line.exports._Printer.progress", progress)
    monkeypatch.setattr("operations.exporting.csv_files._REPORTED", 2)
    monkeypatch.setattr("operations.exporting.parquet_files._GROUP", 2)
    rows_of(
        warehouse,
        "INSERT INTO mart_daily_city_weather (city_id, city, date, dominant_condition, hours_observed, hours_expected, "
        "hours_forecast, hours_humidity, run_id) SELECT 'a', 'A', date '2000-01-01' + n, repeat('x', 1000000), 0, 24, "
        "0, 0, 'r' FROM generate_series(0, 50) AS n",
    )
    assert "ikirere: database: " in export(form, "--output", "x", expect=2)
    assert files() == []


@pytest.mark.parametrize("form", ["csv", "parquet", "package"])
@pytest.mark.parametrize("limit", [0, 200_000])
def test_a_full_disk_is_one_sentence_and_leaves_the_file_of_before(export, warehouse, form, limit, tmp_path):
    """EFBIG stands for ENOSPC: at the first byte, or in the middle."""
    export(form, "--output", "x")
    before = {path: path.read_bytes() for path in Path("x").rglob("*") if path.is_file()} or Path("x").read_bytes()
    rows_of(
        warehouse,
        "INSERT INTO mart_daily_city_weather (city_id, city, date, dominant_condition, hours_observed, hours_expected, "
        "hours_forecast, hours_humidity, run_id) SELECT 'a', 'A', date '1990-01-01' + n, md5(n::text), 0, 24, 0, "
        "0, md5((-n)::text) FROM generate_series(0, 9000) AS n",
    )
    done = subprocess.run(
        [sys.executable, "-m", "command_line", "export", form, "--output", "x", "--force"],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=180, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == (
        "ikirere: x: cannot be written (File too large); free space there or make it writable, then repeat\n"
    )
    after = {path: path.read_bytes() for path in Path("x").rglob("*") if path.is_file()} or Path("x").read_bytes()
    assert after == before
    assert files() == ["x"]


def test_an_interrupted_export_leaves_nothing(export, monkeypatch):
    def progress(self, table, rows):
        raise KeyboardInterrupt

    monkeypatch.setattr("command_line.exports._Printer.progress", progress)
    monkeypatch.setattr("operations.exporting.csv_files._REPORTED", 2)
    export("csv", "--output", "x", expect=130)
    assert files() == []


def test_a_folder_that_is_not_there_is_named(export):
    assert "nowhere/x: cannot be written (No such file or directory)" in export(
        "csv", "--output", "nowhere/x", expect=1
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--table", "no_such"], "no table no_such; the tables are alert_rule, city_anomaly, "),
        (["--start", "yesterday"], "export: start 'yesterday' must be a day as YYYY-MM-DD"),
        (["--end", "9999-01-01"], "export: end 9999-01-01 must be from "),
        (["--start", "2026-11-02", "--end", "2026-11-01"], "the end 2026-11-01 is before the start 2026-11-02"),
        (["--city", "atlantis", "--city", "a"], "the warehouse has no city atlantis; `ikirere show summary`"),
        (["--table", "dim_city", "--start", "2026-11-01"], "dim_city has no days; leave out --start and --end"),
        (["--table", "pipeline_run", "--city", "a"], "pipeline_run has no cities; leave out --city"),
    ],
)
def test_wrong_usage_is_named_and_writes_nothing(export, arguments, says):
    for form in ("csv", "parquet", "package"):
        assert says in export(form, *arguments, "--output", "x", expect=2)
    assert files() == []


def test_a_warehouse_of_another_version_is_named(export, warehouse):
    rows_of(warehouse, "ALTER TABLE dim_city ADD mayor text")
    assert "table dim_city has a column mayor that this version does not know" in export(
        "csv", "--table", "dim_city", "--output", "x", expect=2
    )
    rows_of(warehouse, "DROP TABLE pipeline_run")
    assert "the warehouse has no table pipeline_run; `ikirere up` migrates it" in export(
        "csv", "--table", "pipeline_run", "--output", "x", expect=2
    )
    assert files() == []


@pytest.mark.slow
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_the_memory_of_an_export_does_not_grow_with_its_rows(export, warehouse, form):
    """The peak of a process, at 300,000 rows (three row groups) and at a million, of 300 bytes each.

    With the second group the allocator keeps about 60 MB more, once.
    """

    def peak(days):
        rows_of(
            warehouse,
            "INSERT INTO mart_daily_city_weather (city_id, city, date, dominant_condition, hours_observed, "
            "hours_expected, hours_forecast, hours_humidity, run_id) SELECT 'c' || city, repeat('C', 100), "
            "date '1950-01-01' + n, md5(n::text), 0, 24, 0, 0, md5(city::text) "
            "FROM generate_series(1, 40) AS city, generate_series(%s, %s) AS n",
            days,
        )
        code = (
            "import resource, sys; from command_line.main import main; "
            f"code = main(['export', {form!r}, '--output', 'x', '--force']); "
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr); sys.exit(code)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return int(done.stderr.splitlines()[-1]) / 1024

    small, large = peak((0, 7_499)), peak((7_500, 24_999))
    assert large < small + 50, (small, large)

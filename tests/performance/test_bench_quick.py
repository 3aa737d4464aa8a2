"""The benchmarks work: what is deterministic of a quick run, never its times."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = 100 * 30 * 24


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Return the rows of a quick run without dlt, whose virtual environment `make bench-quick` installs."""
    file = tmp_path_factory.mktemp("bench") / "rows.json"
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    command = [sys.executable, "-m", "benchmarks", "quick", "--without", "dlt", "dlt_narrow", "--json", str(file)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(file.read_text())


def of(rows, contestant, run):
    return [row for row in rows if (row["contestant"], row["run"]) == (contestant, run)]


@pytest.mark.slow
def test_every_contestant_loads_every_row_in_both_rounds(rows):
    for contestant, runs in (("ikirere", ("first", "rerun")), ("baseline", ("first", "rerun")), ("floor", ("first",))):
        for run in runs:
            assert [row["rows"] for row in of(rows, contestant, run)] == [ROWS, ROWS], (contestant, run)


@pytest.mark.slow
def test_an_unchanged_rerun_writes_no_row_and_hardly_any_wal(rows):
    assert [row["loaded"] for row in of(rows, "ikirere", "first")] == [ROWS, ROWS]
    for row in of(rows, "ikirere", "rerun"):
        assert row["loaded"] == 0
        assert row["mart_rows_written"] == 0
    # the server's background work may add to one of them
    assert min(row["wal_bytes"] for row in of(rows, "ikirere", "rerun")) < 1_000_000


@pytest.mark.slow
def test_the_statements_of_a_load_depend_on_its_responses_not_on_its_rows(rows):
    for row in [*of(rows, "ikirere", "first"), *of(rows, "ikirere", "rerun")]:
        assert 1 <= row["parts"] <= 10
        assert 0 < row["statements"] <= 35 + 6 * row["parts"]


@pytest.mark.slow
def test_a_row_takes_few_bytes_in_the_buckets(rows):
    for row in of(rows, "ikirere", "rerun"):
        # both runs together
        raw, processed = (stored / (2 * ROWS) for stored in row["stored_bytes"].values())
        assert 2 < raw < 12
        assert 2 < processed < 25

"""Exports of a warehouse with hostile and ordinary rows, by the command line in this process."""

import json

import pytest
from loads import rows_of

from command_line.main import main
from functions.model.migrations import migrate

ROWS = """
    INSERT INTO dim_city VALUES
        ('a', 'Kigali', 'Rwanda', -1.95, 30.06, 'Africa/Kigali', 1132686, 730, true),
        ('b', E'São "Tomé", the\\ncity', 'X', 0.3365, 6.7273, 'Africa/Sao_Tome', NULL, NULL, false),
        ('c', '=1+1', 'X', 0, 0, 'UTC', 0, 0.5, true);
    INSERT INTO mart_daily_city_weather
    SELECT city_id, city, date '2026-11-01' + n, 20.4583333333333333 + n, -0.1, 28.4, NULL, 0, NULL, 11.05,
        CASE WHEN n = 0 THEN '' ELSE 'Fog' END, 24, 24, 0, 24, population, area_km2,
        timestamptz '2026-11-30 05:06:07.000009Z', 'run-' || n
    FROM dim_city, generate_series(0, 2) AS n;
    INSERT INTO pipeline_run (run_id, status, started_at, finished_at, objects, error, cause) VALUES
        ('run-0', 'succeeded', '2026-11-30 05:00Z', '2026-11-30 05:01Z', '[{"raw_key": "raw/x"}]', NULL, NULL),
        ('run-9', 'failed', '2026-11-30 06:00Z', '2026-11-30 06:01Z', '[]', 'E', E'\\t @SUM(A1)');
"""


@pytest.fixture
def warehouse(database_url):
    """The address of a migrated warehouse with three cities of three days, and two runs."""
    migrate({"dsn": database_url})
    rows_of(database_url, ROWS)
    return database_url


@pytest.fixture
def export(warehouse, tmp_path, monkeypatch, capsys):
    """A function that runs ``ikirere export`` in a folder of its own and expects an exit code.

    It returns the result of ``--json``, or standard error of a command that fails.
    """
    monkeypatch.setenv("DATABASE_URL", warehouse)
    monkeypatch.setenv("IKIRERE_HOME", str(tmp_path / "state"))
    folder = tmp_path / "out"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def run(*arguments, expect=0):
        capsys.readouterr()
        assert main(["export", *arguments, "--json"]) == expect
        printed = capsys.readouterr()
        return printed.err if expect else json.loads(printed.out)

    return run

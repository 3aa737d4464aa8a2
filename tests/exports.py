"""``ikirere export`` of a warehouse with ordinary and hostile rows, by the command line in this process."""

import json
from pathlib import Path
from typing import Any

import pytest
from loads import rows_of

from command_line.main import main
from functions.model.migrations import migrate

# Three cities of three days, one with quotes and a line break in its name and one with a formula, and two runs.
_ROWS = """
    -- of the columns that later migrations add, a count that may not be null is 0
    DO $$
    DECLARE
        name text;
    BEGIN
        FOR name IN
            SELECT attname FROM pg_attribute
            WHERE attrelid = 'mart_daily_city_weather'::regclass AND attnotnull AND NOT atthasdef
                AND atttypid = 'smallint'::regtype
        LOOP
            EXECUTE format('ALTER TABLE mart_daily_city_weather ALTER %I SET DEFAULT 0', name);
        END LOOP;
    END
    $$;
    INSERT INTO dim_city (city_id, city, country, latitude, longitude, timezone, population, area_km2, active) VALUES
        ('a', 'Kigali', 'Rwanda', -1.95, 30.06, 'Africa/Kigali', 1132686, 730, true),
        ('b', E'São "Tomé", the\\ncity', 'X', 0.3365, 6.7273, 'Africa/Sao_Tome', NULL, NULL, false),
        ('c', '=1+1', 'X', 0, 0, 'UTC', 0, 0.5, true);
    INSERT INTO mart_daily_city_weather (city_id, city, date, avg_temperature_c, min_temperature_c, max_temperature_c,
        avg_humidity, precipitation_mm, max_wind_speed_kmh, max_uv_index, dominant_condition, hours_observed,
        hours_expected, hours_forecast, hours_humidity, population, area_km2, updated_at, run_id)
    SELECT city_id, city, date '2026-11-01' + n, 20.4583333333333333 + n, -0.1, 28.4, NULL, 0, NULL, 11.05,
        CASE WHEN n = 0 THEN '' ELSE 'Fog' END, 24, 24, 0, 24, population, area_km2,
        timestamptz '2026-11-30 05:06:07.000009Z', 'run-' || n
    FROM dim_city, generate_series(0, 2) AS n;
    INSERT INTO pipeline_run (run_id, status, started_at, finished_at, objects, error, cause) VALUES
        ('run-0', 'succeeded', '2026-11-30 05:00Z', '2026-11-30 05:01Z', '[{"raw_key": "raw/x"}]', NULL, NULL),
        ('run-9', 'failed', '2026-11-30 06:00Z', '2026-11-30 06:01Z', '[]', 'E', E'\\t @SUM(A1)');
"""


def fill(database_url: str) -> str:
    """Make the warehouse in an empty database; the address."""
    migrate({"dsn": database_url})
    rows_of(database_url, _ROWS)
    return database_url


class Exporter:
    """Runs ``ikirere export`` in an empty folder; the result of ``--json``, or standard error where it fails."""

    def __init__(self, url: str, folder: Path, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]) -> None:
        patch.setenv("DATABASE_URL", url)
        patch.setenv("IKIRERE_HOME", str(folder / "state"))
        (folder / "out").mkdir()
        patch.chdir(folder / "out")
        self._capture = capture

    def __call__(self, *arguments: str, expect: int = 0) -> Any:
        self._capture.readouterr()
        assert main(["export", *arguments, "--json"]) == expect
        printed = self._capture.readouterr()
        return printed.err if expect else json.loads(printed.out)

"""Schedules that fire by themselves."""

import time


def test_schedules_fire_by_themselves(ikirere):
    ikirere("up", "--weather", "recorded", "--schedule", "rate(1 minute)")
    deadline = time.monotonic() + 150
    found = []
    while sum(row["status"] == "succeeded" for row in found) < 2 and time.monotonic() < deadline:
        time.sleep(1)
        found = ikirere.json("history")
    assert {(row["started_by"], row["status"], row["rows_in"]) for row in found} == {
        ("schedule or API", "succeeded", 144)
    }
    loaded = ikirere.json("sql", "SELECT DISTINCT source FROM pipeline_run ORDER BY 1")
    assert [row["source"] for row in loaded] == ["archive", "forecast"]
    # the archive's values replaced those of the forecast
    staged = ikirere.json("sql", "SELECT DISTINCT source FROM staging_weather")
    assert [row["source"] for row in staged] == ["archive"]

"""Schedules that fire by themselves."""

import time


def test_schedules_fire_by_themselves(ikirere):
    ikirere("up", "--weather", "recorded", "--schedule", "rate(1 minute)")
    deadline = time.monotonic() + 150
    found = []
    while not any(row["status"] == "succeeded" for row in found) and time.monotonic() < deadline:
        time.sleep(1)
        found = ikirere.json("history")
    assert [(row["started_by"], row["status"], row["loaded"]) for row in found] == [
        ("schedule or API", "succeeded", 144)
    ]

"""The recorded Rwandan days, end to end: each value of the mart against one computed from the recording here."""

import csv
from collections import Counter, defaultdict
from datetime import date, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import pytest

from open_meteo_stand_in.weather import SOURCES

RECORDING = Path(__file__).parents[2] / "open_meteo_stand_in" / "recorded" / "rwanda_2025-11-19_hourly.csv"
EVENT = {"start": "2025-11-19", "end": "2025-11-20"}
# Of the codes in the recording: what the WMO calls them.
WORDS = {
    0: "Clear sky",
    1: "Mainly clear",
    2: "Partly cloudy",
    3: "Overcast",
    80: "Slight rain showers",
    95: "Thunderstorm",
    96: "Thunderstorm with hail",
}


def recorded_days():
    """The recording by city and Rwandan day (UTC+2, no daylight saving)."""
    days = defaultdict(list)
    with RECORDING.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            local = datetime.fromisoformat(row["time"]) + timedelta(hours=2)
            days[row["city"], local.date()].append(row)
    return days


@pytest.fixture
def mart(pipeline):
    pipeline.host.weather = SOURCES["recorded"]
    ended = pipeline.run(**EVENT)
    assert (ended.row["status"], ended.row["rows_loaded"]) == ("succeeded", 144)
    return pipeline


def test_the_mart_has_nine_city_days_and_each_value_is_the_one_computed_from_the_recording(mart):
    days = recorded_days()
    rows = {(row["city"], row["date"]): row for row in mart.rows("SELECT * FROM mart_daily_city_weather")}
    assert rows.keys() == days.keys()
    assert len(rows) == 9
    hours = {date(2025, 11, 19): 22, date(2025, 11, 20): 24, date(2025, 11, 21): 2}
    for key, row in rows.items():
        temperatures = [Fraction(hour["temperature_2m"]) for hour in days[key]]
        humidities = [Fraction(hour["relative_humidity_2m"]) for hour in days[key]]
        codes = Counter(int(hour["weathercode"]) for hour in days[key])
        most = max(codes, key=lambda code, codes=codes: (codes[code], code))
        assert Fraction(row["min_temperature_c"]) == min(temperatures)
        assert Fraction(row["max_temperature_c"]) == max(temperatures)
        assert float(row["avg_temperature_c"]) == pytest.approx(float(sum(temperatures) / len(temperatures)), abs=1e-9)
        assert float(row["avg_humidity"]) == pytest.approx(float(sum(humidities) / len(humidities)), abs=1e-9)
        assert row["dominant_condition"] == WORDS[most]
        assert (row["hours_observed"], row["hours_expected"]) == (hours[row["date"]], 24)
        # the recording has neither rain, wind nor UV, and all its hours had passed
        assert (row["precipitation_mm"], row["max_wind_speed_kmh"], row["max_uv_index"]) == (None, None, None)
        assert row["hours_forecast"] == 0


def test_staging_has_every_recorded_hour_with_its_values(mart):
    rows = mart.rows("SELECT city, s.* FROM staging_weather s JOIN dim_city USING (city_id)")
    ours = {
        (row["city"], f"{row['observed_at']:%Y-%m-%dT%H:%M}"): (
            float(row["temperature_c"]),
            int(row["humidity"]),
            row["weather_code"],
            row["condition"],
        )
        for row in rows
    }
    with RECORDING.open(encoding="utf-8", newline="") as lines:
        theirs = {
            (row["city"], row["time"]): (
                float(row["temperature_2m"]),
                int(row["relative_humidity_2m"]),
                int(row["weathercode"]),
                WORDS[int(row["weathercode"])],
            )
            for row in csv.DictReader(lines)
        }
    assert ours == theirs
    assert [words for *_, code, words in ours.values() if code == 96] == ["Thunderstorm with hail"]


def test_the_summary_has_the_highest_and_lowest_temperature_with_their_days(mart):
    days = recorded_days()
    for row in mart.rows("SELECT * FROM mart_city_weather_summary"):
        hours = [
            (Fraction(h["temperature_2m"]), day)
            for (city, day), rows in days.items()
            if city == row["city"]
            for h in rows
        ]
        highest, lowest = max(t for t, _ in hours), min(t for t, _ in hours)
        assert (Fraction(row["highest_temperature_c"]), Fraction(row["lowest_temperature_c"])) == (highest, lowest)
        assert row["highest_temperature_date"] == min(day for t, day in hours if t == highest)
        assert row["lowest_temperature_date"] == min(day for t, day in hours if t == lowest)
        assert (row["total_days_recorded"], row["first_day"], row["last_day"]) == (
            3,
            date(2025, 11, 19),
            date(2025, 11, 21),
        )

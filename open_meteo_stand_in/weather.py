"""The stand-in's weather sources: a recording, and synthetic weather.

Both return the hourly values of a variable at a place, None where there is no value.
"""

import csv
import math
import random
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache, lru_cache
from pathlib import Path
from typing import Protocol

RECORDED_START = date(2025, 11, 19)
RECORDED_END = date(2025, 11, 20)

Values = list[float | int | None]

_RECORDING = Path(__file__).parent / "recorded" / "rwanda_2025-11-19_hourly.csv"
# The recorded cities' coordinates (from the recording's own city list), and the tolerance for the same place.
_RECORDED_PLACES = {"Kigali": (-1.95, 30.0588), "Musanze": (-1.5, 29.63), "Huye": (-2.609, 29.74)}
_SAME_PLACE_DEGREES = 0.05
# Variable: its name in the recording.
_RECORDED_NAMES = {"temperature_2m": "temperature_2m", "relative_humidity_2m": "relative_humidity_2m", "weather_code": "weathercode"}  # fmt: skip  # noqa: E501
_INTEGERS = ("relative_humidity_2m", "weather_code")


class Weather(Protocol):
    """A source of hourly values."""

    name: str

    def window(self, archive: bool, today: date) -> tuple[date, date]:
        """The first and the last day that a request may name."""

    def has_data(self, latitude: float, longitude: float) -> bool:
        """Whether there is any data for the place."""

    def hourly(self, variable: str, place: tuple[float, float], hours: Sequence[datetime], archive: bool) -> Values:
        """The values of a variable (canonical name) at a place for hours in UTC."""


class Recorded:
    """Recorded responses. Variables that were not recorded are null; other places and days are rejected."""

    name = "recorded"

    def window(self, archive: bool, today: date) -> tuple[date, date]:
        return RECORDED_START, RECORDED_END

    def has_data(self, latitude: float, longitude: float) -> bool:
        return _recorded_city(latitude, longitude) is not None

    def hourly(self, variable: str, place: tuple[float, float], hours: Sequence[datetime], archive: bool) -> Values:
        city, column = _recorded_city(*place), _RECORDED_NAMES.get(variable)
        rows = _recording()
        return [rows.get((city, hour), {}).get(column) if column else None for hour in hours]


def _recorded_city(latitude: float, longitude: float) -> str | None:
    for city, (there, across) in _RECORDED_PLACES.items():
        if abs(latitude - there) <= _SAME_PLACE_DEGREES and abs(longitude - across) <= _SAME_PLACE_DEGREES:
            return city
    return None


@cache
def _recording() -> dict[tuple[str | None, datetime], dict[str | None, float | int]]:
    with _RECORDING.open(encoding="utf-8", newline="") as lines:
        return {
            (row["city"], datetime.fromisoformat(row["time"]).replace(tzinfo=UTC)): {
                "temperature_2m": float(row["temperature_2m"]),
                "relative_humidity_2m": int(row["relative_humidity_2m"]),
                "weathercode": int(row["weathercode"]),
            }
            for row in csv.DictReader(lines)
        }


class Synthetic:
    """Made-up weather for any place and hour. It is deterministic: independent of clock and state."""

    name = "synthetic"

    def window(self, archive: bool, today: date) -> tuple[date, date]:
        """The real hosts' windows: https://open-meteo.com/en/docs."""
        if archive:
            return date(1940, 1, 1), today
        return today - timedelta(days=93), today + timedelta(days=16)

    def has_data(self, latitude: float, longitude: float) -> bool:
        return True

    def hourly(self, variable: str, place: tuple[float, float], hours: Sequence[datetime], archive: bool) -> Values:
        days = {day: _day(place, day, archive) for day in {hour.date() for hour in hours}}
        column = list(_COLUMNS).index(variable) if variable in _COLUMNS else None
        if column is None:
            return [None] * len(hours)
        values = [days[hour.date()][hour.hour][column] for hour in hours]
        return [int(value) for value in values] if variable in _INTEGERS else list(values)


_COLUMNS = ("temperature_2m", "relative_humidity_2m", "weather_code", "precipitation", "wind_speed_10m", "uv_index")
_DRY_CODES = ((0.25, 0), (0.45, 1), (0.7, 2), (1.1, 3))
_WET_CODES = ((0.3, 51), (0.6, 53), (1.0, 61), (2.5, 63), (4.0, 81), (6.0, 65), (9.0, 95), (1e9, 96))
_SNOW_CODES = ((0.5, 71), (1.5, 73), (1e9, 75))


@lru_cache(maxsize=50_000)
def _day(place: tuple[float, float], day: date, archive: bool) -> list[tuple[float, ...]]:
    """The 24 hours of a UTC day at a place, a value for each of _COLUMNS."""
    latitude, longitude = place
    chance = random.Random(f"{latitude:.4f} {longitude:.4f} {day}")  # noqa: S311  # weather, not a secret
    season = math.cos(2 * math.pi * (day.timetuple().tm_yday - 15) / 365.25)
    warmth = 28 - abs(latitude) * 0.45 - math.copysign(season, latitude) * abs(latitude) * 0.25 + chance.gauss(0, 1.2)
    # two rainy seasons at the equator, March to May and October to December, as in Rwanda
    wetness = 0.35 + 0.2 * math.cos(4 * math.pi * (day.timetuple().tm_yday - 110) / 365.25) + chance.gauss(0, 0.15)
    # the archive is a reanalysis: it differs a little from the forecast
    shift = 0.3 if archive else 0.0
    rows: list[tuple[float, ...]] = []
    for hour in range(24):
        sun = (hour + longitude / 15) % 24
        light = max(0.0, math.sin(math.pi * (sun - 6) / 12))
        cloud = min(1.0, max(0.0, wetness + 0.2 * math.sin(math.pi * (sun - 9) / 12) + chance.gauss(0, 0.12)))
        temperature = warmth + shift + 5 * math.sin(math.pi * (sun - 9) / 12) - 2 * cloud + chance.gauss(0, 0.3)
        rain = round(max(0.0, cloud - 0.6) * chance.expovariate(0.15), 1)
        codes = _DRY_CODES if rain == 0 else _SNOW_CODES if temperature < 0.5 else _WET_CODES
        measure = cloud if rain == 0 else rain
        code = next(code for bound, code in codes if measure < bound)
        humidity = round(min(100, max(10, 75 + 25 * (cloud - 0.4) - 2.2 * (temperature - warmth) + chance.gauss(0, 3))))
        wind = round(abs(6 + 4 * light + chance.gauss(0, 3)), 1)
        uv = round(light * (1 - 0.6 * cloud) * max(0.5, 12 - abs(latitude) * 0.15), 2)
        rows.append((round(temperature, 1), humidity, code, rain, wind, uv))
    return rows


SOURCES: dict[str, Weather] = {source.name: source for source in (Recorded(), Synthetic())}

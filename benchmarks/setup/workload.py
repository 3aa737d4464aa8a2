"""The workloads: deterministic weather of four sizes, and the city list that goes with it.

``GEN_WORKLOAD`` names the program that makes the documents (default ``../shared/tools/gen_workload``); where there is
none, a simple generator of the same shape takes its place.
"""

import csv
import json
import math
import os
import random
import subprocess
import sys
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from functions.backfill.planner import cut

ROOT = Path(__file__).resolve().parents[2]
# Generated once: the documents depend on nothing but their size.
STORE = ROOT / "benchmarks" / "results" / "workloads"
START = date(2020, 1, 1)
VARIABLES = ("temperature_2m", "relative_humidity_2m", "weather_code", "precipitation", "wind_speed_10m")
_UNITS = ("°C", "%", "wmo code", "mm", "km/h")
# A city's zone by its longitude, west to east: some with daylight saving time, some with half hours.
_ZONES = ("America/Los_Angeles", "America/New_York", "America/Sao_Paulo", "Europe/London", "Africa/Kigali",
          "Asia/Kolkata", "Asia/Tokyo", "Australia/Sydney")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Size:
    """A workload: its cities, and its days from START on."""

    name: str
    cities: int
    days: int

    @property
    def rows(self) -> int:
        return self.cities * self.days * 24

    def day(self, number: int) -> date:
        return START + timedelta(days=number)

    def windows(self) -> list[tuple[date, date]]:
        """Return first and last day of each run: the work items of the backfill's planner, each of all cities."""
        return [item.window for item in cut({(START, self.day(self.days - 1)): list(map(str, range(self.cities)))})]


SIZES = {
    size.name: size
    for size in (
        Size("S", 3, 2),
        Size("M", 100, 30),
        Size("L", 100, 365),
        # five calendar years: five work items
        Size("XL", 100, 5 * 365 + 2),
        # a year, and the days of the batches after it
        Size("growth", 100, 365 + 24),
    )
}


@dataclass(frozen=True, slots=True)
class Workload:
    """A generated workload: ``city_list`` in the product's form, ``documents`` one JSON file for each city of it."""

    size: Size
    folder: Path

    @property
    def city_list(self) -> Path:
        return self.folder / "city_list.csv"

    def cities(self) -> list[dict[str, str]]:
        with self.city_list.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def document(self, city_id: str) -> bytes:
        """Return the archive's body for one city and the whole window."""
        body = (self.folder / "raw" / f"{city_id}.json").read_bytes()
        # what Open-Meteo writes for timezone=GMT
        return body.replace(
            b'"timezone":"UTC","timezone_abbreviation":"UTC"', b'"timezone":"GMT","timezone_abbreviation":"GMT"'
        )


def workload(size: Size) -> Workload:
    """Return the workload, generated unless it is stored."""
    made = Workload(size, STORE / f"{size.cities}x{size.days}")
    if not made.city_list.exists():
        print(f"generating {size.name}: {size.cities} cities, {size.days} days ...", file=sys.stderr, flush=True)
        made.folder.mkdir(parents=True, exist_ok=True)
        program = Path(os.environ.get("GEN_WORKLOAD") or ROOT.parent / "shared" / "tools" / "gen_workload")
        if program.exists():
            options = {"cities": size.cities, "days": size.days, "start": START, "out": made.folder}
            words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
            subprocess.run([sys.executable, str(program), *words], check=True)
        else:
            _generate(size, made.folder)
        _write_city_list(made)
    return made


def _write_city_list(made: Workload) -> None:
    """Write the product's city list last: where it is, the workload is complete."""
    draft = made.city_list.with_suffix(".draft")
    with (made.folder / "cities.csv").open(encoding="utf-8", newline="") as source, draft.open("w", newline="") as file:
        columns = ("city_id", "city", "country", "latitude", "longitude", "timezone", "population", "area_km2")
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        for city in csv.DictReader(source):
            zone = _ZONES[int((float(city["longitude"]) + 180) / 360 * len(_ZONES)) % len(_ZONES)]
            writer.writerow({**city, "country": "Made up", "timezone": zone})
    draft.replace(made.city_list)


def _generate(size: Size, folder: Path) -> None:
    """Write the documents that ``gen_workload`` would: its shape, with simpler weather."""
    (folder / "raw").mkdir(exist_ok=True)
    first = datetime.combine(START, datetime.min.time())
    times = [(first + timedelta(hours=hour)).isoformat(timespec="minutes") for hour in range(size.days * 24)]
    with (folder / "cities.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("city_id", "city", "latitude", "longitude", "population", "area_km2"))
        for number in range(1, size.cities + 1):
            chance = random.Random(number)
            latitude, longitude = round(chance.uniform(-55, 65), 4), round(chance.uniform(-180, 180), 4)
            writer.writerow((number, f"City {number:04d}", latitude, longitude, chance.randrange(20_000, 10**7), 50.5))
            body = json.dumps(_document(latitude, longitude, times, chance), separators=(",", ":"), ensure_ascii=False)
            (folder / "raw" / f"{number}.json").write_text(body, encoding="utf-8")


def _document(latitude: float, longitude: float, times: list[str], chance: random.Random) -> dict[str, Any]:
    hours = range(len(times))
    values = (
        [round(20 - 7 * math.cos(hour * math.pi / 12) + chance.gauss(0, 2), 1) for hour in hours],
        [chance.randrange(30, 100) for _ in hours],
        [chance.choice((0, 1, 2, 3, 51, 61)) for _ in hours],
        [max(0.0, round(chance.gauss(-1, 1), 1)) for _ in hours],
        [round(abs(chance.gauss(11, 5)), 1) for _ in hours],
    )
    return {
        "latitude": latitude,
        "longitude": longitude,
        "generationtime_ms": 0.25,
        "utc_offset_seconds": 0,
        "timezone": "UTC",
        "timezone_abbreviation": "UTC",
        "elevation": 100.0,
        "hourly_units": {"time": "iso8601", **dict(zip(VARIABLES, _UNITS, strict=True))},
        "hourly": {"time": times, **dict(zip(VARIABLES, values, strict=True))},
    }

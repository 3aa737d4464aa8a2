"""Loads written by hand: processed objects in memory, so that a test can load any responses in any order."""

import hashlib
import io
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg2

from functions.core.alert_rules import AlertRule, alert_rules
from functions.core.cities import City, load_cities
from functions.core.contracts import (
    COVERAGE_COLUMNS,
    PROCESSED_COLUMNS,
    QUALITY_COLUMNS,
    CityFailure,
    Execution,
    IngestResult,
    LoadResult,
    LoadTask,
    ProcessedPart,
)
from functions.core.run import Run
from functions.core.storage import coverage_key, csv_text, processed_key, quality_key
from functions.core.variables import VARIABLES
from functions.model.database import connect
from functions.model.warehouse import load

CITIES = load_cities()
MEASURES = tuple(variable.column for variable in VARIABLES.values())
CONDITIONS = {0: "Clear sky", 3: "Overcast", 61: "Slight rain", 95: "Thunderstorm"}
# The first hour of the responses that ``response`` makes.
FIRST = datetime(2026, 3, 1, tzinfo=UTC)
MART_COLUMNS = (
    "city_id, city, date, avg_temperature_c, min_temperature_c, max_temperature_c, avg_humidity, precipitation_mm, "
    "max_wind_speed_kmh, max_uv_index, dominant_condition, hours_observed, hours_expected, hours_forecast, "
    "population, area_km2"
)
MART = f"SELECT {MART_COLUMNS} FROM mart_daily_city_weather ORDER BY city_id, date"


@dataclass(frozen=True)
class Hour:
    """One hour of one city in a response; an omitted measure is null."""

    city_id: str
    observed_at: datetime
    temperature_c: float | None = None
    humidity: int | None = None
    weather_code: int | None = None
    precipitation_mm: float | None = None
    wind_speed_kmh: float | None = None
    uv_index: float | None = None


@dataclass(frozen=True)
class Response:
    """One response of Open-Meteo after Transform."""

    run_id: str
    fetched_at: datetime
    hours: tuple[Hour, ...]
    source: str = "forecast"

    @property
    def precedence(self) -> tuple[bool, datetime, str]:
        return (self.source == "archive", self.fetched_at, self.run_id)

    @property
    def raw_key(self) -> str:
        return f"raw/{self.run_id}/part-0000.json.gz"

    def csv(self) -> bytes:
        """The processed object."""
        rows = []
        for hour in self.hours:
            condition = CONDITIONS[hour.weather_code] if hour.weather_code is not None else None
            measures = [getattr(hour, measure) for measure in MEASURES]
            rows.append((hour.city_id, _text(hour.observed_at), *measures[:3], condition, *measures[3:]))
        return csv_text([PROCESSED_COLUMNS, *rows]).encode()

    def coverage(self) -> bytes:
        """The coverage object, hour by hour in plain Python."""
        rows = []
        for city_id in dict.fromkeys(hour.city_id for hour in self.hours):
            bits = {
                hour.observed_at: sum(1 << n for n, name in enumerate(MEASURES) if getattr(hour, name) is not None)
                for hour in self.hours
                if hour.city_id == city_id
            }
            first, last = min(bits), max(bits)
            filled = Counter(bits.values()).most_common(1)[0][0]
            offsets = range((last - first) // timedelta(hours=1) + 1)
            gaps = {n: bits.get(first + timedelta(hours=n), -1) for n in offsets}
            gaps = {n: value for n, value in gaps.items() if value != filled}
            rows.append(
                (
                    city_id,
                    self.source,
                    self.fetched_at.isoformat(),
                    self.run_id,
                    self.raw_key,
                    _text(first),
                    _text(last),
                    filled,
                    f"{{{','.join(map(str, gaps))}}}",
                    f"{{{','.join(map(str, gaps.values()))}}}",
                    hashlib.sha256(
                        b"".join(line for line in self.csv().splitlines() if line.startswith(f"{city_id},".encode()))
                    ).hexdigest(),
                )
            )
        return csv_text([COVERAGE_COLUMNS, *rows]).encode()


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def at(hour: float) -> datetime:
    """A moment, in hours after FIRST."""
    return FIRST + timedelta(hours=hour)


def response(
    run_id: str, fetched: float, values: Iterable[Any], source: str = "forecast", city: str = "kigali"
) -> Response:
    """A response with these temperatures, hour by hour from FIRST; ``fetched`` is in hours after FIRST."""
    hours = tuple(Hour(city, at(n), temperature_c=value) for n, value in enumerate(values))
    return Response(run_id, at(fetched), hours, source)


def load_responses(
    database_url: str,
    *responses: Response,
    cities: dict[str, City] = CITIES,
    stream: Any = io.BytesIO,
    coverage_stream: Any = io.BytesIO,
    failed_cities: tuple[CityFailure, ...] = (),
    rows: int | None = None,
    quality: Iterable[tuple[Any, ...]] | None = None,
    rules: tuple[AlertRule, ...] | None = None,
) -> LoadResult:
    """Load responses as the parts of one run, named after the first.

    ``quality``: the rows of its quality object, without the time of the fetch. Without ``rules`` the alert rules are
    the shipped ones.
    """
    run = Run(
        run_id=responses[0].run_id,
        source=responses[0].source,  # type: ignore[arg-type]
        run_date=date(2026, 1, 1),
        start=date(2026, 1, 1),
        end=date(2026, 1, 2),
        variables=(),
        cities=(),
    )
    coverage = {coverage_key(response.raw_key): response.coverage() for response in responses}
    hours = {processed_key(response.raw_key): response.csv() for response in responses}
    for each in responses if quality is not None else ():
        found = [(*row, each.fetched_at.isoformat()) for row in quality] if each is responses[0] else ()
        coverage[quality_key(each.raw_key)] = csv_text([QUALITY_COLUMNS, *found]).encode()
    parts = tuple(
        ProcessedPart(
            raw_key=response.raw_key,
            sha256="0" * 64,
            rows=len(response.hours) if rows is None else rows,
            rejected=0,
            seconds=0.5,
        )
        for response in responses
    )
    task = LoadTask(
        execution=Execution("execution", "arn:aws:states:::execution", datetime(2026, 1, 1, tzinfo=UTC)),
        ingest=IngestResult(
            "complete", run, len(cities), requests=len(responses), quota_weight=3.0, failed_cities=failed_cities
        ),
        parts=parts,
        has_quality=quality is not None,
    )

    @contextmanager
    def open_part(key: str) -> Iterator[Any]:
        yield stream(hours[key]) if key in hours else coverage_stream(coverage[key])

    with connect({"dsn": database_url}) as connection:
        return load(connection, task, tuple(cities.values()), open_part, alert_rules() if rules is None else rules)


def rows_of(database_url: str, sql: str, parameters: Iterable[Any] | None = None) -> list[tuple[Any, ...]]:
    connection = psycopg2.connect(database_url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def temperatures(database_url: str) -> list[Any]:
    """The stored temperatures, by city and hour."""
    rows = rows_of(database_url, "SELECT temperature_c FROM staging_weather ORDER BY city_id, observed_at")
    return [temperature for (temperature,) in rows]

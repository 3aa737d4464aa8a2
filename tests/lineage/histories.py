"""Responses written by hand: bodies as Open-Meteo sends them, in the real raw bucket, loaded by the product."""

import hashlib
import itertools
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from functions.core.cities import City
from functions.core.run import Run
from functions.core.storage import RawStore, StoredResponse, raw_key
from functions.core.variables import VARIABLES, variables_of
from functions.model.database import connect
from operations.lineage.stored_runs import StoredRun, load_again

_NUMBERS = itertools.count()
# Two days with a clock change in London; local midnights at half an hour, and a day before and after the UTC day.
START, END = date(2026, 3, 28), date(2026, 3, 29)
HOURS = 48
FIRST = datetime(2026, 3, 28, tzinfo=UTC)
CITIES = {
    city_id: City(city_id, city_id.title(), "Test", 1.0, 2.0, zone, 1000, 12.5)
    for city_id, zone in (
        ("london", "Europe/London"),
        ("kolkata", "Asia/Kolkata"),
        ("apia", "Pacific/Apia"),
    )
}
Values = Mapping[str, list[Any]]


def at(hour: float) -> datetime:
    return FIRST + timedelta(hours=hour)


def body_of(cities: Iterable[Values], variables: Iterable[str]) -> bytes:
    """The body of a response: for each city the values of each variable, null where it has none."""
    names = list(variables)
    locations = []
    for number, values in enumerate(cities):
        times = [f"{at(hour):%Y-%m-%dT%H:%M}" for hour in range(HOURS)]
        locations.append(
            {
                "latitude": 1.0,
                "longitude": 2.0,
                "utc_offset_seconds": 0,
                "timezone": "GMT",
                "hourly_units": {"time": "iso8601", **{name: VARIABLES[name].unit for name in names}},
                "hourly": {"time": times, **{name: values.get(name, [None] * HOURS) for name in names}},
                **({"location_id": number} if number else {}),
            }
        )
    return json.dumps(locations if len(locations) > 1 else locations[0]).encode()


def store_run(
    raw: RawStore,
    fetched: datetime,
    cities: Mapping[str, Values],
    source: str = "forecast",
    run_id: str | None = None,
    run_date: date = START,
    part: int = 0,
) -> StoredRun:
    """Store one response as a run of its own, or as part number ``part`` of a run."""
    variables = variables_of(source)
    run = Run(run_id or f"h-{next(_NUMBERS):05d}", source, run_date, START, END, variables, tuple(cities))
    body = body_of(cities.values(), variables)
    query = f"hourly={','.join(variables)}&start_date={START}&end_date={END}&timezone=GMT"
    stored = StoredResponse(
        key=raw_key(run, part),
        address=f"http://host/v1/{source}?latitude=1&longitude=2&{query}",
        status=200,
        fetched_at=fetched,
        sha256=hashlib.sha256(body).hexdigest(),
        cities=tuple(cities),
        quota_weight=1.0,
    )
    assert raw.put(stored, body)
    return StoredRun(run, (stored,))


def load_run(url: str, raw: RawStore, stored: StoredRun, cities: Mapping[str, City] = CITIES) -> None:
    with connect({"dsn": url}) as connection:
        assert load_again(connection, raw, stored, cities, "00000000") == []

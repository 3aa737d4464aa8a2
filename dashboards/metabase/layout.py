"""The dashboards as data: their questions, and the display and position of each.

The names in ``settings`` are output columns of the question's SQL; a test checks them, Metabase does not.
Grid: 24 columns (https://www.metabase.com/docs/latest/dashboards/introduction).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Card:
    """One question on a dashboard: its display, its settings, and its position in grid units."""

    question: str
    display: str
    row: int
    col: int
    width: int
    height: int
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A dashboard. ``filters`` are names of FILTERS."""

    name: str
    description: str
    cards: Sequence[Card]
    filters: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Filter:
    """A dashboard filter, named as its tag in the questions' SQL: the filtered column and Metabase's parameter."""

    table: str
    column: str
    parameter: Mapping[str, Any]


def _date(name: str) -> Json:
    kind = {"type": "date/all-options", "sectionId": "date", "default": "past30days"}
    return {"id": name, "name": "Date", "slug": name, **kind}


_CITY = {"id": "city", "name": "City", "slug": "city", "type": "string/=", "sectionId": "string"}
FILTERS = {
    "city": Filter("mart_daily_city_weather", "city", _CITY),
    "date": Filter("mart_daily_city_weather", "date", _date("date")),
    "run_date": Filter("pipeline_run", "started_at", _date("run_date")),
}


def _by_city(metric: str, dimension: str = "date") -> Json:
    """Return settings for one measure over time by city: with two dimensions Metabase draws one metric."""
    return {
        "graph.dimensions": [dimension, "city"],
        "graph.metrics": [metric],
        "graph.x_axis.scale": "timeseries",
    }


def _over_time(dimension: str, *metrics: str, stacked: bool = False) -> Json:
    """Return settings for several measures over time."""
    settings = {"graph.dimensions": [dimension], "graph.metrics": list(metrics), "graph.x_axis.scale": "timeseries"}
    return {**settings, "stackable.stack_type": "stacked"} if stacked else settings


_PINS = {"map.type": "pin", "map.latitude_column": "latitude", "map.longitude_column": "longitude"}
_WARMTH = {
    "table.column_formatting": [
        {"columns": ["mean_temperature_c"], "type": "range", "colors": ["#4575b4", "#ffffbf", "#d73027"]}
    ]
}
_STEPS = ("ingest_seconds", "transform_seconds", "model_seconds")
_ROWS = ("rows_loaded", "rows_unchanged", "rows_rejected")

DASHBOARDS = (
    Dashboard(
        name="City weather",
        description="What the weather was, how complete and how fresh. Weather data by Open-Meteo.com (CC BY 4.0).",
        filters=("city", "date"),
        cards=(
            Card("freshness", "table", 0, 0, 24, 6),
            Card("quality_flags", "table", 6, 0, 14, 8),
            Card("latest_map", "map", 6, 14, 10, 8, _PINS),
            Card("quality_findings", "table", 14, 0, 24, 7),
            Card("temperature", "line", 21, 0, 24, 8, _by_city("max_temperature_c")),
            Card("rain", "bar", 29, 0, 12, 7, _by_city("precipitation_mm")),
            Card("cumulative_rain", "line", 29, 12, 12, 7, _by_city("cumulative_rain_mm")),
            Card("heat_days", "bar", 36, 0, 12, 7, _by_city("heat_days", "month")),
            Card("wind", "line", 36, 12, 12, 7, _by_city("max_wind_speed_kmh")),
            Card("conditions", "table", 43, 0, 12, 8),
            Card("city_month", "table", 43, 12, 12, 8, _WARMTH),
            Card("completeness", "table", 51, 0, 24, 8),
        ),
    ),
    Dashboard(
        name="Pipeline health",
        description="Whether the pipeline runs, how long it takes, and what it loads and rejects.",
        filters=("run_date",),
        cards=(
            Card("run_outcomes", "bar", 0, 0, 12, 7, _over_time("day", "succeeded", "partial", "failed", stacked=True)),
            Card("run_durations", "line", 0, 12, 12, 7, _over_time("started_at", *_STEPS)),
            Card("run_rows", "bar", 7, 0, 12, 7, _over_time("started_at", *_ROWS, stacked=True)),
            Card("run_quota", "line", 7, 12, 12, 7, _over_time("day", "requests", "quota_weight")),
            Card("recent_runs", "table", 14, 0, 24, 10),
        ),
    ),
)

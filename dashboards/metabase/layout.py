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
    """A dashboard. ``filters`` are its parameters; each sets the tags of FILTERS that name it."""

    name: str
    description: str
    cards: Sequence[Card]
    filters: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class Filter:
    """A tag in the questions' SQL: the column that it filters, and the dashboard's parameter that sets it."""

    table: str
    column: str
    parameter: Mapping[str, Any]


def _date(name: str, default: str = "past30days") -> Json:
    kind = {"type": "date/all-options", "sectionId": "date", "default": default}
    return {"id": name, "name": "Date", "slug": name, **kind}


_CITY = {"id": "city", "name": "City", "slug": "city", "type": "string/=", "sectionId": "string"}
_DATE, _RUN_DATE, _CLIMATE_DATE = _date("date"), _date("run_date"), _date("date", "past12months~")
FILTERS = {
    "city": Filter("mart_daily_city_weather", "city", _CITY),
    "date": Filter("mart_daily_city_weather", "date", _DATE),
    "week_city": Filter("mart_weekly_city_anomaly", "city", _CITY),
    "week_date": Filter("mart_weekly_city_anomaly", "start_date", _DATE),
    "month_city": Filter("mart_monthly_city_anomaly", "city", _CITY),
    "month_date": Filter("mart_monthly_city_anomaly", "start_date", _DATE),
    "suitability_city": Filter("mart_monthly_city_weather", "city", _CITY),
    "suitability_date": Filter("mart_monthly_city_weather", "start_date", _DATE),
    "skill_city": Filter("mart_forecast_skill", "city", _CITY),
    "run_date": Filter("pipeline_run", "started_at", _RUN_DATE),
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


def _coloured(column: str, low: float | None = None) -> Json:
    """Return a table's settings that colour a column from blue to red; ``low`` and -``low`` are the ends if given."""
    ends = {} if low is None else {"min_type": "custom", "min_value": low, "max_type": "custom", "max_value": -low}
    colours = ["#4575b4", "#ffffbf", "#d73027"]
    return {"table.column_formatting": [{"columns": [column], "type": "range", "colors": colours, **ends}]}


def _crossed(column: str, cell: str) -> Json:
    """Return a table's settings that give each value of ``column`` a column of its own, with ``cell`` in its cells.

    Metabase's pivot table does not work on SQL, this does:
    https://www.metabase.com/docs/latest/questions/visualizations/table#pivoted-tables
    """
    return {"table.pivot": True, "table.pivot_column": column, "table.cell_column": cell}


def _by_lead(dimensions: Sequence[str], *metrics: str) -> Json:
    return {"graph.dimensions": list(dimensions), "graph.metrics": list(metrics), "graph.x_axis.scale": "ordinal"}


_HEAT_MAP = _crossed("period", "temperature_anomaly_c") | _coloured("temperature_anomaly_c", -4)
_STEPS = ("ingest_seconds", "transform_seconds", "model_seconds")
_ROWS = ("rows_loaded", "rows_unchanged", "rows_rejected")

DASHBOARDS = (
    Dashboard(
        name="City weather",
        description="What the weather was, how complete and how fresh. Weather data by Open-Meteo.com (CC BY 4.0).",
        filters=(_CITY, _DATE),
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
            Card("city_month", "table", 43, 12, 12, 8, _coloured("mean_temperature_c")),
            Card("completeness", "table", 51, 0, 24, 8),
        ),
    ),
    Dashboard(
        name="Climate and health",
        description="Weeks and months against normal, rain, heat, malaria, and how good forecasts were. "
        "Weather data by Open-Meteo.com (CC BY 4.0).",
        filters=(_CITY, _CLIMATE_DATE),
        cards=(
            Card("anomaly_heat_map", "table", 0, 0, 24, 8, _HEAT_MAP),
            Card("temperature_anomaly", "line", 8, 0, 12, 7, _by_city("temperature_anomaly_c", "start_date")),
            Card("rain_anomaly", "bar", 8, 12, 12, 7, _by_city("precipitation_anomaly_mm", "start_date")),
            Card("climate_weeks", "table", 15, 0, 24, 8, _coloured("temperature_anomaly_c", -4)),
            Card("rolling_rain", "line", 23, 0, 12, 7, _by_city("rain_30_days_mm")),
            Card("heat_index", "line", 23, 12, 12, 7, _by_city("max_heat_index_c")),
            Card("heat_hours", "bar", 30, 0, 12, 8, _by_city("hours_extreme_caution", "week")),
            Card("suitability", "table", 30, 12, 12, 8),
            Card("climate_months", "table", 38, 0, 24, 8, _coloured("temperature_anomaly_c", -4)),
            Card("forecast_error", "line", 46, 0, 12, 7, _by_lead(("lead_days", "variable"), "mean_absolute_error")),
            Card(
                "forecast_rain", "line", 46, 12, 12, 7, _by_lead(("lead_days",), "hit_percent", "false_alarm_percent")
            ),
            Card("forecast_skill", "table", 53, 0, 24, 8),
        ),
    ),
    Dashboard(
        name="Pipeline health",
        description="Whether the pipeline runs, how long it takes, and what it loads and rejects.",
        filters=(_RUN_DATE,),
        cards=(
            Card("run_outcomes", "bar", 0, 0, 12, 7, _over_time("day", "succeeded", "partial", "failed", stacked=True)),
            Card("run_durations", "line", 0, 12, 12, 7, _over_time("started_at", *_STEPS)),
            Card("run_rows", "bar", 7, 0, 12, 7, _over_time("started_at", *_ROWS, stacked=True)),
            Card("run_quota", "line", 7, 12, 12, 7, _over_time("day", "requests", "quota_weight")),
            Card("recent_runs", "table", 14, 0, 24, 10),
        ),
    ),
)

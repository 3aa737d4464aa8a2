"""The tables of a warehouse against those of the oracle."""

from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from faults.oracle import alerts, climate
from faults.oracle import rules as oracle
from faults.oracle.rules import Place

Json = dict[str, Any]
Rows = Callable[[str], list[Json]]
# Of a quotient of Postgres, which has at least 16 digits.
_TOLERANCE = Decimal("1e-9")


class MismatchError(AssertionError):
    """The tables are not what the oracle says."""


def check_tables(
    rows: Rows,
    staging: Mapping[oracle.Key, oracle.Row],
    places: Mapping[str, Place],
    forecasts: Mapping[str, Iterable[oracle.Response]],
) -> None:
    """Compare every table that loads make: staging with its origins, the marts, the alerts, and the
    forecasts of days.

    ``rows`` runs a query. ``forecasts`` are the responses that count for each city's ``forecast_day``: those that were
    loaded since its time zone last changed. Raises MismatchError.
    """
    _compare("staging_weather", _staged(rows), staging)
    days = oracle.mart(staging, places)
    found = {(row["city_id"], row["date"]): row for row in rows("SELECT * FROM mart_daily_city_weather")}
    _compare("mart_daily_city_weather", found, days)
    weeks, months = oracle.weeks(days, places), oracle.months(days, places)
    for table, expected in (("mart_weekly_city_weather", weeks), ("mart_monthly_city_weather", months)):
        found_periods = {(row["city_id"], row["period"]): row for row in rows(f"SELECT * FROM {table}")}
        _compare(table, found_periods, expected)
    of_normal = ("city_id", "period_type", "period_number", "base_start", "base_end")
    of_threshold = ("city_id", "measure", "base_start", "base_end")
    thresholds = climate.thresholds(days, months)
    for table, key, made in (
        ("climate_normal", of_normal, climate.normals(weeks, months)),
        ("climate_threshold", of_threshold, thresholds),
    ):
        found_rows = {tuple(row[name] for name in key): row for row in rows(f"SELECT * FROM {table}")}
        _compare(table, found_rows, made)
    active = [row["city_id"] for row in rows("SELECT city_id FROM dim_city WHERE active")]
    events = alerts.events(rows("SELECT * FROM alert_rule"), days, thresholds, active)
    _compare(
        "weather_alert",
        {
            (row["city_id"], row["rule"], row["opened_on"]): row
            for row in rows("SELECT * FROM weather_alert")
            # withdrawn after it was sent
            if row["closed_on"] != row["opened_on"]
        },
        events,
    )
    summary = {row["city_id"]: row for row in rows("SELECT * FROM mart_city_weather_summary")}
    _compare("mart_city_weather_summary", summary, oracle.summary(staging, days, places))
    forecast = oracle.forecast_days(forecasts, places)
    stored = {(row["city_id"], row["date"], row["lead_days"]): row for row in rows("SELECT * FROM forecast_day")}
    _compare("forecast_day", stored, forecast)
    skill = rows("SELECT * FROM mart_forecast_skill")
    _compare(
        "mart_forecast_skill",
        {(row["city_id"], row["variable"], row["lead_days"]): row for row in skill},
        oracle.forecast_skill(forecast, staging, days, places),
    )


def _staged(rows: Rows) -> dict[oracle.Key, Json]:
    staged = {}
    for row in rows("SELECT * FROM staging_weather"):
        row["origins"] = (row["fetched_at"], row["run_id"], row["raw_key"])
        row["is_forecast"] = row["observed_at"] > row["fetched_at"]
        staged[row["city_id"], row["observed_at"]] = row
    return staged


def _compare(table: str, found: Mapping[Any, Json], expected: Mapping[Any, Json]) -> None:
    """Raises MismatchError with the first rows that differ."""
    differences = [f"{_text(key)} is missing" for key in sorted(expected.keys() - found.keys())]
    differences += [f"{_text(key)} is too many" for key in sorted(found.keys() - expected.keys())]
    for key in sorted(found.keys() & expected.keys()):
        for name, value in expected[key].items():
            actual = found[key][name]
            if not (actual in value if name == "origins" else _is_equal(actual, value)):
                differences.append(f"{_text(key)} {name}: is {actual}, must be {value}")
    if differences:
        raise MismatchError(f"{table}: {len(differences)} differences: " + "; ".join(differences[:4]))


def _is_equal(left: Any, right: Any) -> bool:
    if isinstance(left, Decimal) and isinstance(right, (Decimal, int, float)):
        return abs(left - Decimal(right)) <= _TOLERANCE
    return bool(left == right)


def _text(key: Any) -> str:
    parts = key if isinstance(key, tuple) else (key,)
    return " ".join(f"{part:%Y-%m-%dT%H:%M}" if isinstance(part, (date, datetime)) else str(part) for part in parts)

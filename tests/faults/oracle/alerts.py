"""Which weather alerts there must be, from the rows of the marts: without code of the product."""

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

Row = dict[str, Any]
DAY = timedelta(days=1)


def events(
    rules: Iterable[Row],
    days: Mapping[tuple[str, date], Row],
    thresholds: Mapping[tuple[str, str, int, int], Row],
    active: Iterable[str],
) -> dict[tuple[str, str, date], Row]:
    """Return the events by city, rule and first day.

    ``rules`` are the rows of ``alert_rule``, ``days`` and ``thresholds`` those of the daily mart and
    ``climate_threshold`` by their keys, ``active`` the cities of the list.
    """
    found: dict[tuple[str, str, date], Row] = {}
    cities: dict[str, dict[date, Row]] = {}
    for (city_id, day), row in sorted(days.items()):
        cities.setdefault(city_id, {})[day] = row
    newest = max(
        (
            day
            for (city_id, day), row in days.items()
            if city_id in set(active) and row["hours_observed"] == row["hours_expected"] and row["hours_forecast"] == 0
        ),
        default=None,
    )
    for city_id, own in cities.items():
        for rule in rules:
            if rule["kind"] == "data_missing":
                made = _missing(own, newest if city_id in set(active) else None, rule["days"])
            else:
                level = _level(rule, city_id, thresholds)
                made = [] if level is None else _runs(rule, own, level)
            for event in made:
                found[city_id, rule["rule"], event.pop("opened_on")] = event
    return found


def _level(rule: Row, city_id: str, thresholds: Mapping[tuple[str, str, int, int], Row]) -> Decimal | None:
    if rule["percentile"] is None:
        return Decimal(rule["threshold"])
    measure = {"heat": "max_temperature_p95_c", "heavy_rain": "rain_3_days_p99_mm"}[rule["kind"]]
    for (city, name, _, _), row in thresholds.items():
        if (city, name) == (city_id, measure) and row["years_used"] >= rule["years"]:
            return Decimal(row["value"])
    return None


def _value(kind: str, own: Mapping[date, Row], day: date) -> Decimal | None:
    if kind == "heat":
        return own[day]["max_temperature_c"] if day in own else None
    rain = [own[day - n * DAY]["precipitation_mm"] if day - n * DAY in own else None for n in range(3)]
    if kind == "dry_spell":
        return rain[0]
    return None if None in rain else sum(rain, Decimal())


def _runs(rule: Row, own: Mapping[date, Row], level: Decimal) -> list[Row]:
    known = {day: value for day in own if (value := _value(rule["kind"], own, day)) is not None}
    meets = {
        day
        for day, value in known.items()
        if {"heat": value >= level, "heavy_rain": value > level, "dry_spell": value < level}[rule["kind"]]
    }
    made = []
    for first in sorted(meets):
        if first - DAY in meets:
            continue
        last = first
        while last + DAY in meets:
            last += DAY
        run = [first + n * DAY for n in range((last - first).days + 1)]
        if len(run) >= rule["days"]:
            is_dry = rule["kind"] == "dry_spell"
            made.append(
                {
                    "opened_on": first,
                    "last_day": last,
                    "closed_on": min((day for day in known if day > last), default=None),
                    "days_forecast": sum(own[day]["hours_forecast"] > 0 for day in run),
                    "value": len(run) if is_dry else max(known[day] for day in run),
                    "threshold": rule["days"] if is_dry else level,
                }
            )
    return made


def _missing(own: Mapping[date, Row], newest: date | None, least: int) -> list[Row]:
    observed = sorted(day for day, row in own.items() if row["hours_observed"] > row["hours_forecast"])
    if not observed:
        return []
    gaps = [(day + DAY, after - DAY, after) for day, after in pairwise(observed)]
    gaps += [(observed[-1] + DAY, newest - DAY, None)] if newest else []
    return [
        {
            "opened_on": first,
            "last_day": last,
            "closed_on": closed,
            "days_forecast": 0,
            "value": (last - first).days + 1,
            "threshold": least,
        }
        for first, last, closed in gaps
        if (last - first).days + 1 >= least
    ]

"""The weekly and monthly marts, in Python, from the rows of the daily mart. Pure, no I/O.

Names and thresholds are those of the SQL function ``period_measures``, which names their sources.
"""

from calendar import monthrange
from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta
from decimal import Decimal, localcontext
from typing import Any

from operations.lineage.days import DIGITS, Row

# A mean is rounded to so many decimals before it is compared with a threshold: sums of quotients are rounded here and
# can miss a whole number by their last digits; in the warehouse they are exact.
_DECIMALS = 12
Days = Mapping[date, Row]


def weekly_rows(city: str, days: Days) -> dict[str, Row]:
    """Return the weekly mart of a city by period, such as 2026W47 or 2027W01. ``city`` is its name."""
    found = {}
    for monday in sorted({day - timedelta(day.weekday()) for day in days}):
        iso_year, iso_week, _ = monday.isocalendar()
        found[f"{iso_year}W{iso_week:02d}"] = {
            "iso_year": iso_year,
            "iso_week": iso_week,
            **_row(city, monday, monday + timedelta(6), days),
        }
    return found


def monthly_rows(city: str, days: Days) -> dict[str, Row]:
    """Return the monthly mart of a city by period, such as 202611. ``city`` is its name."""
    found = {}
    for first in sorted({day.replace(day=1) for day in days}):
        row = _row(city, first, first.replace(day=monthrange(first.year, first.month)[1]), days)
        found[f"{first:%Y%m}"] = {"year": first.year, "month": first.month, **row, **_suitability(row)}
    return found


def within(rows: Mapping[str, Row], window: tuple[date, date] | None) -> dict[str, Row]:
    """Return the rows of the periods that are wholly in a window of days; all rows without one."""
    return {
        period: row
        for period, row in rows.items()
        if window is None or (window[0] <= row["start_date"] and row["end_date"] <= window[1])
    }


def _row(city: str, first: date, last: date, days: Days) -> Row:
    dates = [first + timedelta(n) for n in range((last - first).days + 1)]
    known = [days[day] for day in dates if day in days]

    def values(column: str) -> list[Any]:
        return [row[column] for row in known if row[column] is not None]

    highs, lows, rain = values("max_temperature_c"), values("min_temperature_c"), values("precipitation_mm")
    rain_of = {day: days[day]["precipitation_mm"] for day in dates if day in days}
    most = max(rain, default=None)
    complete = sum(row["hours_observed"] == row["hours_expected"] and not row["hours_forecast"] for row in known)
    return {
        "city": city,
        "start_date": first,
        "end_date": last,
        "avg_temperature_c": _mean(values("avg_temperature_c")),
        "min_temperature_c": min(lows, default=None),
        "max_temperature_c": max(highs, default=None),
        "avg_max_temperature_c": _mean(highs),
        "avg_min_temperature_c": _mean(lows),
        "avg_temperature_range_c": _mean(values("temperature_range_c")),
        "avg_humidity": _mean(values("avg_humidity")),
        "min_humidity": min(values("min_humidity"), default=None),
        "max_humidity": max(values("max_humidity"), default=None),
        "precipitation_mm": sum(rain, Decimal(0)) if rain else None,
        "max_precipitation_1day_mm": most,
        "wettest_date": next(day for day in dates if rain_of.get(day) == most) if most else None,
        "rain_days": _count(rain, lambda value: value >= 1),
        "heavy_rain_days": _count(rain, lambda value: value >= 20),
        "dry_spell_days": max(_spells(dates, rain_of, is_dry=True), default=0) if rain else None,
        "wet_spell_days": max(_spells(dates, rain_of, is_dry=False), default=0) if rain else None,
        "hot_days": _count(highs, lambda value: value >= 30),
        "tropical_nights": _count(lows, lambda value: value >= 20),
        "max_wind_speed_kmh": max(values("max_wind_speed_kmh"), default=None),
        "max_uv_index": max(values("max_uv_index"), default=None),
        "max_heat_index_c": max(values("max_heat_index_c"), default=None),
        "days_expected": len(dates),
        "days_complete": complete,
        "hours_forecast": sum(row["hours_forecast"] for row in known),
        "is_complete": complete == len(dates),
    }


def _suitability(row: Row) -> Row:
    rain, temperature, humidity = (row[name] for name in ("precipitation_mm", "avg_temperature_c", "avg_humidity"))
    conditions = {
        "is_rain_suitable": None if rain is None else rain >= 80,
        "is_temperature_suitable": None if temperature is None else 18 <= round(temperature, _DECIMALS) <= 32,
        "is_humidity_suitable": None if humidity is None else round(humidity, _DECIMALS) >= 60,
    }
    is_known = None not in conditions.values()
    return {**conditions, "is_malaria_suitable": all(conditions.values()) if is_known else None}


def _spells(dates: list[date], rain_of: Mapping[date, Decimal | None], *, is_dry: bool) -> Iterator[int]:
    """Yield at each day how many days the spell that it is in has lasted. A day of unknown rain ends it."""
    lasted = 0
    for day in dates:
        rain = rain_of.get(day)
        lasted = lasted + 1 if rain is not None and (rain < 1) == is_dry else 0
        yield lasted


def _count(values: list[Decimal], is_met: Callable[[Decimal], bool]) -> int | None:
    return sum(map(is_met, values)) if values else None


def _mean(values: list[Decimal]) -> Decimal | None:
    with localcontext() as context:
        context.prec = DIGITS
        return sum(values, Decimal(0)) / len(values) if values else None

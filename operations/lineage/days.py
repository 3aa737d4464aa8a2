"""The rules of the marts, in Python: local days, completeness, dominant condition, rolling rain, summary. Pure, no I/O.

A row is a mapping of the mart's columns to values as psycopg2 returns them. Averages have 40 digits here, and at least
16 in the warehouse.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, localcontext
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from functions.core.wmo import CONDITIONS
from functions.transform.hours import POSITIONS, Flags, Floats
from operations.lineage import heat

Row = dict[str, Any]
Days = npt.NDArray[np.int64]

DIGITS = 40
_CODES = max(CONDITIONS) + 1
# Decimals of values whose sums are computed with whole numbers; others are added one by one.
_DECIMALS = (1, 2, 4)
_DAY_SECONDS = 86_400
_EPOCH = date(1970, 1, 1)
_DAY = timedelta(days=1)
_HEAT_HOURS = ("hours_heat_caution", "hours_heat_extreme_caution", "hours_heat_danger", "hours_heat_extreme_danger")
# The days of each rolling sum of rain, the day itself included.
ROLLING_RAIN = {"rain_7_days_mm": 7, "rain_30_days_mm": 30, "rain_90_days_mm": 90}
# The columns that are quotients or made from some: the warehouse has fewer digits, or the rounding of many days.
AVERAGES = {
    "avg_temperature_c": Decimal("1e-12"),
    "avg_max_temperature_c": Decimal("1e-12"),
    "avg_min_temperature_c": Decimal("1e-12"),
    "avg_temperature_range_c": Decimal("1e-12"),
    "avg_humidity": Decimal("1e-12"),
    "average_humidity": Decimal("1e-9"),
    "sum_humidity": Decimal("1e-6"),
    **{
        f"{measure}_{statistic}_{unit}": Decimal("1e-12")
        for measure, unit in (("temperature", "c"), ("precipitation", "mm"))
        for statistic in ("mean", "sd", "p10", "p50", "p90")
    },
}


def local_days(zone: str, first_hour: int, hours: int) -> Days:
    """Return the local day, in days since 1970, of each UTC hour from ``first_hour`` (hours since 1970)."""
    return _local_days(zone, first_hour, hours)


@cache
def _local_days(zone: str, first_hour: int, hours: int) -> Days:
    place, start = ZoneInfo(zone), datetime.fromtimestamp(first_hour * 3600, UTC)
    moments = (start + timedelta(hours=hour) for hour in range(hours))
    offsets = [offset.total_seconds() if (offset := m.astimezone(place).utcoffset()) else 0.0 for m in moments]
    seconds = (first_hour + np.arange(hours)) * 3600 + np.array(offsets)
    days: Days = np.floor(seconds / _DAY_SECONDS).astype(np.int64)
    return days


def day_of(number: int) -> date:
    """Return the day of a number of days since 1970."""
    return _EPOCH + timedelta(days=number)


def number_of(day: date) -> int:
    """Return the number of days from 1970 to a day."""
    return (day - _EPOCH).days


@cache
def hours_expected(zone: str, day: date) -> int:
    """Return how many hours the local day has: 23, 24 or 25."""
    number = number_of(day)
    return int((_local_days(zone, (number - 1) * 24, 72) == number).sum())


def daily_rows(
    city: Mapping[str, Any],
    values: Floats,
    has_row: Flags,
    is_forecast: Flags,
    is_archive: Flags,
    first_hour: int,
) -> dict[date, Row]:
    """Return the daily mart of one city by local day: a row for each day that has an hour, without its rolling rain.

    ``city`` is its row of ``dim_city``; ``values`` is (variables, hours) from ``first_hour`` on, NaN for null.
    """
    present = np.flatnonzero(has_row)
    days = local_days(city["timezone"], first_hour, len(has_row))[present]
    # local time can go back over midnight
    order = np.argsort(days, kind="stable")
    present, days = present[order], days[order]
    numbers, starts = np.unique(days, return_index=True)
    if not len(numbers):
        return {}
    column = {name: values[position, present] for name, position in POSITIONS.items()}
    temperature, humidity = column["temperature_2m"], column["relative_humidity_2m"]
    hours_observed, hours_humidity = _counts(temperature, starts), _counts(humidity, starts)
    heat_index = heat.heat_index_f(temperature, humidity)
    highest, lowest = _extremes(np.fmax, temperature, starts), _extremes(np.fmin, temperature, starts)
    measures = {
        "avg_temperature_c": _quotients(_sums(temperature, starts), hours_observed),
        "min_temperature_c": lowest,
        "max_temperature_c": highest,
        "temperature_range_c": [
            None if high is None or low is None else high - low for high, low in zip(highest, lowest, strict=True)
        ],
        "avg_humidity": _quotients(_sums(humidity, starts), hours_humidity),
        "min_humidity": _extremes(np.fmin, humidity, starts),
        "max_humidity": _extremes(np.fmax, humidity, starts),
        "max_heat_index_c": _numbers(heat.tenths_of_celsius(np.fmax.reduceat(heat_index, starts))),
        **{
            name: np.add.reduceat(reached.astype(int), starts).tolist()
            for name, reached in zip(_HEAT_HOURS, heat.at_least(heat_index), strict=True)
        },
        "precipitation_mm": _sums(column["precipitation"], starts),
        "max_wind_speed_kmh": _extremes(np.fmax, column["wind_speed_10m"], starts),
        "max_uv_index": _extremes(np.fmax, column["uv_index"], starts),
        "dominant_condition": _dominant_conditions(column["weather_code"], starts),
        "hours_observed": hours_observed,
        "hours_forecast": np.add.reduceat(is_forecast[present].astype(int), starts).tolist(),
        "hours_archive": np.add.reduceat(is_archive[present].astype(int), starts).tolist(),
        "hours_humidity": hours_humidity,
    }
    rows = {}
    for index, day in enumerate(map(day_of, numbers.tolist())):
        rows[day] = {
            "city": city["city"],
            **{name: found[index] for name, found in measures.items()},
            "hours_expected": hours_expected(city["timezone"], day),
            "population": city["population"],
            "area_km2": city["area_km2"],
        }
    return rows


def add_rolling_rain(rows: Mapping[date, Row], earlier: Mapping[date, Decimal | None]) -> None:
    """Set the rolling rain of the rows of a city. ``earlier``: the rain of days before them that have no row here."""
    rain = {**earlier, **{day: row["precipitation_mm"] for day, row in rows.items()}}
    # the sums from the first of consecutive days with rain values up to each of them
    totals = [Decimal(0)]
    previous = None
    for day, value in sorted(rain.items()):
        if value is None or previous != day - _DAY:
            totals = [Decimal(0)]
        if value is not None:
            totals.append(totals[-1] + value)
        previous = day
        if row := rows.get(day):
            for column, length in ROLLING_RAIN.items():
                row[column] = totals[-1] - totals[-1 - length] if len(totals) > length else None


def summary_row(city: Mapping[str, Any], days: Mapping[date, Row]) -> Row:
    """Return the summary of a city from all rows of its daily mart; of equal extremes the first day's."""
    observed = [day for day, row in days.items() if row["hours_observed"]]
    highest = [(-row["max_temperature_c"], day) for day, row in days.items() if row["max_temperature_c"] is not None]
    lowest = [(row["min_temperature_c"], day) for day, row in days.items() if row["min_temperature_c"] is not None]
    hours_humidity = sum(row["hours_humidity"] for row in days.values())
    with localcontext() as context:
        context.prec = DIGITS
        humidity = [row["avg_humidity"] * row["hours_humidity"] for row in days.values() if row["hours_humidity"]]
        sum_humidity = sum(humidity, Decimal(0))
        average_humidity = sum_humidity / hours_humidity if hours_humidity else None
    return {
        "city": city["city"],
        "total_days_recorded": len(observed),
        "highest_temperature_c": -min(highest)[0] if highest else None,
        "highest_temperature_date": min(highest)[1] if highest else None,
        "lowest_temperature_c": min(lowest)[0] if lowest else None,
        "lowest_temperature_date": min(lowest)[1] if lowest else None,
        "average_humidity": average_humidity,
        "first_day": min(observed, default=None),
        "last_day": max(observed, default=None),
        "sum_humidity": sum_humidity,
        "hours_humidity": hours_humidity,
    }


def is_equal(column: str, expected: Any, found: Any) -> bool:
    """Return whether a column of a mart has the value that was computed, up to the warehouse's digits of an average."""
    if column in AVERAGES and expected is not None and found is not None:
        return bool(abs(expected - found) <= AVERAGES[column])
    return bool(expected == found)


def number(value: float) -> Decimal:
    """Return the decimal number that a response has: the shortest one of its double."""
    return Decimal(repr(value))


def _counts(values: Floats, starts: Days) -> list[int]:
    counts: list[int] = np.add.reduceat((~np.isnan(values)).astype(int), starts).tolist()
    return counts


def _sums(values: Floats, starts: Days) -> list[Decimal | None]:
    """Return the exact sum of the values of each day, None if it has none."""
    is_null = np.isnan(values)
    counts = np.add.reduceat((~is_null).astype(int), starts)
    filled = np.where(is_null, 0.0, values)
    for decimals in _DECIMALS:
        whole = np.rint(filled * 10**decimals)
        # the sums of a day are far below the 2**53 of a double
        if (whole / 10**decimals == filled).all():
            totals = np.add.reduceat(whole.astype(np.int64), starts).tolist()
            sums = [Decimal(total).scaleb(-decimals) for total in totals]
            break
    else:
        groups = np.split(values, starts[1:])
        sums = [sum((number(value) for value in group[~np.isnan(group)].tolist()), Decimal(0)) for group in groups]
    return [total if count else None for total, count in zip(sums, counts.tolist(), strict=True)]


def _quotients(sums: Sequence[Decimal | None], counts: Sequence[int]) -> list[Decimal | None]:
    with localcontext() as context:
        context.prec = DIGITS
        return [None if total is None else total / count for total, count in zip(sums, counts, strict=True)]


def _extremes(extreme: np.ufunc, values: Floats, starts: Days) -> list[Decimal | None]:
    """``extreme`` ignores NaN: fmin or fmax."""
    return _numbers(extreme.reduceat(values, starts))


def _numbers(values: Floats) -> list[Decimal | None]:
    """Return the values as decimal numbers, None for NaN."""
    return [None if np.isnan(value) else number(value) for value in values.tolist()]


def _dominant_conditions(codes: Floats, starts: Days) -> list[str | None]:
    """Return the most frequent condition of each day; of equally frequent ones the more severe: the greater code."""
    day = np.zeros(len(codes), dtype=np.int64)
    day[starts[1:]] = 1
    has_code = ~np.isnan(codes)
    pair = np.cumsum(day)[has_code] * _CODES + codes[has_code].astype(np.int64)
    counts = np.bincount(pair, minlength=len(starts) * _CODES).reshape(len(starts), _CODES)
    greatest = _CODES - 1 - counts[:, ::-1].argmax(axis=1)
    return [
        CONDITIONS[code] if total else None for code, total in zip(greatest.tolist(), counts.sum(axis=1), strict=True)
    ]

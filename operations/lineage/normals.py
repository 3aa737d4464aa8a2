"""Climate normals and thresholds, in Python, from the rows of the marts. Pure, no I/O.

The rules are those of the SQL functions ``climate_base``, ``climate_normals`` and ``climate_thresholds``.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal, localcontext
from typing import Any

from operations.lineage.days import DIGITS, Row

# First and last year of the base period that the WMO asks for, and the whole years of it that a city needs for it.
_STANDARD = (1991, 2020)
_STANDARD_YEARS = 10
_MONTHS = 12
_MEASURES = (("temperature", "c", "avg_temperature_c"), ("precipitation", "mm", "precipitation_mm"))
_PERCENTILES = (10, 50, 90)
_THRESHOLDS = (("max_temperature_p95_c", 95), ("rain_3_days_p99_mm", 99))
Keyed = dict[tuple[Any, ...], Row]


def climate_rows(days: Mapping[date, Row], weeks: Iterable[Row], months: Sequence[Row]) -> dict[str, Keyed]:
    """Return the rows of a city in ``climate_normal`` and ``climate_threshold``, by table and key without the city.

    The arguments are all rows of the city in the daily, weekly and monthly marts.
    """
    complete = Counter(row["year"] for row in months if row["is_complete"])
    whole = sorted(year for year, count in complete.items() if count == _MONTHS)
    if not whole:
        return {"climate_normal": {}, "climate_threshold": {}}
    standard = [year for year in whole if _STANDARD[0] <= year <= _STANDARD[1]]
    base = (whole[0], whole[-1])
    if len(standard) >= _STANDARD_YEARS:
        base, whole = _STANDARD, standard
    return {
        "climate_normal": {
            **_normals("week", ((row["iso_year"], row["iso_week"], row) for row in weeks), base),
            **_normals("month", ((row["year"], row["month"], row) for row in months), base),
        },
        "climate_threshold": _thresholds(days, whole, base),
    }


def _normals(period_type: str, rows: Iterable[tuple[int, int, Row]], base: tuple[int, int]) -> Keyed:
    samples: dict[int, list[Row]] = defaultdict(list)
    for year, number, row in rows:
        if row["is_complete"] and base[0] <= year <= base[1]:
            samples[number].append(row)
    found: Keyed = {}
    for number, its_rows in samples.items():
        row = {"period_type": period_type, "period_number": number, "base_start": base[0], "base_end": base[1]}
        row["years_used"] = len(its_rows)
        for measure, unit, column in _MEASURES:
            values = [each[column] for each in its_rows]
            statistics = _statistics(sorted(values)) if None not in values else {}
            for name in ("mean", "sd", *(f"p{percent}" for percent in _PERCENTILES)):
                row[f"{measure}_{name}_{unit}"] = statistics.get(name)
        found[period_type, number, *base] = row
    return found


def _statistics(values: Sequence[Decimal]) -> dict[str, Decimal]:
    """Return mean, deviation of a sample (not of one value) and percentiles of sorted values."""
    with localcontext() as context:
        context.prec = DIGITS
        mean = sum(values, Decimal(0)) / len(values)
        found = {"mean": mean}
        if len(values) > 1:
            found["sd"] = (sum(((value - mean) ** 2 for value in values), Decimal(0)) / (len(values) - 1)).sqrt()
    return found | {f"p{percent}": _percentile(values, percent) for percent in _PERCENTILES}


def _percentile(values: Sequence[Decimal], percent: int) -> Decimal:
    """Return a percentile of sorted values: between two of them on a straight line."""
    place, rest = divmod((len(values) - 1) * percent, 100)
    if not rest:
        return values[place]
    with localcontext() as context:
        context.prec = DIGITS
        return values[place] + (values[place + 1] - values[place]) * rest / 100


def _thresholds(days: Mapping[date, Row], years: Sequence[int], base: tuple[int, int]) -> Keyed:
    own = {day: row for day, row in days.items() if day.year in set(years)}
    highest = [row["max_temperature_c"] for row in own.values() if row["max_temperature_c"] is not None]
    rain = {day: row["precipitation_mm"] for day, row in own.items() if row["precipitation_mm"] is not None}
    three_days = [[day - timedelta(n) for n in range(3)] for day in rain]
    sums = [sum((rain[each] for each in run), Decimal(0)) for run in three_days if all(each in rain for each in run)]
    found: Keyed = {}
    for (measure, percent), values in zip(_THRESHOLDS, (highest, sums), strict=True):
        if values:
            found[measure, *base] = {
                "measure": measure,
                "base_start": base[0],
                "base_end": base[1],
                "years_used": len(years),
                "days_used": len(values),
                "value": _percentile(sorted(values), percent),
            }
    return found

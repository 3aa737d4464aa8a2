"""What normals, thresholds and anomalies must be, from the rows of the marts: without code of the product."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from statistics import mean, stdev
from typing import Any

Row = dict[str, Any]
Periods = Mapping[tuple[str, str], Row]


def base_years(months: Periods) -> dict[str, tuple[int, int, list[int]]]:
    """Return the base of each city with one: first and last year, and its years with twelve complete months."""
    complete = Counter((city_id, row["year"]) for (city_id, _), row in months.items() if row["is_complete"])
    years: dict[str, list[int]] = defaultdict(list)
    for (city_id, year), count in sorted(complete.items()):
        if count == 12:
            years[city_id].append(year)
    found = {}
    for city_id, its_years in years.items():
        standard = [year for year in its_years if 1991 <= year <= 2020]
        is_standard = len(standard) >= 10
        found[city_id] = (1991, 2020, standard) if is_standard else (its_years[0], its_years[-1], its_years)
    return found


def normals(weeks_found: Periods, months_found: Periods) -> dict[tuple[str, str, int, int, int], Row]:
    """Return the climate normals of the weekly and monthly marts, by the key of their table."""
    samples: dict[tuple[str, str, int, int, int], list[Row]] = defaultdict(list)
    bases = base_years(months_found)
    for period_type, rows in (("week", weeks_found), ("month", months_found)):
        for (city_id, _), row in rows.items():
            first, last, _ = bases.get(city_id, (1, 0, []))
            if row["is_complete"] and first <= _year(row) <= last:
                samples[city_id, period_type, _number(row), first, last].append(row)
    return {key: {"years_used": len(rows), **_statistics(rows)} for key, rows in samples.items()}


def _year(row: Row) -> int:
    return int(row["iso_year"] if "iso_year" in row else row["year"])


def _number(row: Row) -> int:
    return int(row["iso_week"] if "iso_week" in row else row["month"])


def _statistics(rows: list[Row]) -> Row:
    found: Row = {}
    for name, unit, column in (("temperature", "c", "avg_temperature_c"), ("precipitation", "mm", "precipitation_mm")):
        values = sorted(row[column] for row in rows if row[column] is not None)
        is_known = len(values) == len(rows)
        found[f"{name}_mean_{unit}"] = mean(values) if is_known else None
        found[f"{name}_sd_{unit}"] = stdev(values) if is_known and len(values) > 1 else None
        for percent in (10, 50, 90):
            found[f"{name}_p{percent}_{unit}"] = percentile(values, percent) if is_known else None
    return found


def percentile(values: list[Decimal], percent: int) -> Decimal:
    """Return a percentile of sorted values; between two of them on a straight line."""
    steps = (len(values) - 1) * percent
    below, part = values[steps // 100], Decimal(steps % 100) / 100
    return below + part * (values[-(-steps // 100)] - below)


def thresholds(days: Mapping[tuple[str, date], Row], months_found: Periods) -> dict[tuple[str, str, int, int], Row]:
    """Return the thresholds of the alerts, by the key of their table."""
    found = {}
    for city_id, (first, last, years) in base_years(months_found).items():
        own = {day: row for (city, day), row in days.items() if city == city_id and day.year in years}
        hottest = sorted(row["max_temperature_c"] for row in own.values() if row["max_temperature_c"] is not None)
        sums = []
        for day in own:
            three = [own.get(day - timedelta(n), {}).get("precipitation_mm") for n in range(3)]
            sums += [] if None in three else [sum(three, Decimal())]
        for measure, values, percent in (("max_temperature_p95_c", hottest, 95), ("rain_3_days_p99_mm", sums, 99)):
            if values:
                value = percentile(sorted(values), percent)
                found[city_id, measure, first, last] = {
                    "years_used": len(years), "days_used": len(values), "value": value
                }  # fmt: skip
    return found


def anomalies(rows: Periods, period_type: str, normals_found: Mapping[Any, Row]) -> dict[tuple[str, str], Row]:
    """Return the anomalies of the weekly or of the monthly mart, by city and period."""
    by_period = {key[:3]: (key[3:], normal) for key, normal in normals_found.items()}
    found = {}
    for (city_id, period), row in rows.items():
        base, normal = by_period.get((city_id, period_type, _number(row)), ((None, None), None))
        alike = [
            each
            for (city, _), each in rows.items()
            if normal and city == city_id and _number(each) == _number(row)
            and each["is_complete"] and base[0] <= _year(each) <= base[1]
        ]  # fmt: skip
        found[city_id, period] = {
            **{name: row[name] for name in ("city", "start_date", "end_date", "is_complete")},
            "base_start": base[0],
            "base_end": base[1],
            "years_used": normal and normal["years_used"],
            **_anomaly(row, normal, alike),
        }
    return found


def _anomaly(row: Row, normal: Row | None, alike: list[Row]) -> Row:
    has_normal = normal is not None and normal["years_used"] >= 10
    found: Row = {}
    for name, unit, column in (("temperature", "c", "avg_temperature_c"), ("precipitation", "mm", "precipitation_mm")):
        value = row[column]
        usual, deviation = (normal[f"{name}_{each}_{unit}"] if has_normal else None for each in ("mean", "sd"))
        is_known = row["is_complete"] and value is not None and usual is not None
        difference = value - usual if is_known else None
        lower = sum(each[column] < value for each in alike) if is_known else 0
        equal = sum(each[column] == value for each in alike) if is_known else 0
        found |= {
            f"{name}_{unit}": value,
            f"{name}_normal_{unit}": usual,
            f"{name}_anomaly_{unit}": difference,
            f"{name}_standardised": difference / deviation if is_known and deviation else None,
            f"{name}_percentile": (lower + Decimal(equal) / 2) * 100 / len(alike) if is_known else None,
        }
    rain, usual = found["precipitation_mm"], found["precipitation_normal_mm"]
    is_known = found["precipitation_anomaly_mm"] is not None
    return {**found, "precipitation_percent_of_normal": 100 * rain / usual if is_known and usual else None}

"""Climate and health on the report: weeks and months against normal, rain, heat, malaria and forecast skill.

The page holds the values of every city as JSON, and ``climate.js`` draws those of the city and period that a reader
chooses. The tables are in the page as HTML, so they can be read without JavaScript.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from psycopg2.extensions import connection as Connection  # noqa: N812  # a class that psycopg2 names in lower case

from dashboards.questions import Question, load_question
from dashboards.report.labels import chart_label
from dashboards.report.rows import Json, Rows, read_rows

# What the page holds, so that it stays small: with 100 cities these are about a megabyte.
_CITIES, _WEEKS, _MONTHS = 100, 52, 24
_MONTHS_IN_TABLE = 12

# The questions, and the column by which only the newest rows are read.
_QUESTIONS = {
    "climate_weeks": "start_date",
    "climate_months": "start_date",
    "rolling_rain": "date",
    "heat_index": "date",
    "heat_hours": "week",
    "suitability": "start_date",
    "forecast_skill": None,
}
_ANOMALIES = {
    "temperature": "temperature_c",
    "temperature_normal": "temperature_normal_c",
    "temperature_anomaly": "temperature_anomaly_c",
    "rain": "precipitation_mm",
    "rain_normal": "precipitation_normal_mm",
    "rain_percent": "precipitation_percent_of_normal",
}
_TEMPERATURES = ("avg_temperature_c", "min_temperature_c", "max_temperature_c")
_HEAT = ("caution", "extreme_caution", "danger", "extreme_danger")


@dataclass(frozen=True, slots=True)
class Climate:
    """What the page shows. ``data`` is for the script; the other rows are those of the tables."""

    questions: Mapping[str, Question]
    cities: Sequence[str]
    cities_in_all: int
    weeks: Mapping[int, Json]
    suitability: Mapping[int, Rows]
    skill: Mapping[int, Rows]
    data: Json


def read(connection: Connection, city_ids: Sequence[str], newest: date) -> dict[str, Rows]:
    """Return the rows of the questions for these cities, the first hundred, up to the ``newest`` day."""
    first = min(_first_week(newest), _months_before(newest, _MONTHS - 1))
    limits = {"cities": list(city_ids[:_CITIES]), "first": first}
    return {
        name: read_rows(
            connection,
            load_question(name),
            "city_id = ANY (%(cities)s)",
            *([f"{column} >= %(first)s"] if column else []),
            **limits,
        )
        for name, column in _QUESTIONS.items()
    }


def climate(results: Mapping[str, Rows], cities: Mapping[str, str], newest: date) -> Climate:
    """Return what the page shows; ``cities`` are the names of all cities by id, in the order of the page."""
    shown = dict(list(cities.items())[:_CITIES])
    numbers = {city_id: number for number, city_id in enumerate(shown)}
    labels: list[str] = []
    for city_id, city in shown.items():
        labels.append(chart_label(city, city_id, labels))
    reasons: dict[str, int] = {}
    weeks = [_first_week(newest) + timedelta(weeks=n) for n in range(_WEEKS)]
    months = [_months_before(newest, n) for n in reversed(range(_MONTHS))]
    days = [weeks[0] + timedelta(days=n) for n in range((newest - weeks[0]).days + 1)]
    hours = {name: f"hours_{name}" for name in _HEAT}
    daily = {
        "rain_7": ("rolling_rain", "rain_7_days_mm"),
        "rain_30": ("rolling_rain", "rain_30_days_mm"),
        "rain_90": ("rolling_rain", "rain_90_days_mm"),
        "heat_index": ("heat_index", "max_heat_index_c"),
    }
    skill = _skill(results["forecast_skill"], numbers)
    return Climate(
        questions={name: load_question(name) for name in _QUESTIONS},
        cities=list(shown.values()),
        cities_in_all=len(cities),
        weeks=_newest_weeks(results["climate_weeks"], numbers),
        suitability=_months(results["suitability"], numbers, months[-_MONTHS_IN_TABLE]),
        skill=skill,
        data={
            "cities": labels,
            "week": _anomalies(results["climate_weeks"], numbers, weeks, reasons),
            "month": _anomalies(results["climate_months"], numbers, months, reasons),
            "bases": _bases(results["climate_weeks"], numbers),
            "first": min((row["start_date"] for row in results["climate_weeks"]), default=weeks[0]).isoformat(),
            "days": [day.isoformat() for day in days],
            **{
                name: _table(results[question], numbers, days, "date", {name: column})[name]
                for name, (question, column) in daily.items()
            },
            "hours": _table(results["heat_hours"], numbers, weeks, "week", hours),
            "skill": {
                city: [[row["lead_days"], *(_short(row["errors"].get(name)) for name in _TEMPERATURES)] for row in rows]
                for city, rows in skill.items()
            },
            "reasons": list(reasons),
        },
    )


def _first_week(newest: date) -> date:
    """Return the Monday with which the weeks of the page begin."""
    return newest - timedelta(days=newest.weekday(), weeks=_WEEKS - 1)


def _months_before(day: date, months: int) -> date:
    """Return the first day of the month that many months before that of ``day``."""
    number = day.year * 12 + day.month - 1 - months
    return date(number // 12, number % 12 + 1, 1)


def _anomalies(rows: Rows, numbers: Mapping[str, int], starts: Sequence[date], reasons: dict[str, int]) -> Json:
    """Return the columns of the weeks or months of each city; a reason is a number, given in ``reasons``."""
    periods = {row["start_date"]: row["period"] for row in rows}
    for row in rows:
        row["reason_number"] = None if row["reason"] is None else reasons.setdefault(row["reason"], len(reasons))
        row["complete"] = int(row["is_complete"])
    columns = _ANOMALIES | {"complete": "complete", "reason": "reason_number"}
    names = [periods.get(start, start.isoformat()) for start in starts]
    table = _table(rows, numbers, starts, "start_date", columns)
    return {"starts": [start.isoformat() for start in starts], "periods": names, **table}


def _bases(rows: Rows, numbers: Mapping[str, int]) -> list[str | None]:
    """Return the base period of each city, None without one."""
    bases: list[str | None] = [None] * len(numbers)
    for row in rows:
        if row["base_start"]:
            bases[numbers[row["city_id"]]] = f"{row['base_start']} to {row['base_end']}"
    return bases


def _table(
    rows: Rows, numbers: Mapping[str, int], axis: Sequence[date], key: str, columns: Mapping[str, str]
) -> dict[str, list[list[Any]]]:
    """Return each of the ``columns`` as a list for each city, with one value or None for each date of ``axis``."""
    places = {day: place for place, day in enumerate(axis)}
    table: dict[str, list[list[Any]]] = {name: [[None] * len(axis) for _ in numbers] for name in columns}
    for row in rows:
        if (place := places.get(row[key])) is not None:
            for name, column in columns.items():
                table[name][numbers[row["city_id"]]][place] = _short(row[column])
    return table


def _newest_weeks(rows: Rows, numbers: Mapping[str, int]) -> dict[int, Json]:
    """Return for each city its newest complete week, or its newest week if none is complete."""
    newest: dict[int, Json] = {}
    for row in sorted(rows, key=lambda row: (row["is_complete"], row["start_date"])):
        newest[numbers[row["city_id"]]] = row
    return dict(sorted(newest.items()))


def _months(rows: Rows, numbers: Mapping[str, int], first: date) -> dict[int, Rows]:
    months: dict[int, Rows] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row["start_date"]):
        if row["start_date"] >= first:
            months[numbers[row["city_id"]]].append(row)
    return dict(sorted(months.items()))


def _skill(rows: Rows, numbers: Mapping[str, int]) -> dict[int, Rows]:
    """Return one row for each city and lead, with the errors and bias of each variable."""
    leads: dict[tuple[int, int], Json] = {}
    for row in rows:
        key = (numbers[row["city_id"]], row["lead_days"])
        lead = leads.setdefault(key, {"lead_days": row["lead_days"], "days": 0, "errors": {}, "bias": {}})
        lead["days"] = max(lead["days"], row["days"])
        lead["errors"][row["variable"]] = row["mean_absolute_error"]
        lead["bias"][row["variable"]] = row["bias"]
        if row["variable"] == "precipitation_mm":
            lead |= {name: row[name] for name in ("hit_percent", "false_alarm_percent")}
    skill: dict[int, Rows] = defaultdict(list)
    for (number, _), lead in sorted(leads.items()):
        skill[number].append(lead)
    return dict(skill)


def _short(value: Any) -> Any:
    """Return a whole number without its fraction: shorter as JSON."""
    return int(value) if isinstance(value, float) and value.is_integer() else value

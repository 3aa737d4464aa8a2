"""Rows of the weekly and monthly marts, written by hand."""

from contextlib import closing
from datetime import date, timedelta

import psycopg2

from functions.core.cities import load_cities

CITIES = load_cities()
# UIDs as DHIS2 makes them, one for each city and measure of the tests.
ORG_UNITS = {"kigali": "OrgKigali01", "musanze": "OrgMusanze1"}
ELEMENTS = {
    "avg_temperature_c": "ElemAvgTemp",
    "precipitation_mm": "ElemRainSum",
    "hot_days": "ElemHotDays",
    "wettest_date": "ElemWettest",
    "is_complete": "ElemIsWhole",
}
MALARIA = "ElemMalaria"


def mapping_text(**changes):
    """A mapping of both period types, with these lines instead of others."""
    weekly = "\n".join(f'{measure} = "{uid}"' for measure, uid in ELEMENTS.items())
    sections = {
        "org_units": "\n".join(f'{city} = "{uid}"' for city, uid in ORG_UNITS.items()),
        "weekly": "",
        "weekly.data_elements": weekly,
        "monthly": "",
        "monthly.data_elements": f'is_malaria_suitable = "{MALARIA}"',
    } | changes
    return "\n".join(f"[{name}]\n{text}\n" for name, text in sections.items() if text is not None)


def store_week(url, year, week, city="kigali", **values):
    """Store a complete week of a city; DHIS2's name of it."""
    start = date.fromisocalendar(year, week, 1)
    period = f"{year}W{week:02d}"
    row = {
        "city_id": city, "city": CITIES[city].city, "period": period, "iso_year": year, "iso_week": week,
        "start_date": start, "end_date": start + timedelta(days=6), "days_expected": 7, "days_complete": 7,
        "hours_forecast": 0, "is_complete": True, "run_id": "run",
    }  # fmt: skip
    _insert(url, "mart_weekly_city_weather", row | values)
    return period


def store_month(url, year, month, city="kigali", **values):
    """Store a complete month of a city; DHIS2's name of it."""
    start = date(year, month, 1)
    end = date(year + month // 12, month % 12 + 1, 1) - timedelta(days=1)
    period = f"{year}{month:02}"
    row = {
        "city_id": city, "city": CITIES[city].city, "period": period, "year": year, "month": month,
        "start_date": start, "end_date": end, "days_expected": end.day, "days_complete": end.day,
        "hours_forecast": 0, "is_complete": True, "run_id": "run",
    }  # fmt: skip
    _insert(url, "mart_monthly_city_weather", row | values)
    return period


def change(url, statement):
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement)


def _insert(url, table, row):
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        names = ", ".join(row)
        cursor.execute(f"INSERT INTO {table} ({names}) VALUES %s", (tuple(row.values()),))

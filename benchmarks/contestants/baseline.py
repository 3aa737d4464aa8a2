"""The yardstick: what the first version of this pipeline did, and many teams still run.

One request for each city, a pandas frame, CSV on S3, read back, ``to_dict``, ``executemany``, a mart that is truncated
and computed again. Deliberately nothing here is fast.
"""

import csv
import importlib
import io
import os
import sys
from contextlib import closing
from typing import Any

from benchmarks.contestants.process import Clock, Json, report_result

_TABLES = """
    CREATE TABLE IF NOT EXISTS staging (
        id serial PRIMARY KEY, city_id text, city text, observed_at timestamp, temperature_c double precision,
        humidity double precision, weather_code double precision, condition text, precipitation_mm double precision,
        wind_speed_kmh double precision, population bigint, area_km2 double precision
    );
    CREATE TABLE IF NOT EXISTS mart_daily (
        id serial PRIMARY KEY, city_id text, city text, date date, avg_temperature_c double precision,
        min_temperature_c double precision, max_temperature_c double precision, avg_humidity double precision,
        precipitation_mm double precision, max_wind_speed_kmh double precision, dominant_condition text,
        population bigint, area_km2 double precision
    );
    TRUNCATE staging, mart_daily;
"""
_INSERT = """
    INSERT INTO staging (city_id, city, observed_at, temperature_c, humidity, weather_code, condition,
        precipitation_mm, wind_speed_kmh, population, area_km2)
    VALUES (%(city_id)s, %(city)s, %(observed_at)s, %(temperature_c)s, %(humidity)s, %(weather_code)s, %(condition)s,
        %(precipitation_mm)s, %(wind_speed_kmh)s, %(population)s, %(area_km2)s)
"""
_MART = """
    INSERT INTO mart_daily (city_id, city, date, avg_temperature_c, min_temperature_c, max_temperature_c, avg_humidity,
        precipitation_mm, max_wind_speed_kmh, dominant_condition, population, area_km2)
    SELECT city_id, city, observed_at::date, avg(temperature_c), min(temperature_c), max(temperature_c), avg(humidity),
        sum(precipitation_mm), max(wind_speed_kmh), min(condition), max(population), max(area_km2)
    FROM staging
    GROUP BY city_id, city, observed_at::date
"""
_CONDITIONS = {
    0: "Clear", 1: "Mainly clear", 2: "Partly cloudy", 3: "Overcast", 45: "Fog", 51: "Light drizzle", 53: "Drizzle",
    61: "Slight rain", 63: "Rain", 65: "Heavy rain", 71: "Slight snow", 73: "Snow", 75: "Heavy snow", 95: "Storm",
}  # fmt: skip
_COLUMNS = {
    "time": "observed_at",
    "temperature_2m": "temperature_c",
    "relative_humidity_2m": "humidity",
    "weather_code": "weather_code",
    "precipitation": "precipitation_mm",
    "wind_speed_10m": "wind_speed_kmh",
}


def imports(_: Json) -> None:
    for name in ("boto3", "pandas", "psycopg2", "requests"):
        importlib.import_module(name)


def work(task: Json) -> Json:
    from benchmarks.contestants.warehouse import Observer

    with open(task["city_list"], encoding="utf-8", newline="") as file:  # noqa: PTH123  # as those teams write it
        cities = list(csv.DictReader(file))
    observer = Observer(os.environ["BENCH_DATABASE_URL"])
    runs = []
    for run in task["runs"]:
        clock = Clock()
        observer.begin()
        for window in run["windows"]:
            _load_window(clock, cities, window, run["run"])
        runs.append(
            {
                "run": run["run"],
                "seconds": clock.seconds,
                **observer.end(),
                "rows": observer.count("staging"),
                "mart_rows": observer.count("mart_daily"),
            }
        )
    observer.close()
    return {"runs": runs}


def _load_window(clock: Clock, cities: list[dict[str, str]], window: list[str], run_id: str) -> None:
    import boto3
    import pandas as pd
    import psycopg2

    with clock.step("ingest"):
        responses = [(city, _request(city, window)) for city in cities]
    with clock.step("transform"):
        frames = [
            pd.DataFrame({"city_id": city["city_id"], **hourly}).rename(columns=_COLUMNS) for city, hourly in responses
        ]
        table = pd.concat(frames).drop_duplicates(["city_id", "observed_at"])
        table["observed_at"] = pd.to_datetime(table["observed_at"])
        table["condition"] = table["weather_code"].map(_CONDITIONS)
        columns = ["city_id", "city", "population", "area_km2"]
        table = table.merge(pd.DataFrame(cities)[columns], on="city_id", how="left")
    # the way over CSV belongs to the load: a transform is compared as the work on the rows alone
    with clock.step("load"):
        text = table.to_csv(index=False)
        s3, place = boto3.client("s3"), {"Bucket": os.environ["PROCESSED_BUCKET"], "Key": f"baseline/{run_id}.csv"}
        s3.put_object(**place, Body=text.encode())
        stored = pd.read_csv(
            io.BytesIO(s3.get_object(**place)["Body"].read()), dtype={"city_id": str}, parse_dates=["observed_at"]
        )
        records: list[Any] = stored.astype(object).where(stored.notna(), None).to_dict("records")
        with closing(psycopg2.connect(os.environ["BENCH_DATABASE_URL"])) as connection, connection:
            cursor = connection.cursor()
            cursor.execute(_TABLES)
            cursor.executemany(_INSERT, records)
            cursor.execute(_MART)


def _request(city: dict[str, str], window: list[str]) -> dict[str, list[Any]]:
    import requests

    query = {
        "latitude": city["latitude"],
        "longitude": city["longitude"],
        "hourly": "temperature_2m,relative_humidity_2m,weather_code,precipitation,wind_speed_10m",
        "start_date": window[0],
        "end_date": window[1],
    }
    response = requests.get(os.environ["OPEN_METEO_ARCHIVE_URL"], params=query, timeout=60)
    response.raise_for_status()
    hourly: dict[str, list[Any]] = response.json()["hourly"]
    return hourly


if __name__ == "__main__":
    sys.exit(report_result(imports, work))

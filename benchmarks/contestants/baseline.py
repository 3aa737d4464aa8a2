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

from benchmarks.contestants.process import Clock, Json, answer

_TABLES = """
    CREATE TABLE IF NOT EXISTS staging (
        city_id text, city text, observed_at timestamp, temperature_c double precision, humidity double precision,
        weather_code double precision, precipitation_mm double precision, wind_speed_kmh double precision
    );
    CREATE TABLE IF NOT EXISTS mart_daily (
        city_id text, city text, date date, avg_temperature_c double precision, min_temperature_c double precision,
        max_temperature_c double precision, avg_humidity double precision, precipitation_mm double precision,
        max_wind_speed_kmh double precision
    );
    TRUNCATE staging, mart_daily;
"""
_INSERT = """
    INSERT INTO staging VALUES (%(city_id)s, %(city)s, %(observed_at)s, %(temperature_c)s, %(humidity)s,
        %(weather_code)s, %(precipitation_mm)s, %(wind_speed_kmh)s)
"""
_MART = """
    INSERT INTO mart_daily
    SELECT city_id, city, observed_at::date, avg(temperature_c), min(temperature_c), max(temperature_c), avg(humidity),
        sum(precipitation_mm), max(wind_speed_kmh)
    FROM staging
    GROUP BY city_id, city, observed_at::date
"""
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
        answers = [(city, _request(city, window)) for city in cities]
    with clock.step("transform"):
        frames = []
        for city, hourly in answers:
            frame = pd.DataFrame(hourly).rename(columns=_COLUMNS)
            frame.insert(0, "city", city["city"])
            frame.insert(0, "city_id", city["city_id"])
            frames.append(frame)
        table = pd.concat(frames)
        table["observed_at"] = pd.to_datetime(table["observed_at"])
        table = table.drop_duplicates(["city_id", "observed_at"])
        text = table.to_csv(index=False)
        s3, place = boto3.client("s3"), {"Bucket": os.environ["PROCESSED_BUCKET"], "Key": f"baseline/{run_id}.csv"}
        s3.put_object(**place, Body=text.encode())
    with clock.step("load"):
        stored = pd.read_csv(io.BytesIO(s3.get_object(**place)["Body"].read()), dtype={"city_id": str})
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
    sys.exit(answer(imports, work))

"""dlt with its arrow path: local documents, arrow tables, parquet, Postgres. No requests, no raw copies, no marts.

It runs in a virtual environment of its own, which ``make bench`` installs from benchmarks/requirements.txt. A rerun
merges by the primary key, so that it leaves the same rows as the first load, as the other contestants do.
"""

import importlib
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.contestants.process import Clock, Json, report_result

# What a row of staging_weather also has, so that every value can be traced; text of usual length.
_LINEAGE = {
    "condition": "Partly cloudy",
    "source": "archive",
    "fetched_at": datetime(2026, 11, 24, tzinfo=UTC),
    "run_id": "first-0",
    "raw_key": "raw/source=archive/date=2026-11-24/run=first-0/part-0000.json.gz",
}
_COLUMNS = {
    "temperature_2m": "temperature_c",
    "relative_humidity_2m": "humidity",
    "weather_code": "weather_code",
    "precipitation": "precipitation_mm",
    "wind_speed_10m": "wind_speed_kmh",
}


def imports(_: Json) -> None:
    for name in ("dlt", "dlt.destinations.impl.postgres.factory", "pyarrow.compute", "pyarrow.parquet", "orjson",
                 "adbc_driver_postgresql.dbapi", "psycopg2"):  # fmt: skip
        importlib.import_module(name)


def work(task: Json) -> Json:
    import dlt

    from benchmarks.contestants.warehouse import Observer

    observer = Observer(os.environ["BENCH_DATABASE_URL"])
    pipeline = dlt.pipeline(
        pipeline_name="weather",
        destination=dlt.destinations.postgres(credentials=os.environ["BENCH_DATABASE_URL"]),
        dataset_name="public",
        pipelines_dir=task["folder"],
    )
    resource = dlt.resource(
        _tables,
        name="weather",
        primary_key=("city_id", "observed_at"),
        write_disposition={"disposition": "merge", "strategy": "upsert"},
        file_format="parquet",
    )
    runs = []
    for run in task["runs"]:
        clock = Clock()
        observer.begin()
        with clock.step("load"):
            pipeline.run(resource(task["documents"], task["is_complete"])).raise_on_failed_jobs()
        runs.append({"run": run["run"], "seconds": clock.seconds, **observer.end(), "rows": observer.count("weather")})
    observer.close()
    return {"runs": runs}


def _tables(folder: str, is_complete: bool) -> Iterator[Any]:
    """Yield the hours of each city as an arrow table."""
    import orjson
    import pyarrow as pa
    import pyarrow.compute as pc

    for path in sorted(Path(folder).glob("*.json")):
        hourly = orjson.loads(path.read_bytes())["hourly"]
        times = pc.strptime(pa.array(hourly["time"]), format="%Y-%m-%dT%H:%M", unit="us")
        columns = {column: pa.array(hourly[name], type=pa.float64()) for name, column in _COLUMNS.items()}
        columns["observed_at"] = times.cast(pa.timestamp("us", "UTC"))
        constants = {"city_id": path.stem, **(_LINEAGE if is_complete else {})}
        columns |= {name: pa.repeat(value, len(times)) for name, value in constants.items()}
        yield pa.table(columns)


if __name__ == "__main__":
    sys.exit(report_result(imports, work))

"""Measures runs through the state machine: a daily run at 3, 100 and 10,000 cities, and 100 cities over a year.

docs/aws.md derives costs from the daily runs: ``make measure`` prints their time, CPU, memory and storage. It runs the
pipeline on the emulator, against a stand-in without quota, twice for each size: the first run loads every row, the
rerun finds every row unchanged. CPU seconds are those of the functions' processes with their starts. They determine
Lambda's price, because a function's share of a core grows with its memory.
"""

import csv
import re
import sys
import tempfile
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from benchmarks.setup.services import archive
from benchmarks.setup.workload import SIZES, workload
from dashboards.warehouse import query
from emulator.emulator import Emulator, Options
from emulator.state import State
from functions.core.cities import COLUMNS
from open_meteo_stand_in.server import StandIn
from operations import executions
from operations.history import run_rows

DAILY_CITIES = (3, 100, 10_000)
# The functions of the pipeline.
FUNCTIONS = ("ingest", "transform", "model")
_HANDLER = re.compile(r"functions\.(\w+)\.handler\.lambda_handler")


def city_list(path: Path, cities: int) -> None:
    """Write a list of that many cities, spread over Africa."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for n in range(cities):
            latitude, longitude = -34 + n * 7919 % 6800 / 100, -16 + n * 104_729 % 6600 / 100
            writer.writerow((f"city-{n:05d}", f"City {n}", "Africa", latitude, longitude, "Africa/Kigali", 100_000, 50))


def usage(emulator: Emulator) -> dict[str, tuple[float, int]]:
    """Return the CPU seconds so far and the peak resident megabytes of each function's processes."""
    found = dict.fromkeys(FUNCTIONS, (0.0, 0))
    aws = psutil.Process(emulator.status()["services"]["aws"])
    for process in aws.children(recursive=True):
        match = _HANDLER.search(" ".join(process.cmdline()))
        if match:
            times = process.cpu_times()
            seconds, most = found[match.group(1)]
            peak = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
            found[match.group(1)] = (
                seconds + times.user + times.system,
                max(most, int(peak.group(1)) // 1024 if peak else 0),
            )
    return found


def megabytes(emulator: Emulator) -> dict[str, float]:
    """Return the megabytes in both buckets and in the database."""
    outputs, found = emulator.outputs(), {}
    for name, bucket in (("raw_mb", outputs["RawBucket"]), ("processed_mb", outputs["ProcessedBucket"])):
        pages = emulator.aws.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket)
        found[name] = sum(item["Size"] for page in pages for item in page.get("Contents", ())) / 1e6
    (row,) = query(str(emulator.reading_url()), "SELECT pg_database_size(current_database()) AS bytes")
    return found | {"database_mb": row["bytes"] / 1e6}


def set_api_key(emulator: Emulator) -> None:
    """Set a commercial plan's key: without it Ingest observes the free host's quota, and 10,000 cities take hours."""
    secret = emulator.aws.client("secretsmanager").create_secret(Name="key", SecretString='{"api_key": "measured"}')
    functions, name = emulator.aws.client("lambda"), emulator.outputs()["IngestFunctionName"]
    variables = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    functions.update_function_configuration(
        FunctionName=name, Environment={"Variables": variables | {"OPEN_METEO_API_KEY_SECRET": secret["ARN"]}}
    )


def measure(cities: int, listed: Path, folder: Path, host_url: str, event: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the figures of a first run and a rerun of an event for the cities of a list, in a new emulator."""
    emulator = Emulator(State(folder / "state"))
    rows = []
    try:
        emulator.up(Options(weather=host_url, cities=str(listed)))
        set_api_key(emulator)
        for kind in ("first", "rerun"):
            before, stored = usage(emulator), megabytes(emulator)
            execution = executions.start(emulator, event, executions.new_name())
            for _ in executions.follow(emulator, execution, 3600):
                pass
            ended = executions.describe(emulator, execution)
            if ended["status"] != "SUCCEEDED":
                raise SystemExit(f"{cities} cities: {ended['status']}: {ended.get('cause')}")
            (row,) = run_rows(emulator, execution=execution)
            after = usage(emulator)
            rows.append(
                {
                    "cities": cities,
                    "run": kind,
                    "rows": row["rows_in"],
                    "requests": row["requests"],
                    "seconds": round((ended["stopDate"] - ended["startDate"]).total_seconds(), 1),
                    **{f"{name}_s": round(float(row[f"{name}_seconds"]), 1) for name in FUNCTIONS},
                    **{f"{name}_cpu": round(after[name][0] - before[name][0], 1) for name in FUNCTIONS},
                    **{f"{name}_mb": after[name][1] for name in FUNCTIONS},
                    **{name: round(size - stored[name], 1) for name, size in megabytes(emulator).items()},
                }
            )
    finally:
        emulator.down()
    return rows


def daily_runs(sizes: Iterable[int], say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Return the figures of daily runs of these numbers of cities."""
    rows = []
    with StandIn("synthetic", quota=False) as host, tempfile.TemporaryDirectory(prefix="ikirere-") as folder:
        for cities in sizes:
            say(f"{cities} cities ...")
            place = Path(folder) / str(cities)
            place.mkdir()
            city_list(place / "cities.csv", cities)
            rows += measure(cities, place / "cities.csv", place, host.url, {})
    return rows


def year_run(say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Return figures of the workload L: 100 cities over a year, from an archive with prepared responses."""
    size = SIZES["L"]
    ((start, end),) = size.windows()
    say(f"{size.cities} cities, {size.days} days ...")
    event = {"source": "archive", "start": str(start), "end": str(end)}
    with archive(size) as url, tempfile.TemporaryDirectory(prefix="ikirere-") as folder:
        return measure(size.cities, workload(size).city_list, Path(folder), url, event)


def main() -> int:
    sizes = [int(argument) for argument in sys.argv[1:]] or DAILY_CITIES
    rows = daily_runs(sizes, lambda text: print(f"{datetime.now(UTC):%H:%M:%S}  {text}", file=sys.stderr, flush=True))
    for line in (list(rows[0]), ["---"] * len(rows[0]), *(row.values() for row in rows)):
        print("|", " | ".join(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in line), "|")
    return 0


if __name__ == "__main__":
    sys.exit(main())

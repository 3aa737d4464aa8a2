"""A backfill that is killed at moments chosen by a seed, resumed as its user would, and compared with another one."""

import json
import os
import random
import re
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass

import psutil
import psycopg2
from command import ROOT, CommandLine

from deployment.stack import local_client
from functions.core.cities import COLUMNS
from open_meteo_stand_in.server import StandIn

BACKFILL_ID = "years"
# The items that run at the same time.
PARALLEL = 2
# The command; ministack alone, which leaves its functions running, or with them; Postgres; all of these.
TARGETS = ("command", "ministack", "functions", "postgres", "everything")
# With days of 23, 24 and 25 hours, and zones of half hours.
_ZONES = ("Africa/Kigali", "Africa/Lagos", "Europe/London", "America/New_York", "Asia/Kolkata", "Australia/Adelaide")
_PART = r"part-[0-9]+"
# The keys of what a backfill stores: raw objects, processed objects, results.
_KEY = re.compile(rf"(raw|processed)/source=[^.]*/{_PART}\.(json|csv)\.gz$|results/[^/]*-\d+\.json$")
# Every table that a load writes, by what its rows are compared in. Left out because they differ between two backfills
# that end equal: times (fetched_at, updated_at, started_at, finished_at, seconds), the execution of the last attempt,
# and the number of a part (a closed quota window ends a batch early); `check_origins` compares fetched_at and part with
# the raw object. The mart's run is the last that changed the day: a local day at the turn of the year has hours of both
# items, the 89 days after it have rain sums over both, and a week or month has days of several. A load whose result was
# lost is repeated, so only the sum of loaded and unchanged rows is compared.
_COMPARED = {
    "staging_weather": "city_id, observed_at, temperature_c, humidity, weather_code, condition, precipitation_mm, "
    f"wind_speed_kmh, uv_index, source, run_id, regexp_replace(raw_key, '{_PART}', '')",
    "staging_coverage": "city_id, source, run_id, first_hour, last_hour, filled, gap_offsets, gap_filled, sha256",
    "mart_daily_city_weather": "city_id, city, date, avg_temperature_c, min_temperature_c, max_temperature_c, "
    "temperature_range_c, avg_humidity, min_humidity, max_humidity, max_heat_index_c, hours_heat_caution, "
    "hours_heat_extreme_caution, hours_heat_danger, hours_heat_extreme_danger, precipitation_mm, rain_7_days_mm, "
    "rain_30_days_mm, rain_90_days_mm, max_wind_speed_kmh, max_uv_index, dominant_condition, hours_observed, "
    "hours_expected, hours_forecast, hours_archive, hours_humidity, population, area_km2, "
    "CASE WHEN date BETWEEN '2023-12-31' AND '2024-03-30' THEN '' ELSE run_id END",
    "mart_weekly_city_weather": "to_jsonb(mart_weekly_city_weather) - 'updated_at' - 'run_id'",
    "mart_monthly_city_weather": "to_jsonb(mart_monthly_city_weather) - 'updated_at' - 'run_id'",
    "mart_city_weather_summary": "mart_city_weather_summary",
    "climate_normal": "climate_normal",
    "climate_threshold": "climate_threshold",
    "dim_city": "dim_city",
    "city_list": "city_list",
    "schema_migration": "version, sha256",
    "pipeline_run": "run_id, status, source, window_start, window_end, cities, rows_in, rows_loaded + rows_unchanged, "
    "rows_rejected, quota_weight, failed_cities, event, error, cause",
}


@dataclass(frozen=True, slots=True)
class Kill:
    """One kill: of what, after how many steps of the backfill and how much later, and what the user does then."""

    target: str
    steps: int
    seconds: float
    waits_for_the_command: bool
    starts_up_first: bool


def kills_of(seed: int, count: int, steps: int) -> list[Kill]:
    """Return ``count`` kills in the order of their moments, among the steps of a backfill of so many."""
    chance = random.Random(seed)
    return [
        Kill(chance.choice(TARGETS), after, chance.uniform(0, 1), chance.random() < 0.5, chance.random() < 0.5)
        for after in sorted(chance.sample(range(1, steps), count))
    ]


def write_cities(path, count: int) -> None:
    """Write a list of ``count`` cities of six zones; no two have the same latitude."""
    lines = []
    for n in range(count):
        place = f"{n / 4 - 60:.4f},{n * 37 % 360 - 180:.4f},{_ZONES[n % len(_ZONES)]}"
        lines.append(f"city-{n:03d},City {n},X,{place},{1000 + n},{n + 1}")
    path.write_text("\n".join([",".join(COLUMNS), *lines]) + "\n")


class Backfill:
    """``ikirere backfill`` in a state folder of its own, with a host of its own."""

    def __init__(self, folder, host: StandIn, *arguments: str) -> None:
        self.command, self.host = CommandLine(folder), host
        self.arguments = [
            *arguments,
            "--parallel",
            str(PARALLEL),
            "--weather",
            host.url,
            "--backfill-id",
            BACKFILL_ID,
            "--json",
        ]
        self.process: subprocess.Popen[str] | None = None
        # The requests whose response was not stored because the function that waited for it was killed.
        self.lost = 0
        # Whether a command repaired what was killed while it started, and then ended well.
        self.is_over = False

    def start(self) -> None:
        """Start the command, or the same command again."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "command_line", "backfill", *self.arguments],
            cwd=ROOT, env=self.command.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def ended(self, seconds: float = 600) -> tuple[int, str]:
        """Wait for the command; its exit code and output. It has no traceback, however it ended."""
        output, errors = self.process.communicate(timeout=seconds)
        assert "Traceback" not in output + errors, output + errors
        return self.process.returncode, output or errors

    def finish(self, attempts: int = 3):
        """Run the same command until it succeeds; what it printed."""
        for _ in range(attempts):
            code, output = self.ended()
            if code == 0:
                return json.loads(output)
            print(f"  exit code {code}: {_cause(output)}")
            self.start()
        raise AssertionError(f"not loaded after {attempts} more commands: {output}")

    def steps(self) -> int:
        """How far it is: the host's requests, the raw and processed objects, the results; 0 before the first one."""
        keys = set()
        # os.walk passes over a folder that a restart removes meanwhile, rglob does not
        for folder, _, names in os.walk(self.command.state / "aws" / "s3"):
            keys |= {found.group() for name in names if (found := _KEY.search(f"{folder}/{name}"))}
        return len(self.host.requests) + len(keys)

    def kill(self, kill: Kill) -> None:
        """Wait for the moment of a kill, kill, and start the same command again as its user would."""
        assert not self.is_over, f"it was over before {kill}; choose another seed"
        while self.steps() < kill.steps or not self._victims(kill.target):
            if self.process.poll() is not None:
                # an earlier kill made it fail
                code, output = self.ended()
                assert code != 0, f"it was over before {kill}; choose another seed"
                print(f"  exit code {code}: {_cause(output)}")
                self.start()
            time.sleep(0.02)
        time.sleep(kill.seconds)
        print(f"  {kill} at {self.steps()} steps, {len(self.host.requests)} requests")
        for victim in self._victims(kill.target):
            with suppress(psutil.Error):
                victim.kill()
        if kill.target not in ("command", "postgres"):
            self._count_lost()
        if kill.target not in ("command", "everything") and kill.waits_for_the_command:
            code, output = self.ended()
            print(f"  exit code {code}: {_cause(output)}")
            self.is_over = code == 0
        else:
            self.process.kill()
            self.process.communicate()
        if kill.starts_up_first:
            self.command("up")
        self.start()

    def _count_lost(self) -> None:
        while self.host.limits.running:
            time.sleep(0.02)
        stored = {path.parts[-2:] for path in (self.command.state / "aws" / "s3").rglob("part-*.json.gz.meta.json")}
        lost = len(self.host.requests) - len(stored)
        # one request in flight for each of the items that ran
        assert self.lost <= lost <= self.lost + PARALLEL
        self.lost = lost

    def _victims(self, target: str) -> list[psutil.Process]:
        """The processes that a kill ends; of Postgres its first one, whose children notice it."""
        victims = []
        if target in ("command", "everything") and self.process.poll() is None:
            victims.append(psutil.Process(self.process.pid))
        if target in ("ministack", "functions", "everything"):
            victims += self._server("aws", with_children=target != "ministack")
        if target in ("postgres", "everything"):
            victims += self._server("postgres", with_children=False)
        return victims

    def _server(self, name: str, *, with_children: bool) -> list[psutil.Process]:
        with suppress(OSError, ValueError, KeyError, psutil.Error):
            settings = json.loads((self.command.state / "settings.json").read_text())
            server = psutil.Process(settings["services"][name]["pid"])
            if server.status() != psutil.STATUS_ZOMBIE:
                return [server, *(server.children(recursive=True) if with_children else ())]
        return []

    def tables(self) -> dict[str, dict[str, tuple]]:
        """Of each table and its cities or runs: the number of rows and the sum of their hashes."""
        found = {}
        with closing(psycopg2.connect(self.command.json("status")["database_url"])) as connection:
            for table, columns in _COMPARED.items():
                row = columns if columns == table else f"ROW({columns})"
                group = {"pipeline_run": "run_id", "city_list": "''", "schema_migration": "''"}.get(table, "city_id")
                statement = f"SELECT {group}, count(*), sum(hashtextextended({row}::text, 0)) FROM {table} GROUP BY 1"
                with connection.cursor() as cursor:
                    cursor.execute(statement)
                    found[table] = {key: tuple(rest) for key, *rest in cursor}
        return found

    def check_origins(self, cities) -> int:
        """Check that each raw object was written once, has what no other one has, and that the rows name it rightly.

        Return the number of the raw objects.
        """
        status = self.command.json("status")
        s3, bucket = local_client(status["aws_endpoint_url"], "s3"), status["raw_bucket"]
        listed = s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix="raw/")
        versions = [each for page in listed for each in page.get("Versions", ())]
        keys = [version["Key"] for version in versions]
        assert len(keys) == len(set(keys)), "a raw object was written twice"
        assert all(re.search(rf"/{_PART}\.json\.gz$", key) for key in keys), keys
        origins, fetched = {}, {}
        for key in keys:
            metadata = s3.head_object(Bucket=bucket, Key=key)["Metadata"]
            fetched[key] = metadata["fetched_at"]
            for city in metadata["cities"].split(","):
                place = (city, re.search(r"run=([^/]+)/", key).group(1))
                assert place not in origins, f"{place} is in {key} and {origins[place]}"
                origins[place] = key
        assert {city for city, _ in origins} == set(cities)
        with closing(psycopg2.connect(status["database_url"])) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT DISTINCT city_id, run_id, raw_key, fetched_at FROM staging_weather")
            rows = [((city, run), key, at.isoformat()) for city, run, key, at in cursor]
            cursor.execute("SELECT run_id, objects FROM pipeline_run")
            objects = {part["raw_key"] for _, parts in cursor for part in parts}
        assert {place: key for place, key, _ in rows} == origins
        assert len(rows) == len(origins)
        assert all(at == fetched[key] for _, key, at in rows)
        assert objects == set(keys)
        return len(keys)

    def requested(self) -> Counter:
        """How often each place and window was requested."""
        return Counter(
            (latitude, each.parameters["start_date"], each.parameters["end_date"])
            for each in self.host.requests
            for latitude in each.parameters["latitude"].split(",")
        )

    def running_executions(self) -> list[str]:
        """The executions of both state machines that still run."""
        status = self.command.json("status")
        client = local_client(status["aws_endpoint_url"], "stepfunctions")
        return [
            execution["name"]
            for machine in (status["pipeline_arn"], status["backfill_arn"])
            for page in client.get_paginator("list_executions").paginate(
                stateMachineArn=machine, statusFilter="RUNNING"
            )
            for execution in page["executions"]
        ]

    def down(self) -> None:
        """Stop everything, and check that nothing is left: by the mark, and by the working folder that servers have."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.communicate()
        self.command("down")
        assert self.command.processes() == []
        left = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.cwd().startswith(str(self.command.state)):
                    left.append(process)
        assert left == []


def _cause(output: str) -> str:
    """What a command said at its end, shortened."""
    return " ".join(output.split())[-300:]

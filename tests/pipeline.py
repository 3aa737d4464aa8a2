"""The whole pipeline for scenario tests: the emulator, the real state machine, weather from a stand-in."""

import json
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2
from psycopg2.extras import RealDictCursor

from emulator.emulator import Emulator
from functions.core.cities import load_cities
from functions.core.variables import VARIABLES
from open_meteo_stand_in.faults import Fault
from open_meteo_stand_in.server import StandIn
from open_meteo_stand_in.weather import SOURCES
from operations import executions

Json = dict[str, Any]
TODAY = datetime.now(UTC).date()
# The event of a run of yesterday, all of whose hours have passed: 24 for each of three cities.
YESTERDAY = {"start": str(TODAY - timedelta(days=1)), "end": str(TODAY - timedelta(days=1))}
# A fault with this latitude affects one city only.
MUSANZE_LATITUDE = load_cities()["musanze"].latitude
# Empties each table that loads write.
CLEAR = """
    DO $$ BEGIN
        EXECUTE (
            SELECT 'TRUNCATE ' || string_agg(quote_ident(tablename), ', ')
            FROM pg_tables
            WHERE schemaname = 'public' AND tablename <> 'schema_migration'
        );
    END $$
"""
# The tables that a run must leave the same, without the columns for the time and run of a write.
CONTENT = {
    "staging": f"SELECT city_id, observed_at, {', '.join(variable.column for variable in VARIABLES.values())}, "
    "condition, source, fetched_at, raw_key FROM staging_weather ORDER BY 1, 2",
    "mart": "SELECT city_id, date, avg_temperature_c, min_temperature_c, max_temperature_c, avg_humidity, "
    "precipitation_mm, max_wind_speed_kmh, max_uv_index, dominant_condition, hours_observed, hours_expected, "
    "hours_forecast FROM mart_daily_city_weather ORDER BY 1, 2",
    "summary": "SELECT * FROM mart_city_weather_summary ORDER BY 1",
}


class Pipeline:
    """A deployed pipeline; each test starts with an empty warehouse and a faultless host."""

    def __init__(self, emulator: Emulator, host: StandIn) -> None:
        self.emulator = emulator
        self.host = host

    def clear(self) -> None:
        self.host.faults = []
        self.host.weather = SOURCES["synthetic"]
        self.host.requests.clear()
        with closing(self.connect()) as connection, connection, connection.cursor() as cursor:
            cursor.execute(CLEAR)

    def fault(self, kind: str, **options: Any) -> None:
        self.host.faults.append(Fault(kind, **options))

    def start(self, **event: Any) -> str:
        """Start an execution of its own name; its ARN."""
        return executions.start(self.emulator, event, executions.new_name())

    def end(self, execution: str) -> tuple[str, list[executions.Step]]:
        """How an execution ended, and its steps."""
        steps = list(executions.follow(self.emulator, execution, 120))
        return str(executions.describe(self.emulator, execution)["status"]), steps

    def how_it_ended(self, execution: str) -> tuple[str, list[str]]:
        """How an execution ended, and the states that it entered."""
        status, steps = self.end(execution)
        return status, [step.state for step in steps if step.kind == "entered"]

    def record_of(self, execution: str) -> tuple[str, list[str]]:
        """How the recorder's execution for this execution of the pipeline ended, and the states that it entered."""
        steps = self.emulator.aws.client("stepfunctions")
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for each in steps.list_executions(stateMachineArn=self.outputs["RecorderArn"])["executions"]:
                event = json.loads(steps.describe_execution(executionArn=each["executionArn"])["input"])
                if event["detail"]["executionArn"] == execution:
                    return self.how_it_ended(each["executionArn"])
            time.sleep(0.1)
        raise AssertionError(f"the recorder was not started for {execution}")

    def run(self, **event: Any) -> "Ended":
        execution = self.start(**event)
        status, steps = self.end(execution)
        (row,) = self.rows("SELECT * FROM pipeline_run WHERE execution_arn = %s", execution)
        return Ended(status, steps, row)

    def rows(self, statement: str, *parameters: Any) -> list[Json]:
        with closing(self.connect()) as connection, connection.cursor(cursor_factory=RealDictCursor) as cursor:
            cursor.execute(statement, parameters)
            return [dict(row) for row in cursor]

    def observed_hours(self) -> dict[str, int]:
        """The stored hours with a temperature, by city."""
        rows = self.rows("SELECT city_id, count(temperature_c) AS hours FROM staging_weather GROUP BY 1")
        return {row["city_id"]: row["hours"] for row in rows}

    def content(self) -> dict[str, list[Json]]:
        return {name: self.rows(statement) for name, statement in CONTENT.items()}

    def connect(self) -> Any:
        return psycopg2.connect(self.emulator.database_url())

    @property
    def outputs(self) -> dict[str, str]:
        return self.emulator.outputs()

    def raw_keys(self, run_id: str) -> list[str]:
        listed = self.emulator.aws.client("s3").list_objects_v2(Bucket=self.outputs["RawBucket"])
        return [item["Key"] for item in listed.get("Contents", ()) if f"run={run_id}/" in item["Key"]]


class Ended:
    """A run that ended: its execution's status and steps, its row of ``pipeline_run``."""

    def __init__(self, execution: str, steps: list[executions.Step], row: Json) -> None:
        self.execution = execution
        self.steps = steps
        self.row = row

    @property
    def states(self) -> list[str]:
        return [step.state for step in self.steps if step.kind == "entered"]

    @property
    def failures(self) -> list[str]:
        return [step.data["error"] for step in self.steps if step.kind == "failed"]

    def __repr__(self) -> str:
        return f"{self.execution} {self.states} {self.failures} {json.dumps(self.row, default=str)}"

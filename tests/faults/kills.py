"""``ikirere run`` while one of its processes, or all of them, are killed; then ``ikirere run`` again."""

import csv
import random
import subprocess
import sys
import time
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import psycopg2
from command import CommandLine
from faults.histories import SteppedWeather, Weather
from faults.oracle import rules as oracle
from faults.oracle.comparison import check_tables
from faults.oracle.rules import Place
from faults.services.laboratory import ROOT
from psycopg2.extras import RealDictCursor

from emulator.emulator import Emulator
from emulator.state import State
from open_meteo_stand_in.faults import Fault
from open_meteo_stand_in.server import StandIn

VICTIMS = ("command", "emulator", "Postgres", "function", "all")
# A response takes this long, so that a kill can meet a request.
_RESPONSE_SECONDS = 0.3
_END_SECONDS = 300


class Kills:
    """An emulator of its own whose runs are killed; weather from a host that is never killed."""

    def __init__(self, folder: Path, host: StandIn, seed: int) -> None:
        self.command = CommandLine(folder / "state")
        self.emulator = Emulator(State(folder / "state"))
        self._host = host
        self._chance = random.Random(seed)
        self._seconds = 3.0
        host.faults = [Fault("slow", times=None, seconds=_RESPONSE_SECONDS)]

    def warm_up(self) -> None:
        """The first run, which starts and deploys all."""
        self.command("run", "--weather", self._host.url)
        started = time.monotonic()
        self.command("run")
        self._seconds = time.monotonic() - started

    def kill_one_run(self, number: int) -> str:
        """Kill something at a random moment of a run, run again, and compare the tables; what was killed, and when."""
        victim = VICTIMS[number % len(VICTIMS)]
        delay = self._chance.uniform(0, self._seconds)
        today = datetime.now(UTC).date()
        first = today - timedelta(days=self._chance.randint(2, 20))
        window = ("--start", str(first), "--end", str(first + timedelta(days=self._chance.randint(0, 4))))
        source = self._chance.choice(["forecast", "archive"])
        self._host.weather = SteppedWeather(Weather(self._chance.randint(0, 9), self._chance.choice(["none", "some"])))
        run = subprocess.Popen(
            [sys.executable, "-m", "command_line", "run", "--source", source, *window],
            cwd=ROOT,
            env=self.command.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        time.sleep(delay)
        killed = self._kill(victim, run)
        output, _ = run.communicate(timeout=_END_SECONDS)
        if not killed:
            # the run had ended: the next moment is earlier
            self._seconds *= 0.7
            return self.kill_one_run(number)
        assert "Traceback" not in output, f"{victim} killed after {delay:.2f} s: {output}"
        started = time.monotonic()
        self.command("run", "--source", source, *window)
        self._seconds = time.monotonic() - started
        self._wait_for_executions()
        self.check()
        return f"{victim} after {delay:.2f} s ({killed} processes)"

    def check(self) -> None:
        """Compare the tables with the oracle over the responses of the loaded runs. Raises MismatchError."""
        runs = self.rows("SELECT status, objects FROM pipeline_run")
        assert {run["status"] for run in runs} <= {"succeeded", "partial", "failed"}
        keys = {part["raw_key"] for run in runs if run["status"] != "failed" for part in run["objects"]}
        s3, bucket = self.emulator.aws.client("s3"), self.emulator.outputs()["RawBucket"]
        responses = []
        for key in keys:
            stored = s3.get_object(Bucket=bucket, Key=key)
            responses.append(oracle.read_response(key, stored["Body"].read(), stored["Metadata"]))
        places = _listed_places()
        check_tables(self.rows, oracle.staging(responses), places, dict.fromkeys(places, responses))

    def down(self) -> None:
        """``ikirere down``. Raises AssertionError if a process, a file or a lock is left behind."""
        self.command("down")
        assert not self.command.processes()
        left = [path.name for path in (self.command.state / "tmp").iterdir()]
        assert not left, f"files are left in tmp: {left}"
        assert not (self.command.state / "postgres" / "postmaster.pid").exists()
        with self.emulator.state.lock():
            pass

    def rows(self, statement: str) -> list[dict[str, Any]]:
        url = self.emulator.postgres.url()
        with closing(psycopg2.connect(url, options="-c timezone=UTC", cursor_factory=RealDictCursor)) as connection:
            cursor = connection.cursor()
            cursor.execute(statement)
            return [dict(row) for row in cursor]

    def _kill(self, victim: str, run: "subprocess.Popen[str]") -> int:
        """Kill -9; how many processes. A function is waited for, as long as the command runs."""
        while True:
            found = self._processes(victim, run)
            for process in found:
                with suppress(psutil.Error):
                    process.kill()
            if found or run.poll() is not None or victim != "function":
                return len(found)
            time.sleep(0.01)

    def _processes(self, victim: str, run: "subprocess.Popen[str]") -> list[psutil.Process]:
        if victim == "command":
            return [psutil.Process(run.pid)] if run.poll() is None else []
        own = self.command.processes()
        if victim == "all":
            return [*own, *([psutil.Process(run.pid)] if run.poll() is None else [])]
        lines = {"emulator": "ministack", "function": "awslambdaric", "Postgres": "bin/postgres"}
        found = []
        for process in own:
            with suppress(psutil.Error):
                if lines[victim] in " ".join(process.cmdline()[:4]):
                    found.append(process)
        return found[:1] if victim == "Postgres" else self._chance.sample(found, min(1, len(found)))

    def _wait_for_executions(self) -> None:
        """The execution of a killed command goes on: wait for its end. Raises AssertionError if it does not end."""
        client, machine = self.emulator.aws.client("stepfunctions"), self.emulator.outputs()["PipelineArn"]
        deadline = time.monotonic() + _END_SECONDS
        while running := client.list_executions(stateMachineArn=machine, statusFilter="RUNNING")["executions"]:
            assert time.monotonic() < deadline, f"executions that do not end: {running}"
            time.sleep(0.1)


def _listed_places() -> dict[str, Place]:
    with (ROOT / "functions" / "core" / "data" / "cities.csv").open(encoding="utf-8", newline="") as lines:
        return {
            row["city_id"]: Place(
                row["city_id"], row["city"], row["timezone"], int(row["population"]), float(row["area_km2"])
            )
            for row in csv.DictReader(lines)
        }

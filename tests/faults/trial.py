"""One history: its steps are run as the state machine runs them, and the tables are compared after each."""

import csv
import gzip
import io
import json
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from faults.histories import (
    EVERY_CITY,
    History,
    NewCityList,
    Repeat,
    Run,
    SteppedWeather,
    Together,
    city_id,
    latitude,
    stand_in_faults,
)
from faults.oracle import rules as oracle
from faults.oracle.comparison import MismatchError, check_tables
from faults.oracle.rules import Place, Response
from faults.services.laboratory import ROOT, Json, Laboratory, Outcome, Slot

_ASL = json.loads((ROOT / "statemachine" / "weather_pipeline.asl.json").read_text(encoding="utf-8"))["States"]
_TASKS = {
    "ingest": _ASL["Ingest"],
    "transform": _ASL["Transform"]["ItemProcessor"]["States"]["TransformPart"],
    "model": _ASL["Model"],
    "record": _ASL["RecordFailure"],
}
_MOST_WAITS = 10
# How often the states call each function again, by the error.
ATTEMPTS = {
    name: {error: retry["MaxAttempts"] for retry in task["Retry"] for error in retry["ErrorEquals"]}
    for name, task in _TASKS.items()
}


@dataclass
class Execution:
    """An execution of a run: the states of the pipeline, with its retries, on one slot."""

    slot: Slot
    environment: dict[str, str]
    event: Json
    number: int
    moment: datetime
    run: Run
    ingest: Json | None = None
    parts: tuple[Json, ...] = ()
    result: Json | None = None
    error: Outcome | None = None
    loads: int = 0

    @property
    def run_id(self) -> str:
        return str(self.event["run_id"])

    @property
    def execution(self) -> Json:
        name = f"execution-{self.number}"
        return {"name": name, "arn": f"arn:{name}", "started_at": self.moment.isoformat()}

    @property
    def _data(self) -> Json:
        """The data of the execution between its states."""
        error = self.error and {
            "Error": self.error.error,
            "Cause": json.dumps({"errorMessage": self.error.cause}),
        }
        return {
            "event": self.event,
            "execution": self.execution,
            "ingest": self.ingest,
            "parts": list(self.parts),
            "error": error,
        }

    def fetch(self) -> None:
        """Ingest and Transform."""
        self.slot.host.weather = SteppedWeather(self.run.weather)
        self.slot.host.faults = stand_in_faults(self.run)
        self.slot.database.arm(None)
        for _ in range(_MOST_WAITS):
            outcome = self._task("ingest", _selected(_ASL["Ingest"]["Parameters"], self._data))
            if outcome.result is None:
                self.error = outcome
                return
            self.ingest = outcome.result
            if self.ingest["status"] != "throttled":
                break
            self.moment += timedelta(seconds=self.ingest["wait_seconds"])
        assert self.ingest is not None
        assert self.ingest["status"] != "throttled", f"{self.run_id}: waits for ever: {self.ingest['reason']}"
        for part in self.ingest["parts"]:
            outcome = self._task("transform", _selected(_ASL["Transform"]["ItemSelector"], self._data, part))
            if outcome.result is None:
                self.error = outcome
                return
            self.parts += (outcome.result,)

    def load(self) -> None:
        """Model, or the record of the failure."""
        if self.error is None:
            self.slot.database.arm(self.run.database)
            outcome = self._task("model", _selected(_ASL["Model"]["Parameters"], self._data))
            self.slot.database.arm(None)
            self.result = outcome.result
            self.error = None if outcome.result else outcome
        if self.error is not None:
            recorded = self._task("record", _selected(_ASL["RecordFailure"]["Parameters"], self._data))
            assert recorded.result, f"{self.run_id}: its failure was not recorded: {recorded}"

    def _task(self, name: str, event: Json) -> Outcome:
        """Invoke a function, again after the errors that its state retries."""
        attempts = dict(ATTEMPTS[name])
        self.slot.storage.arm([fault for fault in self.run.storage if fault.function == name])
        while True:
            if name == "model":
                self.loads += 1
            function = "model" if name == "record" else name
            outcome = self.slot.invoke(function, event, self.moment, self.environment)
            if outcome.result is not None or attempts.get(outcome.error, 0) == 0:
                self.slot.storage.arm([])
                return outcome
            attempts[outcome.error] -= 1


def _selected(template: Json, data: Json, item: Any = None) -> Json:
    """Return the input that a state's definition makes of the data, or of an item of its Map."""
    chosen = {}
    for name, value in template.items():
        if name.endswith(".$"):
            is_of_item = value.startswith("$$.Map.Item.Value")
            found = item if is_of_item else data
            for key in value.removeprefix("$$.Map.Item.Value").removeprefix("$").split(".")[1:]:
                found = found[key]
            chosen[name.removesuffix(".$")] = found
        else:
            chosen[name] = value
    return chosen


@dataclass(frozen=True)
class Started:
    """A run that was started: its event and how it was."""

    event: Json
    run: Run


class Trial:
    """A history that runs; ``after_step`` is called after each of its runs and comparisons."""

    def __init__(self, laboratory: Laboratory, history: History, after_step: Callable[[], None] = lambda: None) -> None:
        self._laboratory, self._history, self._after_step = laboratory, history, after_step
        self._environment = laboratory.new_buckets()
        self._places: dict[str, Place] = {}
        # the attributes of each city as of the last load whose list had it
        self._stored_places: dict[str, Place] = {}
        self._responses: dict[str, Response] = {}
        self._staging: dict[oracle.Key, oracle.Row] = {}
        # the raw keys of each city that were loaded since its time zone last changed
        self._forecasts: dict[str, set[str]] = {}
        self._started: list[Started] = []
        self._executions = 0

    def run(self) -> None:
        """Run the history. Raises MismatchError, or AssertionError for anything else that must not be."""
        self._list_cities(EVERY_CITY)
        for number, step in enumerate(self._history.steps):
            try:
                self._step(step)
            except AssertionError as error:
                raise type(error)(f"step {number}: {error}") from error
        try:
            self._finish()
        except AssertionError as error:
            raise type(error)(f"at the end: {error}") from error

    def _step(self, step: Any) -> None:
        match step:
            case NewCityList():
                self._list_cities(step)
            case Run():
                self._execute([self._new(step)])
            case Together(runs, is_one_event=True):
                self._execute([self._new(runs[0])] * len(runs))
            case Together(runs):
                self._execute([self._new(run) for run in runs])
            case Repeat() if self._started:
                earlier = self._started[step.of % len(self._started)]
                run = replace(earlier.run, hour=step.hour, weather=step.weather, host=(), storage=(), database=None)
                self._execute([Started(earlier.event, run)])

    def _finish(self) -> None:
        """Without faults and with every city, each run that has not been loaded can be."""
        self._list_cities(replace(EVERY_CITY, edition=9))
        for started in {each.event["run_id"]: each for each in self._started}.values():
            if started.event["run_id"] not in self._loaded_runs():
                run = replace(started.run, host=(), storage=(), database=None)
                self._execute([Started(started.event, run)])
        leftovers = self._laboratory.leftovers()
        assert not leftovers, f"left behind: {leftovers}"

    def _list_cities(self, listed: NewCityList) -> None:
        self._places = self._history.places(listed)
        lines = ["city_id,city,country,latitude,longitude,timezone,population,area_km2"]
        for n in listed.listed:
            place = self._places[city_id(n)]
            lines.append(
                f"{place.city_id},{place.city},Somewhere,{latitude(n)},20,{place.timezone},{place.population},"
                f"{place.area_km2}"
            )
        text = "".join(f"{line}\n" for line in lines)
        self._laboratory.s3.put_object(Bucket=self._environment["RAW_BUCKET"], Key="cities.csv", Body=text.encode())

    def _new(self, run: Run) -> Started:
        day = self._history.day + timedelta(days=run.first_day)
        event = {
            "run_id": f"run-{len(self._started)}",
            "run_date": self._history.moment(run.hour).date().isoformat(),
            "source": run.source,
            "start": day.isoformat(),
            "end": (day + timedelta(days=run.days - 1)).isoformat(),
        }
        if run.cities:
            event["cities"] = [city_id(n) for n in run.cities]
        started = Started(event, run)
        self._started.append(started)
        return started

    def _execute(self, started: Sequence[Started]) -> None:
        """Run executions at the same time, and check what they did."""
        executions = []
        for slot, each in zip(self._laboratory.slots, started, strict=False):
            self._executions += 1
            moment = self._history.moment(each.run.hour)
            executions.append(Execution(slot, self._environment, each.event, self._executions, moment, each.run))
        before = self._staging
        _at_once([execution.fetch for execution in executions])
        _at_once([execution.load for execution in executions])
        self._check(executions, before)

    def _check(self, executions: Sequence[Execution], before: dict[oracle.Key, oracle.Row]) -> None:
        self._read_responses()
        runs = {row["run_id"]: row for row in self._laboratory.rows("SELECT * FROM pipeline_run")}
        loaded = {run_id: row for run_id, row in runs.items() if row["status"] in ("succeeded", "partial")}
        assert all(row["status"] in ("succeeded", "partial", "failed") for row in runs.values()), "a run has not ended"
        # a load whose COMMIT was not acknowledged has been made all the same
        arns = {row["execution_arn"] for row in loaded.values()}
        own = {execution.execution["arn"] for execution in executions}
        keys = {part["raw_key"] for row in loaded.values() if row["execution_arn"] in own for part in row["objects"]}
        if own & arns:
            for city_id, place in self._places.items():
                earlier = self._stored_places.get(city_id)
                is_moved = earlier is not None and earlier.timezone != place.timezone
                self._forecasts[city_id] = keys | (set() if is_moved else self._forecasts.get(city_id, set()))
            self._stored_places |= self._places
        parts = {part["raw_key"] for row in loaded.values() for part in row["objects"]}
        self._staging = oracle.staging(self._responses[key] for key in parts)
        forecasts = {city_id: [self._responses[key] for key in keys] for city_id, keys in self._forecasts.items()}
        check_tables(self._laboratory.rows, self._staging, self._stored_places, forecasts)
        self._check_city_list(is_stored=bool(loaded))
        # a restart of the server meets every session
        is_disturbed = any(each.run.database and each.run.database.action == "restart" for each in executions)
        for execution in executions:
            self._check_outcome(execution, runs, is_disturbed=is_disturbed)
        if len(executions) == 1:
            self._check_counts(executions[0], before)
        self._after_step()

    def _read_responses(self) -> None:
        listed = self._laboratory.s3.list_objects_v2(Bucket=self._environment["RAW_BUCKET"], Prefix="raw/")
        for item in listed.get("Contents", ()):
            key = item["Key"]
            if key not in self._responses and "/part-" in key:
                stored = self._laboratory.s3.get_object(Bucket=self._environment["RAW_BUCKET"], Key=key)
                self._responses[key] = oracle.read_response(key, stored["Body"].read(), stored["Metadata"])

    def _check_city_list(self, *, is_stored: bool) -> None:
        stored = {
            row["city_id"]: Place(row["city_id"], row["city"], row["timezone"], row["population"], int(row["area_km2"]))
            for row in self._laboratory.rows("SELECT * FROM dim_city")
        }
        if stored != (self._stored_places if is_stored else {}):
            raise MismatchError(f"dim_city is {stored}, must be {self._stored_places}")

    def _check_outcome(self, execution: Execution, runs: dict[str, Json], *, is_disturbed: bool) -> None:
        row = runs.get(execution.run_id) or runs.get(execution.execution["name"])
        assert row, f"{execution.run_id}: has no row in pipeline_run"
        own = [each for each in self._responses.values() if each.run_id == execution.run_id]
        served = [each for each in own if each.status == 200]
        if execution.result:
            broken = [each.broken for each in served if each.broken]
            assert not broken, f"{execution.run_id}: was loaded though a response is broken: {broken}"
            status = "partial" if oracle.is_partial(own) else "succeeded"
            assert execution.result["status"] == status, (
                f"{execution.run_id}: is {execution.result['status']}, must be {status}"
            )
            if len([each for each in runs.values() if each["run_id"] == execution.run_id]) == 1:
                keys = sorted(part["raw_key"] for part in row["objects"])
                assert keys == sorted(each.key for each in served), f"{execution.run_id}: loaded {keys}"
            return
        assert execution.error is not None
        unlisted = {city for each in own for city in each.cities} | set(execution.event.get("cities", ()))
        has_reason = (
            execution.run.may_fail(ATTEMPTS)
            or any(each.broken for each in served)
            or (own and not served)
            or not unlisted <= self._places.keys()
        )
        assert has_reason or is_disturbed, (
            f"{execution.run_id}: failed without a fault that outlasts the retries: {execution.error}"
        )

    def _check_counts(self, execution: Execution, before: dict[oracle.Key, oracle.Row]) -> None:
        """Rows in = loaded + unchanged (superseded rows among them) + rejected, as the oracle counts each."""
        if execution.result is None:
            return
        (row,) = self._laboratory.rows("SELECT * FROM pipeline_run WHERE run_id = %s", [execution.run_id])
        responses = [self._responses[part["raw_key"]] for part in row["objects"]]
        rejected = sum(each.rejected for each in responses)
        rows_in = sum(each.rows_in for each in responses)
        counts = {name: row[f"rows_{name}"] for name in ("in", "loaded", "unchanged", "rejected")}
        loaded = sum(
            key not in before or oracle.shown(before[key]) != oracle.shown(self._staging[key])
            for key in {key for each in responses for key in each.hours}
        )
        if execution.loads > 1:
            # an earlier attempt may have loaded them, its COMMIT not acknowledged
            loaded = counts["loaded"] if counts["loaded"] in (0, loaded) else loaded
        expected = {"in": rows_in, "loaded": loaded, "unchanged": rows_in - rejected - loaded, "rejected": rejected}
        if counts != expected:
            raise MismatchError(f"{execution.run_id}: counts {counts}, must be {expected}")
        if rejected:
            stored = sum(len(self._rejected_rows(each.key)) for each in responses)
            assert stored == rejected, f"{execution.run_id}: {stored} rejected rows are stored, must be {rejected}"

    def _rejected_rows(self, raw_key: str) -> list[Json]:
        key = f"rejected/{raw_key.removeprefix('raw/').removesuffix('.json.gz')}.csv.gz"
        body = self._laboratory.s3.get_object(Bucket=self._environment["PROCESSED_BUCKET"], Key=key)["Body"].read()
        rows = list(csv.DictReader(io.StringIO(gzip.decompress(body).decode())))
        assert all(row["reason"] for row in rows)
        return rows

    def _loaded_runs(self) -> set[str]:
        rows = self._laboratory.rows("SELECT run_id FROM pipeline_run WHERE status IN ('succeeded', 'partial')")
        return {row["run_id"] for row in rows}


def _at_once(actions: Sequence[Callable[[], None]]) -> None:
    if len(actions) == 1:
        actions[0]()
        return
    start = threading.Barrier(len(actions))

    def run(action: Callable[[], None]) -> None:
        start.wait()
        action()

    with ThreadPoolExecutor(len(actions)) as pool:
        for done in [pool.submit(run, action) for action in actions]:
            done.result()

"""A backfill that runs: followed to its end, its progress measured, its result read."""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from psycopg2 import Error as DatabaseError

from deployment.errors import UserError
from emulator.emulator import Emulator
from functions.backfill.planner import SOURCE
from functions.backfill.records import ItemResult, Plan, Summary
from functions.backfill.store import BackfillStore
from functions.core.contracts import cause_message
from functions.core.errors import TransientError
from functions.core.storage import ObjectStore, run_prefix
from functions.core.text import excerpt
from operations import executions, report
from operations.estimates import Estimate

# A poll lists the responses so far, which takes longer the more there are.
_SHORTEST_PAUSE_SECONDS, _POLLING_SHARE = 0.3, 0.1
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a backfill is, and what this session of following it has seen."""

    summary: Summary
    responses: int
    requests: int
    seconds: float
    rows_per_second: float
    seconds_left: float | None


class BackfillObserver:
    """Receives the progress of a backfill; this one ignores it."""

    def planned(self, cost: Estimate) -> None:
        """The work items are cut."""

    def starting(self, service: str) -> None:
        """A service of the emulator starts."""

    def started(self, plan: Plan, weather: str) -> None:
        """The backfill runs, or is resumed; ``weather`` says where its weather comes from."""

    def progress(self, progress: Progress) -> None:
        """Some time has passed."""

    def warning(self, message: str) -> None:
        """The backfill goes on, but something beside it failed."""


@dataclass(frozen=True, slots=True)
class BackfillResult:
    """How a backfill ended. ``results`` are those of its items; ``cause`` says why some have none."""

    summary: Summary
    results: Sequence[ItemResult] = field(default=())
    execution_arn: str = ""
    cause: str = ""

    @property
    def failed(self) -> bool:
        return self.summary.status in ("failed", "unfinished")

    @property
    def failed_items(self) -> list[ItemResult]:
        return [result for result in self.results if result.status == "failed"]

    def to_json(self) -> Json:
        """The object that ``backfill --json`` prints."""
        cities = [
            {"run_id": result.run_id, "city_id": city.city_id, "reason": city.reason}
            for result in self.results
            for city in result.failed_cities
        ]
        items = [{"run_id": item.run_id, "error": item.error, "cause": item.cause} for item in self.failed_items]
        further = {"failed_items": items, "failed_cities": cities, "execution_arn": self.execution_arn}
        return {**self.summary.to_json(), **further, "cause": self.cause}


def store_of(emulator: Emulator) -> BackfillStore:
    """The backfills of the emulator's raw bucket."""
    return BackfillStore(_objects(emulator))


def follow(
    emulator: Emulator, plan: Plan, execution: str, seconds: float, observer: BackfillObserver
) -> BackfillResult:
    """Follow an execution to its end, then write the report. Raises UserError when ``seconds`` are over."""
    meter = _Meter(emulator, plan)
    try:
        while (described := executions.describe(emulator, execution))["status"] == "RUNNING":
            observer.progress(meter.read())
            if meter.seconds > seconds:
                raise UserError(
                    f"backfill {plan.backfill_id} is not over after {seconds:g} s and goes on; the same command "
                    "follows it again"
                )
            meter.pause()
        observer.progress(meter.read())
    except (BotoCoreError, ClientError, TransientError) as error:
        # A server ended: how far the backfill came cannot be read.
        cause = f"{excerpt(error)}; the same command repairs what does not run and resumes"
        return BackfillResult(meter.summary, meter.results, execution, cause)
    cause = f"{excerpt(described.get('error', ''))}: {cause_message(described.get('cause') or '')}"
    result = BackfillResult(
        meter.summary, meter.results, execution, cause if meter.summary.status == "unfinished" else ""
    )
    try:
        if result.summary.done:
            report.remember_weather(emulator)
            report.write(emulator)
    except (DatabaseError, UserError) as error:
        observer.warning(excerpt(error))
    return result


class _Meter:
    """Measures the progress of a backfill since it was made; ``results`` and ``summary`` are those of the last time."""

    def __init__(self, emulator: Emulator, plan: Plan) -> None:
        self.results: list[ItemResult] = []
        self.summary = Summary.of(plan, [])
        self._objects, self._plan = _objects(emulator), plan
        self._stored = store_of(emulator).results(plan.backfill_id)
        self._prefix = run_prefix(SOURCE, plan.created_at.date(), f"{plan.backfill_id}-")
        self._part = re.compile(rf"{re.escape(self._prefix)}\d{{5}}/part-")
        self._began = time.monotonic()
        self._poll_seconds = 0.0
        self._first: tuple[int, int] | None = None

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def read(self) -> Progress:
        started = time.monotonic()
        self.results = self._stored.read()
        self.summary = Summary.of(self._plan, self.results)
        responses = sum(1 for key in self._objects.versions(self._prefix) if self._part.match(key))
        self._first = self._first or (self.summary.rows_in, responses)
        rows, new_responses = self.summary.rows_in - self._first[0], responses - self._first[1]
        missing = max(0, self._plan.requests - responses)
        self._poll_seconds = time.monotonic() - started
        return Progress(
            summary=self.summary,
            responses=responses,
            requests=max(self._plan.requests, responses),
            seconds=self.seconds,
            rows_per_second=rows / self.seconds if self.seconds else 0.0,
            seconds_left=self.seconds / new_responses * missing if new_responses else None,
        )

    def pause(self) -> None:
        time.sleep(max(_SHORTEST_PAUSE_SECONDS, self._poll_seconds / _POLLING_SHARE))


def _objects(emulator: Emulator) -> ObjectStore:
    return ObjectStore(emulator.outputs()["RawBucket"], emulator.aws.client)

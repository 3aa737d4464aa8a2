"""A backfill, from what is asked for to its result: planned, stored, started or resumed, followed."""

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from psycopg2 import Error as DatabaseError

from deployment.errors import UserError
from emulator.emulator import Emulator, Options
from emulator.weather import Weather
from functions.backfill.planner import SOURCE, WorkItem, cut
from functions.backfill.records import ItemResult, Plan, Summary, digest_of
from functions.backfill.request import BackfillRequest
from functions.backfill.store import BackfillStore
from functions.core.cities import City
from functions.core.errors import InvalidInputError, TransientError
from functions.core.storage import ObjectStore, run_prefix
from operations import executions, gaps, report
from operations.estimates import Estimate, estimate

# A poll lists the responses so far, which takes longer the more there are.
_SHORTEST_PAUSE_SECONDS, _POLLING_SHARE = 0.3, 0.1
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """A backfill as it is asked for; ``cities`` are ids, None means all of the city list."""

    start: str
    end: str
    cities: list[str] | None = None
    backfill_id: str | None = None
    parallel: int = 1
    gaps: bool = False


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


def plan(emulator: Emulator, asked: Asked, options: Options) -> Estimate:
    """What a backfill would cost; starts and writes nothing. Raises UserError for wrong input."""
    emulator.check(options)
    request, cities = _checked(emulator, asked, options)
    return _cost(_items(emulator, request, cities, gaps_only=asked.gaps), asked)


def run(
    emulator: Emulator, asked: Asked, options: Options, seconds: float, observer: BackfillObserver
) -> BackfillResult:
    """Start what is not up, run the backfill or what remains of it, and wait at most ``seconds`` for its end.

    All input is checked before anything starts. Raises UserError for it, and when the time is over.
    """
    emulator.check(options)
    request, cities = _checked(emulator, asked, options)
    items = None
    if not asked.gaps:
        items = _items(emulator, request, cities, gaps_only=False)
        observer.planned(_cost(items, asked))
    source = emulator.up(options, observer.starting)
    _check_window(source, request)
    with _as_user_errors():
        store = store_of(emulator)
        stored = _find(store, request, cities, asked)
        if stored is None:
            if items is None:
                items = _items(emulator, request, cities, gaps_only=True)
                observer.planned(_cost(items, asked))
            ids, now = [city.city_id for city in cities], datetime.now(UTC)
            made = Plan.of(request.backfill_id, _window(request), ids, items, gaps=asked.gaps, now=now)
            if not items:
                return BackfillResult(Summary.of(made, []))
            stored = store.put_plan(made, items)
    execution = running(emulator).get(stored.backfill_id) or executions.start_backfill(
        emulator, {"backfill_id": stored.backfill_id, "parallel": asked.parallel}, stored.backfill_id
    )
    observer.started(stored, source.notice)
    return _follow(emulator, stored, execution, seconds, observer)


def store_of(emulator: Emulator) -> BackfillStore:
    """The backfills of the emulator's raw bucket."""
    return BackfillStore(_objects(emulator))


def running(emulator: Emulator) -> dict[str, str]:
    """The executions of backfills that run, by backfill id."""
    found = {}
    for execution in executions.running_backfills(emulator):
        named = executions.event_of(execution).get("backfill_id")
        found[str(named or execution["name"])] = str(execution["executionArn"])
    return found


def _checked(emulator: Emulator, asked: Asked, options: Options) -> tuple[BackfillRequest, list[City]]:
    """The request, and its cities. Raises UserError."""
    listed = emulator.cities(options.cities)
    given = {
        "backfill_id": asked.backfill_id,
        "start": asked.start,
        "end": asked.end,
        "cities": asked.cities,
        "parallel": asked.parallel,
    }
    default_id = executions.new_name("backfill")
    today = datetime.now(UTC).date()
    with _as_user_errors():
        request = BackfillRequest.from_event(given, tuple(listed), backfill_id=default_id, today=today)
    return request, [listed[city_id] for city_id in request.cities or listed]


def _window(request: BackfillRequest) -> tuple[date, date]:
    assert request.start and request.end  # noqa: S101  # the command requires both
    return request.start, request.end


def _items(emulator: Emulator, request: BackfillRequest, cities: Sequence[City], *, gaps_only: bool) -> list[WorkItem]:
    """The work items of all cities and days, or of those that the mart lacks. Raises UserError."""
    window = _window(request)
    wanted = gaps.find(emulator.reading_url(), cities, window) if gaps_only else {window: [c.city_id for c in cities]}
    with _as_user_errors():
        return cut(wanted)


def _cost(items: Sequence[WorkItem], asked: Asked) -> Estimate:
    return estimate(items, datetime.now(UTC).date(), asked.parallel)


def _check_window(source: Weather, request: BackfillRequest) -> None:
    """Raises UserError if the weather in use does not have the backfill's window."""
    start, end = _window(request)
    if source.window and not source.window[0] <= start <= end <= source.window[1]:
        raise UserError(
            f"backfill {start} to {end}: the {source.kind} weather in use has {source.window[0]} to "
            f"{source.window[1]} only; name another: --weather live or --weather synthetic"
        )


def _find(store: BackfillStore, request: BackfillRequest, cities: Sequence[City], asked: Asked) -> Plan | None:
    """The stored plan to resume: that of the id, or the latest unfinished one of the same request. Raises UserError."""
    window, digest = _window(request), digest_of(city.city_id for city in cities)
    if asked.backfill_id:
        found = store.plan(asked.backfill_id)
        if found and ((found.start, found.end), found.cities, found.gaps) != (window, digest, asked.gaps):
            raise UserError(
                f"backfill {asked.backfill_id}: is one of {found.start} to {found.end}"
                f"{', of gaps only' if found.gaps else ''}, or of other cities; choose another --backfill-id"
            )
        return found
    plans = [each for backfill_id in store.backfill_ids() if (each := store.plan(backfill_id))]
    for found in sorted(plans, key=lambda each: each.created_at, reverse=True):
        if ((found.start, found.end), found.cities, found.gaps) == (window, digest, asked.gaps):
            results = store.results(found.backfill_id).read()
            if Summary.of(found, results).done < found.items:
                return found
    return None


def _follow(
    emulator: Emulator, plan: Plan, execution: str, seconds: float, observer: BackfillObserver
) -> BackfillResult:
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
        cause = f"{error}; the same command repairs what does not run and resumes"
        return BackfillResult(meter.summary, meter.results, execution, cause)
    cause = f"{described.get('error', '')}: {described.get('cause', '')}"
    result = BackfillResult(
        meter.summary, meter.results, execution, cause if meter.summary.status == "unfinished" else ""
    )
    try:
        if result.summary.done:
            report.remember_weather(emulator)
            report.write(emulator)
    except (DatabaseError, UserError) as error:
        observer.warning(str(error))
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


@contextmanager
def _as_user_errors() -> Iterator[None]:
    """Turn the functions' errors into UserError."""
    try:
        yield
    except (InvalidInputError, TransientError) as error:
        raise UserError(str(error)) from error

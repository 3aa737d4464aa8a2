"""The data that travels between the states: typed, declared once, keys and counts only.

A state's data has a limit of 256 KB (https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html). Above
it a run ends uncaught, so MAX_RESPONSES and run.MAX_NAMED_CITIES limit the size of a run.

A class whose JSON comes from outside has ``from_json`` (checks it; raises InvalidInputError with the name of the
field). A class whose JSON leaves a function has ``to_json`` (returns a dict of JSON types).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any, Literal

from functions.core.errors import InvalidInputError, missing_or_wrong
from functions.core.run import Run, run_id_of
from functions.core.text import MESSAGE_LENGTH, excerpt

Json = dict[str, Any]

# The responses of a run: beside them, the error of a failed run, of at most 32 KB, must fit into a state's data. With
# the longest run id each takes up to 300 bytes, a rejected one up to 420: it counts as two. 30,000 cities of ids with
# ten characters need 686.
MAX_RESPONSES = 720
REJECTED_COUNTS = 2
# The bytes of a failed city's reason between states; the raw object has all of it.
REASON_LENGTH = 100
# The errors that no Catch of a state machine catches:
# https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
UNCAUGHT_ERRORS = ("States.DataLimitExceeded", "States.Runtime")
# The error and cause of an execution that ended without an error of its own, by status.
_ENDS = {
    "TIMED_OUT": ("States.Timeout", "the execution did not end within the TimeoutSeconds of its state machine"),
    "ABORTED": ("States.Aborted", "the execution was stopped before it ended"),
}

# The columns of a processed object, in order: Transform writes them, Model copies them. Times are
# ``YYYY-MM-DDTHH:MM:SSZ``; an empty field is null. What all rows have in common is in the coverage object, and in the
# metadata of the processed object, so that it can be read without other data.
PROCESSED_COLUMNS = (
    "city_id",
    "observed_at",
    "temperature_c",
    "humidity",
    "weather_code",
    "condition",
    "precipitation_mm",
    "wind_speed_kmh",
    "uv_index",
)
# The columns of a coverage object: one row for each city that has an accepted hour; functions/transform/coverage.py
# explains the last six.
COVERAGE_COLUMNS = (
    "city_id",
    "source",
    "fetched_at",
    "run_id",
    "raw_key",
    "first_hour",
    "last_hour",
    "filled",
    "gap_offsets",
    "gap_filled",
    "sha256",
)
# The columns of a rejected object: ``row`` is the rejected hour as Open-Meteo sent it, as a JSON object.
REJECTED_COLUMNS = ("city_id", "observed_at", "reason", "row", "raw_key")


# The columns of a quality object. A row with a rule is a finding of it: ``count`` hours of the city on its local day
# ``date``, and the first of them in words. A row without a rule has the grid cell of the city in the response.
# ``fetched_at`` is the response's, which has no coverage if no hour is accepted.
QUALITY_COLUMNS = ("city_id", "rule", "date", "count", "example", "latitude", "longitude", "elevation", "fetched_at")


@dataclass(frozen=True, slots=True)
class Execution:
    """The Step Functions execution that a function runs in: its name, ARN and start."""

    name: str
    arn: str
    started_at: datetime

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Execution":
        """Parse the execution that the state machine passes from its context object. Raises InvalidInputError."""
        try:
            started_at = datetime.fromisoformat(data["started_at"])
            if started_at.tzinfo is None:
                started_at = started_at.replace(tzinfo=UTC)
            return cls(name=str(data["name"]), arn=str(data["arn"]), started_at=started_at)
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInputError(
                f"execution: {missing_or_wrong(error)}; expected name, arn and started_at"
            ) from error


@dataclass(frozen=True, slots=True)
class RawPart:
    """One response in the raw bucket: its key and its number of cities."""

    raw_key: str
    cities: int


@dataclass(frozen=True, slots=True)
class CityFailure:
    """A failed city: Open-Meteo rejected its request (HTTP 400) with ``reason``; ``raw_key`` is the stored body."""

    city_id: str
    reason: str
    raw_key: str


@dataclass(frozen=True, slots=True)
class IngestResult:
    """The result of Ingest.

    ``throttled``: a quota window is closed (or this invocation's time is up); the state machine calls Ingest
    again after ``wait_seconds``, and stored responses are not requested again. ``partial``: the run has failed
    cities. ``cities`` is the number of requested cities. ``requests`` and ``quota_weight`` count the stored
    responses of the run and the failed requests since the last wait.
    """

    status: Literal["complete", "partial", "throttled"]
    run: Run
    cities: int
    parts: tuple[RawPart, ...] = ()
    failed_cities: tuple[CityFailure, ...] = ()
    requests: int = 0
    quota_weight: float = 0.0
    seconds: float = 0.0
    wait_seconds: int = 0
    reason: str = ""

    def to_json(self) -> Json:
        return {**_plain(self), "run": self.run.to_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "IngestResult":
        """Raises InvalidInputError with the name of the missing field or of the wrong type."""
        try:
            return cls(
                **{
                    **data,
                    "run": Run.from_json(data["run"]),
                    "parts": tuple(RawPart(**part) for part in data["parts"]),
                    "failed_cities": tuple(CityFailure(**failure) for failure in data["failed_cities"]),
                }
            )
        except (KeyError, TypeError) as error:
            raise InvalidInputError(f"ingest: {missing_or_wrong(error)}; expected the result of Ingest") from error


@dataclass(frozen=True, slots=True)
class TransformTask:
    """The input of Transform: one raw object of one run."""

    run: Run
    raw_key: str

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "TransformTask":
        """Raises InvalidInputError with the name of the missing field."""
        try:
            return cls(run=Run.from_json(data["run"]), raw_key=str(data["raw_key"]))
        except (KeyError, TypeError) as error:
            raise InvalidInputError(f"transform: {missing_or_wrong(error)}; expected run and raw_key") from error


@dataclass(frozen=True, slots=True)
class ProcessedPart:
    """The result of Transform for one raw object; ``sha256`` is of its exact bytes."""

    raw_key: str
    sha256: str
    rows: int
    rejected: int
    seconds: float

    @property
    def rows_in(self) -> int:
        return self.rows + self.rejected

    def to_json(self) -> Json:
        return {**_plain(self), "rows_in": self.rows_in}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "ProcessedPart":
        """Raises KeyError with the name of a missing field."""
        return cls(data["raw_key"], data["sha256"], data["rows"], data["rejected"], data["seconds"])


@dataclass(frozen=True, slots=True)
class LoadTask:
    """The input of a load: the results of Ingest and Transform for one run.

    ``has_quality``: Transform wrote a quality object for each part. An execution that began before there were any
    ends with a load without them.
    """

    execution: Execution
    ingest: IngestResult
    parts: tuple[ProcessedPart, ...]
    has_quality: bool = False

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "LoadTask":
        """Raises InvalidInputError with the name of the missing field or of the wrong type."""
        try:
            execution, ingest = Execution.from_json(data["execution"]), IngestResult.from_json(data["ingest"])
            results = data["parts"]
            if not all("raw_key" in result for result in results):
                # the state machine passes the results of all parts without their keys, in the parts' order
                if len(results) != len(ingest.parts):
                    raise InvalidInputError(
                        f"load: {len(results)} results of Transform for {len(ingest.parts)} parts; expected one each"
                    )
                keys = [part.raw_key for part in ingest.parts]
                results = [{**result, "raw_key": key} for result, key in zip(results, keys, strict=True)]
            parts = tuple(map(ProcessedPart.from_json, results))
            return cls(execution, ingest, parts, has_quality=data.get("has_quality") is True)
        except (KeyError, TypeError, AttributeError) as error:
            raise InvalidInputError(f"load: {missing_or_wrong(error)}; expected execution, ingest and parts") from error


@dataclass(frozen=True, slots=True)
class FailureRecord:
    """A failed execution; ``ingest`` is None if Ingest returned no result, ``event`` is None if it is not known.

    ``cause`` is the error's message: Lambda wraps it in a JSON object, other services do not. ``is_caught``: the state
    machine caught the error, so it has notified of it.
    """

    execution: Execution
    event: Any
    ingest: IngestResult | None
    error: str
    cause: str
    is_caught: bool = True

    def resolved(self, known_cities: Sequence[str]) -> "FailureRecord":
        """Return the record with the run resolved from the event if Ingest failed, so that it can be replayed."""
        if self.ingest:
            return self
        try:
            run = Run.from_event(
                self.event, known_cities, run_id=self.execution.name, started_at=self.execution.started_at
            )
        except InvalidInputError:
            return self
        # the result of an Ingest that has no response yet
        return replace(self, ingest=IngestResult("throttled", run, len(run.city_ids(known_cities))))

    @property
    def run_id(self) -> str:
        return self.ingest.run.run_id if self.ingest else run_id_of(self.event, self.execution.name)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "FailureRecord":
        """Raises InvalidInputError with the name of the missing field or of the wrong type."""
        try:
            ingest = data.get("ingest")
            return cls(
                execution=Execution.from_json(data["execution"]),
                event=data.get("event"),
                ingest=IngestResult.from_json(ingest) if ingest else None,
                error=excerpt(data["error"]["Error"]),
                cause=cause_message(str(data["error"].get("Cause", ""))),
            )
        except (KeyError, TypeError) as error:
            raise InvalidInputError(
                f"failure: {missing_or_wrong(error)}; expected execution, event, ingest and error"
            ) from error

    @classmethod
    def from_status_change(cls, detail: Mapping[str, Any]) -> "FailureRecord":
        """Return the record of an execution from the event of its end, which has no result of Ingest.

        ``detail`` is that of EventBridge's "Step Functions Execution Status Change". Its ``startDate`` is in
        milliseconds (LocalStack: as ISO text); its ``input`` is missing above 248 KB, and is JSON as text.
        Raises InvalidInputError with the name of the missing field or of the wrong type.
        """
        try:
            started_at, status = detail["startDate"], str(detail["status"])
            if isinstance(started_at, int | float):
                started_at = datetime.fromtimestamp(started_at / 1000, UTC).isoformat()
            error, cause = _ENDS.get(status, ("States.Runtime", f"the execution ended with status {status}"))
            error = excerpt(detail.get("error") or error)
            return cls(
                execution=Execution.from_json(
                    {"name": detail["name"], "arn": detail["executionArn"], "started_at": started_at}
                ),
                event=_parsed(detail.get("input")),
                ingest=None,
                error=error,
                cause=cause_message(str(detail.get("cause") or cause)),
                is_caught=status not in _ENDS and error not in UNCAUGHT_ERRORS,
            )
        except (KeyError, TypeError, ValueError, OSError, OverflowError) as error:
            raise InvalidInputError(
                f"execution: {missing_or_wrong(error)}; expected the detail of its status change"
            ) from error


@dataclass(frozen=True, slots=True)
class LoadResult:
    """The result of a load: the counts of ``staging_weather`` rows and of daily mart city-days.

    ``alerts``: the number of weather alerts that are to be sent, of this load or of an earlier one.
    ``findings``: the number of city-days with a finding, by rule. ``partial``: the run has failed cities, or more hours
    with a finding of severity error than ``quality.ERROR_SHARE`` allows.
    """

    run_id: str
    status: Literal["succeeded", "partial"]
    rows_in: int
    rows_loaded: int
    rows_unchanged: int
    rows_rejected: int
    city_days_changed: int
    failed_cities: tuple[CityFailure, ...] = field(default=())
    findings: Mapping[str, int] = field(default_factory=dict)
    alerts: int = 0
    seconds: float = 0.0

    def to_json(self) -> Json:
        return _plain(self)


@dataclass(frozen=True, slots=True)
class AlertNotice:
    """The message about weather alerts, and which ones it is about.

    It is about the events that were found until ``until``, that have a day from ``since`` on, and that were not sent
    before.
    """

    count: int
    message: str
    since: date
    until: datetime

    def to_json(self) -> Json:
        return {**_plain(self), "since": self.since.isoformat(), "until": self.until.isoformat()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "AlertNotice":
        """Raises InvalidInputError with the name of the missing field or of the wrong type."""
        try:
            return cls(
                data["count"],
                data["message"],
                date.fromisoformat(data["since"]),
                datetime.fromisoformat(data["until"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInputError(
                f"notice: {missing_or_wrong(error)}; expected the result of describe_alerts"
            ) from error


def _plain(value: Any) -> Json:
    """Return a dataclass as JSON types: ``asdict`` leaves tuples, JSON has lists."""
    return {key: list(item) if isinstance(item, tuple) else item for key, item in asdict(value).items()}


def _parsed(text: Any) -> Any:
    """Return the JSON in a text, or None, which is no event, if it is missing or no JSON."""
    try:
        return json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return None


def cause_message(cause: str) -> str:
    """Return an excerpt, as long as a message, of the message in the JSON that Lambda makes of an error.

    A Cause of another form is itself the message.
    """
    try:
        return excerpt(json.loads(cause)["errorMessage"], MESSAGE_LENGTH)
    except (ValueError, KeyError, TypeError, RecursionError):
        return excerpt(cause, MESSAGE_LENGTH)

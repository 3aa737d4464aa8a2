"""What travels between the states: declared once, typed, keys and counts only.

A state's data may take 256 KB (https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html), and a run
that exceeds it ends where nothing can be caught: so MOST_ANSWERS and run.MOST_NAMED_CITIES bound what a run can hold.

Every class has ``from_json`` (checks, raises InvalidInputError by name) where its JSON comes from
outside, and ``to_json`` (a dict of JSON types) where it leaves a function.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal

from functions.core.errors import InvalidInputError, missing_or_wrong
from functions.core.run import Run, run_id_of

Json = dict[str, Any]

# The answers of a run, refused ones included: with the longest run id each takes half a KB of a state's data.
MOST_ANSWERS = 430
# Of what Open-Meteo says of a refused city this many characters travel; the raw object has it all.
REASON_LENGTH = 100

# The columns of a processed object, in order: what Transform writes and Model copies. Times are
# ``YYYY-MM-DDTHH:MM:SSZ``; an empty field is null.
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
    "source",
    "fetched_at",
    "run_id",
    "raw_key",
    "city",
    "country",
    "timezone",
    "population",
    "area_km2",
)
# The columns of a rejected object: ``row`` is the refused hour as Open-Meteo sent it, as a JSON object.
REJECTED_COLUMNS = ("city_id", "observed_at", "reason", "row", "raw_key")


@dataclass(frozen=True, slots=True)
class Execution:
    """The Step Functions execution a function runs in: its name, ARN and start."""

    name: str
    arn: str
    started_at: datetime

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Execution":
        """Parse what the state machine passes from its context object. Raises InvalidInputError."""
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
    """One answer in the raw bucket: its key, and how many cities it answers."""

    raw_key: str
    cities: int


@dataclass(frozen=True, slots=True)
class CityFailure:
    """A city that Open-Meteo refused (HTTP 400) while it answered others, with its reason and the body kept."""

    city_id: str
    reason: str
    raw_key: str


@dataclass(frozen=True, slots=True)
class IngestResult:
    """What Ingest answers.

    ``throttled``: a quota window is closed (or this invocation's time is up) and Ingest is to be
    called again after ``wait_seconds``; nothing that was fetched is fetched again. ``partial``: some
    cities were refused. ``cities`` counts those asked for. ``requests`` and ``quota_weight`` count the answers
    kept for the run, and what failed since the last wait.
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
        """Raises InvalidInputError naming what is missing or of the wrong type."""
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
            raise InvalidInputError(f"ingest: {missing_or_wrong(error)}; expected what Ingest answered") from error


@dataclass(frozen=True, slots=True)
class TransformTask:
    """What Transform is asked: one raw object of one run."""

    run: Run
    raw_key: str

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "TransformTask":
        """Raises InvalidInputError naming what is missing."""
        try:
            return cls(run=Run.from_json(data["run"]), raw_key=str(data["raw_key"]))
        except (KeyError, TypeError) as error:
            raise InvalidInputError(f"transform: {missing_or_wrong(error)}; expected run and raw_key") from error


@dataclass(frozen=True, slots=True)
class ProcessedPart:
    """What Transform answers for one raw object, whose exact bytes have ``sha256``. ``rows_in = rows + rejected``."""

    raw_key: str
    sha256: str
    rows_in: int
    rows: int
    rejected: int
    seconds: float

    def to_json(self) -> Json:
        return _plain(self)


@dataclass(frozen=True, slots=True)
class LoadTask:
    """What Model is asked to load: everything Ingest and Transform answered for one run."""

    execution: Execution
    ingest: IngestResult
    parts: tuple[ProcessedPart, ...]

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "LoadTask":
        """Raises InvalidInputError naming what is missing or of the wrong type."""
        try:
            return cls(
                execution=Execution.from_json(data["execution"]),
                ingest=IngestResult.from_json(data["ingest"]),
                parts=tuple(ProcessedPart(**part) for part in data["parts"]),
            )
        except (KeyError, TypeError) as error:
            raise InvalidInputError(f"load: {missing_or_wrong(error)}; expected execution, ingest and parts") from error


@dataclass(frozen=True, slots=True)
class FailureRecord:
    """A failed execution, as the state machine caught it; ``ingest`` is None when Ingest did not answer.

    ``cause`` is the error's message: Lambda wraps it in a JSON object, other services do not.
    """

    execution: Execution
    event: Any
    ingest: IngestResult | None
    error: str
    cause: str

    def resolved(self, known_cities: Sequence[str]) -> "FailureRecord":
        """With what the event alone tells where Ingest failed before it could answer: so the run can be replayed."""
        if self.ingest:
            return self
        try:
            run = Run.from_event(
                self.event, known_cities, run_id=self.execution.name, started_at=self.execution.started_at
            )
        except InvalidInputError:
            return self
        # as an Ingest that was to be called again: nothing of it was answered yet
        return replace(self, ingest=IngestResult("throttled", run, len(run.city_ids(known_cities))))

    @property
    def run_id(self) -> str:
        return self.ingest.run.run_id if self.ingest else run_id_of(self.event, self.execution.name)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "FailureRecord":
        """Raises InvalidInputError naming what is missing or of the wrong type."""
        try:
            ingest = data.get("ingest")
            return cls(
                execution=Execution.from_json(data["execution"]),
                event=data.get("event"),
                ingest=IngestResult.from_json(ingest) if ingest else None,
                error=str(data["error"]["Error"]),
                cause=cause_message(str(data["error"].get("Cause", ""))),
            )
        except (KeyError, TypeError) as error:
            raise InvalidInputError(
                f"failure: {missing_or_wrong(error)}; expected execution, event, ingest and error"
            ) from error


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What Model answers; the rows are those of ``staging_weather``, the days those of the daily mart."""

    run_id: str
    status: Literal["succeeded", "partial"]
    rows_in: int
    rows_loaded: int
    rows_unchanged: int
    rows_rejected: int
    city_days_changed: int
    failed_cities: tuple[CityFailure, ...] = field(default=())
    seconds: float = 0.0

    def to_json(self) -> Json:
        return _plain(self)


def _plain(value: Any) -> Json:
    """A dataclass as JSON types: ``asdict`` keeps tuples, JSON has lists."""
    return {key: list(item) if isinstance(item, tuple) else item for key, item in asdict(value).items()}


def cause_message(cause: str) -> str:
    """The message in the JSON that Lambda makes of an error; a Cause of another form as it is."""
    try:
        return str(json.loads(cause)["errorMessage"])
    except (ValueError, KeyError, TypeError):
        return cause

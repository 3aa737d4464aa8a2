"""One run of the pipeline: its event, checked, with every default filled in."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal, get_args

from functions.core.errors import InvalidInputError, missing_or_wrong
from functions.core.text import excerpt, quoted
from functions.core.variables import VARIABLES, variables_of

Source = Literal["forecast", "archive"]
Json = dict[str, Any]

# The window of an event that names none, in days from the run's day. A forecast hour changes until 6 to 24 h after it
# has passed, so each daily run requests two past days again. The archive is up to five days behind and completes its
# last days later, so an archive hour counts as settled when seven days have passed.
SETTLED_DAYS = 7
_DEFAULT_WINDOWS: dict[str, tuple[int, int]] = {"forecast": (-2, 1), "archive": (-SETTLED_DAYS, -1)}

# A run id is part of an S3 key and has at most the length of an execution name (80 characters). It may be the time of a
# schedule, as EventBridge Scheduler writes it.
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:_-]{0,79}")
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
# A time with its zone, as EventBridge writes that of a schedule:
# https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html.
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)", re.ASCII)
# A state's data holds the cities that an event names twice; a run of the whole city list names none.
MAX_NAMED_CITIES = 300
# The hours of all cities of a response: they bound Transform's memory to 250 MB, unless texts
# stand in place of numbers (docs/decisions/0012-memory-and-size.md). So a window has at most 28 years.
MAX_HOURS_PER_RESPONSE = 250_000
MAX_DAYS = MAX_HOURS_PER_RESPONSE // 24
# Open-Meteo's archive begins in 1940: https://open-meteo.com/en/docs/historical-weather-api.
_FIRST_YEAR, _LAST_YEAR = 1940, 2100
_EVENT_KEYS = ("source", "start", "end", "cities", "variables", "run_id", "run_date")
# The longest name in a message, which can have several.
_NAME_LENGTH = 100


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the pipeline, resolved: the event with every default filled in.

    ``start`` and ``end`` are UTC days, both included. ``run_date`` is the UTC day that its default window counts from:
    that of the schedule, or on which the run was first started. It is the ``date=`` of its keys, and an event with it
    and ``run_id`` replays the run. ``cities`` are the ids that the event named; empty means the whole city list.
    """

    run_id: str
    source: Source
    run_date: date
    start: date
    end: date
    variables: tuple[str, ...]
    cities: tuple[str, ...]

    @classmethod
    def from_event(cls, event: object, known_cities: Sequence[str], *, run_id: str, started_at: datetime) -> "Run":
        """Return the run of a pipeline event. ``run_id`` and ``started_at`` are the execution's.

        Raises InvalidInputError with the name of the unknown key, the value of a wrong type, the
        impossible window, or the city or variable that does not exist.
        """
        if not isinstance(event, Mapping):
            raise InvalidInputError(f"event: must be a JSON object, not {type(event).__name__}")
        event = _unwrapped(event)
        unknown = sorted(str(key) for key in event if key not in _EVENT_KEYS)
        if unknown:
            raise InvalidInputError(
                f"event: unknown key {names_text(unknown)}; known keys are {', '.join(_EVENT_KEYS)}"
            )

        source = _text(event, "source", "forecast")
        if source not in get_args(Source):
            raise InvalidInputError(f"event: source {quoted(source)} must be one of {', '.join(get_args(Source))}")
        chosen_id = _text(event, "run_id", run_id)
        if not _RUN_ID.fullmatch(chosen_id):
            raise InvalidInputError(
                f"event: run_id {quoted(chosen_id)} must be 1 to 80 letters, digits, '.', ':', '_' or '-', "
                "the first a letter or digit"
            )
        run_date = _run_date(event) or started_at.astimezone(UTC).date()
        start, end = _window(data_day_of(event, "start"), data_day_of(event, "end"), run_date, source)
        cities = _names(event, "cities")
        if len(cities) > MAX_NAMED_CITIES:
            raise InvalidInputError(
                f"event: cities names {len(cities)}, the maximum is {MAX_NAMED_CITIES}; omit it to load all cities, or "
                "start several runs"
            )
        unlisted = [city for city in cities if city not in known_cities]
        if unlisted:
            raise InvalidInputError(
                f"event: no such city {names_text(unlisted)} in the city list; correct the id, or add the city "
                "to the list"
            )
        return cls(
            run_id=chosen_id,
            source=source,  # type: ignore[arg-type]  # checked against the Literal above
            run_date=run_date,
            start=start,
            end=end,
            variables=_variables(_names(event, "variables"), source),
            cities=cities,
        )

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Run":
        """Return the run that an earlier state wrote with ``to_json``. Raises InvalidInputError."""
        try:
            return cls(
                run_id=data["run_id"],
                source=data["source"],
                run_date=date.fromisoformat(data["run_date"]),
                start=date.fromisoformat(data["start"]),
                end=date.fromisoformat(data["end"]),
                variables=tuple(data["variables"]),
                cities=tuple(data.get("cities", ())),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInputError(f"run: {missing_or_wrong(error)}; expected the run of Ingest's result") from error

    def to_json(self) -> Json:
        """Return the run as a pipeline event: a new execution with this event replays the run."""
        return {
            "run_id": self.run_id,
            "source": self.source,
            "run_date": self.run_date.isoformat(),
            "start": self.start.isoformat(),
            "end": self.end.isoformat(),
            "variables": list(self.variables),
            **({"cities": list(self.cities)} if self.cities else {}),
        }

    def city_ids(self, listed: Iterable[str]) -> tuple[str, ...]:
        """Return the ids of the run's cities: all ``listed`` ones if the event named none."""
        return self.cities or tuple(listed)

    @property
    def days(self) -> int:
        """Return the length of the window in days."""
        return (self.end - self.start).days + 1


def _unwrapped(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the pipeline event: the ``detail`` of the envelope that an EventBridge rule without an input sends.

    The envelope's time, that of the rule's schedule, is its ``run_date`` if it names none.
    """
    detail = event.get("detail")
    if "detail-type" not in event or not isinstance(detail, Mapping):
        return event
    return {**detail, "run_date": event["time"]} if event.get("time") and detail.get("run_date") is None else detail


def run_id_of(event: object, execution_name: str) -> str:
    """Return the run id that an event names, or the execution's name if it names none or an invalid one."""
    named = _unwrapped(event).get("run_id") if isinstance(event, Mapping) else None
    return named if isinstance(named, str) and _RUN_ID.fullmatch(named) else execution_name


def names_text(names: Iterable[str]) -> str:
    """Return an excerpt of the names in quotes."""
    return excerpt(", ".join(quoted(name, _NAME_LENGTH) for name in names))


def _text(event: Mapping[str, Any], key: str, default: str) -> str:
    value = event.get(key)
    if value is None:
        return default
    if not isinstance(value, str):
        raise InvalidInputError(f"event: {key} must be a string, not {type(value).__name__}")
    return value


def day_of(event: Mapping[str, Any], key: str, name: str = "event") -> date | None:
    """Return the day of a key, None if it is absent. Raises InvalidInputError that calls the event ``name``."""
    value = event.get(key)
    if value is None:
        return None
    try:
        if not isinstance(value, str) or not _DAY.fullmatch(value):
            raise ValueError
        return date.fromisoformat(value)
    except ValueError:
        raise InvalidInputError(f"{name}: {key} {quoted(value)} must be a day as YYYY-MM-DD") from None


def data_day_of(event: Mapping[str, Any], key: str, name: str = "event") -> date | None:
    """Return the day of a key as ``day_of`` does. Raises InvalidInputError too if no data can be of this day."""
    return _data_day(day_of(event, key, name), key, name)


def _run_date(event: Mapping[str, Any]) -> date | None:
    """Return the day of ``run_date``, of a time its UTC day; None if it is absent. Raises InvalidInputError."""
    value = event.get("run_date")
    try:
        if isinstance(value, str) and _TIME.fullmatch(value):
            day: date | None = datetime.fromisoformat(value).astimezone(UTC).date()
        else:
            day = day_of(event, "run_date")
    except (InvalidInputError, ValueError, OverflowError):
        raise InvalidInputError(
            f"event: run_date {quoted(value)} must be a day as YYYY-MM-DD, or a time with its zone such as "
            "2026-11-25T04:00:00Z"
        ) from None
    return _data_day(day, "run_date", "event")


def _data_day(day: date | None, key: str, name: str) -> date | None:
    if day and not _FIRST_YEAR <= day.year <= _LAST_YEAR:
        raise InvalidInputError(f"{name}: {key} {day} must be from {_FIRST_YEAR} to {_LAST_YEAR}")
    return day


def _window(start: date | None, end: date | None, run_date: date, source: str) -> tuple[date, date]:
    """Return the window. If the event names only one end, the other end has its default."""
    first_day, last_day = (run_date + timedelta(days=days) for days in _DEFAULT_WINDOWS[source])
    first = start or min(first_day, end or date.max)
    last = end or max(last_day, first)
    if last < first:
        raise InvalidInputError(f"event: end {last} is before start {first}")
    if (days := (last - first).days + 1) > MAX_DAYS:
        raise InvalidInputError(
            f"event: {first} to {last} are {days} days, the maximum is {MAX_DAYS}; start a run for each part of them, "
            "or a backfill"
        )
    return first, last


def _names(event: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = event.get(key)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise InvalidInputError(f"event: {key} must be a list of strings")
    if not value:
        raise InvalidInputError(f"event: {key} is an empty list; omit it to load all {key}")
    return tuple(dict.fromkeys(value))


def _variables(names: tuple[str, ...], source: str) -> tuple[str, ...]:
    known = variables_of(source)
    for name in names:
        if name not in known:
            elsewhere = f"; only {', '.join(VARIABLES[name].sources)} has it" if name in VARIABLES else ""
            raise InvalidInputError(
                f"event: variable {quoted(name)} is not one that this pipeline loads from {source}{elsewhere}; "
                f"known variables are {', '.join(known)}"
            )
    return tuple(name for name in known if name in names) or known

"""Random histories as data: what is requested when, in which order, and what fails meanwhile.

A history is made from a seed by Hypothesis, which also shrinks one that fails. Its parts are small numbers and names,
so that it can be printed and read.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from datetime import UTC, date, datetime, timedelta
from typing import Any

from faults.oracle.rules import Place
from hypothesis import strategies as st

from open_meteo_stand_in import faults as host
from open_meteo_stand_in.faults import Fault

# A day with a clock change, and the zones of the cities: the first one changes its clocks.
CALENDARS: tuple[tuple[date, tuple[str, ...]], ...] = (
    (date(2026, 3, 29), ("Europe/Berlin", "Africa/Kigali", "Asia/Kathmandu", "Pacific/Kiritimati")),
    (date(2026, 10, 25), ("Europe/Berlin", "America/St_Johns", "Africa/Kigali", "Pacific/Pago_Pago")),
    (date(2026, 3, 8), ("America/New_York", "Africa/Kigali", "Pacific/Apia", "Asia/Kolkata")),
    (date(2026, 11, 1), ("America/New_York", "Asia/Kathmandu", "Africa/Kigali", "Pacific/Kiritimati")),
    (date(2026, 4, 5), ("Australia/Lord_Howe", "Africa/Kigali", "Pacific/Auckland", "America/St_Johns")),
    (date(2026, 10, 4), ("Australia/Lord_Howe", "Pacific/Pago_Pago", "Africa/Kigali", "Europe/Berlin")),
)
CITIES = 4
# Quota windows open again after a wait; every other fault may last longer than all retries.
_WINDOWS = ("minutely", "hourly", "daily")
_HOST_KINDS = sorted(set(host.KINDS) - {"trickle"})
_LASTING = 99
# The faults of the host after which the same request is sent again.
PASSING = (
    "overloaded", "concurrent", "bad_gateway", "gateway_timeout", "html", "empty", "truncated", "reset", "slow",
    "long_503", "controlling_503",
)  # fmt: skip
# How often the SDK sends a request to S3, and the faults after which it does.
SDK_ATTEMPTS = 4
_REPEATED_REQUESTS = ("error before", "error after", "cut before", "cut after")


class Brief:
    """A part of a history, printed without the fields that have their defaults."""

    def __repr__(self) -> str:
        shown = (each for each in fields(self) if each.default is MISSING or getattr(self, each.name) != each.default)  # type: ignore[arg-type]
        return f"{type(self).__name__}({', '.join(f'{each.name}={getattr(self, each.name)!r}' for each in shown)})"


@dataclass(frozen=True, repr=False)
class Weather(Brief):
    """The values of all hours: equal numbers are equal values, and ``nulls`` says where there are none."""

    revision: int = 0
    nulls: str = "none"


@dataclass(frozen=True, repr=False)
class HostFault(Brief):
    """A fault of the stand-in; ``city`` limits it to requests or locations of one city."""

    kind: str
    times: int = 1
    city: int | None = None


@dataclass(frozen=True, repr=False)
class StorageFault(Brief):
    """What happens to S3 requests number ``request`` and later ones, ``times`` in all, of a function."""

    function: str
    request: int
    action: str
    times: int = 1


@dataclass(frozen=True, repr=False)
class DatabaseFault(Brief):
    """What happens at a message number ``place`` to Postgres: a statement, COPY data or the COMMIT."""

    point: str
    place: int
    action: str


@dataclass(frozen=True, repr=False)
class Run(Brief):
    """A run: its window in days from the day of the clock change, its cities (none: all), and its hour of fetching."""

    source: str = "forecast"
    first_day: int = 0
    days: int = 1
    cities: tuple[int, ...] = ()
    hour: int = 0
    weather: Weather = Weather()
    host: tuple[HostFault, ...] = ()
    storage: tuple[StorageFault, ...] = ()
    database: DatabaseFault | None = None

    def may_fail(self, attempts: Mapping[str, Mapping[str, int]]) -> bool:
        """Whether its faults may outlast the retries, of which ``attempts`` has the numbers by function and error.

        Each occurrence of a fault fails at most one attempt; of those that the SDK repeats, SDK_ATTEMPTS fail one.
        """
        if any(each.kind not in (*PASSING, *_WINDOWS) for each in self.host):
            return True
        if any(each.action == "denied" for each in self.storage):
            return True
        for function, retries in attempts.items():
            faults = [each for each in self.storage if each.function == function]
            database = self.database.action if self.database and function == "model" else ""
            host = sum(each.times for each in self.host if each.kind in PASSING) if function == "ingest" else 0
            kills = sum(each.times for each in faults if each.action.startswith("kill")) + database.startswith("kill")
            bodies = sum(each.times for each in faults if each.action == "cut in body")
            requests = sum(each.times for each in faults if each.action in _REPEATED_REQUESTS)
            errors = host + bodies + requests // SDK_ATTEMPTS + (database != "" and not database.startswith("kill"))
            if kills > retries["Runtime.ExitError"] or errors > retries["TransientError"]:
                return True
        return False


@dataclass(frozen=True, repr=False)
class Together(Brief):
    """Runs at the same time: two or five of overlapping windows, or one event delivered twice."""

    runs: tuple[Run, ...]
    is_one_event: bool = False


@dataclass(frozen=True, repr=False)
class Repeat(Brief):
    """The event of an earlier run again, at another hour: a replay, or a second delivery."""

    of: int
    hour: int = 0
    weather: Weather = Weather()


@dataclass(frozen=True, repr=False)
class NewCityList(Brief):
    """Another list in S3: its cities, and how far their zones and names are moved."""

    listed: tuple[int, ...]
    zones: int = 0
    edition: int = 0


Step = Run | Together | Repeat | NewCityList


@dataclass(frozen=True)
class History:
    """A calendar and the steps; before them all cities are listed."""

    calendar: int = 0
    steps: tuple[Step, ...] = ()

    @property
    def day(self) -> date:
        return CALENDARS[self.calendar][0]

    def moment(self, hour: int) -> datetime:
        """An hour, counted from the UTC midnight of the day before the clock change."""
        return datetime(self.day.year, self.day.month, self.day.day, tzinfo=UTC) + timedelta(hours=hour - 24)

    def places(self, cities: NewCityList) -> dict[str, Place]:
        """The cities of a list by id."""
        zones = CALENDARS[self.calendar][1]
        return {
            city_id(n): Place(
                city_id=city_id(n),
                city=f"City {n} of {cities.edition}",
                timezone=zones[(n + cities.zones) % len(zones)],
                population=1000 + n + cities.edition,
                area_km2=10 + n,
            )
            for n in cities.listed
        }

    def __str__(self) -> str:
        steps = "".join(f"\n  {n}. {step}" for n, step in enumerate(self.steps))
        return f"calendar {self.calendar} ({self.day}){steps}"


def city_id(number: int) -> str:
    return f"city-{number}"


def latitude(number: int) -> float:
    return 10.0 + number


EVERY_CITY = NewCityList(tuple(range(CITIES)))


@dataclass
class SteppedWeather:
    """The stand-in's weather for one run: few different values, so that days and responses are often equal."""

    weather: Weather = field(default_factory=Weather)
    name: str = "history"

    def window(self, archive: bool, today: date) -> tuple[date, date]:
        return date(1940, 1, 1), date(2100, 1, 1)

    def has_data(self, latitude: float, longitude: float) -> bool:
        return True

    def hourly(self, variable: str, place: tuple[float, float], hours: Sequence[datetime], archive: bool) -> list[Any]:
        values = []
        for n, hour in enumerate(hours):
            chance = random.Random(f"{self.weather.revision} {variable} {place[0]} {hour} {archive}")
            value = chance.choice(_VALUES[variable])
            values.append(None if self._is_null(variable, n, len(hours), chance) else value)
        return values

    def _is_null(self, variable: str, n: int, hours: int, chance: random.Random) -> bool:
        match self.weather.nulls:
            case "some":
                return chance.random() < 0.3
            case "tail":
                return n >= hours - 9
            case "temperature":
                return variable == "temperature_2m"
            case "other columns":
                return variable != "temperature_2m"
            case "all":
                return True
        return False


_VALUES: dict[str, tuple[float, ...]] = {
    "temperature_2m": (-1.5, 0, 3, 7.25),
    "relative_humidity_2m": (40, 55, 61),
    "weather_code": (0, 3, 61, 95),
    "precipitation": (0, 0.1, 2),
    "wind_speed_10m": (5, 8.4),
    "uv_index": (0, 3.55),
}


def stand_in_faults(run: Run) -> list[Fault]:
    """The faults of the stand-in for a run."""
    return [
        Fault(each.kind, times=each.times, latitude=None if each.city is None else latitude(each.city), seconds=0.1)
        for each in run.host
    ]


_weather = st.builds(
    Weather,
    revision=st.integers(0, 5),
    nulls=st.sampled_from(["none", "none", "none", "some", "tail", "temperature", "other columns", "all"]),
)
_documents = st.builds(
    HostFault,
    kind=st.sampled_from(sorted(host.DOCUMENT)),
    times=st.just(_LASTING),
    city=st.one_of(st.none(), st.integers(0, CITIES - 1)),
)
_answers = st.builds(
    HostFault,
    kind=st.sampled_from([kind for kind in _HOST_KINDS if kind not in host.DOCUMENT and kind not in _WINDOWS]),
    times=st.sampled_from([1, 2, 5, _LASTING]),
    city=st.one_of(st.none(), st.integers(0, CITIES - 1)),
)
_closed = st.builds(HostFault, kind=st.sampled_from(_WINDOWS), times=st.integers(1, 2))
# These leave a response that is loaded without its rejected rows.
_rejecting = st.builds(
    HostFault,
    kind=st.sampled_from(["unknown_code", "impossible_value", "unparsable", "duplicate_hour", "outside_hour"]),
    times=st.just(_LASTING),
    city=st.one_of(st.none(), st.integers(0, CITIES - 1)),
).map(lambda fault: (fault,))
_host = st.lists(st.one_of(_documents, _answers, _closed), min_size=1, max_size=2).map(tuple)
STORAGE_ACTIONS = (
    "error before", "error after", "cut before", "cut after", "cut in body", "denied", "slow",
    "kill before", "kill after",
)  # fmt: skip
DATABASE_ACTIONS = ("cut before", "cut after", "kill before", "kill after", "terminate", "restart")
_storage = st.lists(
    st.builds(
        StorageFault,
        function=st.sampled_from(["ingest", "transform", "model"]),
        request=st.integers(0, 7),
        action=st.sampled_from(STORAGE_ACTIONS),
        times=st.sampled_from([1, 5, 20, 40]),
    ),
    min_size=1,
    max_size=2,
).map(tuple)
_database = st.one_of(
    st.builds(
        DatabaseFault,
        point=st.sampled_from(["commit", "copy"]),
        place=st.integers(0, 1),
        action=st.sampled_from(DATABASE_ACTIONS),
    ),
    st.builds(
        DatabaseFault,
        point=st.just("statement"),
        place=st.integers(0, 30),
        action=st.sampled_from(DATABASE_ACTIONS),
    ),
)


_NONE, _NO_FAULT = st.just(()), st.none()


def _runs(host: Any = _NONE, storage: Any = _NONE, database: Any = _NO_FAULT) -> Any:
    return st.builds(
        Run,
        source=st.sampled_from(["forecast", "forecast", "archive"]),
        first_day=st.integers(-2, 1),
        days=st.integers(1, 3),
        cities=st.one_of(
            st.just(()), st.lists(st.integers(0, CITIES - 1), min_size=1, max_size=2, unique=True).map(tuple)
        ),
        hour=st.integers(0, 96),
        weather=_weather,
        host=host,
        storage=storage,
        database=database,
    )


_faulty = st.one_of(
    _runs(host=_rejecting),
    _runs(host=_host),
    _runs(storage=_storage),
    _runs(database=_database),
    _runs(_host, _storage, _database),
)
_together = st.one_of(
    st.builds(Together, st.lists(_runs(), min_size=2, max_size=2).map(tuple)),
    st.builds(Together, st.lists(st.one_of(_runs(), _faulty), min_size=2, max_size=2).map(tuple)),
    st.builds(Together, st.lists(_runs(), min_size=5, max_size=5).map(tuple)),
    _runs().map(lambda run: Together((run, run), is_one_event=True)),
)
_lists = st.builds(
    NewCityList,
    listed=st.one_of(
        st.just(EVERY_CITY.listed),
        st.lists(st.integers(0, CITIES - 1), min_size=1, unique=True).map(sorted).map(tuple),
    ),
    zones=st.integers(0, 3),
    edition=st.integers(0, 2),
)
_steps = st.one_of(
    _runs(),
    _runs(),
    _faulty,
    _faulty,
    _together,
    st.builds(Repeat, st.integers(0, 5), st.integers(0, 96), _weather),
    _lists,
)

# Two lists, so that Hypothesis makes long ones: it draws short lists most often. The run between them is in each
# history: one without a run would show nothing.
_some_steps = st.lists(_steps, max_size=6)
histories = st.builds(
    lambda calendar, first, run, second: History(calendar, (*first, run, *second)),
    st.integers(0, len(CALENDARS) - 1),
    _some_steps,
    st.one_of(_runs(), _faulty),
    _some_steps,
)

"""The responses that a warehouse was made from: which raw objects count, and what their bytes say now.

A raw object counts if its run was loaded. ``pipeline_run`` tells that, with one exception: an execution that failed
after its load has the row of a failed run. Then hours and coverage in staging tell which of its objects were loaded.
"""

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any, Literal

from psycopg2.extensions import connection as Connection  # noqa: N812
from psycopg2.extras import RealDictCursor

from functions.core.errors import InvalidInputError, UpstreamContractError
from functions.core.run import Run
from functions.core.storage import RawStore, StoredResponse, run_of
from functions.transform.hours import Hours, Locations
from functions.transform.part import hours_of
from operations.lineage import days
from operations.lineage.precedence import precedence

# The statuses of a run in ``pipeline_run`` that was loaded.
LOADED = ("succeeded", "partial")
_AT_ONCE = 8
# A local day has hours of the UTC day before and of the one after.
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Response:
    """A response that was loaded. ``sha256`` is what ``pipeline_run`` has, None where its row has none."""

    stored: StoredResponse
    run: Run
    sha256: str | None

    @property
    def start_hour(self) -> int:
        """The first hour of its window, in hours since 1970."""
        return days.number_of(self.run.start) * 24

    @property
    def end_hour(self) -> int:
        """The hour after its window, in hours since 1970."""
        return self.start_hour + 24 * self.run.days


@dataclass(frozen=True, slots=True)
class RawProblem:
    """A raw object that is not what was stored: what is wrong, with the SHA-256 then and now where both are known."""

    key: str
    kind: Literal["missing", "changed", "unreadable"]
    reason: str
    expected: str = ""
    found: str = ""


@dataclass(frozen=True, slots=True)
class Responses:
    """The loaded responses, in ascending order of precedence, and the raw objects whose metadata cannot be read."""

    responses: Sequence[Response]
    problems: Sequence[RawProblem] = field(default=())


def loaded_responses(
    connection: Connection, store: RawStore, window: tuple[date, date] | None, city_id: str | None = None
) -> Responses:
    """Return the responses of all loaded runs, or of those that may have hours of the local days of ``window``.

    With ``city_id``, those of other cities may be missing.
    """
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(
            "SELECT run_id, status, objects FROM pipeline_run WHERE %(start)s::date IS NULL "
            "OR window_end >= %(start)s AND window_start <= %(end)s",
            {"start": window and window[0] - _DAY, "end": window and window[1] + _DAY},
        )
        rows = cursor.fetchall()
    loaded = {each["raw_key"]: each.get("sha256") for row in rows if row["status"] in LOADED for each in row["objects"]}
    failed = {
        row["run_id"]: [each["raw_key"] for each in row["objects"]] for row in rows if row["status"] not in LOADED
    }
    uncertain = _Uncertain(connection, [run_id for run_id, keys in failed.items() if keys], city_id)
    found: list[Response] = []
    problems: list[RawProblem] = []
    keys = [*loaded, *(key for run_id in uncertain.run_ids for key in failed[run_id] if key not in loaded)]
    # Most responses are of the same cities: their ids are in memory once.
    shared: dict[tuple[str, ...], tuple[str, ...]] = {}
    for key, outcome in zip(keys, _metadata(store, keys), strict=True):
        if isinstance(outcome, RawProblem):
            problems.append(outcome)
        elif key in loaded or uncertain.was_loaded(outcome[1], outcome[0]):
            stored, run = outcome
            cities = shared.setdefault(stored.cities, stored.cities)
            variables = shared.setdefault(run.variables, run.variables)
            run = replace(run, cities=cities, variables=variables)
            found.append(Response(replace(stored, cities=cities), run, loaded.get(key)))
    found.sort(key=lambda each: precedence(each.run.source, each.stored, each.run.run_id))
    return Responses(found, problems)


def read_response(store: RawStore, response: Response) -> tuple[Hours | None, RawProblem | None]:
    """Return the accepted hours that the bytes have now, and what is wrong with them.

    Changed bytes that can still be read are returned too: the difference that they make names the value that changed.
    """
    key, expected = response.stored.key, response.sha256 or response.stored.sha256
    try:
        body, stored = store.read(key)
    except InvalidInputError as error:
        return None, RawProblem(key, "missing", str(error))
    except UpstreamContractError as error:
        return None, RawProblem(key, "unreadable", str(error), expected)
    problem = None
    found = hashlib.sha256(body).hexdigest()
    if not found == stored.sha256 == expected:
        what = "bytes" if found != expected else "metadata"
        problem = RawProblem(
            key, "changed", f"its {what} were changed after Ingest stored them", expected, f"{found} ({stored.sha256})"
        )
    try:
        return hours_of(body, response.stored, response.run, lambda _rows: None, Locations()), problem
    except UpstreamContractError as error:
        return None, problem or RawProblem(key, "unreadable", str(error), expected, found)


def folder_of(key: str) -> str:
    """Return the folder of a raw key: that of one run."""
    return key.rsplit("/", 1)[0]


class _Uncertain:
    """The runs with the row of a failed run that have hours or coverage in staging all the same.

    Only warehouses of earlier versions have such: since, the row of a load is never replaced by that of a failure.
    """

    def __init__(self, connection: Connection, run_ids: Sequence[str], city_id: str | None) -> None:
        self.run_ids: list[str] = []
        self._coverage: set[tuple[Any, ...]] = set()
        self._keys: set[str] = set()
        if not run_ids:
            return
        with connection.cursor() as cursor:
            # by city, and hours by time too: the indexes of both tables begin with the city
            parameters = {"runs": list(run_ids), "city": city_id}
            cursor.execute(
                "SELECT DISTINCT run_id, fetched_at FROM staging_coverage WHERE run_id = ANY(%(runs)s) AND city_id IN "
                "(SELECT city_id FROM dim_city WHERE %(city)s::text IS NULL OR city_id = %(city)s)",
                parameters,
            )
            self._coverage = set(cursor.fetchall())
            cursor.execute(
                "SELECT DISTINCT run_id, hour.raw_key FROM pipeline_run AS run CROSS JOIN dim_city AS city "
                "JOIN staging_weather AS hour USING (city_id, run_id) WHERE run_id = ANY(%(runs)s) "
                "AND (%(city)s::text IS NULL OR city_id = %(city)s) "
                "AND observed_at >= run.window_start::timestamp AT TIME ZONE 'UTC' "
                "AND observed_at < (run.window_end + 1)::timestamp AT TIME ZONE 'UTC'",
                parameters,
            )
            staged = cursor.fetchall()
        self._keys = {raw_key for _, raw_key in staged}
        self.run_ids = sorted({run_id for run_id, _ in (*self._coverage, *staged)})

    def was_loaded(self, run: Run, stored: StoredResponse) -> bool:
        return stored.key in self._keys or (run.run_id, stored.fetched_at) in self._coverage


def _metadata(store: RawStore, keys: Sequence[str]) -> Iterator[tuple[StoredResponse, Run] | RawProblem]:
    """Yield the metadata of each key, or what is wrong with it."""

    def read(key: str) -> tuple[StoredResponse, Run] | RawProblem:
        try:
            stored = store.metadata(key)
        except InvalidInputError as error:
            # the key is listed if its object is there, whatever its metadata
            kind: Literal["missing", "unreadable"] = "unreadable" if key in store.response_keys(key) else "missing"
            return RawProblem(key, kind, str(error))
        try:
            return stored, run_of(stored)
        except InvalidInputError as error:
            return RawProblem(key, "unreadable", str(error))

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        yield from pool.map(read, keys)

"""Fetching a run: its cities in batches, failed cities isolated, each response stored and requested once."""

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

from functions.core import quota
from functions.core.cities import City
from functions.core.contracts import (
    MAX_HOURS_PER_RESPONSE,
    MAX_RESPONSES,
    CityFailure,
    IngestResult,
    RawPart,
)
from functions.core.errors import InvalidInputError
from functions.core.observability import logger
from functions.core.run import Run
from functions.core.storage import (
    METADATA_LIMIT,
    ObjectStore,
    RawStore,
    StoredResponse,
    part_number,
    raw_key,
    unreadable_key,
)
from functions.ingest.failures import failure_of
from functions.ingest.ledger import Ledger
from functions.ingest.open_meteo import (
    REQUEST_SECONDS,
    Accepted,
    Body,
    OpenMeteo,
    QuotaClosed,
    Rejected,
    TooLarge,
    Unusable,
    request_address,
)

_LARGEST_BATCH = 50
# The share of the 2 KB of metadata for address and city ids; the rest is for status, times and hash.
_METADATA_FOR_REQUEST = METADATA_LIMIT - 300
# The time to store the response after an invocation's last request.
_MARGIN_SECONDS = 15.0


class Fetch:
    """The requests of one invocation for a run; ``cities`` are those of the run, in the order of the requests."""

    def __init__(
        self,
        run: Run,
        cities: Mapping[str, City],
        host: str,
        store: RawStore,
        client: OpenMeteo,
        *,
        is_free_host: bool,
        seconds_left: Callable[[], float],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._run, self._cities, self._host = run, cities, host
        self._store, self._client = store, client
        self._seconds_left, self._now = seconds_left, now
        self._ledger = Ledger(ObjectStore(store.bucket), now) if is_free_host else None
        self._stored: list[StoredResponse] = []
        self._failed_requests: list[datetime] = []
        self.requests = 0
        self.weight = 0.0

    def fetch_missing(self) -> IngestResult:
        """Request every city of the run that has no stored response. Return the result of the run so far.

        Raises InvalidInputError if Open-Meteo rejected all cities, the run id belongs to another request or the run
        needs more than MAX_RESPONSES, and the errors of the client. Responses stored before an error stay and are not
        requested again.
        """
        self._read_stored_responses()
        waiting = deque(self._batches(self._missing_city_ids()))
        while waiting:
            if len(self._stored) + len(waiting) > MAX_RESPONSES:
                raise InvalidInputError(
                    f"run {self._run.run_id}: needs {len(self._stored) + len(waiting)} responses, the maximum is "
                    f"{MAX_RESPONSES}; start it for fewer of its {len(self._cities)} cities, or remove from the city "
                    "list those that Open-Meteo rejects"
                )
            batch = waiting.popleft()
            weight = quota.weight(len(batch), len(self._run.variables), self._run.days)
            if self._seconds_left() < REQUEST_SECONDS + _MARGIN_SECONDS:
                return self._result("throttled", wait_seconds=1, reason="this invocation's time is up")
            window = self._ledger.reserve(weight) if self._ledger else None
            if window:
                return self._throttled(window, f"the runs have used up the {window} quota of the free host")
            url = request_address(self._host, self._run, [self._cities[city_id] for city_id in batch])
            match self._request(url):
                case Accepted(body, sha256):
                    is_stored = self._store_response(url, batch, body, sha256, 200, weight)
                case Rejected(_, body, sha256) if len(batch) == 1:
                    self._settle(quota.FAILED_REQUEST)
                    is_stored = self._store_response(url, batch, body, sha256, 400, quota.FAILED_REQUEST)
                case QuotaClosed(window, reason):
                    self._count_failed_request()
                    return self._throttled(window, reason)
                case TooLarge(reason) if len(batch) == 1:
                    raise InvalidInputError(f"{url}: {reason}; start the run with a shorter window")
                case Rejected() | TooLarge():
                    self._count_failed_request()
                    half = len(batch) // 2
                    waiting.extendleft((batch[half:], batch[:half]))
                    continue
            if not is_stored:
                # a concurrent Ingest of this run stored a response under the same key: continue from the stored ones
                self._read_stored_responses()
                waiting = deque(self._batches(self._missing_city_ids()))
            fetched = sum(len(response.cities) for response in self._stored)
            logger.info(f"{fetched} of {len(self._cities)} cities have a response")
        return self._final_result()

    def _request(self, url: str) -> Accepted | Rejected | TooLarge | QuotaClosed:
        self.requests += 1
        outcome = self._client.get(url)
        if isinstance(outcome, Unusable):
            metadata = {"address": url, "fetched_at": self._now().isoformat()}
            self._store.put_unusable(unreadable_key(self._run, outcome.body), outcome.body, metadata)
            raise outcome.error
        return outcome

    def _settle(self, weight: float) -> None:
        if self._ledger:
            self._ledger.settle(weight)

    def _count_failed_request(self) -> None:
        self._settle(quota.FAILED_REQUEST)
        self._failed_requests.append(self._now())
        self.weight += quota.FAILED_REQUEST

    def _store_response(
        self, url: str, batch: Sequence[str], body: Body, sha256: str, status: int, weight: float
    ) -> bool:
        number = part_number(self._stored[-1].key) + 1 if self._stored else 0
        response = StoredResponse(
            key=raw_key(self._run, number),
            address=url,
            status=status,
            fetched_at=self._now(),
            sha256=sha256,
            cities=tuple(batch),
            quota_weight=weight,
        )
        self.weight += weight
        is_stored = self._store.put(response, body)
        if is_stored:
            self._stored.append(response)
        return is_stored

    def _read_stored_responses(self) -> None:
        """Read the run's stored responses. Raises InvalidInputError if they are of another request."""
        self._stored = self._store.responses(self._run)
        requested = {
            "hourly": ",".join(self._run.variables),
            "start_date": self._run.start.isoformat(),
            "end_date": self._run.end.isoformat(),
        }
        for response in self._stored:
            query = parse_qs(urlsplit(response.address).query)
            stored = {name: values[0] for name, values in query.items() if name in requested}
            if stored != requested:
                raise InvalidInputError(
                    f"run_id {self._run.run_id}: is taken: {response.key} is the response to {stored}, not to "
                    f"{requested}; choose another run_id"
                )
            others = [city_id for city_id in response.cities if city_id not in self._cities]
            if others:
                unlisted = "" if self._run.cities else ", or put them back if they left the city list"
                raise InvalidInputError(
                    f"run_id {self._run.run_id}: is taken: {response.key} also has {', '.join(others)}; "
                    f"choose another run_id{unlisted}"
                )

    def _missing_city_ids(self) -> list[str]:
        fetched = {city_id for response in self._stored for city_id in response.cities}
        return [city_id for city_id in self._cities if city_id not in fetched]

    def _batches(self, city_ids: Iterable[str]) -> list[list[str]]:
        """Return the cities in batches that fit into S3's metadata, a minute's quota and Transform's memory."""
        largest = _largest_batch(len(self._run.variables), self._run.days)
        batches: list[list[str]] = []
        for city_id in city_ids:
            larger = [*batches[-1], city_id] if batches else []
            cities = [self._cities[each] for each in larger]
            if (
                larger
                and len(larger) <= largest
                and len(request_address(self._host, self._run, cities)) + len(",".join(larger)) <= _METADATA_FOR_REQUEST
            ):
                batches[-1] = larger
            else:
                batches.append([city_id])
        return batches

    def _spent(self) -> list[tuple[datetime, float]]:
        stored = [(response.fetched_at, response.quota_weight) for response in self._stored]
        return [*stored, *((moment, quota.FAILED_REQUEST) for moment in self._failed_requests)]

    def _throttled(self, window: quota.Window, reason: str) -> IngestResult:
        return self._result("throttled", wait_seconds=quota.seconds_to_open(window, self._now()), reason=reason)

    def _final_result(self) -> IngestResult:
        failures = tuple(self._failures())
        result = self._result("partial" if failures else "complete", failed_cities=failures)
        if not result.parts:
            reasons = "; ".join(sorted({failure.reason for failure in failures}))
            raise InvalidInputError(f"run {self._run.run_id}: Open-Meteo rejected every requested city: {reasons}")
        return result

    def _failures(self) -> Iterable[CityFailure]:
        for response in self._stored:
            if response.status != 200:
                body, _ = self._store.read(response.key)
                yield failure_of(response, body)

    def _result(
        self,
        status: str,
        *,
        failed_cities: tuple[CityFailure, ...] = (),
        wait_seconds: int = 0,
        reason: str = "",
    ) -> IngestResult:
        return IngestResult(
            status=status,  # type: ignore[arg-type]  # of the three
            run=self._run,
            cities=len(self._cities),
            parts=tuple(RawPart(r.key, len(r.cities)) for r in self._stored if r.status == 200),
            failed_cities=failed_cities,
            requests=len(self._stored) + len(self._failed_requests),
            quota_weight=round(sum(weight for _, weight in self._spent()), 3),
            wait_seconds=wait_seconds,
            reason=reason,
        )


def _largest_batch(variables: int, days: int) -> int:
    """Return the number of cities in a batch, at most MAX_HOURS_PER_RESPONSE: an equal share of a minute's quota.

    After batches of any other size the rest of a minute's quota would be too small for another batch, and unused.
    """
    _, quota_weight = quota.WINDOWS["minutely"]
    per_minute = max(1, int(quota_weight / quota.weight(1, variables, days)))
    largest = max(1, min(_LARGEST_BATCH, MAX_HOURS_PER_RESPONSE // (24 * days)))
    return max(1, per_minute // math.ceil(per_minute / largest))

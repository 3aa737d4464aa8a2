"""Fetching a run: its cities in batches, failed cities isolated, each response stored and requested once."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

from functions.core import quota
from functions.core.cities import City
from functions.core.contracts import (
    MAX_RESPONSES,
    REJECTED_COUNTS,
    CityFailure,
    IngestResult,
    RawPart,
)
from functions.core.errors import InvalidInputError
from functions.core.observability import logger
from functions.core.run import Run, names_text
from functions.core.storage import (
    METADATA_LIMIT,
    ObjectStore,
    RawStore,
    StoredResponse,
    part_number,
    raw_key,
    unreadable_key,
)
from functions.core.text import excerpt
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

# The share of the 2 KB of metadata for address and city ids; the rest is for status, times and hash.
_METADATA_FOR_REQUEST = METADATA_LIMIT - 300
# The time to store the response after an invocation's last request.
_MARGIN_SECONDS = 15.0


class Fetch:
    """The requests of one invocation for a run; ``cities`` are those of the run."""

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
            self._require_room(len(waiting))
            batch = waiting.popleft()
            weight = quota.weight(len(batch), len(self._run.variables), self._run.days)
            if self._seconds_left() < REQUEST_SECONDS + _MARGIN_SECONDS:
                return self._result("throttled", wait_seconds=1, reason="this invocation's time is up")
            closed = self._ledger.reserve(weight) if self._ledger else None
            if closed:
                fitting = int(closed.rest * len(batch) / weight) if closed.rest >= quota.SMALLEST_REST else 0
                # the smaller batch is one response more
                if 0 < fitting < len(batch) and self._counted(len(waiting) + 2) <= MAX_RESPONSES:
                    waiting.extendleft((batch[fitting:], batch[:fitting]))
                    continue
                reason = f"the runs have used up the {closed.window} quota of the free host"
                return self._throttled(closed.window, reason)
            url = request_address(self._host, self._run, [self._cities[city_id] for city_id in batch])
            match self._request(url):
                case Accepted(body, sha256):
                    is_stored = self._store_response(url, batch, body, sha256, 200, weight)
                case Rejected(body, sha256) if len(batch) == 1:
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
        self._require_room(0)
        return self._final_result()

    def _require_room(self, missing: int) -> None:
        """Raise InvalidInputError if the run's responses, ``missing`` ones included, exceed the data of a state."""
        responses = len(self._stored) + missing
        if self._counted(missing) > MAX_RESPONSES:
            rejected = sum(response.status != 200 for response in self._stored)
            counted = f", of which the {rejected} rejected ones count as {REJECTED_COUNTS}" if rejected else ""
            raise InvalidInputError(
                f"run {self._run.run_id}: needs {responses} responses{counted}, the maximum is {MAX_RESPONSES}; start "
                f"it for fewer of its {len(self._cities)} cities, or remove from the city list those that Open-Meteo "
                "rejects"
            )

    def _counted(self, missing: int) -> int:
        """Return the number of the run's responses as MAX_RESPONSES counts them, ``missing`` ones included."""
        rejected = sum(response.status != 200 for response in self._stored)
        return len(self._stored) + missing + (REJECTED_COUNTS - 1) * rejected

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
                    f"run_id {self._run.run_id}: is taken: {response.key} is the response to {excerpt(stored)}, not to "
                    f"{requested}; choose another run_id"
                )
            others = [city_id for city_id in response.cities if city_id not in self._cities]
            if others:
                unlisted = "" if self._run.cities else ", or put them back if they left the city list"
                raise InvalidInputError(
                    f"run_id {self._run.run_id}: is taken: {response.key} also has {names_text(others)}; "
                    f"choose another run_id{unlisted}"
                )

    def _missing_city_ids(self) -> list[str]:
        """In the order of the warehouse's primary key if its collation is C: hours are appended to it, not inserted."""
        fetched = {city_id for response in self._stored for city_id in response.cities}
        return sorted(self._cities.keys() - fetched)

    def _batches(self, city_ids: Iterable[str]) -> list[list[str]]:
        """Return the cities in batches that fit into S3's metadata, a minute's quota and Transform's memory."""
        largest = quota.largest_batch(len(self._run.variables), self._run.days)
        without_cities = len(request_address(self._host, self._run, ()))
        batches: list[list[str]] = []
        length = 0
        for city_id in city_ids:
            alone = len(request_address(self._host, self._run, (self._cities[city_id],))) + len(city_id)
            # two coordinates and an id, each after a comma
            longer = length + alone - without_cities + 3
            if batches and len(batches[-1]) < largest and longer <= _METADATA_FOR_REQUEST:
                batches[-1].append(city_id)
                length = longer
            else:
                batches.append([city_id])
                length = alone
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
            reasons = excerpt("; ".join(sorted({failure.reason for failure in failures})))
            raise InvalidInputError(
                f"run {self._run.run_id}: Open-Meteo rejected every requested city: {reasons}; correct the event or "
                "the coordinates in the city list"
            )
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

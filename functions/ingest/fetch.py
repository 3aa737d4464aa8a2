"""Fetching a run: its cities in batches, a bad city set apart, everything kept, nothing asked twice."""

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

from functions.core.cities import City
from functions.core.contracts import MOST_ANSWERS, REASON_LENGTH, CityFailure, IngestResult, RawPart
from functions.core.errors import InvalidInputError
from functions.core.observability import logger
from functions.core.run import Run
from functions.core.storage import METADATA_LIMIT, Answer, RawStore, part_number, raw_key, unreadable_key
from functions.ingest import quota
from functions.ingest.open_meteo import (
    REQUEST_SECONDS,
    Answered,
    OpenMeteo,
    QuotaClosed,
    Refused,
    TooLarge,
    Unusable,
    address,
)

_LARGEST_BATCH = 50
# Of the 2 KB of metadata: address and city ids; the rest is for status, times and hash.
_METADATA_FOR_ASKING = METADATA_LIMIT - 300
# After its last request a function has this long to keep the answer.
_MARGIN_SECONDS = 15.0


class Fetch:
    """One invocation's work on a run; ``cities`` are those of the run, in the order they are asked in."""

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
        self._is_free_host, self._seconds_left, self._now = is_free_host, seconds_left, now
        self._kept: list[Answer] = []
        self._failed_calls: list[datetime] = []
        self.requests = 0
        self.weight = 0.0

    def result(self) -> IngestResult:
        """Ask for every city of the run that has no answer yet, and say what the run has.

        Raises InvalidInputError when all were refused, the run id belongs to another request or the run takes more
        answers than one can have, else what the client raises. Whatever was answered before that is kept and not
        asked again.
        """
        self._look()
        waiting = deque(self._batches(self._unanswered()))
        while waiting:
            if len(self._kept) + len(waiting) > MOST_ANSWERS:
                raise InvalidInputError(
                    f"run {self._run.run_id}: takes {len(self._kept) + len(waiting)} answers, {MOST_ANSWERS} are the "
                    f"most; start it for fewer of its {len(self._cities)} cities at a time, or take those out of the "
                    "list that Open-Meteo refuses"
                )
            batch = waiting.popleft()
            weighs = quota.weight(len(batch), len(self._run.variables), self._run.days)
            window = quota.full_window(self._spent(), weighs, self._now()) if self._is_free_host else None
            if window:
                return self._throttled(window, f"this run has used up the {window} quota of the free host")
            if self._seconds_left() < REQUEST_SECONDS + _MARGIN_SECONDS:
                return self._result("throttled", wait_seconds=1, reason="this invocation's time is up")
            url = address(self._host, self._run, [self._cities[city_id] for city_id in batch])
            match self._ask(url):
                case Answered(body):
                    kept = self._keep(url, batch, body, 200, weighs)
                case Refused(_, body) if len(batch) == 1:
                    kept = self._keep(url, batch, body, 400, quota.FAILED_CALL)
                case QuotaClosed(window, reason):
                    self._count_failed_call()
                    return self._throttled(window, reason)
                case TooLarge(reason) if len(batch) == 1:
                    raise InvalidInputError(f"{url}: {reason}; ask for a shorter window")
                case Refused() | TooLarge():
                    self._count_failed_call()
                    half = len(batch) // 2
                    waiting.extendleft((batch[half:], batch[:half]))
                    continue
            if not kept:
                # another Ingest of this run keeps answers at the same time: go on from what there is now
                self._look()
                waiting = deque(self._batches(self._unanswered()))
            answered = sum(len(answer.cities) for answer in self._kept)
            logger.info(f"{answered} of {len(self._cities)} cities have an answer")
        return self._finished()

    def _ask(self, url: str) -> Answered | Refused | TooLarge | QuotaClosed:
        self.requests += 1
        outcome = self._client.ask(url)
        if isinstance(outcome, Unusable):
            evidence = {"address": url, "fetched_at": self._now().isoformat()}
            self._store.put_evidence(unreadable_key(self._run, outcome.body), outcome.body, evidence)
            raise outcome.error
        return outcome

    def _count_failed_call(self) -> None:
        self._failed_calls.append(self._now())
        self.weight += quota.FAILED_CALL

    def _keep(self, url: str, batch: Sequence[str], body: bytes, status: int, weighs: float) -> bool:
        number = part_number(self._kept[-1].key) + 1 if self._kept else 0
        answer = Answer(
            key=raw_key(self._run, number),
            address=url,
            status=status,
            fetched_at=self._now(),
            sha256=hashlib.sha256(body).hexdigest(),
            cities=tuple(batch),
            quota_weight=weighs,
        )
        self.weight += weighs
        kept = self._store.put(answer, body)
        if kept:
            self._kept.append(answer)
        return kept

    def _look(self) -> None:
        """Read what the run has. Raises InvalidInputError when that was asked for something else."""
        self._kept = self._store.answers(self._run)
        asked = {
            "hourly": ",".join(self._run.variables),
            "start_date": self._run.start.isoformat(),
            "end_date": self._run.end.isoformat(),
        }
        for answer in self._kept:
            was = {
                name: values[0] for name, values in parse_qs(urlsplit(answer.address).query).items() if name in asked
            }
            if was != asked:
                raise InvalidInputError(
                    f"run_id {self._run.run_id}: is taken: {answer.key} was asked with {was}, not {asked}; name another"
                )
            others = [city_id for city_id in answer.cities if city_id not in self._cities]
            if others:
                gone = "" if self._run.cities else ", or put them back if they left the city list"
                raise InvalidInputError(
                    f"run_id {self._run.run_id}: is taken: {answer.key} was asked for {', '.join(others)} too; "
                    f"name another{gone}"
                )

    def _unanswered(self) -> list[str]:
        answered = {city_id for answer in self._kept for city_id in answer.cities}
        return [city_id for city_id in self._cities if city_id not in answered]

    def _batches(self, city_ids: Iterable[str]) -> list[list[str]]:
        """Cities in requests that are small enough for S3's metadata and for a minute's quota."""
        _, per_minute = quota.WINDOWS["minutely"]
        batches: list[list[str]] = []
        for city_id in city_ids:
            larger = [*batches[-1], city_id] if batches else []
            cities = [self._cities[each] for each in larger]
            if (
                larger
                and len(larger) <= _LARGEST_BATCH
                and quota.weight(len(larger), len(self._run.variables), self._run.days) <= per_minute
                and len(address(self._host, self._run, cities)) + len(",".join(larger)) <= _METADATA_FOR_ASKING
            ):
                batches[-1] = larger
            else:
                batches.append([city_id])
        return batches

    def _spent(self) -> list[tuple[datetime, float]]:
        kept = [(answer.fetched_at, answer.quota_weight) for answer in self._kept]
        return [*kept, *((moment, quota.FAILED_CALL) for moment in self._failed_calls)]

    def _throttled(self, window: quota.Window, reason: str) -> IngestResult:
        return self._result("throttled", wait_seconds=quota.seconds_to_open(window, self._now()), reason=reason)

    def _finished(self) -> IngestResult:
        failures = tuple(self._failures())
        result = self._result("partial" if failures else "complete", failed_cities=failures)
        if not result.parts:
            reasons = "; ".join(sorted({failure.reason for failure in failures}))
            raise InvalidInputError(f"Open-Meteo refused every city that was asked: {reasons}")
        return result

    def _failures(self) -> Iterable[CityFailure]:
        for answer in self._kept:
            if answer.status != 200:
                body, _ = self._store.read(answer.key)
                try:
                    reason = str(json.loads(body)["reason"])
                except (ValueError, KeyError, TypeError):
                    reason = body[:100].decode(errors="replace")
                yield CityFailure(answer.cities[0], reason[:REASON_LENGTH], answer.key)

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
            parts=tuple(RawPart(a.key, len(a.cities)) for a in self._kept if a.status == 200),
            failed_cities=failed_cities,
            requests=len(self._kept) + len(self._failed_calls),
            quota_weight=round(sum(weight for _, weight in self._spent()), 3),
            wait_seconds=wait_seconds,
            reason=reason,
        )

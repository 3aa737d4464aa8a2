"""Several runs of one free host at once, against the stand-in with its real limits."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from aws import RAW
from test_ingest_many_cities import many

from functions.core.run import Run
from functions.core.storage import ObjectStore, RawStore
from functions.core.variables import variables_of
from functions.ingest.fetch import Fetch
from functions.ingest.ledger import Ledger
from functions.ingest.open_meteo import OpenMeteo
from open_meteo_stand_in import limits
from open_meteo_stand_in.server import StandIn

MINUTE = datetime(2026, 3, 1, 12, 0, 10, tzinfo=UTC)


class _Frozen(datetime):
    """The host's clock, that stands still in one minute."""

    @classmethod
    def now(cls, tz=None):
        return MINUTE


@pytest.fixture
def limited(monkeypatch):
    monkeypatch.setattr(limits, "datetime", _Frozen)
    with StandIn("synthetic") as host:
        yield host


def run_of(number, cities, host):
    """A day of one variable: each city weighs one of the 600 that a minute has."""
    run = Run(f"r{number}", "archive", date(2026, 3, 1), date(2025, 1, 1), date(2025, 1, 1), ("temperature_2m",), ())
    return Fetch(
        run, cities, f"{host.url}/v1/archive", RawStore(RAW), OpenMeteo(),
        is_free_host=True, seconds_left=lambda: float("inf"), now=lambda: MINUTE,
    )  # fmt: skip


def test_parallel_runs_fill_the_minute_and_none_is_rejected(concurrent_s3, limited):
    cities = many(60)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda number: run_of(number, cities, limited).fetch_missing(), range(12)))
    assert {request.status for request in limited.requests} == {200}
    assert _used(limited) > 600 - max(_weights(limited))
    assert _used(limited) <= 600
    throttled = [result for result in results if result.status == "throttled"]
    assert throttled
    assert {result.wait_seconds for result in throttled} == {51}


@pytest.mark.parametrize(
    ("others", "responses", "batches"),
    [
        # a batch of 23 cities weighs 299.8
        (0.0, 430, [23, 23]),
        (104.3, 430, [23, 15]),
        # a rest of less than a tenth of a minute's quota
        (250.0, 430, [23]),
        # a smaller batch would be a response more than the run may have
        (104.3, 2, [23]),
    ],
)
def test_a_batch_is_made_smaller_for_the_rest_of_a_minute(s3, limited, monkeypatch, others, responses, batches):
    monkeypatch.setattr("functions.ingest.fetch.MAX_RESPONSES", responses)
    Ledger(ObjectStore(RAW), lambda: MINUTE).reserve(others)
    fetching = run_of(0, many(46), limited)
    year = {"start": date(2023, 1, 1), "end": date(2023, 12, 31), "variables": variables_of("archive")}
    fetching._run = replace(fetching._run, **year)
    result = fetching.fetch_missing()
    assert _weights(limited) == batches
    assert {request.status for request in limited.requests} == {200}
    assert result.status == ("complete" if sum(batches) == 46 else "throttled")


def test_a_run_that_died_between_reservation_and_response_leaves_the_window_unexceeded(s3, limited):
    cities = many(60)
    late = run_of(0, cities, limited)

    class DiedError(BaseException):
        pass

    def die(_):
        raise DiedError

    late._client.get = die
    with pytest.raises(DiedError):
        late.fetch_missing()
    results = [run_of(number, cities, limited).fetch_missing() for number in range(1, 12)]
    assert {request.status for request in limited.requests} == {200}
    assert results[-1].status == "throttled"
    assert _used(limited) <= 600 - max(_weights(limited))


def _weights(host):
    """The quota weight of each request: its number of cities."""
    return [len(request.parameters["latitude"].split(",")) for request in host.requests]


def _used(host):
    return sum(_weights(host))

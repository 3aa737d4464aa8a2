"""The quota ledger: no window takes more than the host accepts, however many runs reserve at once."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from aws import RAW

from functions.core import quota
from functions.core.errors import InvalidInputError, TransientError
from functions.core.storage import ObjectStore, quota_key
from functions.ingest import ledger
from functions.ingest.ledger import Closed, Ledger

NOON = datetime(2026, 3, 1, 12, 0, 20, tzinfo=UTC)


class Clock:
    def __init__(self, now=NOON):
        self.now = now

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def new_ledger(s3, clock):
    return lambda: Ledger(ObjectStore(RAW), clock)


def used(window, start):
    body, _ = ObjectStore(RAW).read(quota_key())
    return json.loads(body)[window].get(start.isoformat(), 0)


def test_two_runs_share_each_window(new_ledger):
    assert [new_ledger().reserve(250), new_ledger().reserve(250)] == [None, None]
    assert new_ledger().reserve(250) == Closed("minutely", rest=100)
    assert used("minutely", NOON.replace(second=0)) == 500


def test_a_window_is_empty_when_its_successor_begins(new_ledger, clock):
    assert new_ledger().reserve(600) is None
    clock.now += timedelta(minutes=1)
    assert new_ledger().reserve(600) is None
    assert used("hourly", NOON.replace(second=0)) == 1200


@pytest.mark.parametrize(("step", "window", "limit"), [(1, "hourly", 5_000), (61, "daily", 10_000)])
def test_the_longest_closed_window_is_returned(new_ledger, clock, step, window, limit):
    clock.now = NOON.replace(hour=0)
    reserved = 0
    while (closed := new_ledger().reserve(500)) is None:
        reserved += 500
        clock.now += timedelta(minutes=step)
    assert (closed, reserved) == (Closed(window, rest=0), limit)


def test_a_request_that_may_arrive_in_the_next_window_counts_in_both(new_ledger, clock):
    clock.now = NOON.replace(minute=59, second=57)
    assert new_ledger().reserve(400) is None
    clock.now = NOON.replace(hour=13, minute=0, second=1)
    assert new_ledger().reserve(400) == Closed("minutely", rest=200)
    assert used("hourly", NOON.replace(hour=13, second=0)) == 400


def test_what_the_host_did_not_count_is_given_back(new_ledger):
    run = new_ledger()
    assert run.reserve(400) is None
    run.settle(1)
    run.settle(1)
    assert used("minutely", NOON.replace(second=0)) == 1
    assert new_ledger().reserve(599) is None


def test_nothing_is_given_back_to_a_window_that_has_ended(new_ledger, clock):
    run = new_ledger()
    run.reserve(400)
    clock.now += timedelta(minutes=1)
    run.settle(1)
    assert used("minutely", NOON.replace(second=0)) == 0
    assert used("hourly", NOON.replace(second=0)) == 1


def test_the_weight_that_a_run_reserved_before_it_died_stays_used(new_ledger):
    new_ledger().reserve(400)
    assert new_ledger().reserve(400) == Closed("minutely", rest=200)


def test_many_runs_at_once_fill_a_window_exactly(concurrent_s3, new_ledger, monkeypatch):
    monkeypatch.setattr(ledger, "_LONGEST_PAUSE_SECONDS", 0.02)
    with ThreadPoolExecutor(8) as pool:
        windows = list(pool.map(lambda _: new_ledger().reserve(50), range(30)))
    _, limit = quota.WINDOWS["minutely"]
    assert windows.count(None) == limit / 50
    assert used("minutely", NOON.replace(second=0)) == limit


def test_a_ledger_that_is_always_changed_by_others_is_a_transient_error(new_ledger, monkeypatch):
    monkeypatch.setattr(ledger, "_LONGEST_PAUSE_SECONDS", 0)
    monkeypatch.setattr(ObjectStore, "write_if", lambda *_: False)
    with pytest.raises(TransientError, match="other runs changed it 60 times"):
        new_ledger().reserve(1)


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"minutely": {"noon": 1}}'])
def test_an_object_that_is_no_ledger_is_named(new_ledger, body):
    ObjectStore(RAW).write(quota_key(), body)
    with pytest.raises(InvalidInputError, match=r"quota/ledger.json: is no quota ledger .*delete it"):
        new_ledger().reserve(1)

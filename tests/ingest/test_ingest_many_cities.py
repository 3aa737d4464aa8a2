"""Runs of many cities: batches, quota weight, and the time that the function has."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from aws import RAW, keys
from ingestion import fetch

from functions.core import quota
from functions.core.cities import City
from functions.core.contracts import MAX_RESPONSES
from functions.core.errors import InvalidInputError, TransientError
from functions.core.run import MAX_DAYS, MAX_HOURS_PER_RESPONSE
from functions.core.storage import METADATA_LIMIT
from open_meteo_stand_in.faults import Fault


def city(number):
    name = f"a-rather-long-city-id-{number:04d}"
    place = (round(-80 + number / 10, 4), round(-170 + number / 7, 4))
    return City(name, f"City {number}", "Nowhere", *place, "UTC", None, None)


def many(count):
    return {each.city_id: each for each in map(city, range(count))}


def test_the_stored_responses_of_the_largest_run_are_one_page_of_s3s_list():
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html"""
    assert MAX_RESPONSES <= 1000


def test_a_hundred_cities_are_requested_in_batches_whose_metadata_fits_s3(s3, host):
    cities = many(100)
    result = fetch(host, cities, free=False).fetch_missing()
    assert result.status == "complete"
    assert sum(part.cities for part in result.parts) == 100
    sizes = []
    requested = []
    for part in result.parts:
        metadata = s3.head_object(Bucket=RAW, Key=part.raw_key)["Metadata"]
        sizes.append(sum(len(key) + len(value) for key, value in metadata.items()))
        requested += metadata["cities"].split(",")
    assert max(sizes) <= METADATA_LIMIT
    assert requested == list(cities)


def test_a_rejected_city_among_many_is_found_with_few_requests(s3, host):
    cities = many(30)
    bad = list(cities.values())[11]
    host.faults = [Fault("no_data", times=None, latitude=bad.latitude)]
    result = fetch(host, cities).fetch_missing()
    assert [failure.city_id for failure in result.failed_cities] == [bad.city_id]
    assert sum(part.cities for part in result.parts) == 29
    assert len(host.requests) <= 14


def test_a_run_that_needs_too_many_responses_is_rejected_before_any_request(s3, host, monkeypatch):
    cities = many(500)
    monkeypatch.setattr("functions.ingest.fetch.MAX_RESPONSES", 5)
    with pytest.raises(InvalidInputError, match=r"run r1: needs \d+ responses, the maximum is 5.*of its 500 cities"):
        fetch(host, cities).fetch_missing()
    assert host.requests == []


def test_a_rejected_response_counts_as_two(s3, host, monkeypatch):
    cities = many(4)
    bad = next(iter(cities.values()))
    host.faults = [Fault("no_data", times=None, latitude=bad.latitude)]
    # the rejected city, one beside it, and the two others
    monkeypatch.setattr("functions.ingest.fetch.MAX_RESPONSES", 4)
    assert fetch(host, cities).fetch_missing().status == "partial"
    monkeypatch.setattr("functions.ingest.fetch.MAX_RESPONSES", 3)
    other = fetch(host, cities)
    other._run = replace(other._run, run_id="r2")
    with pytest.raises(InvalidInputError, match=r"needs 3 responses, of which the 1 rejected ones count as 2, the max"):
        other.fetch_missing()


def test_an_interrupted_run_requests_only_what_is_missing(s3, host):
    cities = many(60)
    host.faults = [Fault("overloaded", latitude=city(55).latitude)]
    with pytest.raises(TransientError):
        fetch(host, cities).fetch_missing()
    stored = keys(s3, RAW)
    assert stored
    before = len(host.requests)
    result = fetch(host, cities).fetch_missing()
    assert result.status == "complete"
    assert len(host.requests) - before == len(result.parts) - len(stored)


def test_a_run_returns_throttled_before_its_weight_closes_the_quota_window(s3, host):
    moment = datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC)
    cities = many(1300)
    result = fetch(host, cities, now=lambda: moment).fetch_missing()
    assert result.status == "throttled"
    assert result.wait_seconds == 31
    assert 550 < result.quota_weight <= 600
    later = fetch(host, cities, now=lambda: moment.replace(minute=1)).fetch_missing()
    assert (later.status, later.quota_weight > 1100) == ("throttled", True)


def test_a_function_whose_time_is_almost_up_returns_throttled(s3, host):
    cities = many(60)
    left = iter([900.0, 100.0])
    result = fetch(host, cities, seconds_left=lambda: next(left)).fetch_missing()
    assert (result.status, result.wait_seconds, len(result.parts)) == ("throttled", 1, 1)


@pytest.mark.parametrize("variables", [1, 5, 6])
@pytest.mark.parametrize("days", [1, 14, 45, 208, 209, 365, 366, 1826, 5208, 5209, MAX_DAYS])
def test_a_batch_fits_into_transforms_memory_and_unless_it_is_of_one_city_a_minutes_quota(variables, days):
    size = quota.largest_batch(variables, days)
    assert 1 <= size <= 50
    assert 24 * days * size <= MAX_HOURS_PER_RESPONSE
    if size > 1:
        assert quota.weight(size, variables, days) <= 600


@pytest.mark.parametrize(("variables", "days"), [(5, 1), (5, 365), (6, 365), (3, 365), (5, 1826)])
def test_the_batches_of_a_minute_leave_no_quota_for_another_of_their_cities(variables, days):
    size = quota.largest_batch(variables, days)
    cities = 600 // quota.weight(1, variables, days)
    assert cities - cities // size * size < cities // size


def test_the_cities_of_a_long_window_are_requested_in_smaller_batches(s3, host):
    cities = many(3)
    fetching = fetch(host, cities, free=False)
    fetching._run = replace(fetching._run, start=fetching._run.end - timedelta(days=5000))
    assert [len(batch) for batch in fetching._batches(cities)] == [2, 1]

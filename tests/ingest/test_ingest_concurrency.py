"""Two calls of Ingest for one run at the same time, and a run id that is taken."""

from dataclasses import replace

import pytest
from aws import RAW, keys
from ingestion import EVENT, MUSANZE, PREFIX, fetch, ingest, two_at_once

from functions.core.cities import load_cities
from functions.core.errors import InvalidInputError
from open_meteo_stand_in.faults import Fault


def test_two_concurrent_calls_return_the_same_responses(concurrent_s3, host):
    host.faults = [Fault("slow", times=2, seconds=0.3)]
    results = two_at_once()
    assert [result.status for result in results] == ["complete", "complete"]
    assert results[0].parts == results[1].parts
    assert keys(concurrent_s3, RAW) == [f"{PREFIX}part-0000.json.gz"]


def test_two_concurrent_calls_both_return_a_rejected_city(concurrent_s3, host):
    host.faults = [Fault("no_data", times=None, latitude=MUSANZE.latitude), Fault("slow", times=None, seconds=0.1)]
    results = two_at_once()
    ingested = ingest()
    for result in (*results, ingested):
        assert [failure.city_id for failure in result.failed_cities] == ["musanze"]
        assert sum(part.cities for part in result.parts) == 2
    assert len(keys(concurrent_s3, RAW)) == len(ingested.parts) + 1


def test_a_rejection_whose_key_a_concurrent_call_has_taken_is_requested_again(s3, host):
    """Another call stores a response for other cities under the key, between this one's request and its write."""
    run_cities = {each: load_cities()[each] for each in ("musanze", "kigali")}
    host.faults = [Fault("no_data", times=None, latitude=MUSANZE.latitude)]
    late = fetch(host, run_cities)
    original_put, calls = late._store.put, []

    def put(response, body):
        calls.append(response.cities)
        if len(calls) == 1:
            # the other call was faster, with the accepted city
            assert original_put(replace(response, cities=("kigali",), status=200), b'{"hourly": {}}')
        return original_put(response, body)

    late._store.put = put
    result = late.fetch_missing()
    assert [failure.city_id for failure in result.failed_cities] == ["musanze"]
    assert [part.cities for part in result.parts] == [1]


def test_a_run_id_that_a_run_with_other_variables_has_is_rejected(s3, host):
    ingest()
    with pytest.raises(InvalidInputError, match="run_id r1: is taken"):
        ingest({**EVENT, "variables": ["temperature_2m"]})


def test_a_run_id_that_a_run_with_more_cities_has_is_rejected(s3, host):
    ingest()
    with pytest.raises(InvalidInputError, match="also has 'huye', 'musanze'"):
        ingest({**EVENT, "cities": ["kigali"]})

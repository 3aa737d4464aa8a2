"""Ingest over real HTTP against the stand-in, S3 by moto: what it requests, stores and returns."""

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import pytest
from aws import RAW, keys, unzipped
from ingestion import EVENT, MUSANZE, PREFIX, TODAY, ingest

from functions.core.errors import InvalidInputError, TransientError
from open_meteo_stand_in.faults import Fault


def test_one_request_fetches_all_cities_and_its_exact_bytes_are_stored(s3, host):
    result = ingest()
    (request,) = host.requests
    assert request.parameters["timezone"] == "GMT"
    assert request.parameters["latitude"].count(",") == 2
    assert (result.status, result.requests, result.quota_weight) == ("complete", 1, 3)
    assert [part.raw_key for part in result.parts] == [f"{PREFIX}part-0000.json.gz"]
    body = unzipped(s3, RAW, result.parts[0].raw_key)
    assert len(json.loads(body)) == 3
    metadata = s3.head_object(Bucket=RAW, Key=result.parts[0].raw_key)["Metadata"]
    assert metadata["cities"] == "huye,kigali,musanze"
    assert metadata["status"] == "200"
    assert metadata["sha256"] == hashlib.sha256(body).hexdigest()
    assert parse_qs(urlsplit(metadata["address"]).query)["start_date"] == [TODAY.isoformat()]
    assert datetime.fromisoformat(metadata["fetched_at"]).tzinfo is not None


def test_the_response_for_one_city_is_an_object_and_not_a_list(s3, host):
    result = ingest({**EVENT, "cities": ["huye"]})
    assert isinstance(json.loads(unzipped(s3, RAW, result.parts[0].raw_key)), dict)


def test_the_archive_is_requested_at_its_own_address(s3, host):
    result = ingest({**EVENT, "source": "archive"})
    assert host.requests[0].path == "/v1/archive"
    assert result.parts[0].raw_key.startswith("raw/source=archive/")


def test_a_replay_requests_nothing_and_returns_the_same_result(s3, host):
    first = ingest()
    host.requests.clear()
    assert replace(ingest(), seconds=0) == replace(first, seconds=0)
    assert host.requests == []


def test_a_rejected_city_is_isolated_and_the_others_are_fetched(s3, host):
    host.faults = [Fault("no_data", times=None, latitude=MUSANZE.latitude)]
    result = ingest()
    assert result.status == "partial"
    (failure,) = result.failed_cities
    assert (failure.city_id, failure.reason) == ("musanze", "No data is available for this location")
    assert json.loads(unzipped(s3, RAW, failure.raw_key))["error"] is True
    assert sum(part.cities for part in result.parts) == 2
    host.requests.clear()
    again = ingest()
    assert (again.status, again.failed_cities) == ("partial", result.failed_cities)
    assert host.requests == []


@pytest.mark.parametrize(("kind", "seconds"), [("minutely", 60), ("hourly", 3600), ("daily", 86_400)])
def test_a_closed_quota_window_is_a_throttled_result_with_the_seconds_until_it_opens(s3, host, kind, seconds):
    host.faults = [Fault(kind)]
    before = datetime.now(UTC).timestamp()
    result = ingest()
    assert result.status == "throttled"
    opens = before + result.wait_seconds
    assert 0 < result.wait_seconds <= seconds + 1
    # this test read the clock a little before Ingest did
    assert (opens + 1) % seconds < 4
    assert kind in result.reason.lower()
    assert len(host.requests) == 1
    assert ingest().status == "complete"


def test_a_too_large_request_is_halved_until_it_is_accepted(s3, host):
    host.faults = [Fault("too_much_data"), Fault("uri_too_long", latitude=MUSANZE.latitude)]
    result = ingest()
    assert result.status == "complete"
    assert sum(part.cities for part in result.parts) == 3
    assert len(result.parts) == 3


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ({"sorce": "forecast"}, "unknown key 'sorce'"),
        ({"cities": ["atlantis"]}, "no such city 'atlantis'"),
        ({"start": "2026-03-02", "end": "2026-03-01"}, "end 2026-03-01 is before start 2026-03-02"),
        ({"source": "archive", "variables": ["uv_index"]}, "variable 'uv_index'.*only forecast has it"),
    ],
)
def test_a_wrong_event_is_rejected_and_nothing_is_requested_or_stored(s3, host, event, message):
    with pytest.raises(InvalidInputError, match=message):
        ingest(event)
    assert host.requests == []
    assert keys(s3, RAW) == []


def test_the_api_key_is_sent_in_a_header_and_written_nowhere(s3, host, store_key, capfd):
    store_key(api_key="s3cr3t-key")
    result = ingest()
    metadata = s3.head_object(Bucket=RAW, Key=result.parts[0].raw_key)["Metadata"]
    assert "s3cr3t-key" not in json.dumps(metadata) + json.dumps(result.to_json())
    assert "apikey" not in host.requests[0].parameters
    host.faults = [Fault("overloaded")]
    with pytest.raises(TransientError) as failure:
        ingest({**EVENT, "run_id": "r2"})
    assert "s3cr3t-key" not in str(failure.value)
    assert "s3cr3t-key" not in "".join(capfd.readouterr())


@pytest.mark.parametrize("key", ["K3y\n", " K3y "])
def test_spaces_around_the_api_key_are_removed(host, store_key, key):
    store_key(api_key=key)
    assert ingest().status == "complete"

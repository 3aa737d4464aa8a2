"""Ingest over real HTTP against the stand-in, S3 by moto: the result of each response of Open-Meteo."""

import hashlib
import json
import threading
from dataclasses import replace
from datetime import UTC, date, datetime
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from aws import RAW, buckets, keys, unzipped

from functions.core.cities import City, load_cities
from functions.core.contracts import IngestResult
from functions.core.errors import InvalidInputError, TransientError, UpstreamContractError
from functions.core.run import Run
from functions.core.storage import METADATA_LIMIT, RawStore
from functions.ingest import open_meteo
from functions.ingest.fetch import Fetch
from functions.ingest.handler import lambda_handler
from functions.ingest.open_meteo import OpenMeteo
from open_meteo_stand_in.faults import Fault
from open_meteo_stand_in.server import StandIn

TODAY = datetime.now(UTC).date()
MUSANZE = load_cities()["musanze"]
EVENT = {"run_id": "r1", "start": TODAY.isoformat(), "end": TODAY.isoformat()}
PREFIX = f"raw/source=forecast/date={TODAY}/run=r1/"


@pytest.fixture
def s3(monkeypatch):
    with buckets(monkeypatch) as client:
        yield client


@pytest.fixture
def host(monkeypatch):
    """The stand-in without its quota, which has tests of its own."""
    with StandIn("synthetic", quota=False) as stand_in:
        monkeypatch.setenv("OPEN_METEO_FORECAST_URL", f"{stand_in.url}/v1/forecast")
        monkeypatch.setenv("OPEN_METEO_ARCHIVE_URL", f"{stand_in.url}/v1/archive")
        yield stand_in


def ingest(event=EVENT):
    return IngestResult.from_json(lambda_handler(event, None))


def statuses(host):
    return [request.status for request in host.requests]


def test_one_request_fetches_all_cities_and_the_exact_bytes_are_stored(s3, host):
    result = ingest()
    (request,) = host.requests
    assert request.parameters["timezone"] == "GMT"
    assert request.parameters["latitude"].count(",") == 2
    assert (result.status, result.requests, result.quota_weight) == ("complete", 1, 3)
    assert [part.raw_key for part in result.parts] == [f"{PREFIX}part-0000.json.gz"]
    body = unzipped(s3, RAW, result.parts[0].raw_key)
    assert len(json.loads(body)) == 3
    metadata = s3.head_object(Bucket=RAW, Key=result.parts[0].raw_key)["Metadata"]
    assert metadata["cities"] == "kigali,musanze,huye"
    assert metadata["status"] == "200"
    assert metadata["sha256"] == hashlib.sha256(body).hexdigest()
    assert parse_qs(urlsplit(metadata["address"]).query)["start_date"] == [TODAY.isoformat()]
    assert datetime.fromisoformat(metadata["fetched_at"]).tzinfo is not None


def test_the_response_for_one_city_is_an_object_not_a_list(s3, host):
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


def test_when_every_city_is_rejected_the_run_fails_with_the_reason(s3, host):
    host.faults = [Fault("no_data", times=None)]
    with pytest.raises(
        InvalidInputError, match="run r1: Open-Meteo rejected every requested city: No data is available"
    ):
        ingest()


@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        ("overloaded", TransientError, "503: The service is overloaded"),
        ("bad_gateway", TransientError, "502: <html>"),
        ("gateway_timeout", TransientError, "504: <html>"),
        ("concurrent", TransientError, "429: Too many concurrent requests"),
        ("reset", TransientError, "127.0.0.1"),
        ("truncated", TransientError, "does not decode to data"),
        ("html", TransientError, "200 with text/html that does not decode to data"),
        ("empty", TransientError, "does not decode to data"),
        ("null", TransientError, "does not decode to data"),
        ("no_key", InvalidInputError, "401: API key required.*check the API key"),
        ("plan", InvalidInputError, "403: .*check the API key and the plan"),
        ("bad_key", InvalidInputError, "400: The supplied API key is invalid"),
        ("teapot", UpstreamContractError, "418: short and stout"),
    ],
)
def test_each_failure_is_the_error_the_state_machine_needs(s3, host, kind, error, message):
    host.faults = [Fault(kind)]
    with pytest.raises(error, match=message) as raised:
        ingest()
    # Step Functions matches the name of the class itself, never that of a base
    assert raised.type is error
    assert len(host.requests) == 1
    assert not [key for key in keys(s3, RAW) if "part-" in key]


@pytest.mark.parametrize("kind", ["truncated", "html", "teapot"])
def test_an_unusable_response_is_stored_for_diagnosis(s3, host, kind):
    host.faults = [Fault(kind)]
    with pytest.raises((TransientError, UpstreamContractError)):
        ingest()
    (unusable,) = keys(s3, RAW)
    assert unusable.startswith(f"{PREFIX}unreadable-")
    assert unzipped(s3, RAW, unusable)
    assert ingest().status == "complete"


@pytest.mark.parametrize(("kind", "seconds"), [("minutely", 60), ("hourly", 3600), ("daily", 86_400)])
def test_a_closed_window_is_a_result_with_the_seconds_until_it_opens(s3, host, kind, seconds):
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


def test_a_too_large_request_for_one_city_is_invalid_input(s3, host):
    host.faults = [Fault("too_much_data", times=None)]
    with pytest.raises(InvalidInputError, match=r"too much data.*start the run with a shorter window"):
        ingest()


def test_a_window_out_of_the_hosts_range_is_rejected_once_and_not_split(s3, host):
    with pytest.raises(InvalidInputError, match="out of allowed range"):
        ingest({**EVENT, "start": "2020-01-01", "end": "2020-01-02"})
    assert statuses(host) == [400]
    assert keys(s3, RAW) == []


def test_a_run_id_that_was_used_for_something_else_is_rejected(s3, host):
    ingest()
    with pytest.raises(InvalidInputError, match="run_id r1: is taken"):
        ingest({**EVENT, "variables": ["temperature_2m"]})


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ({"sorce": "forecast"}, "unknown key 'sorce'"),
        ({"cities": ["atlantis"]}, "no such city 'atlantis'"),
        ({"start": "2026-03-02", "end": "2026-03-01"}, "end 2026-03-01 is before start 2026-03-02"),
        ({"source": "archive", "variables": ["uv_index"]}, "variable 'uv_index'.*only forecast has it"),
    ],
)
def test_a_wrong_event_is_rejected_before_anything_is_requested_or_written(s3, host, event, message):
    with pytest.raises(InvalidInputError, match=message):
        lambda_handler(event, None)
    assert host.requests == []
    assert keys(s3, RAW) == []


def test_the_key_is_sent_in_a_header_and_written_nowhere(s3, host, monkeypatch, capfd):
    boto3.client("secretsmanager").create_secret(Name="om", SecretString='{"api_key": "s3cr3t-key"}')
    monkeypatch.setenv("OPEN_METEO_API_KEY_SECRET", "om")
    result = ingest()
    metadata = s3.head_object(Bucket=RAW, Key=result.parts[0].raw_key)["Metadata"]
    assert "s3cr3t-key" not in json.dumps(metadata) + json.dumps(result.to_json())
    assert "apikey" not in host.requests[0].parameters
    host.faults = [Fault("overloaded")]
    with pytest.raises(TransientError) as failure:
        ingest({**EVENT, "run_id": "r2"})
    assert "s3cr3t-key" not in str(failure.value)
    assert "s3cr3t-key" not in "".join(capfd.readouterr())


def test_two_ingests_of_one_run_at_once_end_with_the_same_responses(s3, host):
    host.faults = [Fault("slow", times=2, seconds=0.3)]
    results = []
    threads = [threading.Thread(target=lambda: results.append(ingest())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result.status for result in results] == ["complete", "complete"]
    assert results[0].parts == results[1].parts
    assert keys(s3, RAW) == [f"{PREFIX}part-0000.json.gz"]


def test_two_ingests_of_one_run_at_once_lose_no_city_that_is_rejected(s3, host):
    host.faults = [Fault("no_data", times=None, latitude=MUSANZE.latitude), Fault("slow", times=None, seconds=0.1)]
    results = []
    threads = [threading.Thread(target=lambda: results.append(ingest())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ingested = ingest()
    for result in (*results, ingested):
        assert [failure.city_id for failure in result.failed_cities] == ["musanze"]
        assert sum(part.cities for part in result.parts) == 2
    assert len(keys(s3, RAW)) == len(ingested.parts) + 1


def test_a_rejection_after_a_concurrent_ingest_stored_its_key_is_requested_again(s3, host):
    """Another Ingest stores a response for other cities under the key, between this one's request and its write."""
    run_cities = {each: load_cities()[each] for each in ("musanze", "kigali")}
    host.faults = [Fault("no_data", times=None, latitude=MUSANZE.latitude)]
    late = fetch(host, run_cities)
    original_put, calls = late._store.put, []

    def put(response, body):
        calls.append(response.cities)
        if len(calls) == 1:
            # the other Ingest was faster, with the accepted city
            assert original_put(replace(response, cities=("kigali",), status=200), b'{"hourly": {}}')
        return original_put(response, body)

    late._store.put = put
    result = late.fetch_missing()
    assert [failure.city_id for failure in result.failed_cities] == ["musanze"]
    assert [part.cities for part in result.parts] == [1]


@pytest.mark.parametrize("key", ["K3y\n", " K3y "])
def test_a_key_with_spaces_around_it_is_the_key(s3, host, monkeypatch, key):
    boto3.client("secretsmanager").create_secret(Name="om", SecretString=json.dumps({"api_key": key}))
    monkeypatch.setenv("OPEN_METEO_API_KEY_SECRET", "om")
    assert ingest().status == "complete"


@pytest.mark.parametrize("secret", [{"api_key": "K3y\nX"}, {"api_key": "K3y\u20ac"}, {"api_key": ""}, {"key": "K3y"}])
def test_an_invalid_key_is_rejected_and_not_in_the_message(s3, host, monkeypatch, secret):
    boto3.client("secretsmanager").create_secret(Name="om", SecretString=json.dumps(secret))
    monkeypatch.setenv("OPEN_METEO_API_KEY_SECRET", "om")
    with pytest.raises(InvalidInputError, match="secret om: ") as raised:
        ingest()
    assert "K3y" not in str(raised.value)


def test_an_invalid_host_address_is_invalid_input(s3, monkeypatch):
    monkeypatch.setenv("OPEN_METEO_FORECAST_URL", "api.open-meteo.com/v1/forecast")
    with pytest.raises(InvalidInputError, match="is not a valid address, check OPEN_METEO"):
        ingest()


def test_a_slow_response_ends_at_the_deadline(s3, host, monkeypatch):
    monkeypatch.setattr(open_meteo, "REQUEST_SECONDS", open_meteo._READ_SECONDS + 0.2)
    host.faults = [Fault("trickle")]
    with pytest.raises(TransientError, match="incomplete after"):
        ingest()


def test_a_run_id_that_was_used_for_more_cities_is_rejected(s3, host):
    ingest()
    with pytest.raises(InvalidInputError, match="also has musanze, huye"):
        ingest({**EVENT, "cities": ["kigali"]})


# ------------------------------------------------------------------ many cities


def city(number, latitude=None):
    name = f"a-rather-long-city-id-{number:04d}"
    place = (latitude or round(-80 + number / 10, 4), round(-170 + number / 7, 4))
    return City(name, f"City {number}", "Nowhere", *place, "UTC", None, None)


def fetch(host, cities, *, seconds_left=lambda: float("inf"), free=True, now=None, days=1):
    last = date.fromordinal(TODAY.toordinal() + days - 1)
    run = Run("r1", "forecast", TODAY, TODAY, last, ("temperature_2m",), ())
    return Fetch(
        run, cities, f"{host.url}/v1/forecast", RawStore(RAW), OpenMeteo(),
        is_free_host=free, seconds_left=seconds_left, **({"now": now} if now else {}),
    )  # fmt: skip


def test_a_hundred_cities_are_requested_in_batches_whose_metadata_fits_s3(s3, host):
    cities = {each.city_id: each for each in map(city, range(100))}
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


def test_bad_cities_among_many_cost_few_requests(s3, host):
    cities = {each.city_id: each for each in map(city, range(30))}
    bad = list(cities.values())[11]
    host.faults = [Fault("no_data", times=None, latitude=bad.latitude)]
    result = fetch(host, cities).fetch_missing()
    assert [failure.city_id for failure in result.failed_cities] == [bad.city_id]
    assert sum(part.cities for part in result.parts) == 29
    assert len(host.requests) <= 14


def test_a_run_that_needs_too_many_responses_is_rejected_before_any_request(s3, host, monkeypatch):
    cities = {each.city_id: each for each in map(city, range(500))}
    monkeypatch.setattr("functions.ingest.fetch.MAX_RESPONSES", 5)
    with pytest.raises(InvalidInputError, match=r"run r1: needs \d+ responses, the maximum is 5.*of its 500 cities"):
        fetch(host, cities).fetch_missing()
    assert host.requests == []


def test_an_interrupted_run_continues_where_it_stopped(s3, host):
    cities = {each.city_id: each for each in map(city, range(60))}
    host.faults = [Fault("overloaded", latitude=city(55).latitude)]
    with pytest.raises(TransientError):
        fetch(host, cities).fetch_missing()
    stored = keys(s3, RAW)
    assert stored
    before = len(host.requests)
    result = fetch(host, cities).fetch_missing()
    assert result.status == "complete"
    assert len(host.requests) - before == len(result.parts) - len(stored)


def test_the_runs_own_weight_stops_it_before_the_host_does(s3, host):
    moment = datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC)
    cities = {each.city_id: each for each in map(city, range(1300))}
    result = fetch(host, cities, now=lambda: moment).fetch_missing()
    assert result.status == "throttled"
    assert result.wait_seconds == 31
    assert 550 < result.quota_weight <= 600
    later = fetch(host, cities, now=lambda: moment.replace(minute=1)).fetch_missing()
    assert (later.status, later.quota_weight > 1100) == ("throttled", True)


def test_a_function_short_of_time_returns_throttled(s3, host):
    cities = {each.city_id: each for each in map(city, range(60))}
    left = iter([900.0, 100.0])
    result = fetch(host, cities, seconds_left=lambda: next(left)).fetch_missing()
    assert (result.status, result.wait_seconds, len(result.parts)) == ("throttled", 1, 1)

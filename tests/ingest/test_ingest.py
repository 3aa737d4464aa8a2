"""Ingest over real HTTP against the stand-in, S3 by moto: what each answer of Open-Meteo leads to."""

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
    return [asked.status for asked in host.requests]


def test_one_request_answers_all_cities_and_its_exact_bytes_are_kept(s3, host):
    result = ingest()
    (asked,) = host.requests
    assert asked.parameters["timezone"] == "GMT"
    assert asked.parameters["latitude"].count(",") == 2
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


def test_one_city_gets_an_object_not_a_list(s3, host):
    result = ingest({**EVENT, "cities": ["huye"]})
    assert isinstance(json.loads(unzipped(s3, RAW, result.parts[0].raw_key)), dict)


def test_the_archive_is_asked_at_its_own_address(s3, host):
    result = ingest({**EVENT, "source": "archive"})
    assert host.requests[0].path == "/v1/archive"
    assert result.parts[0].raw_key.startswith("raw/source=archive/")


def test_run_again_it_asks_for_nothing_and_answers_the_same(s3, host):
    first = ingest()
    host.requests.clear()
    assert replace(ingest(), seconds=0) == replace(first, seconds=0)
    assert host.requests == []


def test_a_city_that_is_refused_is_set_apart_and_the_others_are_answered(s3, host):
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


def test_when_every_city_is_refused_the_run_fails_saying_why(s3, host):
    host.faults = [Fault("no_data", times=None)]
    with pytest.raises(InvalidInputError, match="refused every city that was asked: No data is available"):
        ingest()


@pytest.mark.parametrize(
    ("kind", "error", "says"),
    [
        ("overloaded", TransientError, "503: The service is overloaded"),
        ("bad_gateway", TransientError, "502: <html>"),
        ("gateway_timeout", TransientError, "504: <html>"),
        ("concurrent", TransientError, "429: Too many concurrent requests"),
        ("reset", TransientError, "127.0.0.1"),
        ("truncated", TransientError, "is no answer"),
        ("html", TransientError, "200 with text/html that is no answer"),
        ("empty", TransientError, "is no answer"),
        ("null", TransientError, "is no answer"),
        ("no_key", InvalidInputError, "401: API key required.*check the API key"),
        ("plan", InvalidInputError, "403: .*check the API key and the plan"),
        ("bad_key", InvalidInputError, "400: The supplied API key is invalid"),
        ("teapot", UpstreamContractError, "418: short and stout"),
    ],
)
def test_each_failure_is_the_error_the_state_machine_needs(s3, host, kind, error, says):
    host.faults = [Fault(kind)]
    with pytest.raises(error, match=says) as raised:
        ingest()
    # Step Functions matches the name of the class itself, never that of a base
    assert raised.type is error
    assert len(host.requests) == 1
    assert not [key for key in keys(s3, RAW) if "part-" in key]


@pytest.mark.parametrize("kind", ["truncated", "html", "teapot"])
def test_a_body_that_cannot_be_used_is_kept_as_evidence(s3, host, kind):
    host.faults = [Fault(kind)]
    with pytest.raises((TransientError, UpstreamContractError)):
        ingest()
    (evidence,) = keys(s3, RAW)
    assert evidence.startswith(f"{PREFIX}unreadable-")
    assert unzipped(s3, RAW, evidence)
    assert ingest().status == "complete"


@pytest.mark.parametrize(("kind", "seconds"), [("minutely", 60), ("hourly", 3600), ("daily", 86_400)])
def test_a_closed_window_is_an_answer_with_the_seconds_to_its_opening(s3, host, kind, seconds):
    host.faults = [Fault(kind)]
    before = datetime.now(UTC).timestamp()
    result = ingest()
    assert result.status == "throttled"
    opens = before + result.wait_seconds
    assert 0 < result.wait_seconds <= seconds + 1
    # the moment was taken a little before Ingest took its own
    assert (opens + 1) % seconds < 4
    assert kind in result.reason.lower()
    assert len(host.requests) == 1
    assert ingest().status == "complete"


def test_too_large_a_request_is_halved_until_it_is_answered(s3, host):
    host.faults = [Fault("too_much_data"), Fault("uri_too_long", latitude=MUSANZE.latitude)]
    result = ingest()
    assert result.status == "complete"
    assert sum(part.cities for part in result.parts) == 3
    assert len(result.parts) == 3


def test_one_city_too_large_to_be_answered_is_the_callers_fault(s3, host):
    host.faults = [Fault("too_much_data", times=None)]
    with pytest.raises(InvalidInputError, match=r"too much data.*ask for a shorter window"):
        ingest()


def test_a_window_out_of_the_hosts_range_is_refused_once_and_not_split(s3, host):
    with pytest.raises(InvalidInputError, match="out of allowed range"):
        ingest({**EVENT, "start": "2020-01-01", "end": "2020-01-02"})
    assert statuses(host) == [400]
    assert keys(s3, RAW) == []


def test_a_run_id_that_was_used_for_something_else_is_refused(s3, host):
    ingest()
    with pytest.raises(InvalidInputError, match="run_id r1: is taken"):
        ingest({**EVENT, "variables": ["temperature_2m"]})


@pytest.mark.parametrize(
    ("event", "says"),
    [
        ({"sorce": "forecast"}, "unknown key 'sorce'"),
        ({"cities": ["atlantis"]}, "no such city 'atlantis'"),
        ({"start": "2026-03-02", "end": "2026-03-01"}, "end 2026-03-01 is before start 2026-03-02"),
        ({"source": "archive", "variables": ["uv_index"]}, "variable 'uv_index'.*only forecast has it"),
    ],
)
def test_a_wrong_event_is_refused_before_anything_is_asked_or_written(s3, host, event, says):
    with pytest.raises(InvalidInputError, match=says):
        lambda_handler(event, None)
    assert host.requests == []
    assert keys(s3, RAW) == []


def test_the_key_goes_in_a_header_and_is_written_nowhere(s3, host, monkeypatch, capfd):
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


def test_two_ingests_of_one_run_at_once_end_with_the_same_answers(s3, host):
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


def test_two_ingests_of_one_run_at_once_lose_no_city_that_is_refused(s3, host):
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


def test_a_refusal_that_another_ingest_kept_first_is_looked_up(s3, host):
    """The key is taken between asking and keeping: by an answer for other cities of the run."""
    run_cities = {each: load_cities()[each] for each in ("musanze", "kigali")}
    host.faults = [Fault("no_data", times=None, latitude=MUSANZE.latitude)]
    taken = fetch(host, run_cities)
    keep, calls = taken._store.put, []

    def put(answer, body):
        calls.append(answer.cities)
        if len(calls) == 1:
            # the other one was faster, with the city that was not refused
            assert keep(replace(answer, cities=("kigali",), status=200), b'{"hourly": {}}')
        return keep(answer, body)

    taken._store.put = put
    result = taken.result()
    assert [failure.city_id for failure in result.failed_cities] == ["musanze"]
    assert [part.cities for part in result.parts] == [1]


@pytest.mark.parametrize("key", ["K3y\n", " K3y "])
def test_a_key_with_spaces_around_it_is_the_key(s3, host, monkeypatch, key):
    boto3.client("secretsmanager").create_secret(Name="om", SecretString=json.dumps({"api_key": key}))
    monkeypatch.setenv("OPEN_METEO_API_KEY_SECRET", "om")
    assert ingest().status == "complete"


@pytest.mark.parametrize("secret", [{"api_key": "K3y\nX"}, {"api_key": "K3y\u20ac"}, {"api_key": ""}, {"key": "K3y"}])
def test_a_key_that_cannot_be_one_is_refused_without_saying_it(s3, host, monkeypatch, secret):
    boto3.client("secretsmanager").create_secret(Name="om", SecretString=json.dumps(secret))
    monkeypatch.setenv("OPEN_METEO_API_KEY_SECRET", "om")
    with pytest.raises(InvalidInputError, match="secret om: ") as refused:
        ingest()
    assert "K3y" not in str(refused.value)


def test_a_host_that_is_no_address_is_the_callers_fault(s3, monkeypatch):
    monkeypatch.setenv("OPEN_METEO_FORECAST_URL", "api.open-meteo.com/v1/forecast")
    with pytest.raises(InvalidInputError, match="is no address that can be asked"):
        ingest()


def test_a_trickle_does_not_pass_the_deadline(s3, host, monkeypatch):
    monkeypatch.setattr(open_meteo, "REQUEST_SECONDS", open_meteo._READ_SECONDS + 0.2)
    host.faults = [Fault("trickle")]
    with pytest.raises(TransientError, match="bytes came in"):
        ingest()


def test_a_run_id_that_was_used_for_more_cities_is_refused(s3, host):
    ingest()
    with pytest.raises(InvalidInputError, match="was asked for musanze, huye too"):
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


def test_a_hundred_cities_are_asked_in_batches_whose_metadata_s3_takes(s3, host):
    cities = {each.city_id: each for each in map(city, range(100))}
    result = fetch(host, cities, free=False).result()
    assert result.status == "complete"
    assert sum(part.cities for part in result.parts) == 100
    sizes = []
    asked = []
    for part in result.parts:
        metadata = s3.head_object(Bucket=RAW, Key=part.raw_key)["Metadata"]
        sizes.append(sum(len(key) + len(value) for key, value in metadata.items()))
        asked += metadata["cities"].split(",")
    assert max(sizes) <= METADATA_LIMIT
    assert asked == list(cities)


def test_bad_cities_among_many_cost_few_requests(s3, host):
    cities = {each.city_id: each for each in map(city, range(30))}
    bad = list(cities.values())[11]
    host.faults = [Fault("no_data", times=None, latitude=bad.latitude)]
    result = fetch(host, cities).result()
    assert [failure.city_id for failure in result.failed_cities] == [bad.city_id]
    assert sum(part.cities for part in result.parts) == 29
    assert len(host.requests) <= 14


def test_a_run_of_more_answers_than_its_states_can_carry_is_refused_before_anything_is_asked(s3, host, monkeypatch):
    cities = {each.city_id: each for each in map(city, range(500))}
    monkeypatch.setattr("functions.ingest.fetch.MOST_ANSWERS", 5)
    with pytest.raises(InvalidInputError, match=r"run r1: takes \d+ answers, 5 are the most.*of its 500 cities"):
        fetch(host, cities).result()
    assert host.requests == []


def test_an_interrupted_run_goes_on_where_it_stopped(s3, host):
    cities = {each.city_id: each for each in map(city, range(60))}
    host.faults = [Fault("overloaded", latitude=city(55).latitude)]
    with pytest.raises(TransientError):
        fetch(host, cities).result()
    kept = keys(s3, RAW)
    assert kept
    before = len(host.requests)
    result = fetch(host, cities).result()
    assert result.status == "complete"
    assert len(host.requests) - before == len(result.parts) - len(kept)


def test_the_runs_own_weight_stops_it_before_the_host_does(s3, host):
    moment = datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC)
    cities = {each.city_id: each for each in map(city, range(1300))}
    result = fetch(host, cities, now=lambda: moment).result()
    assert result.status == "throttled"
    assert result.wait_seconds == 31
    assert 550 < result.quota_weight <= 600
    later = fetch(host, cities, now=lambda: moment.replace(minute=1)).result()
    assert (later.status, later.quota_weight > 1100) == ("throttled", True)


def test_a_function_short_of_time_hands_over(s3, host):
    cities = {each.city_id: each for each in map(city, range(60))}
    left = iter([900.0, 100.0])
    result = fetch(host, cities, seconds_left=lambda: next(left)).result()
    assert (result.status, result.wait_seconds, len(result.parts)) == ("throttled", 1, 1)

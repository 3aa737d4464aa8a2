"""Each failure of the host, the key or the address is the error that the state machine needs."""

import pytest
from aws import RAW, keys, unzipped
from ingestion import EVENT, PREFIX, ingest

from functions.core.errors import InvalidInputError, TransientError, UpstreamContractError
from functions.ingest import open_meteo
from open_meteo_stand_in.faults import Fault


def test_a_run_whose_cities_are_all_rejected_fails_with_the_reason(s3, host):
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
def test_each_failure_of_the_host_has_its_error_class_and_message(s3, host, kind, error, message):
    host.faults = [Fault(kind)]
    with pytest.raises(error, match=message) as raised:
        ingest()
    # Step Functions matches the name of the class itself, never that of a base
    assert raised.type is error
    assert len(host.requests) == 1
    assert not [key for key in keys(s3, RAW) if "part-" in key]


@pytest.mark.parametrize("kind", ["truncated", "html", "teapot"])
def test_an_unusable_response_is_stored_under_a_key_of_its_own(s3, host, kind):
    host.faults = [Fault(kind)]
    with pytest.raises((TransientError, UpstreamContractError)):
        ingest()
    (unusable,) = keys(s3, RAW)
    assert unusable.startswith(f"{PREFIX}unreadable-")
    assert unzipped(s3, RAW, unusable)
    assert ingest().status == "complete"


def test_a_too_large_request_for_one_city_is_invalid_input(s3, host):
    host.faults = [Fault("too_much_data", times=None)]
    with pytest.raises(InvalidInputError, match=r"too much data.*start the run with a shorter window"):
        ingest()


def test_a_window_outside_the_hosts_range_is_rejected_after_one_request(s3, host):
    with pytest.raises(InvalidInputError, match="out of allowed range"):
        ingest({**EVENT, "start": "2020-01-01", "end": "2020-01-02"})
    assert [request.status for request in host.requests] == [400]
    assert keys(s3, RAW) == []


def test_a_response_that_is_incomplete_at_the_deadline_is_a_transient_error(s3, host, monkeypatch):
    monkeypatch.setattr(open_meteo, "REQUEST_SECONDS", 0.2)
    host.faults = [Fault("trickle")]
    with pytest.raises(TransientError, match="incomplete after"):
        ingest()


@pytest.mark.parametrize("secret", [{"api_key": "K3y\nX"}, {"api_key": "K3y\u20ac"}, {"api_key": ""}, {"key": "K3y"}])
def test_an_invalid_api_key_is_rejected_and_not_in_the_message(host, store_key, secret):
    store_key(**secret)
    with pytest.raises(InvalidInputError, match="secret om: ") as raised:
        ingest()
    assert "K3y" not in str(raised.value)


def test_an_invalid_host_address_is_invalid_input(s3, monkeypatch):
    monkeypatch.setenv("OPEN_METEO_FORECAST_URL", "api.open-meteo.com/v1/forecast")
    with pytest.raises(InvalidInputError, match="is not a valid address, check OPEN_METEO"):
        ingest()


def test_the_error_of_a_closed_port_has_the_address_once_and_the_reason(s3, monkeypatch):
    monkeypatch.setenv("OPEN_METEO_FORECAST_URL", "http://127.0.0.1:9/v1/forecast")
    with pytest.raises(TransientError, match="Connection refused") as raised:
        ingest()
    assert str(raised.value).count("latitude=") == 1

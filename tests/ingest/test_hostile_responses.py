"""An error body of the host is stored as it is; what a message repeats of it is bounded and escaped."""

import json

import pytest
from aws import RAW, keys, unzipped
from ingestion import ingest

from functions.core.cities import load_cities
from functions.core.contracts import REASON_LENGTH
from functions.core.errors import InvalidInputError, PipelineError
from functions.core.text import LENGTH
from open_meteo_stand_in.faults import CONTROLLING, LONG, Fault


@pytest.mark.parametrize("status", [400, 401, 414, 418, 429, 503])
@pytest.mark.parametrize("kind", ["long", "controlling"])
def test_the_message_of_a_failed_request_is_bounded_and_escaped(s3, host, capsys, kind, status):
    host.faults = [Fault(f"{kind}_{status}", times=None)]
    with pytest.raises(PipelineError) as raised:
        ingest()
    message = str(raised.value)
    assert message.isprintable()
    # the address of the request, and one excerpt
    assert len(message.encode()) < 500 + LENGTH
    assert ("cut, 7,340,032 characters" if kind == "long" else "forged line") in message
    lines = capsys.readouterr().out.splitlines()
    assert all(line.isprintable() and len(line) < 20_000 for line in lines)
    assert all(json.loads(line) for line in lines)


def test_a_stored_response_has_the_exact_bytes_and_the_message_says_so(s3, host):
    host.faults = [Fault("long_418")]
    with pytest.raises(PipelineError, match=r"cut, 7,340,032 characters; the raw object has it all"):
        ingest()
    (key,) = keys(s3, RAW)
    assert json.loads(unzipped(s3, RAW, key))["reason"] == LONG


@pytest.mark.parametrize(("kind", "reason"), [("long_400", LONG), ("controlling_400", CONTROLLING)])
def test_the_reason_of_a_failed_city_is_an_excerpt_and_its_raw_object_has_all_of_it(s3, host, kind, reason):
    host.faults = [Fault(kind, times=None, latitude=load_cities()["musanze"].latitude)]
    (failure,) = ingest().failed_cities
    assert failure.city_id == "musanze"
    assert len(failure.reason.encode()) <= REASON_LENGTH
    assert failure.reason.isprintable()
    assert json.loads(unzipped(s3, RAW, failure.raw_key))["reason"] == reason


def test_the_reasons_of_many_rejected_cities_are_bounded_together(s3, host):
    host.faults = [Fault("long_400", times=None)]
    with pytest.raises(InvalidInputError, match="rejected every requested city: xxx") as raised:
        ingest()
    assert len(str(raised.value)) < 500


@pytest.mark.parametrize("body", ["html", "empty"])
def test_a_body_that_is_not_json_is_repeated_in_quotes(s3, host, body):
    host.faults = [Fault(body)]
    with pytest.raises(PipelineError, match=r"does not decode to data: '") as raised:
        ingest()
    assert "\n" not in str(raised.value)

"""The Transform handler, S3 by moto."""

import csv
import dataclasses
import gzip
import hashlib
import json
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from aws import PROCESSED, RAW, buckets, keys, unzipped

from functions.core.contracts import COVERAGE_COLUMNS, PROCESSED_COLUMNS, REJECTED_COLUMNS
from functions.core.errors import InvalidInputError, UpstreamContractError
from functions.core.run import Run
from functions.core.storage import (
    RawStore,
    StoredResponse,
    coverage_key,
    processed_key,
    raw_key,
    rejected_key,
)
from functions.transform.handler import lambda_handler

BERLIN = (Path(__file__).parents[1] / "recorded" / "forecast_berlin_41_hourly_variables.json").read_bytes()
RUN = Run(
    run_id="run-1",
    source="forecast",
    run_date=date(2025, 7, 27),
    start=date(2025, 7, 27),
    end=date(2025, 8, 2),
    variables=("temperature_2m", "relative_humidity_2m", "precipitation"),
    cities=("kigali",),
)
TASK = {"run": RUN.to_json(), "raw_key": raw_key(RUN, 0)}
RESPONSE = StoredResponse(
    key=raw_key(RUN, 0),
    address="http://127.0.0.1/v1/forecast?x=1",
    status=200,
    fetched_at=datetime(2025, 7, 27, 4, tzinfo=UTC),
    sha256=hashlib.sha256(BERLIN).hexdigest(),
    cities=("kigali",),
    quota_weight=1.0,
)


@pytest.fixture
def s3(monkeypatch):
    with buckets(monkeypatch) as client:
        yield client


def rows(s3, key):
    return list(csv.DictReader(unzipped(s3, PROCESSED, key).decode().splitlines()))


def test_a_real_response_becomes_rows_with_the_values_it_had(s3):
    RawStore(RAW).put(RESPONSE, BERLIN)
    part = lambda_handler(TASK, None)
    processed = rows(s3, processed_key(part["raw_key"]))
    hourly = json.loads(BERLIN)["hourly"]
    assert (part["rows_in"], part["rows"], part["rejected"], len(processed)) == (168, 168, 0, 168)
    assert tuple(processed[0]) == PROCESSED_COLUMNS
    assert [float(row["temperature_c"]) for row in processed] == hourly["temperature_2m"]
    assert [float(row["precipitation_mm"]) for row in processed] == hourly["precipitation"]
    assert [row["observed_at"] for row in processed] == [f"{time}:00Z" for time in hourly["time"]]
    assert s3.head_object(Bucket=PROCESSED, Key=processed_key(RESPONSE.key))["Metadata"] == {
        "source": "forecast",
        "fetched_at": "2025-07-27T04:00:00+00:00",
        "run_id": "run-1",
        "raw_key": RESPONSE.key,
        "sha256": RESPONSE.sha256,
    }


def test_the_coverage_of_a_response_says_where_its_values_are_from(s3):
    RawStore(RAW).put(RESPONSE, BERLIN)
    part = lambda_handler(TASK, None)
    (row,) = rows(s3, coverage_key(part["raw_key"]))
    assert row == {
        "city_id": "kigali",
        "source": "forecast",
        "fetched_at": "2025-07-27T04:00:00+00:00",
        "run_id": "run-1",
        "raw_key": RESPONSE.key,
        "first_hour": "2025-07-27T00:00:00Z",
        "last_hour": "2025-08-02T23:00:00Z",
        "filled": "11",
        "gap_offsets": "{}",
        "gap_filled": "{}",
        "sha256": row["sha256"],
    }
    assert len(row["sha256"]) == 64
    assert tuple(row) == COVERAGE_COLUMNS


def test_a_raw_object_that_zlib_compressed_is_read(s3):
    RawStore(RAW).put(RESPONSE, BERLIN)
    s3.put_object(Bucket=RAW, Key=RESPONSE.key, Body=gzip.compress(BERLIN), Metadata=RESPONSE.metadata())
    assert lambda_handler(TASK, None)["rows"] == 168


def test_rejected_hours_are_stored_with_their_reasons(s3):
    document = json.loads(BERLIN)
    document["hourly"]["temperature_2m"][5] = 999
    body = json.dumps(document).encode()
    RawStore(RAW).put(dataclasses.replace(RESPONSE, sha256=hashlib.sha256(body).hexdigest()), body)
    part = lambda_handler(TASK, None)
    (rejected,) = rows(s3, rejected_key(part["raw_key"]))
    assert (part["rows_in"], part["rows"], part["rejected"]) == (168, 167, 1)
    assert tuple(rejected) == REJECTED_COLUMNS
    assert (rejected["observed_at"], rejected["reason"]) == ("2025-07-27T05:00", "impossible temperature_2m")


def test_a_rejected_value_that_utf_8_cannot_encode_is_stored(s3):
    document = json.loads(BERLIN)
    document["hourly"]["temperature_2m"][5] = document["hourly"]["time"][6] = "\ud800"
    body = json.dumps(document).encode()
    RawStore(RAW).put(dataclasses.replace(RESPONSE, sha256=hashlib.sha256(body).hexdigest()), body)
    part = lambda_handler(TASK, None)
    assert [row["reason"] for row in rows(s3, rejected_key(part["raw_key"]))] == [
        "temperature_2m cannot be read",
        "time cannot be read",
    ]


def test_a_second_call_writes_the_same_bytes(s3):
    RawStore(RAW).put(RESPONSE, BERLIN)
    first = lambda_handler(TASK, None)
    written = {key: s3.get_object(Bucket=PROCESSED, Key=key)["Body"].read() for key in keys(s3, PROCESSED)}
    assert len(written) == 4
    # the time in the header of a gzip file
    assert {body[4:8] for body in written.values()} == {bytes(4)}
    second = lambda_handler(TASK, None)
    assert {key: s3.get_object(Bucket=PROCESSED, Key=key)["Body"].read() for key in keys(s3, PROCESSED)} == written
    assert {**first, "seconds": 0} == {**second, "seconds": 0}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"sha256": "0" * 64}, UpstreamContractError, "its bytes were changed after Ingest stored them"),
        ({"cities": ("atlantis",)}, InvalidInputError, "has 'atlantis', not in the city list; put it back"),
        ({"cities": ("kigali", "huye")}, UpstreamContractError, "has 1 locations, 2 were requested"),
    ],
)
def test_an_object_that_does_not_match_its_metadata_is_rejected_and_nothing_is_written(s3, change, error, message):
    RawStore(RAW).put(dataclasses.replace(RESPONSE, **change), BERLIN)
    with pytest.raises(error, match=message):
        lambda_handler(TASK, None)
    assert keys(s3, PROCESSED) == []


def test_an_object_that_is_missing_or_not_written_by_ingest_is_invalid_input(s3):
    with pytest.raises(InvalidInputError, match=r"part-0000\.json\.gz: NoSuchKey"):
        lambda_handler(TASK, None)
    s3.put_object(Bucket=RAW, Key=RESPONSE.key, Body=gzip.compress(BERLIN))
    with pytest.raises(InvalidInputError, match="metadata was not written by Ingest"):
        lambda_handler(TASK, None)
    with pytest.raises(InvalidInputError, match="transform: 'run' is missing"):
        lambda_handler({"raw_key": "x"}, None)


def test_log_lines_have_the_run_id_and_the_metrics_its_counts(s3, capsys):
    RawStore(RAW).put(RESPONSE, BERLIN)
    lambda_handler(TASK, None)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (metrics,) = [line for line in lines if "_aws" in line]
    assert (metrics["rows_in"], metrics["rows"], metrics["rows_rejected"]) == ([168], [168], [0])
    logged = [line for line in lines if "_aws" not in line]
    assert logged
    assert all((line["run_id"], line["cities"]) == ("run-1", 1) for line in logged)

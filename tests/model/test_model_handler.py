"""The Model handler: S3 and Secrets Manager by moto, a real Postgres."""

import gzip
import json
from datetime import UTC, datetime

import boto3
import pytest
from loads import Hour, Response, rows_of
from moto import mock_aws

from functions.core.errors import InvalidInputError, TransientError
from functions.model.handler import lambda_handler
from functions.model.migrations import migrate

MOMENT = datetime(2026, 3, 1, tzinfo=UTC)
EXECUTION = {
    "name": "run-1",
    "arn": "arn:aws:states:eu-west-1:1:execution:p:run-1",
    "started_at": "2026-03-01T04:00:00.000Z",
}
RUN = {
    "run_id": "run-1",
    "source": "forecast",
    "run_date": "2026-03-01",
    "start": "2026-02-27",
    "end": "2026-03-02",
    "variables": ["temperature_2m"],
    "cities": ["kigali"],
}
PART = {
    "raw_key": "raw/source=forecast/date=2026-03-01/run=run-1/part-0000.json.gz",
    "sha256": "0" * 64,
    "rows_in": 3,
    "rows": 2,
    "rejected": 1,
    "seconds": 0.25,
}
INGEST = {
    "status": "complete",
    "run": RUN,
    "cities": 1,
    "parts": [{"raw_key": PART["raw_key"], "cities": 1}],
    "failed_cities": [],
    "requests": 1,
    "quota_weight": 1.0,
    "seconds": 0.5,
    "wait_seconds": 0,
    "reason": "",
}
LOAD = {"action": "load", "execution": EXECUTION, "ingest": INGEST, "parts": [PART]}


@pytest.fixture
def warehouse(database_url, monkeypatch):
    migrate({"dsn": database_url})
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("PROCESSED_BUCKET", "processed")
    monkeypatch.setenv("DATABASE_SECRET", "warehouse")
    with mock_aws():
        from functions.core import storage

        storage._client.cache_clear()
        boto3.client("secretsmanager").create_secret(Name="warehouse", SecretString=json.dumps({"url": database_url}))
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="processed", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        hours = tuple(Hour("kigali", MOMENT.replace(hour=n), temperature_c=20 + n) for n in range(2))
        s3.put_object(
            Bucket="processed",
            Key=storage.processed_key(PART["raw_key"]),
            Body=gzip.compress(Response("run-1", MOMENT, hours).csv()),
        )
        yield database_url
        storage._client.cache_clear()


def test_a_run_is_loaded_and_counted(warehouse, capsys):
    result = lambda_handler(LOAD, None)
    assert {
        key: result[key] for key in ("run_id", "status", "rows_in", "rows_loaded", "rows_unchanged", "rows_rejected")
    } == {
        "run_id": "run-1",
        "status": "succeeded",
        "rows_in": 3,
        "rows_loaded": 2,
        "rows_unchanged": 0,
        "rows_rejected": 1,
    }
    metrics = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "_aws" in line]
    assert metrics[0]["rows_loaded"] == [2.0]


def test_a_second_call_changes_nothing(warehouse):
    lambda_handler(LOAD, None)
    again = lambda_handler(LOAD, None)
    assert (again["rows_loaded"], again["rows_unchanged"], again["city_days_changed"]) == (0, 2, 0)


def test_a_failure_is_recorded_with_its_error(warehouse):
    failure = {
        "action": "record_failure",
        "execution": EXECUTION,
        "event": {"start": "yesterday"},
        "ingest": None,
        "error": {"Error": "InvalidInputError", "Cause": "event: start 'yesterday' must be a day"},
    }
    assert lambda_handler(failure, None) == {"run_id": "run-1", "status": "failed"}
    assert rows_of(warehouse, "SELECT run_id, status, error, cause, event FROM pipeline_run") == [
        ("run-1", "failed", "InvalidInputError", "event: start 'yesterday' must be a day", {"start": "yesterday"})
    ]


def test_a_failure_after_ingest_keeps_the_resolved_event_so_that_it_can_be_replayed(warehouse):
    failure = {
        "action": "record_failure",
        "execution": EXECUTION,
        "event": {},
        "ingest": INGEST,
        "error": {"Error": "LoadError"},
    }
    lambda_handler(failure, None)
    assert rows_of(
        warehouse, "SELECT event, window_end::text, requests, ingest_seconds::float, objects FROM pipeline_run"
    ) == [(RUN, "2026-03-02", 1, 0.5, [{"raw_key": PART["raw_key"]}])]


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ({}, "action None must be load or record_failure"),
        ({"action": "load"}, "load: 'execution' is missing"),
        ({**LOAD, "ingest": {"run": {}}}, "run: 'run_id' is missing"),
        ({**LOAD, "parts": [{"raw_key": "x"}]}, "load: "),
        ({**LOAD, "parts": 5}, "load: "),
    ],
)
def test_a_wrong_event_is_rejected_by_name(warehouse, event, reason):
    with pytest.raises(InvalidInputError, match=reason):
        lambda_handler(event, None)
    assert rows_of(warehouse, "SELECT count(*) FROM pipeline_run") == [(0,)]


def test_an_absent_object_is_named(warehouse):
    event = {**LOAD, "parts": [{**PART, "raw_key": "raw/none.json.gz"}]}
    with pytest.raises(InvalidInputError, match=r"s3://processed/processed/none.csv.gz: NoSuchKey"):
        lambda_handler(event, None)


def test_an_unreachable_server_is_a_transient_error(warehouse, monkeypatch):
    monkeypatch.delenv("DATABASE_SECRET")
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(TransientError, match="warehouse"):
        lambda_handler(LOAD, None)


def test_a_missing_database_setting_is_named(warehouse, monkeypatch):
    monkeypatch.delenv("DATABASE_SECRET")
    with pytest.raises(InvalidInputError, match="neither DATABASE_SECRET nor DATABASE_URL"):
        lambda_handler(LOAD, None)

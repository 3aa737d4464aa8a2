"""The Model handler: S3 and Secrets Manager by moto, a real Postgres."""

import gzip
import json

import boto3
import pytest
from aws import PROCESSED, buckets
from loads import response, rows_of

from functions.core.errors import InvalidInputError, TransientError
from functions.core.storage import coverage_key, processed_key
from functions.model.handler import lambda_handler

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
def deployed_warehouse(warehouse, monkeypatch):
    """The warehouse as the function finds it: its address in a secret, a processed object of two rows in the bucket."""
    with buckets(monkeypatch) as s3:
        monkeypatch.setenv("DATABASE_SECRET", "warehouse")
        boto3.client("secretsmanager").create_secret(Name="warehouse", SecretString=json.dumps({"url": warehouse}))
        loaded = response("run-1", 0, [20, 21])
        for key, body in (
            (processed_key(PART["raw_key"]), loaded.csv()),
            (
                coverage_key(PART["raw_key"]),
                loaded.coverage().replace(loaded.raw_key.encode(), PART["raw_key"].encode()),
            ),
        ):
            s3.put_object(Bucket=PROCESSED, Key=key, Body=gzip.compress(body))
        yield warehouse


def test_a_load_returns_its_counts_and_emits_them_as_metrics(deployed_warehouse, capsys):
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


def test_a_second_call_with_the_same_event_changes_nothing(deployed_warehouse):
    lambda_handler(LOAD, None)
    again = lambda_handler(LOAD, None)
    assert (again["rows_loaded"], again["rows_unchanged"], again["city_days_changed"]) == (0, 2, 0)


def test_a_failure_before_ingest_is_recorded_with_its_error_and_the_event(deployed_warehouse):
    failure = {
        "action": "record_failure",
        "execution": EXECUTION,
        "event": {"start": "yesterday"},
        "ingest": None,
        "error": {"Error": "InvalidInputError", "Cause": "event: start 'yesterday' must be a day"},
    }
    assert lambda_handler(failure, None) == {"run_id": "run-1", "status": "failed"}
    assert rows_of(deployed_warehouse, "SELECT run_id, status, error, cause, event FROM pipeline_run") == [
        ("run-1", "failed", "InvalidInputError", "event: start 'yesterday' must be a day", {"start": "yesterday"})
    ]


def test_a_failure_after_ingest_is_recorded_with_the_resolved_event_so_that_it_can_be_replayed(deployed_warehouse):
    failure = {
        "action": "record_failure",
        "execution": EXECUTION,
        "event": {},
        "ingest": INGEST,
        "error": {"Error": "LoadError"},
    }
    lambda_handler(failure, None)
    assert rows_of(
        deployed_warehouse,
        "SELECT event, window_end::text, requests, ingest_seconds::float, objects FROM pipeline_run",
    ) == [(RUN, "2026-03-02", 1, 0.5, [{"raw_key": PART["raw_key"]}])]


def test_a_failure_of_an_execution_after_its_load_was_committed_leaves_the_row_of_the_loaded_run(deployed_warehouse):
    lambda_handler(LOAD, None)
    before = rows_of(deployed_warehouse, "SELECT * FROM pipeline_run")
    failure = {
        "action": "record_failure",
        "execution": EXECUTION,
        "event": {},
        "ingest": INGEST,
        "error": {"Error": "Lambda.Unknown", "Cause": "the process was killed"},
    }
    lambda_handler(failure, None)
    assert rows_of(deployed_warehouse, "SELECT * FROM pipeline_run") == before


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
def test_a_wrong_event_is_rejected_with_its_reason_and_nothing_is_written(deployed_warehouse, event, reason):
    with pytest.raises(InvalidInputError, match=reason):
        lambda_handler(event, None)
    assert rows_of(deployed_warehouse, "SELECT count(*) FROM pipeline_run") == [(0,)]


def test_a_processed_object_that_is_missing_is_named(deployed_warehouse):
    event = {**LOAD, "parts": [{**PART, "raw_key": "raw/none.json.gz"}]}
    with pytest.raises(InvalidInputError, match=r"s3://processed/processed/none.coverage.csv.gz: NoSuchKey"):
        lambda_handler(event, None)


def test_an_unreachable_database_is_a_transient_error(deployed_warehouse, monkeypatch):
    monkeypatch.delenv("DATABASE_SECRET")
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(TransientError, match="warehouse"):
        lambda_handler(LOAD, None)


def test_a_missing_database_setting_is_named(deployed_warehouse, monkeypatch):
    monkeypatch.delenv("DATABASE_SECRET")
    with pytest.raises(InvalidInputError, match="neither DATABASE_SECRET nor DATABASE_URL"):
        lambda_handler(LOAD, None)

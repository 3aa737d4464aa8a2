"""The Model handler: S3 and Secrets Manager by moto, a real Postgres."""

import json

import pytest
from loads import rows_of
from tasks import EXECUTION, INGEST, LOAD, PART, RUN

from functions.core.errors import InvalidInputError, TransientError
from functions.model.handler import lambda_handler


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
    recorded = lambda_handler(failure, None)
    assert (recorded["run_id"], recorded["status"], recorded["notify"]) == ("run-1", "failed", False)
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
        ({}, "action None must be load, describe_alerts, record_alerts, record_failure or record_execution"),
        ({"action": "load"}, "load: 'execution' is missing"),
        ({"action": "record_alerts"}, "notice: 'count' is missing"),
        (
            {"action": "record_alerts", "notice": {"count": 1, "message": "", "since": "x", "until": ""}},
            "notice: Invalid isoformat",
        ),
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

"""Which row of pipeline_run a failed execution writes, in whatever order ends and loads arrive."""

import json
import os
from datetime import UTC, datetime

import boto3
import pytest
from loads import rows_of
from tasks import EXECUTION, INGEST, LOAD, RUN

from functions.core.contracts import FailureRecord
from functions.core.errors import InvalidInputError
from functions.core.text import LENGTH, MESSAGE_LENGTH
from functions.model.database import connect
from functions.model.handler import lambda_handler

LATER = {
    "name": "replay-1",
    "arn": "arn:aws:states:eu-west-1:1:execution:p:replay-1",
    "started_at": "2026-03-01T05:00:00.000Z",
}
ROWS = "SELECT run_id, status, execution_arn, error FROM pipeline_run ORDER BY run_id"
LOADED = ("run-1", "succeeded", EXECUTION["arn"], None)


def end(execution=EXECUTION, status="ABORTED", event=RUN, **detail):
    """Record an end as EventBridge describes it."""
    started = datetime.fromisoformat(execution["started_at"]).timestamp() * 1000
    ended = {"name": execution["name"], "executionArn": execution["arn"], "startDate": started, "status": status}
    detail = {"input": json.dumps(event), **ended, **detail}
    return lambda_handler({"action": "record_execution", "detail": detail}, None)


def load(execution=EXECUTION):
    lambda_handler({**LOAD, "execution": execution}, None)


def fail(execution=EXECUTION, error="LoadError"):
    event = {"execution": execution, "event": RUN, "ingest": INGEST, "error": {"Error": error}}
    return lambda_handler({"action": "record_failure", **event}, None)


def record_execution_of(event, execution):
    end(execution, event=event)


def record_failure_of(event, execution):
    failure = {"execution": execution, "event": event, "ingest": None, "error": {"Error": "InvalidInputError"}}
    lambda_handler({"action": "record_failure", **failure}, None)


def test_an_end_without_a_row_is_recorded_once(deployed_warehouse):
    first, second = end(), end()
    assert (first["run_id"], first["is_written"]) == ("run-1", True)
    assert (second["run_id"], second["is_written"]) == ("run-1", False)
    assert rows_of(deployed_warehouse, ROWS) == [("run-1", "failed", EXECUTION["arn"], "States.Aborted")]


def test_an_end_that_the_run_recorded_itself_writes_nothing(deployed_warehouse):
    fail()
    assert not end(status="FAILED", error="LoadError")["is_written"]
    assert rows_of(deployed_warehouse, ROWS) == [("run-1", "failed", EXECUTION["arn"], "LoadError")]


def test_an_end_after_its_own_load_was_committed_leaves_the_row_of_the_load(deployed_warehouse):
    load()
    assert not end(status="TIMED_OUT")["is_written"]
    assert fail(error="States.Timeout")["run_id"] == "run-1"
    assert rows_of(deployed_warehouse, ROWS) == [LOADED]


def test_a_load_that_is_committed_after_the_end_was_recorded_replaces_the_failure(deployed_warehouse):
    end()
    load()
    assert rows_of(deployed_warehouse, ROWS) == [LOADED]


def test_an_end_of_a_replay_has_a_row_of_its_own_beside_that_of_the_load(deployed_warehouse):
    load()
    assert end(LATER)["run_id"] == "replay-1"
    assert rows_of(deployed_warehouse, ROWS) == [("replay-1", "failed", LATER["arn"], "States.Aborted"), LOADED]


@pytest.mark.parametrize("later", [load, fail])
def test_an_end_whose_run_a_later_execution_has_loaded_or_failed_writes_nothing(deployed_warehouse, later):
    later(LATER)
    before = rows_of(deployed_warehouse, ROWS)
    assert not end()["is_written"]
    assert rows_of(deployed_warehouse, ROWS) == before


@pytest.mark.parametrize("earlier", [end, load, fail], ids=["a lost reply", "a committed load", "RecordFailure"])
def test_an_end_that_the_state_machine_did_not_catch_is_notified_though_its_row_exists(deployed_warehouse, earlier):
    earlier()
    ended = end(status="TIMED_OUT")
    assert (ended["run_id"], ended["is_written"], ended["notify"]) == ("run-1", False, True)


def test_an_earlier_failure_that_is_recorded_late_does_not_replace_a_load_or_a_later_failure(deployed_warehouse):
    event = {**RUN, "run_id": "shared"}
    for execution, status in ((LATER, "TIMED_OUT"), (EXECUTION, "ABORTED")):
        failure = {"execution": execution, "event": event, "ingest": None, "error": {"Error": status}}
        lambda_handler({"action": "record_failure", **failure}, None)
    assert rows_of(deployed_warehouse, ROWS) == [
        ("run-1", "failed", EXECUTION["arn"], "ABORTED"),
        ("shared", "failed", LATER["arn"], "TIMED_OUT"),
    ]


def test_only_an_error_that_the_state_machine_did_not_catch_is_still_to_be_notified(deployed_warehouse):
    for number, (status, error, notify) in enumerate(
        [
            ("FAILED", "LoadError", False),
            ("FAILED", "States.Timeout", False),
            ("FAILED", "States.DataLimitExceeded", True),
            ("FAILED", "States.Runtime", True),
            ("TIMED_OUT", None, True),
            ("ABORTED", "Stopped", True),
        ]
    ):
        execution = {**EXECUTION, "name": f"n{number}", "arn": f"arn:{number}"}
        assert end(execution, status, {}, error=error)["notify"] is notify, (status, error)


def test_a_failure_is_recorded_though_the_city_list_is_wrong(deployed_warehouse, monkeypatch):
    boto3.client("s3").put_object(Bucket="processed", Key="cities.csv", Body=b"not,a,city list\n")
    monkeypatch.setenv("CITIES_URI", "s3://processed/cities.csv")
    assert fail(error="InvalidInputError")["run_id"] == "run-1"
    assert end(LATER, event={"run_id": "listed"})["run_id"] == "listed"


def test_the_event_of_an_end_is_read_with_its_start_in_milliseconds_or_as_text():
    detail = {"name": "n", "executionArn": "arn", "status": "ABORTED", "startDate": 1_774_000_000_123}
    started = datetime.fromtimestamp(1_774_000_000.123, UTC)
    for given in (detail, {**detail, "startDate": started.isoformat()}, {**detail, "input": "[" * 100_000}):
        record = FailureRecord.from_status_change(given)
        assert (record.execution.started_at, record.event, record.run_id) == (started, None, "n")


def test_an_end_without_its_event_has_no_window_that_a_replay_could_run(deployed_warehouse):
    end(status="FAILED", error="States.DataLimitExceeded", input=None)
    columns = "source, window_start, window_end, cities, event"
    assert rows_of(deployed_warehouse, f"SELECT {columns} FROM pipeline_run") == [(None, None, None, 0, {})]


def test_the_texts_of_an_end_are_excerpts(deployed_warehouse):
    long = "\x1b" * 30_000
    ended = end(error=long, cause=long, event={"run_id": "long", long: long, "cities": [long] * 3})
    assert len(ended["error"].encode()) <= LENGTH
    ((event, error, cause),) = rows_of(deployed_warehouse, "SELECT event, error, cause FROM pipeline_run")
    assert len(error.encode()) <= LENGTH
    assert len(cause.encode()) <= MESSAGE_LENGTH
    assert (event["run_id"], len(event["cities"])) == ("long", 3)
    assert all(len(each.encode()) <= MESSAGE_LENGTH for each in [*event["cities"], *event])


@pytest.mark.parametrize("name", [record_execution_of, record_failure_of], ids=["end", "failure"])
def test_an_event_that_cannot_run_is_an_excerpt_if_it_is_longer_than_one_that_can(deployed_warehouse, name):
    nested = json.loads("[" * 900 + "]" * 900)
    for number, value in enumerate([[f"city-{n}" for n in range(20_000)], nested]):
        name({"run_id": f"long-{number}", "cities": value}, {**EXECUTION, "arn": f"arn:{number}"})
    rows = rows_of(deployed_warehouse, "SELECT event, run_id FROM pipeline_run ORDER BY run_id")
    assert [run_id for _, run_id in rows] == ["long-0", "long-1"]
    assert rows[0][0]["excerpt"].startswith("{'run_id': 'long-0', 'cities': ['city-0', ")
    assert all(len(event["excerpt"].encode()) <= MESSAGE_LENGTH for event, _ in rows)


@pytest.mark.parametrize(
    ("detail", "reason"),
    [
        (None, "execution: 'startDate' is missing"),
        ({"startDate": 1, "status": "ABORTED"}, "execution: 'name' is missing"),
        ({"startDate": 10**20, "status": "ABORTED", "name": "n", "executionArn": "a"}, "execution: "),
    ],
)
def test_a_wrong_event_of_an_end_is_rejected_with_its_reason(deployed_warehouse, detail, reason):
    with pytest.raises(InvalidInputError, match=reason):
        lambda_handler({"action": "record_execution", "detail": detail}, None)


def test_a_secret_that_is_to_be_deleted_is_named_and_not_retried(deployed_warehouse):
    boto3.client("secretsmanager").delete_secret(SecretId=os.environ["DATABASE_SECRET"])
    with pytest.raises(InvalidInputError, match="secret warehouse: InvalidRequestException: "):
        lambda_handler(LOAD, None)


def test_the_server_finds_out_within_two_minutes_that_a_function_was_killed(warehouse):
    with connect({"dsn": warehouse}) as connection, connection.cursor() as cursor:
        found = []
        for setting in ("tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count"):
            cursor.execute(f"SHOW {setting}")
            found.append(int(cursor.fetchone()[0]))
        cursor.execute("SHOW client_connection_check_interval")
        assert cursor.fetchone() == ("10s",)
    idle, interval, count = found
    assert idle + interval * count <= 120

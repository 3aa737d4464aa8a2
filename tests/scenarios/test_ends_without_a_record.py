"""Runs that end where their own state machine cannot record it, and faults of AWS that an emulator can have.

ministack does not end an execution after the TimeoutSeconds of its state machine, has no limit on a state's data and no
throttled account: for the first two, tests give the recorder the event that Step Functions would send.
"""

import json
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from pipeline import TODAY, YESTERDAY

from deployment import stack
from deployment.template import packaged_template
from operations import executions


def deliver(pipeline, **detail):
    """Give the recorder the event of an execution's end; how it ended."""
    event = {
        "detail-type": "Step Functions Execution Status Change",
        "source": "aws.states",
        "detail": {
            "startDate": int(datetime.now(UTC).timestamp() * 1000),
            "error": None,
            "cause": None,
            "input": json.dumps(YESTERDAY),
            **detail,
        },
    }
    started = pipeline.emulator.aws.client("stepfunctions").start_execution(
        stateMachineArn=pipeline.outputs["RecorderArn"], input=json.dumps(event)
    )
    return pipeline.how_it_ended(started["executionArn"])


def row_of(pipeline, run_id):
    (row,) = pipeline.rows("SELECT * FROM pipeline_run WHERE run_id = %s", run_id)
    return row


def test_an_aborted_run_has_a_row_with_its_window_and_is_notified_once_and_can_be_replayed(pipeline, notifications):
    pipeline.fault("slow", times=None, seconds=1)
    execution = pipeline.start(run_id="aborted", **YESTERDAY)
    pipeline.emulator.aws.client("stepfunctions").stop_execution(executionArn=execution)
    assert pipeline.record_of(execution) == ("SUCCEEDED", ["Record", "IsNotified", "NotifyFailure", "Recorded"])
    row = row_of(pipeline, "aborted")
    assert (row["status"], row["error"], row["execution_arn"]) == ("failed", "States.Aborted", execution)
    assert "was stopped" in row["cause"]
    assert (str(row["window_start"]), row["cities"]) == (YESTERDAY["start"], 3)
    (message,) = notifications(1)
    assert "Run aborted ended with status ABORTED: States.Aborted" in message
    assert execution in message
    pipeline.host.faults = []
    assert pipeline.run(**row["event"]).row["status"] == "succeeded"


@pytest.mark.parametrize(
    ("detail", "error", "cause"),
    [
        ({"status": "TIMED_OUT"}, "States.Timeout", "did not end within the TimeoutSeconds"),
        (
            {"status": "FAILED", "error": "States.DataLimitExceeded", "cause": "the state's output is too large"},
            "States.DataLimitExceeded",
            "the state's output is too large",
        ),
        ({"status": "FAILED", "error": "States.Runtime", "cause": "no such path"}, "States.Runtime", "no such path"),
    ],
    ids=lambda value: value.get("error", value["status"]) if isinstance(value, dict) else "",
)
def test_an_end_that_no_state_catches_is_recorded_once_and_notified_at_each_delivery_of_its_event(
    pipeline, notifications, detail, error, cause
):
    ended = {"name": "uncaught", "executionArn": "arn:aws:states:::execution:p:uncaught", **detail}
    # the first delivery may have been lost after its row was written
    for _ in range(2):
        assert deliver(pipeline, **ended) == ("SUCCEEDED", ["Record", "IsNotified", "NotifyFailure", "Recorded"])
    row = row_of(pipeline, "uncaught")
    assert (row["status"], row["error"]) == ("failed", error)
    assert cause in row["cause"]
    messages = notifications(2)
    assert len(messages) == 2
    for message in messages:
        assert f"Run uncaught ended with status {detail['status']}: {error}" in message


def test_an_end_whose_event_is_too_large_to_carry_its_input_is_recorded_under_the_executions_name(pipeline):
    detail = {"status": "FAILED", "error": "States.DataLimitExceeded", "input": None}
    deliver(pipeline, name="large", executionArn="arn:aws:states:::execution:p:large", **detail)
    row = row_of(pipeline, "large")
    assert (row["status"], row["error"]) == ("failed", "States.DataLimitExceeded")
    assert (row["window_start"], row["event"]) == (None, {})


def test_a_failure_that_the_run_recorded_is_not_recorded_or_notified_again(pipeline, notifications):
    ended = pipeline.run(variables=["rain_of_frogs"])
    assert pipeline.record_of(ended.row["execution_arn"]) == ("SUCCEEDED", ["Record", "IsNotified", "Recorded"])
    assert row_of(pipeline, ended.row["run_id"]) == ended.row
    assert len(notifications(1)) == 1


def test_a_run_that_fails_while_the_login_is_wrong_is_notified_and_recorded_once_it_is_right(pipeline, notifications):
    client = pipeline.emulator.aws.client
    secret = client("secretsmanager").list_secrets()["SecretList"][0]["ARN"]
    url = json.loads(client("secretsmanager").get_secret_value(SecretId=secret)["SecretString"])["url"]
    expired = url.replace(":", ":expired", 2).replace(":expired//", "://")
    try:
        stack.put_database_secret(client, expired)
        execution = pipeline.start(run_id="expired", **YESTERDAY)
        status, steps = pipeline.end(execution)
        (failure, *others) = [step.data for step in steps if step.kind == "failed"]
        assert (status, failure["error"]) == ("FAILED", "LoadError")
        assert "password authentication failed" in failure["cause"]
        assert "correct DATABASE_SECRET" in failure["cause"]
        # once by Model and once by RecordFailure: not retried
        assert [other["error"] for other in others] == ["LoadError"]
        first, second = notifications(2)
        assert "Run run-" in first
        assert "LoadError" in first
        assert "not in pipeline_run yet" in second
        assert "password authentication failed" in second
    finally:
        stack.put_database_secret(client, url)
    status, states = pipeline.record_of(execution)
    assert (status, states[-2:]) == ("SUCCEEDED", ["RecordLater", "Recorded"])
    row = row_of(pipeline, "expired")
    assert (row["status"], row["error"], row["execution_arn"]) == ("failed", "LoadError", execution)
    assert pipeline.run(**row["event"]).row["status"] == "succeeded"


def test_a_function_that_runs_out_of_time_is_called_once_more(pipeline):
    functions, name = pipeline.emulator.aws.client("lambda"), pipeline.outputs["ModelFunctionName"]
    timeout = functions.get_function_configuration(FunctionName=name)["Timeout"]
    functions.update_function_configuration(FunctionName=name, Timeout=5)
    try:
        with closing(pipeline.connect()) as lock:
            # the load waits where it writes the mart
            lock.cursor().execute("LOCK TABLE mart_daily_city_weather IN EXCLUSIVE MODE")
            execution = pipeline.start(**YESTERDAY)
            for step in executions.follow(pipeline.emulator, execution, 60):
                if step.kind == "failed":
                    lock.rollback()
        status, steps = pipeline.end(execution)
    finally:
        functions.update_function_configuration(FunctionName=name, Timeout=timeout)
    assert (status, [step.data["error"] for step in steps if step.kind == "failed"]) == (
        "SUCCEEDED",
        ["Sandbox.Timedout"],
    )
    assert len(pipeline.host.requests) == 1
    assert set(pipeline.observed_hours().values()) == {24}


def test_two_starts_of_one_name_are_one_execution(pipeline):
    client = pipeline.emulator.aws.client("stepfunctions")
    start = {"stateMachineArn": pipeline.outputs["PipelineArn"], "name": "once", "input": json.dumps(YESTERDAY)}
    execution = client.start_execution(**start)["executionArn"]
    assert pipeline.end(execution)[0] == "SUCCEEDED"
    with pytest.raises(client.exceptions.ExecutionAlreadyExists):
        client.start_execution(**start)
    assert row_of(pipeline, "once")["execution_arn"] == execution


@pytest.mark.parametrize(("name", "hours"), [("Schedule", 3 * 4 * 24), ("ArchiveSchedule", 3 * 7 * 24)])
def test_two_deliveries_of_one_schedule_are_one_run_and_the_second_requests_nothing(pipeline, name, hours):
    """Also if midnight is between them: the scheduled time is of a day before that of both starts."""
    text = packaged_template(lambda _: b"")[0]["Parameters"][f"{name}Input"]["Default"]
    event = json.loads(text.replace("<aws.scheduler.scheduled-time>", f"{TODAY - timedelta(days=1)}T23:59:00Z"))
    first = pipeline.run(**event)
    second = pipeline.run(**event)
    assert len(pipeline.host.requests) == 1
    assert (first.row["run_id"], second.row["run_id"]) == (event["run_id"], event["run_id"])
    assert first.row["event"]["run_date"] == str(TODAY - timedelta(days=1))
    assert second.row["event"] == first.row["event"]
    assert (second.row["status"], second.row["rows_loaded"], second.row["rows_unchanged"]) == ("succeeded", 0, hours)
    assert len(pipeline.rows("SELECT FROM pipeline_run")) == 1


def test_a_run_that_starts_while_the_last_one_goes_on_gives_the_tables_of_one_after_the_other(pipeline):
    pipeline.fault("slow", times=None, seconds=0.5)
    earlier = {"start": str(TODAY - timedelta(days=2)), "end": str(TODAY - timedelta(days=1))}
    started = [pipeline.start(run_id=name, **event) for name, event in (("last", earlier), ("next", YESTERDAY))]
    assert [pipeline.end(execution)[0] for execution in started] == ["SUCCEEDED"] * 2
    content = pipeline.content()
    pipeline.clear()
    for name in ("last", "next"):
        pipeline.run(run_id=name, **(earlier if name == "last" else YESTERDAY))
    assert pipeline.content() == content
    assert pipeline.observed_hours() == {"huye": 48, "kigali": 48, "musanze": 48}

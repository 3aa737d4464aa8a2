"""The state machines' definitions, which neither cfn-lint nor SAM checks."""

import json
import re
from pathlib import Path

import pytest
from samtranslator.yaml_helper import yaml_parse

from functions.core import errors
from functions.core.contracts import UNCAUGHT_ERRORS

ROOT = Path(__file__).parents[2]
RESOURCES = yaml_parse((ROOT / "template.yaml").read_text())["Resources"]
ASL = {
    name: (ROOT / RESOURCES[name]["Properties"]["DefinitionUri"]).read_text()
    for name in ("WeatherPipeline", "WeatherBackfill", "ExecutionRecorder")
}
MACHINE = json.loads(ASL["WeatherPipeline"])
BACKFILL = json.loads(ASL["WeatherBackfill"])
RECORDER = json.loads(ASL["ExecutionRecorder"])
# Errors and throttles of Lambda itself, and of the two other services that the states call.
LAMBDA_ERRORS = [
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.TooManyRequestsException",
]
# A function that ended without a result: out of memory, out of time, killed, or its result was lost.
ENDED_FUNCTION = ["Lambda.Unknown", "Sandbox.Timedout", "Runtime.ExitError", "Runtime.OutOfMemory", "States.Timeout"]
SERVICE_ERRORS = {
    *LAMBDA_ERRORS,
    *ENDED_FUNCTION,
    "SNS.InternalErrorException",
    "SNS.ThrottledException",
    "StepFunctions.ExecutionLimitExceededException",
    "StepFunctions.ThrottlingException",
    "StepFunctions.SdkClientException",
}


def machines(machine):
    """Yield the machine and those inside its Map states."""
    yield machine
    for state in machine["States"].values():
        if "ItemProcessor" in state:
            yield from machines(state["ItemProcessor"])


ALL = [*machines(MACHINE), *machines(BACKFILL), *machines(RECORDER)]
TASKS = [(name, state) for machine in ALL for name, state in machine["States"].items() if state["Type"] == "Task"]
ITEM = BACKFILL["States"]["RunItems"]["ItemProcessor"]["States"]


def followers(state):
    yield from (state[key] for key in ("Next", "Default") if key in state)
    yield from (choice["Next"] for choice in state.get("Choices", ()))
    yield from (catch["Next"] for catch in state.get("Catch", ()))


@pytest.mark.parametrize("machine", ALL, ids=lambda machine: machine["StartAt"])
def test_no_state_is_dangling_or_unreachable(machine):
    states = machine["States"]
    named = {machine["StartAt"], *(follower for state in states.values() for follower in followers(state))}
    assert named == set(states)
    for name, state in states.items():
        assert state.get("End") or state["Type"] in ("Fail", "Succeed") or list(followers(state)), name


@pytest.mark.parametrize(("name", "task"), TASKS)
def test_a_task_has_a_timeout_and_every_failure_is_caught(name, task):
    assert task["TimeoutSeconds"] > 0
    caught = [error for catch in task.get("Catch", ()) for error in catch["ErrorEquals"]]
    in_a_map = name not in MACHINE["States"] | BACKFILL["States"] | RECORDER["States"]
    # a redrive repeats the state that failed: a Fail state after a Catch would only fail again
    if name == "RecordLater":
        assert caught == []
        return
    assert in_a_map or caught == ["States.ALL"], "the Map catches for the tasks inside it"


@pytest.mark.parametrize(("machine", "name"), [(MACHINE, "Transform"), (BACKFILL, "RunItems")])
def test_the_map_catches_the_errors_of_its_tasks(machine, name):
    assert machine["States"][name]["Catch"][0]["ErrorEquals"] == ["States.ALL"]


@pytest.mark.parametrize(("name", "task"), TASKS)
def test_a_retry_names_existing_errors_and_has_a_capped_backoff_with_full_jitter(name, task):
    assert task["Retry"], name
    for retry in task["Retry"]:
        if task is RECORDER["States"]["RecordLater"]:
            continue
        assert retry["BackoffRate"] > 1
        assert retry["MaxDelaySeconds"] <= 60
        assert retry["JitterStrategy"] == "FULL"
        assert 0 < retry["MaxAttempts"] <= 6
        for error in retry["ErrorEquals"]:
            assert error in SERVICE_ERRORS or error == errors.TransientError.__name__, error


@pytest.mark.parametrize(
    ("name", "attempts"),
    [
        ("Ingest", 2),
        ("TransformPart", 1),
        ("Model", 1),
        ("DescribeAlerts", 1),
        ("RecordAlerts", 1),
        ("RecordFailure", 1),
        ("Record", 1),
        ("Plan", 1),
        ("RecordItem", 1),
        ("Finish", 1),
    ],
)
def test_a_function_that_ended_without_a_result_is_called_again_once_and_ingest_which_resumes_twice(name, attempts):
    (task,) = [task for each, task in TASKS if each == name]
    assert [each["MaxAttempts"] for each in task["Retry"] if each["ErrorEquals"] == ENDED_FUNCTION] == [attempts]


@pytest.mark.parametrize(("name", "task"), TASKS)
def test_a_throttled_account_is_waited_for_like_a_transient_error(name, task):
    if "FunctionArn" in task["Resource"] and name != "RecordLater":
        budgets = {tuple(each["ErrorEquals"]): (each["MaxAttempts"], each["MaxDelaySeconds"]) for each in task["Retry"]}
        # a failure is recorded later, so RecordFailure does not delay the notification for long
        budget = (3, 30) if name == "RecordFailure" else (6, 60)
        assert budgets[tuple(LAMBDA_ERRORS)] == budgets[(errors.TransientError.__name__,)] == budget


def test_errors_that_a_retry_repeats_are_in_no_retry():
    retried = {error for name, task in TASKS for retry in task["Retry"] for error in retry["ErrorEquals"]}
    for error in (errors.InvalidInputError, errors.UpstreamContractError, errors.LoadError):
        assert error.__name__ not in retried
    assert not retried & {"States.TaskFailed", "States.Permissions", *UNCAUGHT_ERRORS}


def test_an_execution_and_its_record_end_by_themselves():
    longest = sum(min(900 * 2**n, 3600) + 910 for n in range(73))
    assert (MACHINE["TimeoutSeconds"], RECORDER["TimeoutSeconds"]) == (26 * 3600, 96 * 3600)
    assert longest < RECORDER["TimeoutSeconds"]


def test_the_recorder_receives_every_end_of_the_pipeline_but_success():
    ended = RESOURCES["ExecutionRecorder"]["Properties"]["Events"]["Ended"]
    assert ended["Type"] == "EventBridgeRule"
    assert ended["Properties"]["Pattern"] == {
        "source": ["aws.states"],
        "detail-type": ["Step Functions Execution Status Change"],
        "detail": {"status": ["FAILED", "TIMED_OUT", "ABORTED"], "stateMachineArn": [{"Ref": "WeatherPipeline"}]},
    }
    # an input would be without the detail
    assert not {"Input", "InputPath"} & ended["Properties"].keys()


def test_the_recorder_notifies_of_what_the_pipeline_could_not_and_records_before_it_does():
    states = RECORDER["States"]
    assert RECORDER["StartAt"] == "Record"
    assert states["Record"]["Next"] == "IsNotified"
    assert states["IsNotified"]["Choices"] == [
        {"Variable": "$.notify", "BooleanEquals": True, "Next": "NotifyFailure"},
    ]
    assert states["IsNotified"]["Default"] == states["NotifyFailure"]["Next"] == "Recorded"


def test_an_end_that_cannot_be_recorded_is_notified_and_recorded_within_three_days_or_the_recorder_fails():
    states = RECORDER["States"]
    assert [*followers(states["Record"])] == ["IsNotified", "NotifyUnrecorded"]
    assert [*followers(states["NotifyUnrecorded"])] == ["RecordLater", "RecordLater"]
    (retry,) = states["RecordLater"]["Retry"]
    assert retry["ErrorEquals"] == ["States.ALL"]
    assert 71 * 3600 < sum(min(900 * 2**n, retry["MaxDelaySeconds"]) for n in range(retry["MaxAttempts"])) < 73 * 3600
    # without a Catch the execution fails in this state, which a redrive of it repeats
    assert [*followers(states["RecordLater"])] == ["Recorded"]


def test_no_state_of_the_recorder_adds_to_an_event_that_may_have_the_size_of_a_state():
    for name in ("Record", "RecordLater"):
        state = RECORDER["States"][name]
        assert "ResultPath" not in state
        assert all("ResultPath" not in catch for catch in state.get("Catch", ()))
        assert set(state["Parameters"]) == {"action", "detail.$"}


@pytest.mark.parametrize(("name", "task"), [each for each in TASKS if "sns:publish" in each[1]["Resource"]])
def test_a_message_is_without_the_event_which_alone_may_exceed_a_message(name, task):
    message = task["Parameters"]["Message.$"]
    assert "xecution" in message
    assert "$.event" not in message
    assert "$$.Execution.Input)" not in message


def test_every_failure_is_recorded_and_notified_before_the_machine_fails():
    states = MACHINE["States"]
    for name in ("Ingest", "Transform", "Model"):
        assert states[name]["Catch"][0]["Next"] == "RecordFailure"
    assert [*followers(states["RecordFailure"])] == ["NotifyFailure", "NotifyFailure"]
    assert [*followers(states["NotifyFailure"])] == ["Failed", "Failed"]


def test_alerts_are_sent_after_the_load_and_recorded_after_that_and_no_error_of_it_fails_the_run():
    states = MACHINE["States"]
    assert states["Model"]["Next"] == "HasAlerts"
    assert [*followers(states["HasAlerts"])] == ["Loaded", "DescribeAlerts"]
    assert [*followers(states["DescribeAlerts"])] == ["AreAlertsUnsent", "Loaded"]
    assert sorted(followers(states["AreAlertsUnsent"])) == ["Loaded", "NotifyAlerts"]
    assert [*followers(states["NotifyAlerts"])] == ["RecordAlerts", "Loaded"]
    assert [*followers(states["RecordAlerts"])] == ["Loaded", "Loaded"]
    assert states["Loaded"] == {"Type": "Succeed"}
    # an error replaces the notice, so that it is in the output and the result of the load is too
    for name in ("DescribeAlerts", "NotifyAlerts", "RecordAlerts"):
        assert states[name]["Catch"][0]["ResultPath"] == "$.notice"
        assert "OutputPath" not in states[name]


def test_every_failure_of_a_backfill_is_notified_before_it_fails():
    states = BACKFILL["States"]
    for name in ("Plan", "RunItems", "Finish"):
        assert states[name]["Catch"][0]["Next"] == "NotifyFailure"
    unloaded = {each["StringEquals"]: each["Next"] for each in states["IsEveryItemLoaded"]["Choices"]}
    assert unloaded == dict.fromkeys(("failed", "unfinished"), "DescribeFailedItems")
    assert states["DescribeFailedItems"]["Next"] == "NotifyFailure"
    assert [*followers(states["NotifyFailure"])] == ["Failed", "Failed"]


def test_the_machine_waits_for_a_closed_quota_window_and_calls_ingest_again():
    states = MACHINE["States"]
    assert states["IsQuotaOpen"]["Choices"][0]["StringEquals"] == "throttled"
    wait = states[states["IsQuotaOpen"]["Choices"][0]["Next"]]
    assert (wait["Type"], wait["SecondsPath"], wait["Next"]) == ("Wait", "$.ingest.wait_seconds", "Ingest")


def test_the_backfill_uses_nothing_that_an_emulator_ignores_or_rejects():
    """ministack ignores ItemBatcher and ResultWriter; LocalStack rejects EXPRESS, JSON lines, a batcher and 100."""
    items = BACKFILL["States"]["RunItems"]
    assert items["ItemProcessor"]["ProcessorConfig"] == {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
    assert items["ItemReader"]["ReaderConfig"] == {"InputType": "JSON"}
    assert not {"ItemBatcher", "ResultWriter", "QueryLanguage"} & items.keys()
    assert items["MaxConcurrencyPath"] == "$.plan.parallel"
    assert '"ToleratedFailurePercentage": 100.0,' in ASL["WeatherBackfill"]


def test_an_item_that_fails_is_recorded_and_ends_no_other():
    items = BACKFILL["States"]["RunItems"]
    assert items["ToleratedFailurePercentage"] == 100
    assert ITEM["RunItem"]["Catch"] == [
        {"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "RecordItem"},
    ]
    assert ITEM["RunItem"]["Next"] == "RecordItem"
    # each item has both, so that RecordItem can read both
    assert [items["ItemSelector"][name] for name in ("run", "error")] == [None, None]


def test_an_item_is_a_run_of_its_own_id_and_each_attempt_an_execution_of_its_own_name():
    run = ITEM["RunItem"]
    assert run["Resource"] == "arn:aws:states:::states:startExecution.sync:2"
    assert run["Parameters"] == {
        "StateMachineArn": "${PipelineArn}",
        "Name.$": "States.Format('{}-{}', $.event.run_id, $.attempt)",
        "Input.$": "$.event",
    }
    assert run["TimeoutSeconds"] > MACHINE["TimeoutSeconds"]


def test_what_the_map_keeps_of_an_item_is_the_number_that_its_last_state_returns():
    record = ITEM["RecordItem"]
    assert record["End"] is True
    assert not {"ResultPath", "OutputPath", "ResultSelector"} & record.keys()


@pytest.mark.parametrize("name", ASL)
def test_template_and_definition_have_the_same_substitutions(name):
    given = RESOURCES[name]["Properties"]["DefinitionSubstitutions"]
    assert set(re.findall(r"\$\{(\w+)\}", ASL[name])) == set(given)


def test_a_state_has_a_longer_timeout_than_its_function():
    for name, task in TASKS:
        if "FunctionArn" in task["Resource"]:
            function = task["Resource"].strip("${}").removesuffix("Arn")
            assert task["TimeoutSeconds"] > RESOURCES[function]["Properties"]["Timeout"], name


def test_the_events_for_sam_have_the_keys_that_the_state_machine_passes():
    transform, model = (json.loads((ROOT / "events" / f"{name}.json").read_text()) for name in ("transform", "model"))
    passed = MACHINE["States"]["Model"]["Parameters"]
    assert model.keys() == {key.removesuffix(".$") for key in passed}
    assert (model["action"], model["has_quality"]) == (passed["action"], passed["has_quality"])
    assert transform.keys() == {key.removesuffix(".$") for key in MACHINE["States"]["Transform"]["ItemSelector"]}

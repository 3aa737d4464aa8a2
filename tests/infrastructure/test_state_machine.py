"""The state machines' definitions, which neither cfn-lint nor SAM checks."""

import json
import re
from pathlib import Path

import pytest
from samtranslator.yaml_helper import yaml_parse

from functions.core import errors

ROOT = Path(__file__).parents[2]
RESOURCES = yaml_parse((ROOT / "template.yaml").read_text())["Resources"]
ASL = {
    name: (ROOT / RESOURCES[name]["Properties"]["DefinitionUri"]).read_text()
    for name in ("WeatherPipeline", "WeatherBackfill")
}
MACHINE = json.loads(ASL["WeatherPipeline"])
BACKFILL = json.loads(ASL["WeatherBackfill"])
SERVICE_ERRORS = {
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.TooManyRequestsException",
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


ALL = [*machines(MACHINE), *machines(BACKFILL)]
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
    in_a_map = name not in MACHINE["States"] | BACKFILL["States"]
    assert in_a_map or caught == ["States.ALL"], "the Map catches for the tasks inside it"


@pytest.mark.parametrize(("machine", "name"), [(MACHINE, "Transform"), (BACKFILL, "RunItems")])
def test_the_map_catches_the_errors_of_its_tasks(machine, name):
    assert machine["States"][name]["Catch"][0]["ErrorEquals"] == ["States.ALL"]


@pytest.mark.parametrize(("name", "task"), TASKS)
def test_a_retry_names_existing_errors_and_has_a_capped_backoff_with_full_jitter(name, task):
    assert task["Retry"], name
    for retry in task["Retry"]:
        assert retry["BackoffRate"] > 1
        assert retry["MaxDelaySeconds"] <= 60
        assert retry["JitterStrategy"] == "FULL"
        assert 0 < retry["MaxAttempts"] <= 6
        for error in retry["ErrorEquals"]:
            assert error in SERVICE_ERRORS or error == errors.TransientError.__name__, error


def test_every_failure_is_recorded_and_notified_before_the_machine_fails():
    states = MACHINE["States"]
    for name in ("Ingest", "Transform", "Model"):
        assert states[name]["Catch"][0]["Next"] == "RecordFailure"
    assert [*followers(states["RecordFailure"])] == ["NotifyFailure", "NotifyFailure"]
    assert [*followers(states["NotifyFailure"])] == ["Failed", "Failed"]


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

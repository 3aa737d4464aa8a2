"""The state machine's definition, which neither cfn-lint nor SAM checks."""

import json
import re
from pathlib import Path

import pytest

from functions.core import errors

ROOT = Path(__file__).parents[2]
ASL = (ROOT / "statemachine" / "weather_pipeline.asl.json").read_text()
MACHINE = json.loads(ASL)
SERVICE_ERRORS = {
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.TooManyRequestsException",
    "SNS.InternalErrorException",
    "SNS.ThrottledException",
}


def machines(machine=MACHINE):
    """Yield the machine and those inside its Map states."""
    yield machine
    for state in machine["States"].values():
        if "ItemProcessor" in state:
            yield from machines(state["ItemProcessor"])


STATES = [(name, state) for machine in machines() for name, state in machine["States"].items()]
TASKS = [(name, state) for name, state in STATES if state["Type"] == "Task"]


def followers(state):
    yield from (state[key] for key in ("Next", "Default") if key in state)
    yield from (choice["Next"] for choice in state.get("Choices", ()))
    yield from (catch["Next"] for catch in state.get("Catch", ()))


@pytest.mark.parametrize("machine", list(machines()), ids=lambda machine: machine["StartAt"])
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
    in_a_map = name not in MACHINE["States"]
    assert in_a_map or caught == ["States.ALL"], "the Map catches for the tasks inside it"


def test_the_map_catches_the_errors_of_its_tasks():
    assert MACHINE["States"]["Transform"]["Catch"][0]["ErrorEquals"] == ["States.ALL"]


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


def test_the_machine_waits_for_a_closed_quota_window_and_calls_ingest_again():
    states = MACHINE["States"]
    assert states["IsQuotaOpen"]["Choices"][0]["StringEquals"] == "throttled"
    wait = states[states["IsQuotaOpen"]["Choices"][0]["Next"]]
    assert (wait["Type"], wait["SecondsPath"], wait["Next"]) == ("Wait", "$.ingest.wait_seconds", "Ingest")


def test_template_and_definition_have_the_same_substitutions():
    from samtranslator.yaml_helper import yaml_parse

    template = yaml_parse((ROOT / "template.yaml").read_text())
    given = template["Resources"]["WeatherPipeline"]["Properties"]["DefinitionSubstitutions"]
    assert set(re.findall(r"\$\{(\w+)\}", ASL)) == set(given)


def test_a_state_has_a_longer_timeout_than_its_function():
    from samtranslator.yaml_helper import yaml_parse

    resources = yaml_parse((ROOT / "template.yaml").read_text())["Resources"]
    for name, task in TASKS:
        if "FunctionArn" in task["Resource"]:
            function = task["Resource"].strip("${}").removesuffix("Arn")
            assert task["TimeoutSeconds"] > resources[function]["Properties"]["Timeout"], name

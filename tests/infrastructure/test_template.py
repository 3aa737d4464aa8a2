"""Template and code agree: functions, environment, packages, and what each resource of the stack must have."""

import ast
import importlib
import json
import re
import tomllib
from datetime import UTC, datetime

import pytest
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from template_and_code import FUNCTIONS, NAMESPACE, RESOURCES, ROOT, TEMPLATE, source, used

from deployment.template import packaged_template
from functions.core.cities import load_cities
from functions.core.contracts import LoadTask, TransformTask
from functions.core.run import Run
from functions.core.storage import raw_key

# The functions of a run; Prepare runs after a deployment.
STEPS = ("ingest", "transform", "model")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_functions_handler_exists_and_imports_without_any_environment(function):
    module, name = FUNCTIONS[function]["Handler"].rsplit(".", 1)
    assert callable(getattr(importlib.import_module(module), name))


def environment_names(text):
    return {node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant) and _is_name(node.value)}


def _is_name(value):
    return isinstance(value, str) and bool(re.fullmatch(r"[A-Z]+(_[A-Z]+)+", value))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_functions_environment_has_exactly_the_variables_that_its_code_reads(function):
    given = set(FUNCTIONS[function]["Environment"]["Variables"])
    read = environment_names(source(function)).union(*map(environment_names, used(function).values()))
    # DATABASE_URL is for use without Secrets Manager
    assert given == read - {"DATABASE_URL"}


def test_each_stack_has_a_metrics_namespace_of_its_own():
    assert TEMPLATE["Globals"]["Function"]["Environment"]["Variables"] == {
        "POWERTOOLS_METRICS_NAMESPACE": NAMESPACE,
        "POWERTOOLS_LOG_LEVEL": "INFO",
        "AWS_ENDPOINT_URL": {"Fn::If": ["HasEndpoint", {"Ref": "AwsEndpointUrl"}, {"Ref": "AWS::NoValue"}]},
    }


def test_the_functions_accept_the_example_events_of_sam_local_invoke():
    events = {name: json.loads((ROOT / "events" / f"{name}.json").read_text()) for name in STEPS}
    run = Run.from_event(events["ingest"], tuple(load_cities()), run_id="x", started_at=datetime.now(UTC))
    task, load = TransformTask.from_json(events["transform"]), LoadTask.from_json(events["model"])
    assert run == task.run == load.ingest.run
    assert task.raw_key == raw_key(run, 0) == load.parts[0].raw_key


def test_the_log_group_of_every_function_has_a_retention():
    for function in FUNCTIONS.values():
        group = RESOURCES[function["LoggingConfig"]["LogGroup"]["Ref"]]
        assert group["Properties"]["RetentionInDays"] == {"Ref": "LogRetentionDays"}


def test_buckets_are_private_encrypted_versioned_and_have_a_lifecycle():
    buckets = [each for each in RESOURCES.values() if each["Type"] == "AWS::S3::Bucket"]
    assert len(buckets) == 2
    for bucket in buckets:
        assert set(bucket["Properties"]["PublicAccessBlockConfiguration"].values()) == {True}
        assert bucket["Properties"]["BucketEncryption"]
        assert bucket["Properties"]["VersioningConfiguration"] == {"Status": "Enabled"}
        assert bucket["Properties"]["LifecycleConfiguration"]["Rules"]


def test_no_resource_name_conflicts_with_a_second_stack(monkeypatch):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    template, _ = packaged_template(lambda _: b"")
    made = Translator({}, Parser()).translate(template, {})["Resources"]
    kinds = (
        "",
        "Function",
        "Role",
        "Bucket",
        "Queue",
        "Topic",
        "Alarm",
        "StateMachine",
        "Dashboard",
        "LogGroup",
        "Schedule",
    )
    for name, resource in made.items():
        for key in (f"{kind}Name" for kind in kinds):
            value = resource.get("Properties", {}).get(key)
            assert value is None or "${AWS::StackName}" in str(value), (name, key, value)
    assert [name for name, each in made.items() if each["Type"] == "AWS::Scheduler::Schedule"]


def test_both_stages_of_samconfig_name_parameters_that_exist():
    config = tomllib.loads((ROOT / "samconfig.toml").read_text(encoding="utf-8"))
    for stage in ("default", "prod"):
        given = dict(pair.split("=") for pair in config[stage]["deploy"]["parameters"]["parameter_overrides"].split())
        for name, value in given.items():
            allowed = TEMPLATE["Parameters"][name].get("AllowedValues")
            assert allowed is None or value in map(str, allowed)


SCHEDULES = (("Schedule", "Daily", "daily"), ("ArchiveSchedule", "Archive", "archive"))


@pytest.mark.parametrize(("parameter", "_", "name"), SCHEDULES)
def test_id_and_day_of_a_schedules_run_are_its_time_so_that_two_deliveries_are_one_run(parameter, _, name):
    text = TEMPLATE["Parameters"][f"{parameter}Input"]["Default"]
    event = json.loads(text.replace("<aws.scheduler.scheduled-time>", "2026-11-25T23:30:00Z"))
    first, second = (
        Run.from_event(event, tuple(load_cities()), run_id=execution, started_at=datetime.fromisoformat(started))
        for execution, started in (("first", "2026-11-25T23:30:01Z"), ("second", "2026-11-26T00:20:00Z"))
    )
    assert first == second
    assert (first.run_id, str(first.run_date)) == (f"{name}-2026-11-25T23:30:00Z", "2026-11-25")


@pytest.mark.parametrize(("parameter", "schedule", "_"), SCHEDULES)
def test_a_stack_that_was_made_with_an_earlier_input_gets_the_present_one_with_an_update(parameter, schedule, _):
    """CloudFormation keeps the value of a parameter that an update does not name."""
    properties = TEMPLATE["Resources"]["WeatherPipeline"]["Properties"]["Events"][schedule]["Properties"]
    condition, present, otherwise = properties["Input"]["Fn::If"]
    default = TEMPLATE["Parameters"][f"{parameter}Input"]["Default"]
    assert (present, otherwise) == (default, {"Ref": f"{parameter}Input"})
    given, earlier = TEMPLATE["Conditions"][condition]["Fn::Equals"]
    assert given == {"Ref": f"{parameter}Input"}
    assert {**json.loads(earlier), "run_date": "<aws.scheduler.scheduled-time>"} == json.loads(default)

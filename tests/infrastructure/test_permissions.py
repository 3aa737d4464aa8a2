"""Least privilege: each role is allowed exactly what its code calls, on the resources that it calls it for."""

import re
from datetime import UTC, datetime

import pytest
from template_and_code import FUNCTIONS, RESOURCES, ROOT, used

from functions.core.run import Run
from functions.core.storage import (
    backfill_prefix,
    coverage_key,
    processed_key,
    quality_key,
    quota_key,
    raw_key,
    rejected_key,
    unreadable_key,
)

# The S3 and Secrets Manager calls of storage.py, and the permission of each.
ACTIONS = {
    "get_object": "s3:GetObject",
    "head_object": "s3:GetObject",
    "put_object": "s3:PutObject",
    "list_objects_v2": "s3:ListBucket",
    "get_secret_value": "secretsmanager:GetSecretValue",
}
# Actions of Lambda itself in a function's role: https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html.
LAMBDAS_OWN = ("logs:", "xray:", "ec2:")


def statements(function):
    """Yield the statements of a function's role; for a conditional statement, the one where the condition is true."""
    role = RESOURCES[FUNCTIONS[function]["Role"]["Fn::GetAtt"][0]]["Properties"]
    assert "ManagedPolicyArns" not in role
    (policy,) = role["Policies"]
    for statement in policy["PolicyDocument"]["Statement"]:
        yield statement["Fn::If"][1] if "Fn::If" in statement else statement


def actions(statement):
    named = statement["Action"]
    return {named} if isinstance(named, str) else set(named)


def test_every_aws_call_of_the_core_has_its_permission_listed_here():
    text = (ROOT / "functions" / "core" / "storage.py").read_text(encoding="utf-8")
    called = set(re.findall(r"_client\([^)]*\)\s*\.(\w+)\(", text)) - {"get_paginator"}
    called |= set(re.findall(r'get_paginator\("(\w+)"\)', text))
    assert called == set(ACTIONS)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_is_allowed_exactly_what_it_calls(function):
    allowed = {action for statement in statements(function) for action in actions(statement)}
    called = {
        action
        for body in used(function).values()
        for call, action in ACTIONS.items()
        if re.search(rf"\b{call}\b", body)
    }
    assert {action for action in allowed if not action.startswith(LAMBDAS_OWN)} == called
    assert ("ec2:CreateNetworkInterface" in allowed) == ("VpcConfig" in FUNCTIONS[function])


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_role_names_its_actions_and_the_resources_of_each_that_has_any(function):
    unnamed = {"xray:PutTraceSegments", "xray:PutTelemetryRecords"}
    unnamed |= {"ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets"}
    for statement in statements(function):
        assert statement["Resource"] != "*" or actions(statement) <= unnamed, statement["Sid"]
        assert not any("*" in action for action in actions(statement)), statement["Sid"]


def test_the_roles_allow_the_prefixes_of_the_object_keys_and_the_log_group_of_the_function():
    run = Run.from_event({}, ["kigali"], run_id="r", started_at=datetime.now(UTC))
    key = raw_key(run, 0)
    for function, action, keys in (
        ("ingest", "s3:PutObject", [key, unreadable_key(run, b""), quota_key()]),
        ("ingest", "s3:GetObject", [key, quota_key()]),
        ("backfill", "s3:PutObject", [backfill_prefix()]),
        ("backfill", "s3:GetObject", [backfill_prefix()]),
        ("transform", "s3:GetObject", [key]),
        ("transform", "s3:PutObject", [processed_key(key), coverage_key(key), quality_key(key), rejected_key(key)]),
        ("model", "s3:GetObject", [processed_key(key), coverage_key(key), quality_key(key)]),
    ):
        (statement,) = [
            each for each in statements(function) if action in actions(each) and each["Sid"] != "ReadCities"
        ]
        resources = statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
        bucket = "ProcessedBucket" if keys[0].startswith(("processed/", "rejected/")) else "RawBucket"
        assert {each["Fn::Sub"] for each in resources} == {
            f"${{{bucket}.Arn}}/{each.split('/')[0]}/*" for each in keys
        }, function
    for function, group in (
        (name, properties["LoggingConfig"]["LogGroup"]["Ref"]) for name, properties in FUNCTIONS.items()
    ):
        (statement,) = [each for each in statements(function) if "logs:PutLogEvents" in actions(each)]
        assert statement["Resource"] == {"Fn::GetAtt": [group, "Arn"]}


# Rights with which a role could give itself others: to change policies, code, or who assumes what.
_ESCALATES = re.compile(
    r"(iam|sts|organizations|kms|cloudformation|ssm|secretsmanager:(?!GetSecretValue$)|"
    r"lambda:(?!InvokeFunction$)|states:(?!StartExecution$|DescribeExecution$|StopExecution$)|"
    r"s3:(Put|Delete)\w*(Policy|Acl|Public)|s3:DeleteObject|sns:(?!Publish$))"
)


def test_no_role_can_change_rights_code_or_who_assumes_it():
    roles = {name: each["Properties"] for name, each in RESOURCES.items() if each["Type"] == "AWS::IAM::Role"}
    assert len(roles) >= len(FUNCTIONS)
    for name, role in roles.items():
        for trusted in role["AssumeRolePolicyDocument"]["Statement"]:
            assert set(trusted["Principal"]) == {"Service"}, name
            assert actions(trusted) == {"sts:AssumeRole"}, name
    machines = [each["Properties"] for each in RESOURCES.values() if each["Type"] == "AWS::Serverless::StateMachine"]
    assert machines
    for owner in [*roles.values(), *machines]:
        for policy in owner.get("Policies", ()):
            for statement in policy.get("PolicyDocument", policy)["Statement"]:
                granted = statement["Fn::If"][1] if "Fn::If" in statement else statement
                assert granted["Effect"] == "Allow"
                assert "NotAction" not in granted
                assert "NotResource" not in granted
                assert not [action for action in actions(granted) if _ESCALATES.match(action)], granted


@pytest.mark.parametrize("name", ["WeatherPipeline", "ExecutionRecorder"])
def test_a_state_machine_is_allowed_exactly_what_its_states_call(name):
    machine = RESOURCES[name]["Properties"]
    definition = (ROOT / machine["DefinitionUri"]).read_text(encoding="utf-8")
    called = {
        name: value for name, value in machine["DefinitionSubstitutions"].items() if f'"${{{name}}}"' in definition
    }
    invoked, *notified, traced = machine["Policies"][0]["Statement"]
    assert invoked["Action"] == "lambda:InvokeFunction"
    assert {each["Action"] for each in notified} == {"sns:Publish"}
    functions = invoked["Resource"] if isinstance(invoked["Resource"], list) else [invoked["Resource"]]
    assert [*functions, *(each["Resource"] for each in notified)] == list(called.values())
    assert traced["Fn::If"][0] == "IsTraced"
    assert all(action.startswith("xray:") for action in traced["Fn::If"][1]["Action"])


def test_the_backfill_is_allowed_exactly_what_its_states_call():
    arn = "arn:${AWS::Partition}:states:${AWS::Region}:${AWS::AccountId}"
    rule = "arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}:rule"
    machine = RESOURCES["WeatherBackfill"]["Properties"]
    *granted, traced = machine["Policies"][0]["Statement"]
    assert {tuple(sorted(actions(each))): each["Resource"] for each in granted} == {
        ("lambda:InvokeFunction",): machine["DefinitionSubstitutions"]["BackfillFunctionArn"],
        ("sns:Publish",): machine["DefinitionSubstitutions"]["FailureTopicArn"],
        ("s3:GetObject",): {"Fn::Sub": f"${{RawBucket.Arn}}/{backfill_prefix()}*"},
        ("states:StartExecution",): [
            machine["DefinitionSubstitutions"]["PipelineArn"],
            {"Fn::Sub": f"{arn}:stateMachine:{machine['Name']['Fn::Sub']}"},
        ],
        ("states:DescribeExecution", "states:StopExecution"): [
            {"Fn::Sub": f"{arn}:execution:${{WeatherPipeline.Name}}:*"},
            {"Fn::Sub": f"{arn}:execution:{machine['Name']['Fn::Sub']}:*"},
            {"Fn::Sub": f"{arn}:execution:{machine['Name']['Fn::Sub']}/*:*"},
        ],
        ("events:DescribeRule", "events:PutRule", "events:PutTargets"): {
            "Fn::Sub": f"{rule}/StepFunctionsGetEventsForStepFunctionsExecutionRule"
        },
    }
    assert traced["Fn::If"][0] == "IsTraced"


def test_the_functions_that_read_the_city_list_may_read_that_object_and_so_may_the_network():
    address = {
        "Fn::Sub": [
            "arn:${AWS::Partition}:s3:::${Object}",
            {"Object": {"Fn::Join": ["", {"Fn::Split": ["s3://", {"Ref": "CitiesUri"}]}]}},
        ]
    }
    for function, properties in FUNCTIONS.items():
        read = [each for each in statements(function) if each["Sid"] == "ReadCities"]
        assert bool(read) == ("CITIES_URI" in properties["Environment"]["Variables"]), function
        assert all(each["Resource"] == address for each in read)
    endpoint = RESOURCES["StorageEndpoint"]["Properties"]["PolicyDocument"]["Statement"]
    assert [each["Fn::If"][1]["Resource"] for each in endpoint if "Fn::If" in each] == [address]

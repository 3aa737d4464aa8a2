"""Template and code agree: every name in one exists in the other."""

import ast
import importlib
import json
import re
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

from deployment.template import packaged_template
from functions.core import storage
from functions.core.cities import load_cities
from functions.core.contracts import LoadTask, TransformTask
from functions.core.run import Run
from functions.core.storage import processed_key, raw_key, rejected_key, unreadable_key
from functions.model.database import connection_parameters

ROOT = Path(__file__).parents[2]
TEMPLATE = yaml_parse((ROOT / "template.yaml").read_text(encoding="utf-8"))
RESOURCES = TEMPLATE["Resources"]
FUNCTIONS = {
    name.removesuffix("Function").lower(): resource["Properties"]
    for name, resource in RESOURCES.items()
    if resource["Type"] == "AWS::Serverless::Function"
}
# The functions of a run; Prepare runs after a deployment.
STEPS = ("ingest", "transform", "model")
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


def modules(function):
    """Return the text of the handler's module and of its direct and indirect imports, without the core."""
    waiting = [FUNCTIONS[function]["Handler"].rsplit(".", 1)[0]]
    found = {}
    while waiting:
        name = waiting.pop()
        path = ROOT.joinpath(*name.split(".")).with_suffix(".py")
        if name in found or name.startswith("functions.core") or not path.is_file():
            continue
        found[name] = path.read_text(encoding="utf-8")
        imports = [node for node in ast.walk(ast.parse(found[name])) if isinstance(node, ast.ImportFrom)]
        waiting += [node.module for node in imports if node.module.startswith("functions.")]
    return found


def source(function):
    return "\n".join(modules(function).values())


def environment_names(text):
    return {node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant) and _is_name(node.value)}


def _is_name(value):
    return isinstance(value, str) and bool(re.fullmatch(r"[A-Z]+(_[A-Z]+)+", value))


def core_definitions():
    """Return the source of each core function, and of each method by ``Class.method``."""
    found = {}
    for path in (ROOT / "functions" / "core").glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in tree.body:
            if isinstance(node, ast.FunctionDef):
                found[node.name] = ast.unparse(node)
            elif isinstance(node, ast.ClassDef):
                methods = [each for each in node.body if isinstance(each, ast.FunctionDef)]
                found |= {f"{node.name}.{method.name}": ast.unparse(method) for method in methods}
    return found


def used(function):
    """Yield the core definitions that a function's code uses; of a store's methods, those that it calls."""
    text = source(function)
    for name, body in core_definitions().items():
        owner, _, method = name.rpartition(".")
        if re.search(rf"\b{re.escape(name)}\b", text) or (
            owner in ("RawStore", "ProcessedStore") and owner in text and re.search(rf"\.{method}\b", text)
        ):
            yield name, body


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_handler_exists_and_imports_without_any_environment(function):
    module, name = FUNCTIONS[function]["Handler"].rsplit(".", 1)
    assert callable(getattr(importlib.import_module(module), name))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_has_exactly_the_variables_it_reads(function):
    given = set(FUNCTIONS[function]["Environment"]["Variables"])
    read = environment_names(source(function)).union(*(environment_names(body) for _, body in used(function)))
    # DATABASE_URL is for use without Secrets Manager
    assert given == read - {"DATABASE_URL"}


def test_the_functions_accept_the_events_of_sam_local_invoke():
    events = {name: json.loads((ROOT / "events" / f"{name}.json").read_text()) for name in STEPS}
    run = Run.from_event(events["ingest"], tuple(load_cities()), run_id="x", started_at=datetime.now(UTC))
    task, load = TransformTask.from_json(events["transform"]), LoadTask.from_json(events["model"])
    assert run == task.run == load.ingest.run
    assert task.raw_key == raw_key(run, 0) == load.parts[0].raw_key


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


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_is_allowed_exactly_what_it_calls(function):
    allowed = {action for statement in statements(function) for action in actions(statement)}
    called = {
        action for _, body in used(function) for call, action in ACTIONS.items() if re.search(rf"\b{call}\b", body)
    }
    assert {action for action in allowed if not action.startswith(LAMBDAS_OWN)} == called
    assert ("ec2:CreateNetworkInterface" in allowed) == ("VpcConfig" in FUNCTIONS[function])


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_role_names_its_resources_where_the_action_has_any(function):
    unnamed = {"xray:PutTraceSegments", "xray:PutTelemetryRecords"}
    unnamed |= {"ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets"}
    for statement in statements(function):
        assert statement["Resource"] != "*" or actions(statement) <= unnamed, statement["Sid"]
        assert not any("*" in action for action in actions(statement)), statement["Sid"]


def test_the_databases_resources_exist_only_when_the_stack_makes_a_database():
    kinds = ("AWS::EC2::", "AWS::RDS::", "AWS::SecretsManager::")
    for name, resource in RESOURCES.items():
        if resource["Type"].startswith(kinds) or name.startswith("Prepare"):
            assert resource["Condition"] == "MakesDatabase", name


def test_the_database_is_private_encrypted_protected_and_rds_manages_the_owners_password():
    database = RESOURCES["Database"]
    properties = database["Properties"]
    assert (properties["PubliclyAccessible"], properties["StorageEncrypted"]) == (False, True)
    assert (properties["ManageMasterUserPassword"], "MasterUserPassword" in properties) == (True, False)
    assert (properties["DeletionProtection"], database["DeletionPolicy"]) == (True, "Snapshot")
    assert database["UpdateReplacePolicy"] == "Snapshot"
    assert int(properties["EngineVersion"]) >= 15
    assert not [each for each in RESOURCES.values() if each["Type"] == "AWS::EC2::InternetGateway"]


def test_the_functions_can_connect_with_the_secrets_that_the_stack_makes(monkeypatch):
    for name, role in (("LoaderSecret", "ikirere_loader"), ("ReaderSecret", "metabase_reader")):
        made = RESOURCES[name]["Properties"]["GenerateSecretString"]
        written = re.sub(r"\$\{Database\.Endpoint\.(\w+)\}", r"\1", made["SecretStringTemplate"]["Fn::Sub"])
        secret = json.loads(written.replace("Port", "5432")) | {made["GenerateStringKey"]: "secret"}
        monkeypatch.setattr(storage, "secret", lambda _, secret=secret: secret)
        parameters = connection_parameters({"DATABASE_SECRET": name})
        assert (parameters["host"], parameters["port"], parameters["user"]) == ("Address", 5432, role)
        assert parameters["sslmode"] == "require"


def test_buckets_are_private_encrypted_versioned_and_have_a_lifecycle():
    buckets = [each for each in RESOURCES.values() if each["Type"] == "AWS::S3::Bucket"]
    assert len(buckets) == 2
    for bucket in buckets:
        assert set(bucket["Properties"]["PublicAccessBlockConfiguration"].values()) == {True}
        assert bucket["Properties"]["BucketEncryption"]
        assert bucket["Properties"]["VersioningConfiguration"] == {"Status": "Enabled"}
        assert bucket["Properties"]["LifecycleConfiguration"]["Rules"]


def test_every_functions_log_group_has_a_retention():
    for function in FUNCTIONS.values():
        group = RESOURCES[function["LoggingConfig"]["LogGroup"]["Ref"]]
        assert group["Properties"]["RetentionInDays"] == {"Ref": "LogRetentionDays"}


def counted(function):
    """Return the metrics that a function's handler counts."""
    tree = ast.parse((ROOT / "functions" / function / "handler.py").read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return {
        word.arg
        for call in calls
        if isinstance(call.func, ast.Attribute) and call.func.attr == "count"
        for word in call.keywords
    }


ALARMS = {name: each["Properties"] for name, each in RESOURCES.items() if each["Type"] == "AWS::CloudWatch::Alarm"}
NAMESPACE = {"Ref": "AWS::StackName"}


def test_each_stack_has_its_own_metrics_namespace():
    assert TEMPLATE["Globals"]["Function"]["Environment"]["Variables"] == {
        "POWERTOOLS_METRICS_NAMESPACE": NAMESPACE,
        "POWERTOOLS_LOG_LEVEL": "INFO",
        "AWS_ENDPOINT_URL": {"Fn::If": ["HasEndpoint", {"Ref": "AwsEndpointUrl"}, {"Ref": "AWS::NoValue"}]},
    }


def test_alarms_watch_metrics_that_the_functions_count_and_notify_the_topic():
    watched = {
        (alarm["Dimensions"][0]["Value"], alarm["MetricName"])
        for alarm in ALARMS.values()
        if alarm["Namespace"] == NAMESPACE
    }
    assert watched == {("transform", "rows_rejected"), ("ingest", "wait_seconds")}
    for alarm in ALARMS.values():
        assert alarm["AlarmActions"] == [{"Ref": "FailureTopic"}]
        if alarm["Namespace"] == NAMESPACE:
            (dimension,) = alarm["Dimensions"]
            assert (dimension["Name"], alarm["Statistic"]) == ("service", "Sum")
            assert alarm["MetricName"] in counted(dimension["Value"])


def test_each_alarm_has_its_condition():
    """The metric, the threshold, the period, and whether missing data is a breach."""
    conditions = {
        name: (
            alarm["MetricName"],
            alarm["ComparisonOperator"],
            alarm["Threshold"],
            alarm["Period"] * alarm["EvaluationPeriods"],
            alarm["TreatMissingData"],
        )
        for name, alarm in ALARMS.items()
    }
    above, below = "GreaterThanThreshold", "LessThanThreshold"
    assert conditions == {
        "FailedRunAlarm": ("ExecutionsFailed", above, 0, 300, "notBreaching"),
        "NoSuccessfulRunAlarm": ("ExecutionsSucceeded", below, 1, 26 * 3600, "breaching"),
        "RejectedRowsAlarm": ("rows_rejected", above, {"Ref": "RejectedRowsThreshold"}, 86400, "notBreaching"),
        "ThrottledAlarm": ("wait_seconds", above, {"Ref": "WaitSecondsThreshold"}, 86400, "notBreaching"),
        "UnstartedRunsAlarm": ("ApproximateNumberOfMessagesVisible", above, 0, 300, "notBreaching"),
        "DatabaseStorageAlarm": ("FreeStorageSpace", below, 2_000_000_000, 900, "notBreaching"),
    }


def test_a_run_that_ends_without_recording_itself_is_notified():
    rule = RESOURCES["UnrecordedFailureRule"]["Properties"]
    assert rule["EventPattern"]["detail"] == {
        "status": ["TIMED_OUT", "ABORTED"],
        "stateMachineArn": [{"Ref": "WeatherPipeline"}],
    }
    assert rule["Targets"] == [{"Id": "FailureTopic", "Arn": {"Ref": "FailureTopic"}}]
    allowed = {
        each["Principal"]["Service"]: each
        for each in RESOURCES["FailureTopicPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    }
    assert set(allowed) == {"events.amazonaws.com", "cloudwatch.amazonaws.com"}
    for statement in allowed.values():
        assert (statement["Action"], statement["Resource"]) == ("sns:Publish", {"Ref": "FailureTopic"})


def test_the_state_machine_is_allowed_exactly_what_its_states_do():
    machine = RESOURCES["WeatherPipeline"]["Properties"]
    definition = (ROOT / machine["DefinitionUri"]).read_text(encoding="utf-8")
    called = {
        name: value for name, value in machine["DefinitionSubstitutions"].items() if f'"${{{name}}}"' in definition
    }
    invoked, notified, traced = machine["Policies"][0]["Statement"]
    assert (invoked["Action"], notified["Action"]) == ("lambda:InvokeFunction", "sns:Publish")
    assert [*invoked["Resource"], notified["Resource"]] == list(called.values())
    assert traced["Fn::If"][0] == "IsTraced"
    assert all(action.startswith("xray:") for action in traced["Fn::If"][1]["Action"])


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


def test_the_roles_cover_the_prefixes_of_the_object_keys():
    run = Run.from_event({}, ["kigali"], run_id="r", started_at=datetime.now(UTC))
    key = raw_key(run, 0)
    for function, action, keys in (
        ("ingest", "s3:PutObject", [key, unreadable_key(run, b"")]),
        ("transform", "s3:GetObject", [key]),
        ("transform", "s3:PutObject", [processed_key(key), rejected_key(key)]),
        ("model", "s3:GetObject", [processed_key(key)]),
    ):
        (statement,) = [each for each in statements(function) if action in actions(each)]
        resources = statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
        bucket = "RawBucket" if keys[0].startswith("raw/") else "ProcessedBucket"
        assert {each["Fn::Sub"] for each in resources} == {
            f"${{{bucket}.Arn}}/{each.split('/')[0]}/*" for each in keys
        }, function
    for function, group in (
        (name, properties["LoggingConfig"]["LogGroup"]["Ref"]) for name, properties in FUNCTIONS.items()
    ):
        (statement,) = [each for each in statements(function) if "logs:PutLogEvents" in actions(each)]
        assert statement["Resource"] == {"Fn::GetAtt": [group, "Arn"]}


def test_the_permission_of_every_aws_call_is_listed():
    text = (ROOT / "functions" / "core" / "storage.py").read_text(encoding="utf-8")
    called = set(re.findall(r"_client\([^)]*\)\s*\.(\w+)\(", text)) - {"get_paginator"}
    called |= set(re.findall(r'get_paginator\("(\w+)"\)', text))
    assert called == set(ACTIONS)


def test_the_dashboard_shows_metrics_that_the_functions_count():
    body = json.loads(RESOURCES["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"])
    shown = []
    for widget in body["widgets"]:
        full = []
        for metric in widget["properties"]["metrics"]:
            # "." repeats the field above, "..." all but the last
            given = full[: 1 - len(metric)] + metric[1:] if metric[0] == "..." else metric
            full = [full[n] if field == "." else field for n, field in enumerate(given)]
            shown.append(tuple(full))
    ours = [metric for metric in shown if metric[0] == "${AWS::StackName}"]
    assert len(ours) == 11
    for _, name, dimension, function in ours:
        assert dimension == "service"
        assert name in counted(function), (name, function)


def test_both_stages_of_samconfig_name_parameters_that_exist():
    config = tomllib.loads((ROOT / "samconfig.toml").read_text(encoding="utf-8"))
    for stage in ("default", "prod"):
        given = dict(pair.split("=") for pair in config[stage]["deploy"]["parameters"]["parameter_overrides"].split())
        for name, value in given.items():
            allowed = TEMPLATE["Parameters"][name].get("AllowedValues")
            assert allowed is None or value in map(str, allowed)

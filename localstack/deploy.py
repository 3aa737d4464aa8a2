"""Deploys the template to LocalStack, and two rules that run the pipeline: for the forecast and for the archive.

The init hook (https://docs.localstack.cloud/references/init-hooks/) runs it when LocalStack is ready; it can be run by
hand too. A second run deploys changes only. LocalStack loses its state at a restart, so each start deploys everything.

Environment: AWS_ENDPOINT_URL (default http://localhost:4566), LOADER_URL (the loader's address of the warehouse),
OPEN_METEO_FORECAST_URL and OPEN_METEO_ARCHIVE_URL (default: the public hosts), SCHEDULE (default:
``cron(0 4 * * ? *)``), RUN_ON_START (``1``: run the pipeline once now).
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

ROOT = Path(__file__).resolve().parents[1]
# at the end of the path: the repository has a folder with the name of LocalStack's own package
sys.path.append(str(ROOT))

from deployment import stack  # noqa: E402  # found through the line above
from deployment.errors import UserError  # noqa: E402
from deployment.packages import built_package  # noqa: E402
from deployment.template import packaged_template  # noqa: E402

_RULE, _ARCHIVE_RULE = "ikirere-schedule", "ikirere-archive"
# LocalStack gives an execution the event's id as name, so each event needs an id of its own; the functions read the
# detail of an event that has a type, and its time
_ARCHIVE_INPUT = {
    "InputPathsMap": {"id": "$.id", "time": "$.time"},
    "InputTemplate": json.dumps(
        {"id": "<id>", "time": "<time>", "detail-type": "Scheduled Event", "detail": {"source": "archive"}}
    ),
}
_ROLE = "ikirere-schedule"


def client(service: str) -> Any:
    return stack.local_client(os.environ.get("AWS_ENDPOINT_URL", "http://localhost:4566"), service)


def deploy() -> dict[str, str]:
    """Deploy the stack and the rules; return the stack's outputs. Raises UserError."""
    loader = os.environ.get("LOADER_URL")
    if not loader:
        raise UserError("environment: LOADER_URL is not set")
    template, artifacts = packaged_template(built_package)
    parameters = {
        "DatabaseSecret": stack.put_database_secret(client, loader),
        # LocalStack's Scheduler never fires a schedule, so the rules below start the runs
        "ScheduleState": "DISABLED",
    }
    for name, parameter in (
        ("OPEN_METEO_FORECAST_URL", "OpenMeteoForecastUrl"),
        ("OPEN_METEO_ARCHIVE_URL", "OpenMeteoArchiveUrl"),
    ):
        if os.environ.get(name):
            parameters[parameter] = os.environ[name]
    outputs = stack.apply(client, template, artifacts, parameters)
    _put_rules(outputs["PipelineArn"], os.environ.get("SCHEDULE") or "cron(0 4 * * ? *)")
    return outputs


def _put_rules(pipeline: str, schedule: str) -> None:
    """Start the daily run, and that of the archive, whenever ``schedule`` says."""
    iam, events = client("iam"), client("events")
    trust = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sts:AssumeRole"}
    start = {"Effect": "Allow", "Action": "states:StartExecution", "Resource": pipeline}
    try:
        role = iam.get_role(RoleName=_ROLE)["Role"]["Arn"]
    except iam.exceptions.NoSuchEntityException:
        role = iam.create_role(RoleName=_ROLE, AssumeRolePolicyDocument=_policy(trust))["Role"]["Arn"]
    iam.put_role_policy(RoleName=_ROLE, PolicyName="start-the-pipeline", PolicyDocument=_policy(start))
    for rule, given in ((_RULE, {}), (_ARCHIVE_RULE, {"InputTransformer": _ARCHIVE_INPUT})):
        events.put_rule(Name=rule, ScheduleExpression=schedule, State="ENABLED")
        events.put_targets(Rule=rule, Targets=[{"Id": "pipeline", "Arn": pipeline, "RoleArn": role, **given}])


def _policy(statement: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def main() -> int:
    """Deploy, and with RUN_ON_START run the pipeline once; return 0 on success, 2 on failure."""
    try:
        outputs = deploy()
    except (UserError, BotoCoreError, ClientError) as error:
        print(f"ikirere: {error}", file=sys.stderr)
        return 2
    print(json.dumps(outputs, indent=2))
    if os.environ.get("RUN_ON_START") == "1":
        print(client("stepfunctions").start_execution(stateMachineArn=outputs["PipelineArn"])["executionArn"])
    return 0


if __name__ == "__main__":
    sys.exit(main())

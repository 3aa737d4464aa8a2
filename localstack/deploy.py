"""Deploys the template to LocalStack, and a rule that runs the pipeline.

The init hook (https://docs.localstack.cloud/references/init-hooks/) runs it once LocalStack is ready; it may be run by
hand as well. Deploying again changes only what changed; after a restart LocalStack has nothing, and all is made anew.

Reads: AWS_ENDPOINT_URL (default http://localhost:4566), LOADER_URL (the warehouse as the loader reaches it),
OPEN_METEO_FORECAST_URL and OPEN_METEO_ARCHIVE_URL (default: the public hosts), SCHEDULE (default:
``cron(0 4 * * ? *)``), RUN_ON_START (``1``: run the pipeline once now).
"""

import io
import json
import os
import sys
import zipfile
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

ROOT = Path(__file__).resolve().parents[1]
# behind LocalStack's own packages: the repository has a folder of the same name
sys.path.append(str(ROOT))

from emulator import stack  # noqa: E402  # found through the line above
from emulator.refusal import RefusalError  # noqa: E402

_RULE = "ikirere-schedule"
_ROLE = "ikirere-schedule"


def client(service: str) -> Any:
    return stack.local_client(os.environ.get("AWS_ENDPOINT_URL", "http://localhost:4566"), service)


def package(function: str) -> bytes:
    """A function's package as a zip file: what ``make packages`` or ``sam build`` built. Raises RefusalError."""
    folder = ROOT / ".aws-sam" / "build" / f"{function.title()}Function"
    if not (folder / "functions").is_dir():
        raise RefusalError(f"{folder}: has no package; run `make packages` first")
    built = io.BytesIO()
    with zipfile.ZipFile(built, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                # a fixed time: the same files make the same package
                archive.writestr(zipfile.ZipInfo(path.relative_to(folder).as_posix()), path.read_bytes())
    return built.getvalue()


def deploy() -> dict[str, str]:
    """Bring stack and rule to what the repository and the environment say; the stack's outputs. Raises RefusalError."""
    loader = os.environ.get("LOADER_URL")
    if not loader:
        raise RefusalError("environment: LOADER_URL is not set")
    template, artifacts = stack.packaged_template(package)
    parameters = {
        "DatabaseSecret": stack.put_database_secret(client, loader),
        # LocalStack's Scheduler stores schedules and never fires them: the rule below does
        "ScheduleState": "DISABLED",
    }
    for name, parameter in (
        ("OPEN_METEO_FORECAST_URL", "OpenMeteoForecastUrl"),
        ("OPEN_METEO_ARCHIVE_URL", "OpenMeteoArchiveUrl"),
    ):
        if os.environ.get(name):
            parameters[parameter] = os.environ[name]
    outputs = stack.apply(client, template, artifacts, parameters)
    _put_rule(outputs["PipelineArn"], os.environ.get("SCHEDULE") or "cron(0 4 * * ? *)")
    return outputs


def _put_rule(pipeline: str, schedule: str) -> None:
    iam, events = client("iam"), client("events")
    trust = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sts:AssumeRole"}
    start = {"Effect": "Allow", "Action": "states:StartExecution", "Resource": pipeline}
    try:
        role = iam.get_role(RoleName=_ROLE)["Role"]["Arn"]
    except iam.exceptions.NoSuchEntityException:
        role = iam.create_role(RoleName=_ROLE, AssumeRolePolicyDocument=_policy(trust))["Role"]["Arn"]
    iam.put_role_policy(RoleName=_ROLE, PolicyName="start-the-pipeline", PolicyDocument=_policy(start))
    events.put_rule(Name=_RULE, ScheduleExpression=schedule, State="ENABLED")
    # without an Input, since LocalStack takes none that lacks an "id": Ingest reads the event's detail
    events.put_targets(Rule=_RULE, Targets=[{"Id": "pipeline", "Arn": pipeline, "RoleArn": role}])


def _policy(statement: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def main() -> int:
    """Deploy, and run the pipeline once if that is asked; 0 when done, 2 when it cannot be."""
    try:
        outputs = deploy()
    except (RefusalError, BotoCoreError, ClientError) as error:
        print(f"ikirere: {error}", file=sys.stderr)
        return 2
    print(json.dumps(outputs, indent=2))
    if os.environ.get("RUN_ON_START") == "1":
        print(client("stepfunctions").start_execution(stateMachineArn=outputs["PipelineArn"])["executionArn"])
    return 0


if __name__ == "__main__":
    sys.exit(main())

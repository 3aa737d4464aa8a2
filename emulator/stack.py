"""The template as a CloudFormation stack on an emulator of AWS: ministack on a laptop, LocalStack in a container.

Neither builds: what the template names by path is uploaded, and the template pointed to it, as ``sam package`` does.
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from samtranslator.yaml_helper import yaml_parse

from emulator.refusal import RefusalError
from emulator.state import ROOT

STACK = "ikirere"
REGION = "us-east-1"
_ARTIFACTS = "ikirere-artifacts"
_DATABASE_SECRET = "ikirere/database"  # noqa: S105  # its name
_DEPLOY_SECONDS = 120

# A boto3 client of a service.
Clients = Callable[[str], Any]
# The package of a function, by the function's folder: ingest, transform or model.
Packages = Callable[[str], bytes]


def local_client(endpoint: str, service: str) -> Any:
    """A boto3 client of an emulator: dummy credentials, so that no setting of the user's can lead it to AWS."""
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106  # what every emulator takes
        config=Config(retries={"mode": "standard"}, read_timeout=930),
    )


def packaged_template(packages: Packages, runtime: str | None = None) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The template with pointers where it names paths, and what they point to, by key.

    ``runtime`` is put in the place of the template's own where an emulator needs another.
    """
    template: dict[str, Any] = yaml_parse((ROOT / "template.yaml").read_text(encoding="utf-8"))
    artifacts = {}
    for resource in template["Resources"].values():
        properties = resource.get("Properties", {})
        if resource["Type"] == "AWS::Serverless::Function":
            package = packages(properties["Handler"].split(".")[1])
            key = f"{hashlib.sha256(package).hexdigest()}.zip"
            properties |= {"CodeUri": {"Bucket": _ARTIFACTS, "Key": key}} | ({"Runtime": runtime} if runtime else {})
            artifacts[key] = package
        elif resource["Type"] == "AWS::Serverless::StateMachine":
            definition = (ROOT / properties["DefinitionUri"]).read_bytes()
            key = f"{hashlib.sha256(definition).hexdigest()}.asl.json"
            properties["DefinitionUri"] = {"Bucket": _ARTIFACTS, "Key": key}
            artifacts[key] = definition
    return template, artifacts


def apply(
    clients: Clients, template: Mapping[str, Any], artifacts: Mapping[str, bytes], parameters: Mapping[str, str]
) -> dict[str, str]:
    """Create the stack, or update it; its outputs. Raises RefusalError when CloudFormation refuses."""
    s3, formation = clients("s3"), clients("cloudformation")
    if _ARTIFACTS not in buckets(clients):
        s3.create_bucket(Bucket=_ARTIFACTS)
    for key, body in artifacts.items():
        s3.put_object(Bucket=_ARTIFACTS, Key=key, Body=body)
    call = formation.update_stack if find(clients) else formation.create_stack
    try:
        call(
            StackName=STACK,
            TemplateBody=json.dumps(template, sort_keys=True),
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        )
    except ClientError as error:
        if "No updates are to be performed" in str(error):
            return outputs(clients)
        raise RefusalError(f"template.yaml was refused: {error}") from error
    deadline = time.monotonic() + _DEPLOY_SECONDS
    status = "IN_PROGRESS"
    while status.endswith("IN_PROGRESS") and time.monotonic() < deadline:
        time.sleep(0.05)
        status = (find(clients) or {}).get("StackStatus", status)
    if status not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        events = formation.describe_stack_events(StackName=STACK)["StackEvents"]
        reasons = [event["ResourceStatusReason"] for event in events if event.get("ResourceStatusReason")]
        formation.delete_stack(StackName=STACK)
        raise RefusalError(
            f"deploying template.yaml ended with {status}: {'; '.join(reasons[:3]) or 'no reason given'}"
        )
    return outputs(clients)


def find(clients: Clients) -> dict[str, Any] | None:
    """The stack, if there is one."""
    try:
        stack: dict[str, Any] = clients("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]
    except (ClientError, IndexError):
        return None
    return None if stack["StackStatus"] == "DELETE_COMPLETE" else stack


def outputs(clients: Clients) -> dict[str, str]:
    """The outputs of the stack; empty when it is not deployed."""
    return {output["OutputKey"]: output["OutputValue"] for output in (find(clients) or {}).get("Outputs", ())}


def buckets(clients: Clients) -> list[str]:
    return [bucket["Name"] for bucket in clients("s3").list_buckets()["Buckets"]]


def put_database_secret(clients: Clients, database_url: str) -> str:
    """The loader's address as a secret; its ARN."""
    secrets = clients("secretsmanager")
    value = json.dumps({"url": database_url})
    try:
        arn = secrets.describe_secret(SecretId=_DATABASE_SECRET)["ARN"]
        if secrets.get_secret_value(SecretId=arn)["SecretString"] != value:
            secrets.put_secret_value(SecretId=arn, SecretString=value)
    except secrets.exceptions.ResourceNotFoundException:
        arn = secrets.create_secret(Name=_DATABASE_SECRET, SecretString=value)["ARN"]
    return str(arn)

"""The CloudFormation stack on a local AWS endpoint: ministack on a laptop, LocalStack in a container."""

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from deployment.errors import UserError
from deployment.template import ARTIFACT_BUCKET
from functions.core.text import excerpt

STACK = "ikirere"
REGION = "us-east-1"
_DATABASE_SECRET = "ikirere/database"  # noqa: S105  # its name
_CITY_LIST_KEY = "cities.csv"
_DEPLOY_SECONDS = 120

# A boto3 client of a service.
Clients = Callable[[str], Any]


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


def apply(
    clients: Clients, template: Mapping[str, Any], artifacts: Mapping[str, bytes], parameters: Mapping[str, str]
) -> dict[str, str]:
    """Create the stack, or update it; its outputs. Raises UserError when CloudFormation rejects it."""
    s3, formation = clients("s3"), clients("cloudformation")
    _make_artifact_bucket(clients)
    for key, body in artifacts.items():
        s3.put_object(Bucket=ARTIFACT_BUCKET, Key=key, Body=body)
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
        raise UserError(f"template.yaml was rejected: {excerpt(error)}; correct it, then deploy again") from error
    deadline = time.monotonic() + _DEPLOY_SECONDS
    status = "IN_PROGRESS"
    while status.endswith("IN_PROGRESS") and time.monotonic() < deadline:
        time.sleep(0.05)
        status = (find(clients) or {}).get("StackStatus", status)
    if status not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        events = formation.describe_stack_events(StackName=STACK)["StackEvents"]
        reasons = [event["ResourceStatusReason"] for event in events if event.get("ResourceStatusReason")]
        formation.delete_stack(StackName=STACK)
        raise UserError(
            f"deploying template.yaml ended with {status}: {excerpt('; '.join(reasons[:3])) or 'no reason given'}; "
            "correct that, then deploy again"
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


def put_city_list(clients: Clients, text: bytes) -> str:
    """Store the city list where the functions read it; its address. A changed list needs no deployment."""
    _make_artifact_bucket(clients)
    clients("s3").put_object(Bucket=ARTIFACT_BUCKET, Key=_CITY_LIST_KEY, Body=text)
    return f"s3://{ARTIFACT_BUCKET}/{_CITY_LIST_KEY}"


def _make_artifact_bucket(clients: Clients) -> None:
    if ARTIFACT_BUCKET not in buckets(clients):
        clients("s3").create_bucket(Bucket=ARTIFACT_BUCKET)


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


def adopt_orphaned_buckets(clients: Clients, outputs: Mapping[str, str]) -> None:
    """Move the objects of a lost stack's buckets into the new stack's, and delete the old buckets.

    A killed ministack preserves S3 objects and loses the stack.
    """
    s3 = clients("s3")
    present = buckets(clients)
    for output in ("RawBucket", "ProcessedBucket"):
        for orphan in present:
            if orphan == outputs[output] or not orphan.startswith(f"{STACK}-{output.lower()}-"):
                continue
            pages = s3.get_paginator("list_objects_v2").paginate(Bucket=orphan)
            for key in [item["Key"] for page in pages for item in page.get("Contents", ())]:
                s3.copy_object(Bucket=outputs[output], Key=key, CopySource={"Bucket": orphan, "Key": key})
            # it had versions
            for page in s3.get_paginator("list_object_versions").paginate(Bucket=orphan):
                for version in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
                    s3.delete_object(Bucket=orphan, Key=version["Key"], VersionId=version["VersionId"])
            s3.delete_bucket(Bucket=orphan)

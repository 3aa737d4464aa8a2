"""Runs of the pipeline: started, followed state by state, and found again."""

import json
import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from emulator.cloud import Cloud
from emulator.database import query
from functions.core.run import run_id_of

_POLL_SECONDS = 0.15
# So many of the newest executions are looked through for a run that has no row.
_SEARCHED = 100
Json = dict[str, Any]


def new_name() -> str:
    """An execution name that sorts by time and is not used twice."""
    return f"run-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def start(cloud: Cloud, machine: str, event: Json, name: str) -> str:
    """Start the pipeline; the execution's ARN."""
    answer = cloud.client("stepfunctions").start_execution(stateMachineArn=machine, name=name, input=json.dumps(event))
    return str(answer["executionArn"])


@dataclass(frozen=True, slots=True)
class Step:
    """A state that was entered or left, or a try that failed; ``data`` is its input, output or error."""

    at: datetime
    kind: str
    state: str
    data: Json


def follow(cloud: Cloud, execution: str, seconds: float) -> Iterator[Step]:
    """The steps of an execution as they happen, until it ends. Raises TimeoutError after ``seconds``."""
    deadline = time.monotonic() + seconds
    seen = 0
    while True:
        status = describe(cloud, execution)["status"]
        steps = history_of(cloud, execution)
        yield from steps[seen:]
        seen = len(steps)
        if status != "RUNNING":
            return
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(_POLL_SECONDS)


def history_of(cloud: Cloud, execution: str) -> list[Step]:
    """The steps of an execution so far."""
    client = cloud.client("stepfunctions")
    pages = client.get_paginator("get_execution_history").paginate(executionArn=execution)
    steps: list[Step] = []
    current = ""
    for event in (event for page in pages for event in page["events"]):
        kind = event["type"]
        if kind.endswith("StateEntered"):
            current = event["stateEnteredEventDetails"]["name"]
            steps.append(
                Step(event["timestamp"], "entered", current, _json(event["stateEnteredEventDetails"].get("input")))
            )
        elif kind.endswith("StateExited"):
            details = event["stateExitedEventDetails"]
            steps.append(Step(event["timestamp"], "left", details["name"], _json(details.get("output"))))
        elif kind in ("TaskFailed", "TaskTimedOut", "LambdaFunctionFailed"):
            details = event.get("taskFailedEventDetails") or event.get("lambdaFunctionFailedEventDetails") or {}
            steps.append(Step(event["timestamp"], "failed", current, details))
    return steps


def describe(cloud: Cloud, execution: str) -> Json:
    described: Json = cloud.client("stepfunctions").describe_execution(executionArn=execution)
    return described


def executions(cloud: Cloud, machine: str, most: int) -> list[Json]:
    """The newest executions that Step Functions knows."""
    pages = cloud.client("stepfunctions").get_paginator("list_executions").paginate(stateMachineArn=machine)
    found = [execution for page in pages for execution in page["executions"]]
    return sorted(found, key=lambda execution: execution["startDate"], reverse=True)[:most]


def find(cloud: Cloud, machine: str, run_id: str, arn: str | None = None) -> Json | None:
    """The execution ``arn``, or the newest one of a run or of that name, if Step Functions still knows it."""
    for candidate in (arn, f"{machine.replace(':stateMachine:', ':execution:')}:{run_id}"):
        if candidate:
            with suppress(ClientError):
                return describe(cloud, candidate)
    for execution in executions(cloud, machine, _SEARCHED):
        described = describe(cloud, execution["executionArn"])
        if run_id_of(event_of(described), described["name"]) == run_id:
            return described
    return None


def event_of(execution: Json) -> Json:
    """What a described execution was started with."""
    return _json(execution.get("input"))


def run_rows(
    database_url: str, run_id: str | None = None, *, execution: str | None = None, most: int = 20
) -> list[Json]:
    """Rows of ``pipeline_run``, newest first; only that of a run or of an execution if one is given."""
    return query(
        database_url,
        "SELECT * FROM pipeline_run WHERE (%(run)s::text IS NULL OR run_id = %(run)s) "
        "AND (%(execution)s::text IS NULL OR execution_arn = %(execution)s) "
        "ORDER BY started_at DESC LIMIT %(most)s",
        {"run": run_id, "execution": execution, "most": most},
    )


def _json(text: str | None) -> Json:
    try:
        value = json.loads(text or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}

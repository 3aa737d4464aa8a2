"""Executions of the state machine: started, followed state by state, found again."""

import json
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from botocore.exceptions import ClientError

from emulator.emulator import Emulator
from functions.core.run import run_id_of

_POLL_SECONDS = 0.15
# The number of newest executions that are searched for a run without a row.
_SEARCHED = 100
# The end of the name of an item's execution: the number of the item and the attempt.
OF_A_BACKFILL = r"-\d{5}-[0-9a-f]{8}$"
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Step:
    """A state that was entered or left, or an attempt that failed; ``data`` is its input, output or error."""

    at: datetime
    kind: Literal["entered", "left", "failed"]
    state: str
    data: Json


def new_name(prefix: str = "run") -> str:
    """An execution name that sorts by time and is not used twice."""
    return f"{prefix}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def start(emulator: Emulator, event: Json, name: str) -> str:
    """Start the pipeline; the execution's ARN."""
    response = _client(emulator).start_execution(
        stateMachineArn=emulator.outputs()["PipelineArn"], name=name, input=json.dumps(event)
    )
    return str(response["executionArn"])


def start_backfill(emulator: Emulator, event: Json, backfill_id: str) -> str:
    """Start an execution of a backfill; its ARN. Its name is not used twice, because a backfill may take several."""
    response = _client(emulator).start_execution(
        stateMachineArn=emulator.outputs()["BackfillArn"],
        name=f"{backfill_id}-{secrets.token_hex(4)}",
        input=json.dumps(event),
    )
    return str(response["executionArn"])


def running_backfills(emulator: Emulator) -> list[Json]:
    """The executions of backfills that run, described."""
    pages = (
        _client(emulator)
        .get_paginator("list_executions")
        .paginate(stateMachineArn=emulator.outputs()["BackfillArn"], statusFilter="RUNNING")
    )
    return [describe(emulator, execution["executionArn"]) for page in pages for execution in page["executions"]]


def follow(emulator: Emulator, execution: str, seconds: float) -> Iterator[Step]:
    """The steps of an execution as they happen, until it ends. Raises TimeoutError after ``seconds``."""
    deadline = time.monotonic() + seconds
    seen = 0
    while True:
        status = describe(emulator, execution)["status"]
        steps = steps_of(emulator, execution)
        yield from steps[seen:]
        seen = len(steps)
        if status != "RUNNING":
            return
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(_POLL_SECONDS)


def steps_of(emulator: Emulator, execution: str) -> list[Step]:
    """The steps of an execution so far."""
    pages = _client(emulator).get_paginator("get_execution_history").paginate(executionArn=execution)
    steps: list[Step] = []
    current = ""
    for event in (event for page in pages for event in page["events"]):
        kind, at = event["type"], event["timestamp"]
        if kind.endswith("StateEntered"):
            details = event["stateEnteredEventDetails"]
            current = details["name"]
            steps.append(Step(at, "entered", current, _json(details.get("input"))))
        elif kind.endswith("StateExited"):
            details = event["stateExitedEventDetails"]
            steps.append(Step(at, "left", details["name"], _json(details.get("output"))))
        elif kind in ("TaskFailed", "TaskTimedOut", "LambdaFunctionFailed"):
            details = event.get("taskFailedEventDetails") or event.get("lambdaFunctionFailedEventDetails") or {}
            steps.append(Step(at, "failed", current, details))
    return steps


def describe(emulator: Emulator, execution: str) -> Json:
    """The execution as Step Functions describes it."""
    described: Json = _client(emulator).describe_execution(executionArn=execution)
    return described


def newest(emulator: Emulator, count: int) -> list[Json]:
    """The newest executions that Step Functions has, newest first, without those of backfills.

    There is none while nothing is deployed.
    """
    machine = _pipeline(emulator)
    if machine is None:
        return []
    pages = _client(emulator).get_paginator("list_executions").paginate(stateMachineArn=machine)
    executions = [
        execution
        for page in pages
        for execution in page["executions"]
        if not re.search(OF_A_BACKFILL, execution["name"])
    ]
    return sorted(executions, key=lambda execution: execution["startDate"], reverse=True)[:count]


def find(emulator: Emulator, run_id: str, arn: str | None = None) -> Json | None:
    """The execution ``arn``, or the newest one of this run or of this name, described; None where there is none."""
    machine = _pipeline(emulator)
    if machine is None:
        return None
    for candidate in (arn, f"{machine.replace(':stateMachine:', ':execution:')}:{run_id}"):
        if candidate:
            with suppress(ClientError):
                return describe(emulator, candidate)
    for execution in newest(emulator, _SEARCHED):
        described = describe(emulator, execution["executionArn"])
        if run_id_of(event_of(described), described["name"]) == run_id:
            return described
    return None


def of_run(emulator: Emulator, run_id: str) -> list[Json]:
    """The executions of this run among the newest ones, oldest first, described: a replay is one of its own."""
    described = (describe(emulator, each["executionArn"]) for each in reversed(newest(emulator, _SEARCHED)))
    return [each for each in described if run_id_of(event_of(each), each["name"]) == run_id]


def event_of(execution: Json) -> Json:
    """The event that a described execution was started with."""
    return _json(execution.get("input"))


def _client(emulator: Emulator) -> Any:
    return emulator.aws.client("stepfunctions")


def _pipeline(emulator: Emulator) -> str | None:
    return emulator.outputs().get("PipelineArn") if emulator.aws.is_healthy() else None


def _json(text: str | None) -> Json:
    try:
        value = json.loads(text or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}

"""The functions' log lines, read from CloudWatch Logs."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from deployment.stack import STACK
from emulator.emulator import Emulator
from functions.core.text import escaped

FUNCTIONS = ("ingest", "transform", "model", "backfill")
# In every line, or in its head.
_OMITTED = {
    "timestamp",
    "service",
    "location",
    "function",
    "request_id",
    "run_id",
    "xray_trace_id",
    "exception_name",
    "level",
    "message",
}


def lines(emulator: Emulator, functions: tuple[str, ...], run_id: str | None, *, follow: bool) -> Iterator[str]:
    """Log lines, oldest first; only those of ``run_id`` if it is given. With ``follow`` it does not end.

    Raises UserError when the emulator is not up.
    """
    emulator.require_up()
    seen: set[tuple[str, ...]] = set()
    since = dict.fromkeys(functions, 0)
    while True:
        found = []
        for function in functions:
            for event in _events(emulator, function, since[function]):
                identity = (function, event["logStreamName"], str(event["timestamp"]), event["message"])
                if identity not in seen:
                    seen.add(identity)
                    found.append((event["timestamp"], function, event["message"]))
                since[function] = max(since[function], event["timestamp"])
        for moment, function, message in sorted(found):
            if text := _line(moment, function, message, run_id):
                yield text
        if found:
            continue  # a response holds at most 10,000 events: there may be more
        if not follow:
            return
        time.sleep(0.5)


def _events(emulator: Emulator, function: str, since: int) -> Iterator[dict[str, Any]]:
    """The events of a function from ``since`` (milliseconds) on; none before its first invocation."""
    group = f"/aws/lambda/{STACK}-{function}"
    pages = emulator.aws.client("logs").get_paginator("filter_log_events")
    try:
        for page in pages.paginate(logGroupName=group, startTime=since):
            yield from page["events"]
    except ClientError:
        return


def _line(moment: int, function: str, message: str, run_id: str | None) -> str | None:
    """A JSON log line as text; None for lines of Lambda and of the metrics, and for other runs."""
    try:
        entry = json.loads(message)
    except ValueError:
        return None
    if not isinstance(entry, dict) or "_aws" in entry or (run_id and entry.get("run_id") != run_id):
        return None
    at = datetime.fromtimestamp(moment / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    further = " ".join(
        f"{key}={value}" for key, value in entry.items() if key not in _OMITTED and "\n" not in str(value)
    )
    run = "" if run_id else f" [{entry.get('run_id', '')}]"
    head = f"{at} {function:9} {entry.get('level', ''):7}{run} {entry.get('message', '')} {further}".rstrip()
    trace = entry.get("exception")
    return f"{escaped(head)}\n{trace}" if trace else escaped(head)

"""The steps of an execution as lines of text."""

import re
from collections.abc import Mapping

from functions.core.contracts import cause_message
from functions.core.quality import SEVERITIES
from functions.core.text import excerpt
from operations.executions import Step

# An address's query can be hundreds of characters long; the run's error has all of it.
_QUERY = re.compile(r"(https?://[^\s?]+\?)\S+?(?=:?(\s|$))")


def step_line(step: Step, seconds: float) -> str | None:
    """A step as a line with its seconds since the run began; None for a step without one."""
    text = {"entered": _entered, "left": _left, "failed": _failed}[step.kind](step)
    return text and f"{seconds:7.1f}s  {step.state:13} {text}"


def _entered(step: Step) -> str | None:
    if step.state == "WaitForQuota":
        ingest = step.data["ingest"]
        return f"{ingest['wait_seconds']} s: {ingest['reason']}"
    return "..." if step.state in ("Ingest", "Transform", "Model") else None


def _failed(step: Step) -> str:
    message = _QUERY.sub(r"\1...", cause_message(step.data.get("cause") or ""))
    return f"failed: {excerpt(step.data.get('error', ''))}: {message}"


def _left(step: Step) -> str | None:
    data = step.data
    if step.state == "Ingest" and data.get("ingest"):
        ingest = data["ingest"]
        cities = sum(part["cities"] for part in ingest["parts"])
        requests = _count(ingest["requests"], "request")
        return (
            f"{ingest['status']}: {cities} of {ingest['cities']} cities, {requests}, weight {ingest['quota_weight']:g}"
        )
    if step.state == "Transform" and "parts" in data:
        rows, rejected = (sum(part[key] for part in data["parts"]) for key in ("rows", "rejected"))
        return f"{_count(rows, 'row')}, {rejected} rejected, {_count(len(data['parts']), 'object')}"
    if step.state == "Model" and "rows_loaded" in data:
        days = _count(data["city_days_changed"], "city-day")
        return f"{data['rows_loaded']} loaded, {data['rows_unchanged']} unchanged, {days} changed"
    if step.state == "RecordAlerts" and "sent" in data.get("notice", {}):
        return f"{_count(data['notice']['sent'], 'weather alert')} sent"
    return "done" if step.state in ("RecordFailure", "NotifyFailure") else None


def findings_line(findings: Mapping[str, int]) -> str:
    """The city-days with a finding of each rule, the errors first."""
    rules = sorted(findings, key=lambda rule: (SEVERITIES.get(rule) != "error", rule))
    return ", ".join(f"{rule} {findings[rule]} ({SEVERITIES.get(rule, 'unknown')})" for rule in rules)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"

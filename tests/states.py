"""The largest data of a state of the pipeline, in the form that takes most bytes."""

import json
from pathlib import Path
from typing import Any

from functions.core.contracts import REASON_LENGTH, CityFailure, IngestResult, ProcessedPart, RawPart
from functions.core.run import Run
from functions.core.storage import raw_key
from functions.core.text import excerpt

STATE_BYTES = 256 * 1024
_REASONS = [excerpt(text, REASON_LENGTH) for text in ('"' * 9999, "\\" * 9999, "\U0001f327" * 9999, "\x1b" * 9999)]
_LONGEST_REASON = max(_REASONS, key=lambda each: len(json.dumps(each, ensure_ascii=False).encode()))

_PIPELINE = json.loads((Path(__file__).parents[1] / "statemachine" / "weather_pipeline.asl.json").read_text("utf-8"))
_SELECTOR = _PIPELINE["States"]["Transform"]["ItemProcessor"]["States"]["TransformPart"]["ResultSelector"]


def _passed_on(part: ProcessedPart) -> dict[str, Any]:
    """What the state machine leaves of a result of Transform."""
    result = part.to_json()
    return {name.removesuffix(".$"): result[path.removeprefix("$.")] for name, path in _SELECTOR.items()}


def state_bytes(event: dict[str, Any], run: Run, accepted: int, rejected: int) -> int:
    """The bytes of the state after a failed load of a run with so many responses, each value as long as it may be."""
    parts = tuple(RawPart(raw_key(run, 1000 + n), 50) for n in range(accepted))
    failures = tuple(CityFailure("c" * 63, _LONGEST_REASON, raw_key(run, 1000 + n)) for n in range(rejected))
    state = {
        "event": event,
        "execution": {"name": "n" * 80, "arn": "a" * 200, "started_at": "2026-01-01T00:00:00.000Z"},
        "ingest": IngestResult("partial", run, 12345, parts, failures, 1234, 12345.678, 123.456).to_json(),
        "parts": [_passed_on(ProcessedPart(part.raw_key, "f" * 64, 249_999, 1, 123.456)) for part in parts],
        "error": {"Error": "UpstreamContractError", "Cause": "c" * 32_768},
    }
    return len(json.dumps(state, ensure_ascii=False).encode())

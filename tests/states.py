"""The largest data of a state of the pipeline, in the form that takes most bytes."""

import json
from typing import Any

from functions.core.contracts import REASON_LENGTH, CityFailure, IngestResult, RawPart
from functions.core.run import Run
from functions.core.storage import raw_key
from functions.core.text import excerpt

STATE_BYTES = 256 * 1024
_REASONS = [excerpt(text, REASON_LENGTH) for text in ('"' * 9999, "\\" * 9999, "\U0001f327" * 9999, "\x1b" * 9999)]
_LONGEST_REASON = max(_REASONS, key=lambda each: len(json.dumps(each, ensure_ascii=False).encode()))


def state_bytes(event: dict[str, Any], run: Run, accepted: int, rejected: int) -> int:
    """The bytes of the state after a failed load of a run with so many responses, each value as long as it may be."""
    parts = tuple(RawPart(raw_key(run, 1000 + n), 50) for n in range(accepted))
    failures = tuple(CityFailure("c" * 63, _LONGEST_REASON, raw_key(run, 1000 + n)) for n in range(rejected))
    state = {
        "event": event,
        "execution": {"name": "n" * 80, "arn": "a" * 200, "started_at": "2026-01-01T00:00:00.000Z"},
        "ingest": IngestResult("partial", run, 12345, parts, failures, 1234, 12345.678, 123.456).to_json(),
        "parts": [{"sha256": "f" * 64, "rows": 249_999, "rejected": 1, "seconds": 123.456} for _ in parts],
        "error": {"Error": "UpstreamContractError", "Cause": "c" * 32_768},
    }
    return len(json.dumps(state, ensure_ascii=False).encode())

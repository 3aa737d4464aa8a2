"""Logs as JSON lines and metrics in CloudWatch's embedded format, both through Powertools.

Every log line of an invocation carries ``run_id`` once it is known; metrics are flushed when the
invocation ends, whether it succeeded or not.
"""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from functions.core.text import bounded, excerpt, json_text

_TRACE_LINES = 60
_UNITS = {"seconds": MetricUnit.Seconds, "wait_seconds": MetricUnit.Seconds}


class _Stdout(logging.Handler):
    """Writes to the current ``sys.stdout``: a runtime or a test may have replaced it since the import."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.stdout.write(f"{self.format(record)}\n")
        sys.stdout.flush()


def _json(entry: dict[str, Any]) -> str:
    """Return a log entry as JSON with an excerpt of each text, and of each of the last lines of a traceback."""
    shown = bounded(entry)
    if trace := entry.get("exception"):
        # the error is at the end, below the errors that caused it
        shown["exception"] = "\n".join(map(excerpt, str(trace).split("\n")[-_TRACE_LINES:]))
    return json_text(shown, separators=(",", ":"))


logger = Logger(service="ikirere", logger_handler=_Stdout(), json_serializer=_json)


class Invocation:
    """One invocation of a function: its log keys and its metrics."""

    def __init__(self, function: str) -> None:
        # one namespace for each stack, so that two stacks in one account have separate metrics
        namespace = os.environ.get("POWERTOOLS_METRICS_NAMESPACE", "Ikirere")
        self._metrics = Metrics(namespace=namespace, service=function)
        self._counted = False

    def identify(self, **keys: Any) -> None:
        """Add these keys to every further log line of the invocation."""
        logger.append_keys(**keys)

    def count(self, **metrics: float) -> None:
        """Add metrics: durations in seconds for the names in _UNITS, counts for all others."""
        for name, value in metrics.items():
            self._metrics.add_metric(name=name, unit=_UNITS.get(name, MetricUnit.Count), value=value)
            self._counted = True

    def flush(self) -> None:
        if self._counted:
            self._metrics.flush_metrics()


@contextmanager
def invocation(function: str, context: Any) -> Iterator[Invocation]:
    """Observe one invocation of ``function``: an error is logged with its class before it leaves the handler.

    ``context`` is the Lambda context, or None in a test.
    """
    logger.clear_state()
    logger.append_keys(function=function, request_id=getattr(context, "aws_request_id", None))
    current = Invocation(function)
    try:
        yield current
    except Exception as error:
        current.count(errors=1)
        logger.exception(str(error), error_type=type(error).__name__)
        raise
    finally:
        current.flush()

"""What a backfill will cost, before it starts: requests, quota, hours and storage."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from functions.backfill.planner import SOURCE, WorkItem
from functions.core import quota
from functions.core.run import SETTLED_DAYS
from functions.core.variables import variables_of

# Bytes of an hour in the raw bucket, in the processed bucket and in the warehouse with its marts, and the seconds that
# the pipeline takes for it on two cores: docs/performance.md, a daily run of 10,000 cities.
_RAW_BYTES, _PROCESSED_BYTES, _WAREHOUSE_BYTES = 8.3, 12.9, 292.0
_SECONDS = 21.4 / 960_000
# Assumed, because no paid plan was at hand to measure: the host's own time for a request of at most 250,000 hours.
_HOST_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a backfill needs.

    ``free_host_hours`` is with one item at a time, ``paid_plan_hours`` with as many at once as the backfill asks for.
    ``quota_weight`` is what a paid plan counts as API calls. ``unsettled_days`` are the last days, whose hours the
    archive may still complete or change.
    """

    items: int
    requests: int
    quota_weight: float
    rows: int
    free_host_hours: float
    paid_plan_hours: float
    raw_gb: float
    processed_gb: float
    warehouse_gb: float
    unsettled_days: int


def estimate(items: Sequence[WorkItem], today: date, parallel: int = 1) -> Estimate:
    """Return what these items will cost. The last days before ``today`` (UTC) are not settled."""
    variables = len(variables_of(SOURCE))
    weights = [weight for item in items for weight in item.requests(variables)]
    rows = sum(item.hours for item in items)
    work = rows * _SECONDS + len(weights) * _HOST_SECONDS
    return Estimate(
        items=len(items),
        requests=len(weights),
        quota_weight=round(sum(weights), 1),
        rows=rows,
        free_host_hours=round(max(free_host_seconds(weights), work) / 3600, 2),
        paid_plan_hours=round(work / min(parallel, max(1, len(items))) / 3600, 2),
        raw_gb=round(rows * _RAW_BYTES / 1e9, 3),
        processed_gb=round(rows * _PROCESSED_BYTES / 1e9, 3),
        warehouse_gb=round(rows * _WAREHOUSE_BYTES / 1e9, 3),
        unsettled_days=_unsettled_days(items, today),
    )


def _unsettled_days(items: Sequence[WorkItem], today: date) -> int:
    if not items:
        return 0
    first, last = min(item.window[0] for item in items), max(item.window[1] for item in items)
    return max(0, (last - max(first, today - timedelta(days=SETTLED_DAYS))).days + 1)


def free_host_seconds(weights: Iterable[float]) -> float:
    """Return when the last request is sent: the first at midnight, each as soon as every window accepts it.

    The host itself takes no time here, and nobody else uses its quota.
    """
    now = 0.0
    used: dict[quota.Window, tuple[float, float]] = {}
    for weight in weights:
        for window, (length, _) in sorted(quota.WINDOWS.items(), key=lambda each: -each[1][0]):
            index, spent = used.get(window, (0, 0.0))
            if index == now // length and quota.exceeds(window, spent, weight):
                now = (now // length + 1) * length
        for window, (length, _) in quota.WINDOWS.items():
            index, spent = used.get(window, (0, 0.0))
            used[window] = (now // length, weight + (spent if index == now // length else 0))
    return now

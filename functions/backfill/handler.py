"""Backfill: plans the work items of a backfill, records how each one ended, and sums up. It requests no weather."""

import hashlib
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from functions.backfill.planner import cut
from functions.backfill.records import ItemResult, Plan, Summary, digest_of
from functions.backfill.request import BackfillRequest
from functions.backfill.store import BackfillStore, remaining
from functions.core import settings
from functions.core.city_list import listed_cities
from functions.core.contracts import Execution
from functions.core.errors import InvalidInputError, missing_or_wrong
from functions.core.observability import invocation, logger
from functions.core.storage import ObjectStore
from functions.core.text import quoted

# The items that run at once where the event does not say it: the free host accepts one request at a time.
_PARALLEL_ON_THE_FREE_HOST, _PARALLEL = 1, 4


def lambda_handler(event: dict[str, Any], context: Any) -> Any:
    """Return the result of ``{"action": "plan"|"record"|"finish", ...}``, as the state machine needs it.

    Raises InvalidInputError or TransientError.
    """
    with invocation("backfill", context):
        store = BackfillStore(ObjectStore(settings.required("RAW_BUCKET")))
        try:
            match event.get("action"):
                case "plan":
                    return _plan(store, event["event"], Execution.from_json(event["execution"]))
                case "record":
                    return _record(store, event["backfill_id"], event["run_id"], event["run"], event["error"])
                case "finish":
                    return _summary(store, event["backfill_id"]).to_json()
                case other:
                    raise InvalidInputError(f"backfill: action {quoted(other)} must be plan, record or finish")
        except (KeyError, TypeError) as error:
            raise InvalidInputError(f"backfill: {missing_or_wrong(error)}; expected the input of an action") from error


def _plan(store: BackfillStore, event: Any, execution: Execution) -> dict[str, Any]:
    """Plan the backfill, or read the plan that is stored, and write the items of this attempt."""
    cities = tuple(listed_cities())
    request = BackfillRequest.from_event(
        event, cities, backfill_id=execution.name, today=execution.started_at.astimezone(UTC).date()
    )
    plan = store.plan(request.backfill_id) or _new_plan(store, request, cities)
    _check_same(plan, request)
    items = remaining(store.items(plan.backfill_id), store.results(plan.backfill_id).read())
    # a name that belongs to this execution: an item that failed runs again under another one
    attempt = hashlib.sha256(execution.arn.encode()).hexdigest()[:8]
    key = store.put_attempt(plan.backfill_id, attempt, items)
    logger.info(f"backfill {plan.backfill_id}: {len(items)} of {plan.items} items remain")
    is_free_host = not os.environ.get("OPEN_METEO_API_KEY_SECRET")
    return {
        "backfill_id": plan.backfill_id,
        "attempt": attempt,
        "bucket": store.bucket,
        "key": key,
        "items": len(items),
        "parallel": request.parallel or (_PARALLEL_ON_THE_FREE_HOST if is_free_host else _PARALLEL),
    }


def _new_plan(store: BackfillStore, request: BackfillRequest, listed: tuple[str, ...]) -> Plan:
    if request.start is None or request.end is None:
        raise InvalidInputError(
            f"backfill: start and end are missing, and there is no plan of {quoted(request.backfill_id)}; name "
            "both days, or the id of a stored backfill"
        )
    cities, window = request.cities or listed, (request.start, request.end)
    items = cut({window: cities})
    plan = Plan.of(request.backfill_id, window, cities, items, gaps=False, now=datetime.now(UTC))
    return store.put_plan(plan, items)


def _check_same(plan: Plan, request: BackfillRequest) -> None:
    """Raises InvalidInputError if the stored backfill of this id is another one."""
    window = (request.start, request.end)
    other_cities = request.cities and digest_of(request.cities) != plan.cities
    if (request.start and window != (plan.start, plan.end)) or other_cities:
        raise InvalidInputError(
            f"backfill: backfill_id {quoted(plan.backfill_id)} is taken by one of other cities or of {plan.start} to "
            f"{plan.end}; choose another backfill_id"
        )


def _record(
    store: BackfillStore, backfill_id: str, run_id: str, run: Mapping[str, Any] | None, error: Mapping[str, Any] | None
) -> int:
    """Store how an item's run ended; the item's number."""
    result = ItemResult.of_run(run_id, run["Output"]) if run else ItemResult.of_error(run_id, error or {})
    store.put_result(backfill_id, result)
    logger.info(f"item {run_id}: {result.status}")
    return result.item


def _summary(store: BackfillStore, backfill_id: str) -> Summary:
    plan = store.plan(backfill_id)
    if plan is None:
        raise InvalidInputError(f"backfill {quoted(backfill_id)}: has no plan; start it with start and end")
    return Summary.of(plan, store.results(backfill_id).read())

"""Ingest: requests the weather of a run from Open-Meteo and stores the exact responses."""

import dataclasses
import os
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from functions.core import settings, storage
from functions.core.city_list import listed_cities
from functions.core.contracts import Execution
from functions.core.errors import InvalidInputError
from functions.core.observability import invocation
from functions.core.run import Run, run_id_of
from functions.ingest.fetch import Fetch
from functions.ingest.open_meteo import OpenMeteo
from functions.ingest.transport import checked_host


def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Return the IngestResult of a pipeline event, or of the state machine's ``{"event", "execution"}``.

    City list and event are checked completely before anything is requested or written. Raises InvalidInputError,
    TransientError or UpstreamContractError; a closed quota window is a result, not an error.
    """
    started = time.monotonic()
    with invocation("ingest", context) as current:
        run_event, run_id, started_at = _run_event(event, context)
        current.identify(run_id=run_id_of(run_event, run_id))
        cities = listed_cities()
        run = Run.from_event(run_event, tuple(cities), run_id=run_id, started_at=started_at)
        run_cities = {city_id: cities[city_id] for city_id in run.city_ids(cities)}
        current.identify(run_id=run.run_id, cities=len(run_cities))
        api_key = _api_key()
        fetch = Fetch(
            run,
            run_cities,
            checked_host(settings.open_meteo_url(run.source), has_api_key=api_key is not None),
            storage.RawStore.from_environment(),
            OpenMeteo(api_key),
            is_free_host=api_key is None,
            seconds_left=_seconds_left(context),
        )
        try:
            result = dataclasses.replace(fetch.fetch_missing(), seconds=round(time.monotonic() - started, 3))
        finally:
            current.count(requests=fetch.requests, quota_weight=fetch.weight, seconds=time.monotonic() - started)
        current.count(cities=result.cities, cities_failed=len(result.failed_cities), wait_seconds=result.wait_seconds)
    return result.to_json()


def _run_event(event: Any, context: Any) -> tuple[Any, str, datetime]:
    """Return the pipeline event, its default run id and its start."""
    if isinstance(event, dict) and event.keys() == {"event", "execution"}:
        execution = Execution.from_json(event["execution"])
        return event["event"], execution.name, execution.started_at
    return event, getattr(context, "aws_request_id", None) or str(uuid.uuid4()), datetime.now(UTC)


def _api_key() -> str | None:
    secret_id = os.environ.get("OPEN_METEO_API_KEY_SECRET")
    if not secret_id:
        return None
    key = str(storage.secret(secret_id).get("api_key") or "").strip()
    if not key:
        raise InvalidInputError(f"secret {secret_id}: has no api_key; store the key under that name")
    if not (key.isascii() and key.isprintable()):
        raise InvalidInputError(
            f"secret {secret_id}: its api_key contains characters that no API key has; store the key alone"
        )
    return key


def _seconds_left(context: Any) -> Callable[[], float]:
    if hasattr(context, "get_remaining_time_in_millis"):
        return lambda: context.get_remaining_time_in_millis() / 1000
    return lambda: float("inf")

"""Transform: turns one raw object into accepted hours with their coverage, and rejected rows with their reasons."""

import time
from typing import Any

from functions.core import storage
from functions.core.city_list import listed_cities
from functions.core.contracts import ProcessedPart, TransformTask
from functions.core.errors import InvalidInputError
from functions.core.observability import invocation, logger
from functions.core.run import names_text
from functions.core.storage import StoredResponse
from functions.transform.part import csv_objects, hours_of, no_rejected, origin, require_unchanged


def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Return the ProcessedPart of a TransformTask. Writes a processed, a coverage and a rejected object.

    Raises UpstreamContractError if the response does not match its request, InvalidInputError, TransientError.
    """
    started = time.monotonic()
    with invocation("transform", context) as current:
        task = TransformTask.from_json(event)
        current.identify(run_id=task.run.run_id, raw_key=task.raw_key)
        body, response = _read(task.raw_key)
        current.identify(cities=len(response.cities))
        rejected = no_rejected()
        hours = hours_of(body, response, task.run, rejected)
        # the values are copied: the memory of the body is free for their text
        del body
        store = storage.ProcessedStore.from_environment()
        metadata = origin(task.run, response) | {"sha256": response.sha256}
        for key, file in csv_objects(hours, rejected, task.run, response).items():
            store.put(key, file, metadata)
        part = ProcessedPart(
            raw_key=task.raw_key,
            sha256=response.sha256,
            rows=len(hours),
            rejected=rejected.rows,
            seconds=round(time.monotonic() - started, 3),
        )
        current.count(rows_in=part.rows_in, rows=part.rows, rows_rejected=part.rejected, seconds=part.seconds)
        logger.info(f"{part.rows} rows, {part.rejected} rejected")
    return part.to_json()


def _read(raw_key: str) -> tuple[bytes, StoredResponse]:
    """Return the body and metadata of a raw object that has not changed, of cities that are in the city list."""
    cities = listed_cities()
    body, response = storage.RawStore.from_environment().read(raw_key)
    require_unchanged(body, response)
    unlisted = [city_id for city_id in response.cities if city_id not in cities]
    if unlisted:
        raise InvalidInputError(f"{raw_key}: has {names_text(unlisted)}, not in the city list; put it back")
    return body, response

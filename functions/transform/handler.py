"""Transform: turns one raw object into accepted hours with coverage and findings, and rejected rows with reasons."""

import time
from typing import Any

from functions.core import storage
from functions.core.city_list import listed_cities
from functions.core.contracts import TransformTask
from functions.core.errors import InvalidInputError
from functions.core.observability import invocation, logger
from functions.core.run import names_text
from functions.core.storage import StoredResponse
from functions.transform.part import csv_objects, origin, part_of, require_unchanged, result_of


def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Return the ProcessedPart of a TransformTask. Writes a processed, a coverage, a quality and a rejected
    object.

    Raises UpstreamContractError if the response does not match its request, InvalidInputError, TransientError.
    """
    started = time.monotonic()
    with invocation("transform", context) as current:
        task = TransformTask.from_json(event)
        current.identify(run_id=task.run.run_id, raw_key=task.raw_key)
        body, response, zones = _read(task.raw_key)
        current.identify(cities=len(response.cities))
        part = part_of(body, response, task.run, zones)
        # the values are copied: the memory of the body is free for their text
        del body
        store = storage.ProcessedStore.from_environment()
        metadata = origin(task.run, response) | {"sha256": response.sha256}
        for key, file in csv_objects(part, task.run, response).items():
            store.put(key, file, metadata)
        result = result_of(part, response, round(time.monotonic() - started, 3))
        current.count(rows_in=result.rows_in, rows=result.rows, rows_rejected=result.rejected, seconds=result.seconds)
        logger.info(f"{result.rows} rows, {result.rejected} rejected, {len(part.quality)} findings")
    return result.to_json()


def _read(raw_key: str) -> tuple[bytes, StoredResponse, dict[str, str]]:
    """Return the body and metadata of a raw object that has not changed, and the zones of its cities, all listed."""
    cities = listed_cities()
    body, response = storage.RawStore.from_environment().read(raw_key)
    require_unchanged(body, response)
    unlisted = [city_id for city_id in response.cities if city_id not in cities]
    if unlisted:
        raise InvalidInputError(f"{raw_key}: has {names_text(unlisted)}, not in the city list; put it back")
    return body, response, {city_id: cities[city_id].timezone for city_id in response.cities}

"""Transform: turns one raw object into accepted hours with their coverage, and rejected rows with their reasons."""

import hashlib
import time
from typing import Any

from functions.core import storage
from functions.core.city_list import listed_cities
from functions.core.contracts import COVERAGE_COLUMNS, REJECTED_COLUMNS, ProcessedPart, TransformTask
from functions.core.errors import InvalidInputError, UpstreamContractError
from functions.core.observability import invocation, logger
from functions.core.run import Run, names_text
from functions.core.storage import StoredResponse
from functions.transform.coverage import coverage_rows
from functions.transform.hours import Hours
from functions.transform.response import locations
from functions.transform.text import csv_lines
from functions.transform.weather import transformed


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
        found = locations(body, task.raw_key, len(response.cities))
        rejected = storage.GzippedCsv(REJECTED_COLUMNS)
        hours = transformed(found, task.run, response.cities, task.raw_key, rejected.add)
        # the values are copied: the memory of the body is free for their text
        del body, found
        _write(hours, rejected, task.run, response)
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
    if hashlib.sha256(body).hexdigest() != response.sha256:
        raise UpstreamContractError(
            f"{raw_key}: its bytes were changed after Ingest stored them (sha256); restore the first version"
        )
    unlisted = [city_id for city_id in response.cities if city_id not in cities]
    if unlisted:
        raise InvalidInputError(f"{raw_key}: has {names_text(unlisted)}, not in the city list; put it back")
    return body, response


def _write(hours: Hours, rejected: storage.GzippedCsv, run: Run, response: StoredResponse) -> None:
    """Write the three objects of a part; the metadata of each names the response."""
    key, cities = response.key, response.cities
    origin = {
        "source": run.source,
        "fetched_at": response.fetched_at.isoformat(),
        "run_id": run.run_id,
        "raw_key": key,
    }
    coverage = storage.GzippedCsv(COVERAGE_COLUMNS)
    coverage.add(coverage_rows(hours, cities, run.start, tuple(origin.values())))
    objects = {
        storage.processed_key(key): storage.gzipped(csv_lines(hours, cities, run.start)),
        storage.coverage_key(key): coverage.file(),
        storage.rejected_key(key): rejected.file(),
    }
    store = storage.ProcessedStore.from_environment()
    for name, file in objects.items():
        store.put(name, file, origin | {"sha256": response.sha256})

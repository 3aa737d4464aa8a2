"""Transform: turns one raw object into typed rows, and rejected rows with their reasons."""

import hashlib
import time
from typing import Any

from functions.core import storage
from functions.core.city_list import listed_cities
from functions.core.contracts import PROCESSED_COLUMNS, REJECTED_COLUMNS, ProcessedPart, TransformTask
from functions.core.errors import InvalidInputError, UpstreamContractError
from functions.core.observability import invocation, logger
from functions.transform.response import hourly_blocks
from functions.transform.weather import enrich, hours, rejected_rows, split


def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Return the ProcessedPart of a TransformTask. Writes a processed object and an object of the rejected rows.

    Raises UpstreamContractError if the response does not match its request, InvalidInputError, TransientError.
    """
    started = time.monotonic()
    with invocation("transform", context) as current:
        task = TransformTask.from_json(event)
        run, raw_key = task.run, task.raw_key
        current.identify(run_id=run.run_id, raw_key=raw_key)
        cities = listed_cities()
        body, response = storage.RawStore.from_environment().read(raw_key)
        current.identify(cities=len(response.cities))
        if hashlib.sha256(body).hexdigest() != response.sha256:
            raise UpstreamContractError(
                f"{raw_key}: its bytes were changed after Ingest stored them (sha256); restore the first version"
            )
        unlisted = [city_id for city_id in response.cities if city_id not in cities]
        if unlisted:
            raise InvalidInputError(f"{raw_key}: has {', '.join(unlisted)}, not in the city list; put it back")

        blocks = hourly_blocks(body, raw_key, response.cities, run.variables, 24 * run.days)
        frame = hours(zip(response.cities, blocks, strict=True), run.variables)
        rows, rejected = split(frame, run.variables, run.start, run.end)
        origin = {
            "source": run.source,
            "fetched_at": response.fetched_at.isoformat(),
            "run_id": run.run_id,
            "raw_key": raw_key,
        }
        table = enrich(rows, cities, origin)
        # lists: reading the cells of a pandas text column one by one costs ten times as much
        lines = zip(*(table[column].tolist() for column in PROCESSED_COLUMNS), strict=True)

        store = storage.ProcessedStore.from_environment()
        part = ProcessedPart(
            raw_key=raw_key,
            sha256=response.sha256,
            rows_in=len(frame),
            rows=len(table),
            rejected=len(rejected),
            seconds=round(time.monotonic() - started, 3),
        )
        store.put(storage.processed_key(raw_key), storage.csv_text(PROCESSED_COLUMNS, lines))
        rejected_lines = rejected_rows(rejected, run.variables, raw_key)
        store.put(storage.rejected_key(raw_key), storage.csv_text(REJECTED_COLUMNS, rejected_lines))
        current.count(rows_in=part.rows_in, rows=part.rows, rows_rejected=part.rejected, seconds=part.seconds)
        logger.info(f"{part.rows} rows, {part.rejected} rejected")
    return part.to_json()

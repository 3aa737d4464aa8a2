"""Transform: one raw answer into typed rows, and the hours it refused with their reasons."""

import hashlib
import time
from typing import Any

from functions.core import storage
from functions.core.cities import load_cities
from functions.core.contracts import PROCESSED_COLUMNS, REJECTED_COLUMNS, ProcessedPart, TransformTask
from functions.core.errors import InvalidInputError, UpstreamContractError
from functions.core.observability import invocation, logger
from functions.transform.answer import hourly_blocks
from functions.transform.weather import enrich, hours, rejected_rows, split


def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """TransformTask in, ProcessedPart out. Writes the rows and the refused hours beside each other.

    Raises UpstreamContractError when the answer is not what was asked, InvalidInputError, TransientError.
    """
    started = time.monotonic()
    with invocation("transform", context) as seen:
        task = TransformTask.from_json(event)
        run, raw_key = task.run, task.raw_key
        seen.identify(run_id=run.run_id, raw_key=raw_key)
        cities = load_cities()
        body, answer = storage.RawStore.from_environment().read(raw_key)
        seen.identify(cities=len(answer.cities))
        if hashlib.sha256(body).hexdigest() != answer.sha256:
            raise UpstreamContractError(f"{raw_key}: its bytes are not those that were kept (sha256 differs)")
        unlisted = [city_id for city_id in answer.cities if city_id not in cities]
        if unlisted:
            raise InvalidInputError(
                f"{raw_key}: asked for {', '.join(unlisted)}, no longer in the city list; put it back"
            )

        blocks = hourly_blocks(body, raw_key, answer.cities, run.variables, 24 * run.days)
        frame = hours(zip(answer.cities, blocks, strict=True), run.variables)
        rows, refused = split(frame, run.variables, run.start, run.end)
        origin = {
            "source": run.source,
            "fetched_at": answer.fetched_at.isoformat(),
            "run_id": run.run_id,
            "raw_key": raw_key,
        }
        table = enrich(rows, cities, origin)
        # lists: pandas gives the cells of a text column one by one at ten times the cost
        lines = zip(*(table[column].tolist() for column in PROCESSED_COLUMNS), strict=True)

        store = storage.ProcessedStore.from_environment()
        part = ProcessedPart(
            raw_key=raw_key,
            sha256=answer.sha256,
            rows_in=len(frame),
            rows=len(table),
            rejected=len(refused),
            seconds=round(time.monotonic() - started, 3),
        )
        store.put(storage.processed_key(raw_key), storage.csv_text(PROCESSED_COLUMNS, lines))
        rejected = rejected_rows(refused, run.variables, raw_key)
        store.put(storage.rejected_key(raw_key), storage.csv_text(REJECTED_COLUMNS, rejected))
        seen.count(rows_in=part.rows_in, rows=part.rows, rows_rejected=part.rejected, seconds=part.seconds)
        logger.info(f"{part.rows} rows, {part.rejected} rejected")
    return part.to_json()

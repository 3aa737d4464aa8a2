"""A part: from the exact bytes of its response to its hours, and from those to its four objects. Pure, no I/O."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from functions.core.contracts import COVERAGE_COLUMNS, QUALITY_COLUMNS, REJECTED_COLUMNS, ProcessedPart
from functions.core.errors import UpstreamContractError
from functions.core.run import Run
from functions.core.storage import (
    GzippedCsv,
    StoredResponse,
    coverage_key,
    gzipped,
    processed_key,
    quality_key,
    rejected_key,
)
from functions.transform.coverage import coverage_rows
from functions.transform.hours import Hours, Locations, RejectedRow
from functions.transform.quality import Quality
from functions.transform.response import locations
from functions.transform.text import csv_lines
from functions.transform.weather import transformed


def require_unchanged(body: bytes, response: StoredResponse) -> None:
    """Raise UpstreamContractError if the bytes are not those that Ingest stored."""
    if hashlib.sha256(body).hexdigest() != response.sha256:
        raise UpstreamContractError(
            f"{response.key}: its bytes were changed after Ingest stored them (sha256); restore the first version"
        )


@dataclass(slots=True)
class Part:
    """What Transform makes of a response: its accepted hours, and a file of its rejected rows."""

    hours: Hours
    rejected: GzippedCsv
    found: Locations
    quality: Quality


def part_of(body: bytes, response: StoredResponse, run: Run, zones: Mapping[str, str]) -> Part:
    """Return the part of a response. ``zones`` has the time zone of each of its cities by id.

    Raises UpstreamContractError if it does not match its request.
    """
    rejected, found = GzippedCsv(REJECTED_COLUMNS), Locations()
    quality = Quality(run, response.cities, zones, response.fetched_at)

    def reject(rows: Sequence[RejectedRow]) -> None:
        rejected.add(rows)
        quality.add_rejected(rows)

    hours = hours_of(body, response, run, reject, found)
    quality.add_accepted(hours, found)
    return Part(hours, rejected, found, quality)


def hours_of(
    body: bytes,
    response: StoredResponse,
    run: Run,
    reject: Callable[[Sequence[RejectedRow]], object],
    found: Locations,
) -> Hours:
    """Return the accepted hours of a response; ``reject`` takes the rejected rows, ``found`` what locations say.

    Raises UpstreamContractError if it does not match its request.
    """
    return transformed(
        locations(body, response.key, len(response.cities)), run, response.cities, response.key, reject, found
    )


def origin(run: Run, response: StoredResponse) -> dict[str, str]:
    """Return what all rows of a part have in common."""
    return {
        "source": run.source,
        "fetched_at": response.fetched_at.isoformat(),
        "run_id": run.run_id,
        "raw_key": response.key,
    }


def csv_objects(part: Part, run: Run, response: StoredResponse) -> dict[str, bytes]:
    """Return the processed, coverage, quality and rejected object of a part, gzipped CSV files by key."""
    coverage, quality = GzippedCsv(COVERAGE_COLUMNS), GzippedCsv(QUALITY_COLUMNS)
    coverage.add(coverage_rows(part.hours, response.cities, run.start, tuple(origin(run, response).values())))
    quality.add(part.quality.rows(part.found))
    return {
        processed_key(response.key): gzipped(csv_lines(part.hours, response.cities, run.start)),
        coverage_key(response.key): coverage.file(),
        quality_key(response.key): quality.file(),
        rejected_key(response.key): part.rejected.file(),
    }


def result_of(part: Part, response: StoredResponse, seconds: float) -> ProcessedPart:
    """Return the counts of a part."""
    return ProcessedPart(
        raw_key=response.key,
        sha256=response.sha256,
        rows=len(part.hours),
        rejected=part.rejected.rows,
        seconds=seconds,
    )

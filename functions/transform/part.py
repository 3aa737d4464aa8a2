"""A part: from the exact bytes of its response to its hours, and from those to its three objects. Pure, no I/O."""

import hashlib
from collections.abc import Iterable, Sequence

from functions.core.contracts import COVERAGE_COLUMNS, REJECTED_COLUMNS
from functions.core.errors import UpstreamContractError
from functions.core.run import Run
from functions.core.storage import StoredResponse, coverage_key, csv_text, processed_key, rejected_key
from functions.transform.coverage import coverage_rows
from functions.transform.hours import Hours, RejectedRow
from functions.transform.response import locations
from functions.transform.text import csv_lines
from functions.transform.weather import transformed


def require_unchanged(body: bytes, response: StoredResponse) -> None:
    """Raise UpstreamContractError if the bytes are not those that Ingest stored."""
    if hashlib.sha256(body).hexdigest() != response.sha256:
        raise UpstreamContractError(
            f"{response.key}: its bytes were changed after Ingest stored them (sha256); restore the first version"
        )


def hours_of(body: bytes, response: StoredResponse, run: Run) -> tuple[Hours, list[RejectedRow]]:
    """Return the accepted hours and the rejected rows of a response.

    Raises UpstreamContractError if it does not match its request.
    """
    return transformed(locations(body, response.key, len(response.cities)), run, response.cities, response.key)


def origin(run: Run, response: StoredResponse) -> dict[str, str]:
    """Return what all rows of a part have in common."""
    return {
        "source": run.source,
        "fetched_at": response.fetched_at.isoformat(),
        "run_id": run.run_id,
        "raw_key": response.key,
    }


def csv_objects(
    hours: Hours, rejected: Sequence[RejectedRow], run: Run, response: StoredResponse
) -> dict[str, str | Iterable[bytes | bytearray]]:
    """Return the processed, the coverage and the rejected object of a part as CSV, by key."""
    coverage = coverage_rows(hours, response.cities, run.start, tuple(origin(run, response).values()))
    return {
        processed_key(response.key): csv_lines(hours, response.cities, run.start),
        coverage_key(response.key): csv_text(COVERAGE_COLUMNS, coverage),
        rejected_key(response.key): csv_text(REJECTED_COLUMNS, rejected),
    }

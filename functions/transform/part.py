"""A part: from the exact bytes of its response to its hours, and from those to its three objects. Pure, no I/O."""

import hashlib

from functions.core.contracts import COVERAGE_COLUMNS, REJECTED_COLUMNS
from functions.core.errors import UpstreamContractError
from functions.core.run import Run
from functions.core.storage import GzippedCsv, StoredResponse, coverage_key, gzipped, processed_key, rejected_key
from functions.transform.coverage import coverage_rows
from functions.transform.hours import Hours
from functions.transform.response import locations
from functions.transform.text import csv_lines
from functions.transform.weather import transformed


def require_unchanged(body: bytes, response: StoredResponse) -> None:
    """Raise UpstreamContractError if the bytes are not those that Ingest stored."""
    if hashlib.sha256(body).hexdigest() != response.sha256:
        raise UpstreamContractError(
            f"{response.key}: its bytes were changed after Ingest stored them (sha256); restore the first version"
        )


def no_rejected() -> GzippedCsv:
    """Return a file of rejected rows without a row."""
    return GzippedCsv(REJECTED_COLUMNS)


def hours_of(body: bytes, response: StoredResponse, run: Run, rejected: GzippedCsv) -> Hours:
    """Return the accepted hours of a response; its rejected rows are added to ``rejected``.

    Raises UpstreamContractError if it does not match its request.
    """
    found = locations(body, response.key, len(response.cities))
    return transformed(found, run, response.cities, response.key, rejected.add)


def origin(run: Run, response: StoredResponse) -> dict[str, str]:
    """Return what all rows of a part have in common."""
    return {
        "source": run.source,
        "fetched_at": response.fetched_at.isoformat(),
        "run_id": run.run_id,
        "raw_key": response.key,
    }


def csv_objects(hours: Hours, rejected: GzippedCsv, run: Run, response: StoredResponse) -> dict[str, bytes]:
    """Return the processed, the coverage and the rejected object of a part, gzipped CSV files by key."""
    coverage = GzippedCsv(COVERAGE_COLUMNS)
    coverage.add(coverage_rows(hours, response.cities, run.start, tuple(origin(run, response).values())))
    return {
        processed_key(response.key): gzipped(csv_lines(hours, response.cities, run.start)),
        coverage_key(response.key): coverage.file(),
        rejected_key(response.key): rejected.file(),
    }

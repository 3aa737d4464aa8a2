"""Calls of Ingest: of its handler with an event, or of its fetch with any cities."""

import threading
from datetime import UTC, datetime

from aws import RAW

from functions.core.cities import load_cities
from functions.core.contracts import IngestResult
from functions.core.run import Run
from functions.core.storage import RawStore
from functions.ingest.fetch import Fetch
from functions.ingest.handler import lambda_handler
from functions.ingest.open_meteo import OpenMeteo

TODAY = datetime.now(UTC).date()
MUSANZE = load_cities()["musanze"]
EVENT = {"run_id": "r1", "start": TODAY.isoformat(), "end": TODAY.isoformat()}
# Of the keys of this run's raw objects.
PREFIX = f"raw/source=forecast/date={TODAY}/run=r1/"


def ingest(event=EVENT):
    return IngestResult.from_json(lambda_handler(event, None))


def two_at_once():
    """The results of two calls of ``ingest`` at the same time."""
    results = []
    threads = [threading.Thread(target=lambda: results.append(ingest())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def fetch(host, cities, *, seconds_left=lambda: float("inf"), free=True, now=None):
    """The fetch of one variable of today for these cities."""
    run = Run("r1", "forecast", TODAY, TODAY, TODAY, ("temperature_2m",), ())
    return Fetch(
        run, cities, f"{host.url}/v1/forecast", RawStore(RAW), OpenMeteo(),
        is_free_host=free, seconds_left=seconds_left, **({"now": now} if now else {}),
    )  # fmt: skip

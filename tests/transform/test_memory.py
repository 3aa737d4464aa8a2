"""Transform's memory: the largest response of numbers fits, accepted or rejected. In a process of its own."""

import json
import os
import subprocess
import sys
from datetime import UTC, date, datetime, time, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from aws import PROCESSED, RAW

from functions.core.cities import COLUMNS
from functions.core.run import MAX_HOURS_PER_RESPONSE, Run
from functions.core.storage import StoredResponse, csv_text, gzipped, raw_key
from functions.core.variables import VARIABLES

START = date(1990, 1, 1)
# Issue 8's goal; the largest of these, of one city with only rejected hours, takes 198 MB.
GOAL_MB = 250
_PROGRAM = """
import json, sys
from benchmarks.contestants.process import peak_mb
from functions.transform.handler import lambda_handler
part = lambda_handler(json.load(sys.stdin), None)
print(json.dumps({**part, "peak_mb": peak_mb()}))
"""


def largest(cities):
    """The run of these cities with the most hours that a response may have."""
    days = MAX_HOURS_PER_RESPONSE // 24 // cities
    ids = tuple(f"city-{n}" for n in range(cities))
    return Run("r", "forecast", START, START, START + timedelta(days=days - 1), tuple(VARIABLES), ids)


def city_list(ids):
    return csv_text([COLUMNS, *((city_id, "City", "Nowhere", 1, 2, "UTC", "", "") for city_id in ids)]).encode()


def body(run, **columns):
    """A response with a typical value of each variable in each hour, unless ``columns`` has the JSON of another one."""
    hours = 24 * run.days
    typical = ("21.4", "80", "96", "10.2", "17.3", "1.25")
    first = datetime.combine(run.start, time.min)
    times = ",".join(f'"{first + timedelta(hours=n):%Y-%m-%dT%H:%M}"' for n in range(hours))
    values = ",".join(
        f'"{name}":[{",".join([columns.get(name, value)] * hours)}]'
        for name, value in zip(VARIABLES, typical, strict=True)
    )
    units = json.dumps({"time": "iso8601"} | {name: variable.unit for name, variable in VARIABLES.items()})
    location = f'"utc_offset_seconds":0,"hourly_units":{units},"hourly":{{"time":[{times}],{values}}}}}'
    return f"[{','.join(f'{{{location}' for _ in run.cities)}]".encode()


def transform(server, run, content):
    """The result of Transform for a response, with the peak memory of its process."""
    s3 = server.client("s3")
    for bucket in (RAW, PROCESSED):
        s3.create_bucket(Bucket=bucket)
    response = StoredResponse(
        raw_key(run, 0), "http://127.0.0.1/", 200, datetime(2026, 1, 1, tzinfo=UTC), sha256(content).hexdigest(),
        run.cities, 1.0,
    )  # fmt: skip
    s3.put_object(Bucket=RAW, Key=response.key, Body=gzipped((content,)), Metadata=response.metadata())
    s3.put_object(Bucket=RAW, Key="cities.csv", Body=city_list(run.cities))
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        input=json.dumps({"run": run.to_json(), "raw_key": raw_key(run, 0)}),
        env={
            **os.environ,
            "AWS_ENDPOINT_URL": server.endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "CITIES_URI": f"s3://{RAW}/cities.csv",
            "RAW_BUCKET": RAW,
            "PROCESSED_BUCKET": PROCESSED,
            "PYTHONPATH": str(Path(__file__).parents[2]),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    ("cities", "columns", "is_rejected"),
    [
        (1, {}, False),
        (28, {"temperature_2m": "999.9"}, True),
        (1, {"temperature_2m": "999.9"}, True),
        # every variable is wrong, and only Python's json decodes the body
        (28, dict.fromkeys(VARIABLES, "NaN"), True),
    ],
    ids=["regular, one city", "rejected", "rejected, one city", "NaN"],
)
def test_the_largest_response_fits_into_transforms_memory(ministack, cities, columns, is_rejected):
    run = largest(cities)
    result = transform(ministack, run, body(run, **columns))
    hours = 24 * run.days * cities
    assert hours > MAX_HOURS_PER_RESPONSE - 24 * cities
    assert (result["rows"], result["rejected"]) == ((0, hours) if is_rejected else (hours, 0))
    assert result["peak_mb"] <= GOAL_MB

"""What Transform finds in a response: each rule with a value just inside and just outside."""

import gc
import gzip
import json
import tracemalloc
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from functions.core.contracts import QUALITY_COLUMNS
from functions.core.quality import FROZEN_HOURS, LARGEST_STEPS, RULES, STALE_HOURS
from functions.core.run import Run
from functions.core.storage import StoredResponse, quality_key
from functions.core.variables import VARIABLES
from functions.transform.part import csv_objects, part_of
from functions.transform.reasons import rule_of

DAY = date(2026, 3, 1)
KEY = "raw/source=forecast/date=2026-03-01/run=r/part-0000.json.gz"
IDS = ("kigali", "huye")
RECORDED = Path(__file__).parents[1] / "recorded"
ZONE = "Africa/Kigali"


def document(days=3, **columns):
    """A location whose temperature and wind change every hour; ``columns`` replace its variables."""
    hours = 24 * days
    first = datetime(2026, 3, 1, tzinfo=UTC)
    block = {
        "time": [f"{first + timedelta(hours=n):%Y-%m-%dT%H:%M}" for n in range(hours)],
        "temperature_2m": [20 + n % 3 for n in range(hours)],
        "relative_humidity_2m": [100] * hours,
        "weather_code": [0] * hours,
        "precipitation": [0] * hours,
        "wind_speed_10m": [10 + n % 3 for n in range(hours)],
        "uv_index": [0] * hours,
    }
    units = {"time": "iso8601"} | {name: variable.unit for name, variable in VARIABLES.items()}
    place = {"latitude": -1.875, "longitude": 30.125, "elevation": 1500.0, "utc_offset_seconds": 0}
    return {**place, "hourly_units": units, "hourly": block | columns}


def part(*documents, days=3, source="forecast", fetched_at=datetime(2026, 9, 1, tzinfo=UTC), zone=ZONE):
    for n, each in enumerate(documents[1:], 1):
        each["location_id"] = n
    run = Run("r", source, DAY, DAY, DAY + timedelta(days=days - 1), tuple(VARIABLES), ())
    response = StoredResponse(KEY, "http://host", 200, fetched_at, "0" * 64, IDS[: len(documents)], 1.0)
    body = json.dumps(list(documents) if len(documents) > 1 else documents[0]).encode()
    return part_of(body, response, run, dict.fromkeys(IDS, zone)), run, response


def rows(*documents, **options):
    """The rows of the quality object: those of the cells, and those of the findings."""
    made, run, response = part(*documents, **options)
    lines = gzip.decompress(csv_objects(made, run, response)[quality_key(KEY)]).decode().splitlines()
    assert lines[0] == ",".join(QUALITY_COLUMNS)
    every = list(made.quality.rows(made.found))
    assert len(every) == len(lines) - 1
    assert {row[-1] for row in every} <= {response.fetched_at.isoformat()}
    return [row[:-1] for row in every if row[1] is None], [row[:5] for row in every if row[1]]


def findings(*documents, **options):
    return rows(*documents, **options)[1]


def changed(values, **places):
    """The values with those at the places ``h5=...`` replaced."""
    return [places.get(f"h{n}", value) for n, value in enumerate(values)]


def test_a_plain_response_has_the_grid_cells_and_no_finding():
    cells, found = rows(document(), document())
    assert cells == [(city, None, None, None, None, -1.875, 30.125, 1500.0) for city in IDS]
    assert found == []


@pytest.mark.parametrize("name", LARGEST_STEPS)
def test_a_step_beyond_the_limit_is_found_and_one_at_the_limit_is_not(name):
    limit = LARGEST_STEPS[name]
    inside = document(**{name: changed([5.0] * 24 + [5.1] * 24 + [5.0] * 24, h9=round(5 + limit, 1))})
    outside = document(**{name: changed([5.0] * 24 + [5.1] * 24 + [5.0] * 24, h9=round(5.1 + limit, 1))})
    assert [row for row in findings(inside) if row[1] == "large_step"] == []
    step = f"2026-03-01T09:00Z: {name} from 5 to {5.1 + limit:g}"
    assert [row for row in findings(outside) if row[1] == "large_step"] == [
        ("kigali", "large_step", "2026-03-01", 2, step)
    ]


def test_an_hour_with_two_steps_counts_once_and_a_null_between_hours_is_no_step():
    temperature = changed([20 + n % 3 for n in range(72)], h9=60, h30=None, h31=60, h32=None)
    wind = changed([10 + n % 3 for n in range(72)], h9=100)
    found = findings(document(temperature_2m=temperature, wind_speed_10m=wind))
    assert [row[:4] for row in found] == [("kigali", "large_step", "2026-03-01", 2)]


def test_two_cities_are_no_step_and_no_series():
    first = changed([20 + n % 3 for n in range(72)], **{f"h{n}": 30 for n in range(72 - FROZEN_HOURS + 1, 72)})
    second = changed([20 + n % 3 for n in range(72)], **{f"h{n}": 30 for n in range(FROZEN_HOURS - 1)})
    assert findings(document(temperature_2m=first), document(temperature_2m=second)) == []
    assert findings(document(), document(temperature_2m=[60 + n % 3 for n in range(72)])) == []


def test_the_first_hour_of_a_city_is_no_step_from_the_last_one_of_another_even_if_it_is_the_next_hour():
    first = document(temperature_2m=[20 + n % 3 if n < 10 else 999 for n in range(72)])
    second = document(temperature_2m=[60 + n % 3 if n >= 10 else 999 for n in range(72)])
    assert {row[1] for row in findings(first, second)} == {"impossible_value"}


@pytest.mark.parametrize("name", ["temperature_2m", "wind_speed_10m"])
@pytest.mark.parametrize("first", [0, 1, 2, 3, 13, 40, 72 - FROZEN_HOURS])
def test_equal_values_are_frozen_from_a_length_on_wherever_they_begin(name, first):
    for length in (FROZEN_HOURS - 1, FROZEN_HOURS):
        values = changed([20 + n % 3 for n in range(72)], **{f"h{n}": 25 for n in range(first, first + length)})
        found = findings(document(), document(**{name: values}))
        assert sum(row[3] for row in found) == (FROZEN_HOURS if length == FROZEN_HOURS else 0)
        assert {row[:2] for row in found} <= {("huye", "frozen_series")}


def test_a_frozen_series_is_counted_by_local_day_with_its_first_hour():
    values = changed([20 + n % 3 for n in range(72)], **{f"h{n}": 25.5 for n in range(10, 40)})
    words = "temperature_2m is 25.5 for 30 hours"
    assert findings(document(temperature_2m=values)) == [
        ("kigali", "frozen_series", "2026-03-01", 12, f"2026-03-01T10:00Z: {words}"),
        ("kigali", "frozen_series", "2026-03-02", 18, f"2026-03-01T22:00Z: {words}"),
    ]


def test_nulls_and_a_humidity_or_rain_that_does_not_change_are_not_frozen():
    assert findings(document(temperature_2m=[None] * 72)) == []


@pytest.mark.parametrize(
    ("change", "rule", "day", "example"),
    [
        ({"temperature_2m": 65.1}, "impossible_value", "2026-03-01", "2026-03-01T05:00: impossible temperature_2m"),
        ({"weather_code": 42}, "impossible_value", "2026-03-01", "2026-03-01T05:00: unknown weather code"),
        (
            {"wind_speed_10m": "calm"},
            "impossible_value",
            "2026-03-01",
            "2026-03-01T05:00: wind_speed_10m cannot be read",
        ),
        ({"time": "2026-03-01T04:00"}, "duplicate_hour", "2026-03-01", "2026-03-01T04:00: duplicate hour"),
        ({"time": "2026-03-04T00:00"}, "wrong_time", "2026-03-01", "2026-03-04T00:00: hour outside the window"),
        ({"time": "noon"}, "wrong_time", "2026-03-01", "noon: time cannot be read"),
        ({"time": "2026-03-02T05:30"}, "wrong_time", "2026-03-02", "2026-03-02T05:30: time is not on the hour"),
    ],
)
def test_a_rejected_hour_is_a_finding_of_the_rule_of_its_reason(change, rule, day, example):
    whole = document()
    for name, value in change.items():
        whole["hourly"][name][5] = value
    # the hour that the others lack is a gap, so no step is found beside it
    assert findings(whole) == [("kigali", rule, day, 1, example)]


@pytest.mark.parametrize(("value", "is_possible"), [(65, True), (65.1, False), (-95, True), (-95.1, False)])
def test_a_value_at_the_limit_of_its_variable_is_possible(value, is_possible):
    whole = document(temperature_2m=changed([20 + n % 3 for n in range(72)], h5=value))
    assert (
        [row for row in findings(whole) if row[1] == "impossible_value"] == []
        if is_possible
        else [("kigali", "impossible_value", "2026-03-01", 1, "2026-03-01T05:00: impossible temperature_2m")]
    )


def test_a_wrong_value_counts_before_a_wrong_time():
    assert rule_of("hour outside the window; impossible precipitation") == "impossible_value"
    assert rule_of("hour outside the window") == "wrong_time"
    assert rule_of("duplicate hour") == "duplicate_hour"


@pytest.mark.parametrize(
    ("hours", "source", "is_stale"),
    [(STALE_HOURS, "forecast", False), (STALE_HOURS + 1, "forecast", True), (STALE_HOURS + 1, "archive", False)],
)
def test_a_forecast_without_a_temperature_of_the_last_hours_is_stale(hours, source, is_stale):
    fetched_at = datetime(2026, 3, 2, 22, 30, tzinfo=UTC)
    newest = 46 - hours
    # a forecast hour after the fetch says nothing
    values = [20 + n % 3 if n <= newest or n > 46 else None for n in range(72)]
    found = findings(document(), document(temperature_2m=values), fetched_at=fetched_at, source=source)
    example = f"newest temperature at 2026-03-01T{newest:02d}:00Z, fetched at 2026-03-02T22:30Z"
    assert found == ([("huye", "stale", "2026-03-03", hours, example)] if is_stale else [])


@pytest.mark.parametrize(
    ("fetched_at", "hours"),
    [(datetime(2026, 3, 2, 0, 59, tzinfo=UTC), 0), (datetime(2026, 3, 2, 1, tzinfo=UTC), 26),
     (datetime(2026, 3, 3, 23, tzinfo=UTC), 72), (datetime(2026, 3, 4, tzinfo=UTC), 0)],
)  # fmt: skip
def test_only_a_window_with_the_fetch_and_the_hours_before_it_can_be_stale(fetched_at, hours):
    found = findings(document(temperature_2m=[None] * 72), fetched_at=fetched_at)
    assert sum(row[3] for row in found if row[1] == "stale") == hours


def test_a_variable_without_unit_and_values_is_found():
    lacking = document(uv_index=[None] * 72)
    lacking["hourly_units"]["uv_index"] = "undefined"
    assert findings(document(), lacking) == [("huye", "undefined_unit", "2026-03-01", 72, "uv_index")]


def test_hours_of_an_irregular_location_are_judged_too():
    values = changed([20 + n % 3 for n in range(72)], **{f"h{n}": 25 for n in range(30, 60)}, h3=999)
    cells, found = rows(document(), document(temperature_2m=values))
    assert len(cells) == 2
    assert {(row[1], row[3]) for row in found} == {
        ("impossible_value", 1),
        ("frozen_series", 16),
        ("frozen_series", 14),
    }


def test_a_location_without_coordinates_has_an_empty_cell_and_one_with_others_none_at_all():
    plain, odd = document(), document()
    del plain["elevation"]
    odd["latitude"] = "north"
    cells, found = rows(plain, odd)
    assert cells == [("kigali", None, None, None, None, -1.875, 30.125, None)]
    assert found == []


def test_the_findings_of_the_worst_response_are_bounded_by_days():
    days = 20
    made, _, _ = part(document(days, temperature_2m=[999] * 24 * days), days=days)
    assert len(made.hours) == 0
    # a UTC window of 20 days has hours of 21 local days
    assert len(made.quality) == days + 1


def test_the_findings_of_a_response_leave_nothing_in_the_memory_of_a_function_that_goes_on():
    days = 200
    response = document(days, temperature_2m=changed([20 + n % 3 for n in range(24 * days)], h5=60))
    findings(response, days=days)
    tracemalloc.start()
    try:
        for zone in ("Africa/Cairo", "Asia/Kolkata", "Europe/Paris", "America/Lima", "Asia/Tokyo"):
            assert len(findings(response, days=days, zone=zone)) == 1
        gc.collect()
        remaining, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # the local dates of each window would be 190 kB
    assert remaining < 200_000


def recorded(path):
    """The locations of a recorded body, as if their local hours were UTC; none if it has other hours."""
    documents = json.loads(path.read_bytes())
    documents = documents if isinstance(documents, list) else [documents]
    if any("temperature_2m" not in each.get("hourly", ()) or len(each["hourly"]["time"]) % 24 for each in documents):
        return []
    return [each | {"utc_offset_seconds": 0} for each in documents]


BODIES = {path.stem: documents for path in sorted(RECORDED.glob("*.json")) if (documents := recorded(path))}


@pytest.mark.parametrize("name", BODIES)
def test_a_recorded_response_has_no_error(name):
    documents = BODIES[name]
    units = documents[0]["hourly_units"]
    variables = tuple(name for name, variable in VARIABLES.items() if units.get(name) == variable.unit)
    times = documents[0]["hourly"]["time"]
    start, end = (date.fromisoformat(time[:10]) for time in (times[0], times[-1]))
    ids = tuple(f"city-{n}" for n in range(len(documents)))
    run = Run("r", "archive", start, start, end, variables, ())
    response = StoredResponse(KEY, "http://host", 200, datetime(2026, 9, 1, tzinfo=UTC), "0" * 64, ids, 1.0)
    made = part_of(json.dumps(documents).encode(), response, run, dict.fromkeys(ids, ZONE))
    assert len(made.hours) + made.rejected.rows == len(documents) * len(times)
    found = {row[1] for row in made.quality.rows(made.found) if row[1]}
    assert {rule for rule in found if RULES[rule].severity == "error"} == set()


def test_several_bodies_are_recorded():
    assert len(BODIES) > 5


def test_frozen_series_are_those_that_a_plain_search_finds():
    chance = np.random.default_rng(7)
    for _ in range(60):
        values = np.repeat(chance.integers(0, 3, 72), chance.integers(1, 60, 72))[:72].astype(float)
        series, begin = [], 0
        for n in range(1, 73):
            if n == 72 or values[n] != values[begin]:
                series += [n - begin] if n - begin >= FROZEN_HOURS else []
                begin = n
        found = findings(document(temperature_2m=values.tolist()))
        assert sum(row[3] for row in found if row[1] == "frozen_series") == sum(series)

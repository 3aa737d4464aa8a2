"""The pipeline event, and the data that travels between the states."""

import json
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from states import STATE_BYTES, state_bytes

from functions.core.contracts import (
    MAX_RESPONSES,
    REJECTED_COUNTS,
    CityFailure,
    IngestResult,
    LoadTask,
    ProcessedPart,
    RawPart,
)
from functions.core.errors import InvalidInputError
from functions.core.run import MAX_DAYS, MAX_NAMED_CITIES, Run
from functions.core.variables import variables_of

CITIES = ("kigali", "musanze", "huye")
STARTED = datetime(2026, 11, 23, 23, 30, tzinfo=UTC)


def resolve(event: object) -> Run:
    return Run.from_event(event, CITIES, run_id="execution-1", started_at=STARTED)


def test_an_empty_event_means_the_forecast_of_all_cities_from_two_days_ago_to_tomorrow():
    run = resolve({})
    assert (run.source, run.start, run.end, run.cities) == ("forecast", date(2026, 11, 21), date(2026, 11, 24), ())
    assert (run.run_id, run.run_date, run.days) == ("execution-1", date(2026, 11, 23), 4)
    assert "uv_index" in run.variables


def test_an_event_of_the_archive_means_the_last_seven_days_that_have_ended():
    run = resolve({"source": "archive"})
    assert (run.start, run.end, run.days) == (date(2026, 11, 16), date(2026, 11, 22), 7)
    assert resolve({"source": "archive", "end": "2026-11-10"}).start == date(2026, 11, 10)
    assert resolve({"source": "archive", "start": "2026-11-20"}).end == date(2026, 11, 22)


def test_the_default_variables_of_the_archive_do_not_include_uv_index():
    assert "uv_index" not in resolve({"source": "archive"}).variables


def test_the_json_of_a_run_is_an_event_that_means_the_same_run():
    run = resolve({"start": "2026-01-01", "end": "2026-01-31", "cities": ["huye"], "variables": ["precipitation"]})
    again = Run.from_event(run.to_json(), CITIES, run_id="another", started_at=datetime(2027, 1, 1, tzinfo=UTC))
    assert again == run


@st.composite
def events(draw):
    """Any valid event, each key of which may be missing or null."""
    source = draw(st.sampled_from(["forecast", "archive"]))
    days = st.dates(date(1940, 1, 1), date(2100, 12, 31)).map(str)
    event = {
        "source": source,
        "start": draw(days),
        "end": draw(days),
        "cities": draw(st.lists(st.sampled_from(CITIES), min_size=1)),
        "variables": draw(st.lists(st.sampled_from(variables_of(source)), min_size=1)),
        "run_id": draw(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9.:_-]{0,79}", fullmatch=True)),
        "run_date": draw(days),
    }
    left_out = draw(st.sets(st.sampled_from(sorted(event.keys() - {"source"}))))
    nulls = draw(st.sets(st.sampled_from(sorted(event.keys() - {"source"}))))
    return {key: None if key in nulls else value for key, value in event.items() if key not in left_out}


@given(events())
def test_the_window_of_any_event_has_the_days_that_it_names_and_its_json_means_the_same_run(event):
    start, end = event.get("start"), event.get("end")
    assume(not (start and end and start > end))
    try:
        run = resolve(event)
    except InvalidInputError as error:
        assert "days, the maximum is" in str(error)
        return
    assert run.start <= run.end
    assert run.days <= MAX_DAYS
    assert str(run.start) == (start or str(run.start))
    assert str(run.end) == (end or str(run.end))
    assert Run.from_event(json.loads(json.dumps(run.to_json())), CITIES, run_id="x", started_at=STARTED) == run


@pytest.mark.parametrize(
    ("time", "day"),
    [
        ("2026-11-23T23:59:59Z", date(2026, 11, 23)),
        ("2026-11-24T00:00:00Z", date(2026, 11, 24)),
        ("2026-11-24T01:30:00+02:00", date(2026, 11, 23)),
        ("2026-11-23T22:00:00.250-03:00", date(2026, 11, 24)),
        ("2026-11-23T23:59Z", date(2026, 11, 23)),
    ],
)
def test_the_run_date_can_be_a_time_whose_utc_day_counts_whenever_the_run_starts(time, day):
    run = resolve({"run_date": time})
    assert (run.run_date, run.start, run.end) == (day, day - timedelta(days=2), day + timedelta(days=1))
    late = STARTED + timedelta(hours=1)
    assert Run.from_event({"run_date": time}, CITIES, run_id="execution-1", started_at=late) == run
    assert Run.from_event(run.to_json(), CITIES, run_id="x", started_at=late) == run


@given(st.dates(date(1940, 1, 2), date(2100, 12, 30)), st.times(), st.integers(-23 * 60, 23 * 60))
def test_any_time_of_a_run_date_means_its_utc_day(day, time, offset):
    moment = datetime.combine(day, time, timezone(timedelta(minutes=offset)))
    assert resolve({"run_date": moment.isoformat()}).run_date == moment.astimezone(UTC).date()


def test_a_null_in_an_event_means_the_default():
    assert resolve({"start": None, "cities": None, "run_id": None}) == resolve({})


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ([], "event: must be a JSON object, not list"),
        ("x", "event: must be a JSON object, not str"),
        ({"city": "kigali"}, "event: unknown key 'city'; known keys are source, start"),
        ({"source": "marine"}, "event: source 'marine' must be one of forecast, archive"),
        ({"source": 5}, "event: source must be a string, not int"),
        ({"start": "2026-01-02", "end": "2026-01-01"}, "event: end 2026-01-01 is before start 2026-01-02"),
        ({"start": "1990-01-01", "end": "2018-07-09"}, "1990-01-01 to 2018-07-09 are 10417 days, the maximum is 10416"),
        ({"start": "20260102"}, "event: start '20260102' must be a day as YYYY-MM-DD"),
        ({"start": "2025-W47-3"}, "event: start '2025-W47-3' must be a day as YYYY-MM-DD"),
        ({"run_date": "0001-01-01"}, "event: run_date 0001-01-01 must be from 1940 to 2100"),
        ({"start": "2026-02-30"}, "event: start '2026-02-30' must be a day"),
        ({"end": 20260101}, "event: end 20260101 must be a day"),
        ({"cities": ["atlantis"]}, "event: no such city 'atlantis' in the city list"),
        ({"cities": "kigali"}, "event: cities must be a list of strings"),
        ({"cities": []}, "event: cities is an empty list"),
        ({"variables": ["soil_temperature_0_to_7cm"]}, "event: variable 'soil_temperature_0_to_7cm' is not one"),
        ({"source": "archive", "variables": ["uv_index"]}, "'uv_index' .* only forecast has it"),
        ({"run_id": "a/b"}, "event: run_id 'a/b' must be"),
        ({"run_id": "x" * 81}, "event: run_id .* must be"),
        ({"run_date": "today"}, "event: run_date 'today' must be a day as YYYY-MM-DD, or a time with its zone such as"),
        ({"run_date": 20260101}, "event: run_date 20260101 must be a day"),
        (
            {"run_date": "<aws.scheduler.scheduled-time>"},
            "event: run_date '<aws.scheduler.scheduled-time>' must be a day",
        ),
        ({"run_date": "2026-11-25T04:00:00"}, "event: run_date '2026-11-25T04:00:00' must be a day"),
        ({"run_date": "2026-11-25T24:30:00Z"}, "event: run_date '2026-11-25T24:30:00Z' must be a day"),
        ({"run_date": "0001-01-01T00:00:00+01:00"}, "event: run_date '0001-01-01T00:00:00.01:00' must be a day"),
        ({"run_date": "1940-01-01T00:00:00+01:00"}, "event: run_date 1939-12-31 must be from 1940 to 2100"),
        ({"start": "2026-11-25T04:00:00Z"}, "event: start '2026-11-25T04:00:00Z' must be a day"),
    ],
)
def test_a_wrong_event_is_rejected_with_its_reason(event, reason):
    with pytest.raises(InvalidInputError, match=reason):
        resolve(event)


def test_the_result_of_ingest_is_the_same_after_json():
    result = IngestResult(
        "partial", resolve({}), 3, (RawPart("raw/k", 2),), (CityFailure("huye", "no data", "raw/k2"),), 3, 2.5, 1.0
    )
    assert IngestResult.from_json(json.loads(json.dumps(result.to_json()))) == result


def load_of(*results):
    """The load of a run of two parts with these results of Transform."""
    parts = (RawPart("raw/a", 1), RawPart("raw/b", 1))
    return LoadTask.from_json(
        {
            "execution": {"name": "n", "arn": "a", "started_at": "2026-11-24T04:00:00Z"},
            "ingest": IngestResult("complete", resolve({}), 2, parts).to_json(),
            "parts": list(results),
        }
    )


def test_the_result_of_transform_is_the_same_after_json():
    parts = ProcessedPart("raw/b", "f" * 64, 70, 2, 0.5), ProcessedPart("raw/a", "e" * 64, 72, 0, 0.5)
    assert load_of(*(json.loads(json.dumps(part.to_json())) for part in parts)).parts == parts
    assert [part.rows_in for part in parts] == [72, 72]


def test_results_of_transform_without_keys_are_those_of_the_parts_in_their_order():
    results = [{"sha256": each * 64, "rows": 1, "rejected": 0, "seconds": 0.5} for each in "ab"]
    assert [(part.raw_key, part.sha256[0]) for part in load_of(*results).parts] == [("raw/a", "a"), ("raw/b", "b")]
    with pytest.raises(InvalidInputError, match="1 results of Transform for 2 parts; expected one each"):
        load_of(results[0])


@pytest.mark.parametrize(
    ("rejected", "named"),
    [
        (0, 0),
        # every other response is rejected, or all but one
        (MAX_RESPONSES // (1 + REJECTED_COUNTS), 0),
        ((MAX_RESPONSES - 1) // REJECTED_COUNTS, 0),
        # each named city causes at most one response
        (0, MAX_NAMED_CITIES),
        (MAX_NAMED_CITIES - 1, MAX_NAMED_CITIES),
    ],
)
def test_the_largest_run_fits_into_the_256_kb_of_a_states_data(rejected, named):
    """With the error of a failed state, and in the form that takes most bytes."""
    accepted = (named or MAX_RESPONSES - (REJECTED_COUNTS - 1) * rejected) - rejected
    cities = [f"{n:063d}" for n in range(named)]
    event = {"run_id": "r" * 80, "start": "2026-01-01", "end": "2026-01-04", **({"cities": cities} if named else {})}
    run = Run.from_event(event, cities, run_id="x", started_at=STARTED)
    assert state_bytes(event, run, accepted, rejected) < STATE_BYTES


def test_more_named_cities_than_a_state_can_carry_are_rejected():
    cities = [f"c{n}" for n in range(MAX_NAMED_CITIES + 1)]
    with pytest.raises(InvalidInputError, match="cities names 301, the maximum is 300; omit it to load all"):
        Run.from_event({"cities": cities}, cities, run_id="x", started_at=STARTED)


def test_an_event_of_eventbridge_means_its_detail():
    envelope = {"version": "0", "id": "1", "detail-type": "Scheduled Event", "source": "aws.events", "detail": {}}
    assert resolve(envelope) == resolve({})
    assert resolve({**envelope, "detail": {"cities": ["huye"], "run_id": "r"}}) == resolve(
        {"cities": ["huye"], "run_id": "r"}
    )
    with pytest.raises(InvalidInputError, match="unknown key 'city'"):
        resolve({**envelope, "detail": {"city": "huye"}})


def test_the_time_of_an_event_of_eventbridge_is_the_run_date_unless_its_detail_has_one():
    envelope = {"detail-type": "Scheduled Event", "time": "2026-11-20T04:00:00Z", "detail": {"source": "archive"}}
    assert resolve(envelope).run_date == date(2026, 11, 20)
    assert resolve({**envelope, "detail": {"run_date": "2026-11-10"}}).run_date == date(2026, 11, 10)
    assert resolve({**envelope, "detail": {"run_date": None}}).run_date == date(2026, 11, 20)
    # the time of an event without a type is an unknown key, as any other
    with pytest.raises(InvalidInputError, match="unknown key 'detail', 'time'"):
        resolve({"time": "2026-11-20T04:00:00Z", "detail": {}})

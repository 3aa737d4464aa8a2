"""The backfill function with S3 by moto: plans once, records each item, sums up."""

import json

import pytest
from aws import RAW, buckets

from functions.backfill.handler import lambda_handler
from functions.core.errors import InvalidInputError

WINDOW = {"start": "2023-01-01", "end": "2024-12-31"}


@pytest.fixture
def s3(monkeypatch):
    monkeypatch.delenv("CITIES_URI", raising=False)
    monkeypatch.delenv("OPEN_METEO_API_KEY_SECRET", raising=False)
    with buckets(monkeypatch) as client:
        yield client


def plan(event, name="b-1"):
    execution = {"name": name, "arn": f"arn:execution:{name}", "started_at": "2026-11-24T12:00:00Z"}
    return lambda_handler({"action": "plan", "event": event, "execution": execution}, None)


def record(item, *, run=None, error=None):
    return lambda_handler(
        {"action": "record", "backfill_id": "b", "run_id": f"b-{item:05d}", "run": run, "error": error}, None
    )


def loaded(**changes):
    counts = {"rows_in": 10, "rows_loaded": 6, "rows_unchanged": 4, "rows_rejected": 0}
    return {"Output": {"status": "succeeded", "failed_cities": [], **counts, **changes}}


def finish():
    return lambda_handler({"action": "finish", "backfill_id": "b"}, None)


def items_of(s3, result):
    return json.loads(s3.get_object(Bucket=RAW, Key=result["key"])["Body"].read())


def test_a_plan_is_json_lines_of_pipeline_events_and_an_attempt_is_an_array_of_them(s3):
    result = plan({**WINDOW, "backfill_id": "b", "cities": ["huye"]})
    lines = s3.get_object(Bucket=RAW, Key="backfill/b/items.jsonl")["Body"].read().decode().splitlines()
    events = [json.loads(line) for line in lines]
    assert [(each["run_id"], each["start"], each["end"]) for each in events] == [
        ("b-00001", "2023-01-01", "2023-12-31"),
        ("b-00002", "2024-01-01", "2024-12-31"),
    ]
    assert {(each["source"], *each["cities"]) for each in events} == {("archive", "huye")}
    assert items_of(s3, result) == events
    assert (result["bucket"], result["items"], result["parallel"]) == (RAW, 2, 1)


def test_the_items_that_run_at_once_are_the_events_or_those_that_the_host_allows(s3, monkeypatch):
    assert plan({**WINDOW, "parallel": 7})["parallel"] == 7
    monkeypatch.setenv("OPEN_METEO_API_KEY_SECRET", "key")
    assert plan(WINDOW)["parallel"] == 4


def test_a_second_execution_gets_the_items_that_were_not_loaded_and_another_attempt(s3):
    first = plan({**WINDOW, "backfill_id": "b"})
    record(1, run=loaded())
    record(2, error={"Error": "States.TaskFailed", "Cause": "x"})
    second = plan({"backfill_id": "b"}, "b-2")
    assert [each["run_id"] for each in items_of(s3, second)] == ["b-00002"]
    assert first["attempt"] != second["attempt"]
    record(2, run=loaded(status="partial"))
    assert plan({"backfill_id": "b"}, "b-3")["items"] == 0


def test_the_items_of_a_plan_stay_as_they_were_first_planned(s3):
    plan({**WINDOW, "backfill_id": "b"})
    before = s3.get_object(Bucket=RAW, Key="backfill/b/items.jsonl")["Body"].read()
    plan({**WINDOW, "backfill_id": "b"}, "b-2")
    assert s3.get_object(Bucket=RAW, Key="backfill/b/items.jsonl")["Body"].read() == before


@pytest.mark.parametrize("change", [{"start": "2023-01-02"}, {"cities": ["huye"]}])
def test_an_id_that_another_backfill_has_is_rejected(s3, change):
    plan({**WINDOW, "backfill_id": "b"})
    with pytest.raises(InvalidInputError, match="backfill_id 'b' is taken by one of other cities or of 2023-01-01"):
        plan({**WINDOW, "backfill_id": "b", **change}, "b-2")


def test_an_unknown_id_without_a_window_is_rejected(s3):
    with pytest.raises(InvalidInputError, match="start and end are missing, and there is no plan of 'b'"):
        plan({"backfill_id": "b"})


def test_the_result_of_an_item_is_its_number_and_what_is_stored_is_how_it_ended(s3):
    plan({**WINDOW, "backfill_id": "b"})
    failed = [{"city_id": "huye", "reason": "No data", "raw_key": "raw/x"}]
    assert record(1, run=loaded(status="partial", failed_cities=failed)) == 1
    execution = {"ExecutionArn": "arn", "Status": "FAILED", "Error": "LoadError", "Cause": '{"errorMessage": "why"}'}
    assert record(2, error={"Error": "States.TaskFailed", "Cause": json.dumps(execution)}) == 2
    stored = [
        json.loads(s3.get_object(Bucket=RAW, Key=f"backfill/b/results/b-0000{n}.json")["Body"].read()) for n in (1, 2)
    ]
    assert (stored[0]["status"], stored[0]["failed_cities"]) == ("partial", failed)
    assert (stored[1]["status"], stored[1]["error"], stored[1]["cause"]) == ("failed", "LoadError", "why")
    assert finish() == {
        "backfill_id": "b",
        "status": "failed",
        "items": 2,
        "succeeded": 0,
        "partial": 1,
        "failed": 1,
        "rows_in": 10,
        "rows_loaded": 6,
        "rows_unchanged": 4,
        "rows_rejected": 0,
    }


def test_an_error_of_another_form_is_stored_as_it_is(s3):
    plan({**WINDOW, "backfill_id": "b"})
    record(1, error={"Error": "States.Timeout", "Cause": "[1]"})
    record(2, error={"Error": "States.TaskFailed"})
    stored = json.loads(s3.get_object(Bucket=RAW, Key="backfill/b/results/b-00001.json")["Body"].read())
    assert (stored["error"], stored["cause"]) == ("States.Timeout", "[1]")


@pytest.mark.parametrize(
    ("recorded", "status"),
    [([loaded()], "unfinished"), ([loaded()] * 2, "succeeded"), ([loaded(), loaded(status="partial")], "partial")],
)
def test_the_summary_counts_every_item(s3, recorded, status):
    plan({**WINDOW, "backfill_id": "b"})
    for number, run in enumerate(recorded, 1):
        record(number, run=run)
    assert finish()["status"] == status


@pytest.mark.parametrize("event", [{}, {"action": "dance"}, {"action": "record"}, {"action": "plan", "event": {}}])
def test_a_wrong_action_is_rejected(s3, event):
    with pytest.raises(InvalidInputError):
        lambda_handler(event, None)

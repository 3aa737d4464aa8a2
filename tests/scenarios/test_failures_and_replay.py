"""Failed runs: recorded, notified, without effect on the tables, and replayed from their stored responses."""

import json
import time
from contextlib import closing, suppress
from datetime import timedelta

import psutil
import pytest
from pipeline import MUSANZE_LATITUDE, TODAY, YESTERDAY


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("missing_variable", "requested variable temperature_2m is missing"),
        ("wrong_unit", "temperature_2m is in '°F'"),
        ("short_array", "temperature_2m has 23 values for 24 times"),
        ("fewer_hours", "has 5 hours, 24 were requested"),
        ("wrong_count", "has 2 locations, 3 were requested"),
        ("other_zone", "utc_offset_seconds is 7200"),
    ],
)
def test_a_response_that_breaks_the_contract_fails_the_run_without_a_retry_and_is_stored(pipeline, kind, reason):
    pipeline.run(**YESTERDAY)
    content = pipeline.content()
    pipeline.fault(kind, times=None)
    ended = pipeline.run(**YESTERDAY)
    assert (ended.row["status"], ended.row["error"]) == ("failed", "UpstreamContractError")
    (key,) = pipeline.raw_keys(ended.row["run_id"])
    assert (ended.row["objects"], ended.row["requests"], ended.row["quota_weight"]) == ([{"raw_key": key}], 1, 3)
    assert key in ended.row["cause"]
    assert reason in ended.row["cause"]
    assert pipeline.content() == content


def test_a_wrong_event_fails_the_run_without_a_retry_and_is_recorded_with_the_reason(pipeline):
    ended = pipeline.run(start="2026-03-02", end="2026-03-01")
    assert (ended.row["status"], ended.row["error"]) == ("failed", "InvalidInputError")
    assert ended.row["cause"] == "event: end 2026-03-01 is before start 2026-03-02"
    assert ended.row["event"] == {"start": "2026-03-02", "end": "2026-03-01"}
    assert ended.failures == ["InvalidInputError"]
    assert pipeline.host.requests == []


def test_a_run_that_failed_in_ingest_can_be_replayed_with_the_event_of_its_row(pipeline):
    pipeline.fault("bad_gateway", times=None)
    failed = pipeline.run(**YESTERDAY)
    assert (failed.row["event"]["run_id"], failed.row["cities"]) == (failed.row["run_id"], 3)
    assert str(failed.row["window_start"]) == YESTERDAY["start"]
    pipeline.host.faults = []
    again = pipeline.run(**failed.row["event"])
    assert (again.row["run_id"], again.row["status"]) == (failed.row["run_id"], "succeeded")


def test_a_failure_is_recorded_though_its_event_has_characters_that_postgres_cannot_store(pipeline):
    ended = pipeline.run(cities=["a\0b\ud800"])
    assert (ended.row["status"], ended.row["error"]) == ("failed", "InvalidInputError")
    assert "no such city" in ended.row["cause"]


@pytest.mark.parametrize("kind", ["long_400", "long_418", "long_unit", "controlling_400", "controlling_unit"])
def test_a_failure_is_recorded_with_an_excerpt_of_what_the_host_sent(pipeline, kind):
    pipeline.fault(kind, times=None)
    ended = pipeline.run(cities=["kigali"], **YESTERDAY)
    assert ended.row["status"] == "failed"
    assert ("cut, 7,340,032 characters" if "long" in kind else "\\x1b[31mred") in ended.row["cause"]
    assert len(ended.row["cause"]) < 1000
    assert ended.row["cause"].isprintable()
    assert all(len(json.dumps(step.data, default=str)) < 5000 for step in ended.steps)


@pytest.mark.parametrize("kind", ["long_400", "controlling_400"])
def test_a_failed_city_is_recorded_with_an_excerpt_of_its_reason(pipeline, kind):
    pipeline.fault(kind, times=None, latitude=MUSANZE_LATITUDE)
    ended = pipeline.run(**YESTERDAY)
    assert ended.row["status"] == "partial"
    (failure,) = ended.row["failed_cities"]
    assert (failure["city_id"], failure["reason"].isprintable()) == ("musanze", True)
    assert len(failure["reason"].encode()) <= 100


def test_a_failed_run_is_notified_on_the_failure_topic(pipeline, notifications):
    ended = pipeline.run(variables=["rain_of_frogs"])
    (message,) = notifications(1)
    assert "InvalidInputError" in message
    assert "rain_of_frogs" in message
    assert ended.row["execution_arn"] in message


def test_a_run_whose_model_is_killed_in_its_load_is_loaded_by_the_retry(pipeline):
    execution = _start_and_kill_its_load(pipeline, 1, **YESTERDAY)
    status, steps = pipeline.end(execution)
    failures = [step.data["error"] for step in steps if step.kind == "failed"]
    assert (status, len(failures)) == ("SUCCEEDED", 1)
    assert set(failures) <= {"Runtime.ExitError", "Sandbox.Timedout", "Lambda.Unknown"}
    assert len(pipeline.host.requests) == 1
    assert set(pipeline.observed_hours().values()) == {24}


def test_a_run_whose_model_is_killed_in_every_load_writes_nothing_and_its_replay_loads_all(pipeline):
    pipeline.run(**YESTERDAY)
    before = pipeline.content()
    pipeline.fault("impossible_value", times=None)
    wider = {"start": str(TODAY - timedelta(days=2)), "end": str(TODAY - timedelta(days=1))}
    status, _ = pipeline.end(_start_and_kill_its_load(pipeline, 2, run_id="killed", **wider))
    (row,) = pipeline.rows("SELECT * FROM pipeline_run WHERE run_id = 'killed'")
    assert (status, row["status"]) == ("FAILED", "failed")
    assert pipeline.content() == before

    requests = len(pipeline.host.requests)
    again = pipeline.run(**row["event"])
    assert (again.row["run_id"], again.row["status"], again.row["rows_rejected"]) == ("killed", "succeeded", 3)
    assert again.row["error"] is None
    assert len(pipeline.host.requests) == requests
    assert set(pipeline.observed_hours().values()) == {47}


def test_a_replay_from_raw_gives_the_same_tables_and_requests_nothing(pipeline):
    pipeline.fault("no_data", times=None, latitude=MUSANZE_LATITUDE)
    pipeline.run(run_id="stored", **YESTERDAY)
    content, (row,) = pipeline.content(), pipeline.rows("SELECT event FROM pipeline_run")
    pipeline.clear()
    pipeline.fault("overloaded", times=None)
    again = pipeline.run(**row["event"])
    assert again.row["status"] == "partial"
    assert pipeline.content() == content
    assert pipeline.host.requests == []


def _start_and_kill_its_load(pipeline, times, **event):
    """Start a run and kill Model so many times where it writes the mart, its rows in staging already; the execution."""
    with closing(pipeline.connect()) as lock:
        lock.cursor().execute("LOCK TABLE mart_daily_city_weather IN EXCLUSIVE MODE")
        execution = pipeline.start(**event)
        for _ in range(times):
            (model,) = _wait_for(lambda: _blocked_functions(pipeline))
            model.kill()
            _wait_for(lambda model=model: _has_ended(model))
        lock.rollback()
    return execution


def _has_ended(process):
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _blocked_functions(pipeline):
    """The processes of Model whose database session waits for a lock."""
    ports = {
        row["client_port"]
        for row in pipeline.rows(
            "SELECT client_port FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'ikirere'"
        )
    }
    pid = pipeline.emulator.status()["services"]["aws"]
    blocked = []
    for process in psutil.Process(pid).children(recursive=True):
        # A function that ended since it was listed is not blocked.
        with suppress(psutil.NoSuchProcess):
            if any(each.laddr and each.laddr.port in ports for each in process.net_connections()):
                blocked.append(process)
    return blocked


def _wait_for(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError(f"not true after {seconds} s")

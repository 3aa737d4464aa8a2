"""What happens to the tables when things go wrong: through the real state machine, functions and Postgres."""

import json
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta

import psutil
import pytest

from functions.core.cities import load_cities
from operations import executions, history

TODAY = datetime.now(UTC).date()
MUSANZE = load_cities()["musanze"].latitude
DAY = {"start": str(TODAY - timedelta(days=1)), "end": str(TODAY - timedelta(days=1))}


def observed(pipeline):
    return pipeline.rows("SELECT city_id, count(temperature_c) AS hours FROM staging_weather GROUP BY 1 ORDER BY 1")


def test_a_run_loads_every_hour_and_leaves_its_record(pipeline):
    ended = pipeline.run(**DAY)
    assert ended.states[:3] == ["Begin", "Ingest", "IsQuotaOpen"]
    assert ended.row["status"] == "succeeded"
    assert (ended.row["rows_in"], ended.row["rows_loaded"], ended.row["rows_unchanged"]) == (72, 72, 0)
    assert (ended.row["requests"], ended.row["cities"], ended.row["error"]) == (1, 3, None)
    assert ended.row["objects"][0]["sha256"]
    assert observed(pipeline) == [{"city_id": city, "hours": 24} for city in ("huye", "kigali", "musanze")]
    assert len(pipeline.host.requests) == 1


def test_the_next_day_again_writes_nothing_that_did_not_change(pipeline):
    pipeline.run(**DAY)
    before = pipeline.rows("SELECT xmin, * FROM staging_weather ORDER BY city_id, observed_at")
    days = pipeline.rows("SELECT xmin, * FROM mart_daily_city_weather ORDER BY city_id, date")
    ended = pipeline.run(**DAY)
    assert (ended.row["rows_loaded"], ended.row["rows_unchanged"]) == (0, 72)
    assert pipeline.rows("SELECT xmin, * FROM staging_weather ORDER BY city_id, observed_at") == before
    assert pipeline.rows("SELECT xmin, * FROM mart_daily_city_weather ORDER BY city_id, date") == days


@pytest.mark.parametrize(("module", "read_first"), [(executions, "newest"), (history, "run_rows")])
def test_history_never_shows_a_run_that_ended_while_it_read_without_its_counts(
    pipeline, monkeypatch, module, read_first
):
    read = getattr(module, read_first)
    ended = []

    def then_a_run_ends(*arguments, **options):
        found = read(*arguments, **options)
        ended.append(pipeline.run(**DAY, cities=["kigali"]).row["run_id"])
        return found

    monkeypatch.setattr(module, read_first, then_a_run_ends)
    shown = [entry for entry in history.history(pipeline.emulator, 50) if entry.run_id in ended]
    assert len(ended) == 1
    assert [entry.loaded for entry in shown] in ([], [24])


def test_a_closed_minute_is_waited_for_by_the_state_machine_and_not_by_a_function(pipeline):
    pipeline.fault("minutely")
    ended = pipeline.run(**DAY)
    assert ended.row["status"] == "succeeded"
    assert ended.states.count("WaitForQuota") == 1
    assert ended.states.count("Ingest") == 2
    assert ended.failures == []
    (wait,) = [step for step in ended.steps if step.state == "WaitForQuota" and step.kind == "entered"]
    assert 0 < wait.data["ingest"]["wait_seconds"] <= 61
    # what Ingest itself took is less than the shortest wait there could have been told it
    assert ended.row["ingest_seconds"] < wait.data["ingest"]["wait_seconds"] or wait.data["ingest"]["wait_seconds"] < 3


def test_an_overloaded_host_is_asked_again_by_the_state_machine(pipeline):
    pipeline.fault("overloaded", times=2)
    ended = pipeline.run(**DAY)
    assert ended.row["status"] == "succeeded"
    assert ended.failures == ["TransientError"] * 2
    assert ended.states.count("Ingest") == 1
    assert [asked.status for asked in pipeline.host.requests] == [503, 503, 200]


def test_one_refused_city_is_named_and_the_others_load(pipeline):
    pipeline.fault("no_data", times=None, latitude=MUSANZE)
    ended = pipeline.run(**DAY)
    assert (ended.execution, ended.row["status"]) == ("SUCCEEDED", "partial")
    assert [city["city_id"] for city in observed(pipeline)] == ["huye", "kigali"]
    (failed,) = ended.row["failed_cities"]
    assert (failed["city_id"], failed["reason"]) == ("musanze", "No data is available for this location")
    assert failed["raw_key"] in pipeline.raw_keys(ended.row["run_id"])


@pytest.mark.parametrize("kind", ["truncated", "html", "empty", "reset"])
def test_an_answer_that_does_not_decode_is_asked_for_again(pipeline, kind):
    pipeline.fault(kind)
    ended = pipeline.run(**DAY)
    assert ended.row["status"] == "succeeded", ended
    assert ended.failures == ["TransientError"]
    assert (ended.row["rows_loaded"], len(observed(pipeline))) == (72, 3)
    evidence = [key for key in pipeline.raw_keys(ended.row["run_id"]) if "unreadable-" in key]
    assert len(evidence) == (0 if kind == "reset" else 1)


def test_a_host_that_stays_down_fails_the_run_with_its_last_words(pipeline):
    pipeline.fault("bad_gateway", times=None)
    ended = pipeline.run(**DAY)
    assert (ended.execution, ended.row["status"], ended.row["error"]) == ("FAILED", "failed", "TransientError")
    assert "502" in ended.row["cause"]
    assert ended.failures == ["TransientError"] * 7
    assert ended.states[-3:] == ["RecordFailure", "NotifyFailure", "Failed"]


def test_all_nulls_load_as_nulls(pipeline):
    pipeline.fault("all_null", times=None)
    ended = pipeline.run(**DAY)
    assert (ended.row["status"], ended.row["rows_loaded"], ended.row["rows_rejected"]) == ("succeeded", 72, 0)
    assert observed(pipeline) == [{"city_id": city, "hours": 0} for city in ("huye", "kigali", "musanze")]
    days = pipeline.rows("SELECT * FROM mart_daily_city_weather")
    assert {(day["hours_observed"], day["avg_temperature_c"], day["dominant_condition"]) for day in days} == {
        (0, None, None)
    }


def test_a_null_tail_is_filled_later_and_never_comes_back(pipeline):
    pipeline.fault("null_tail", times=None)
    pipeline.run(**DAY)
    assert {city["hours"] for city in observed(pipeline)} == {18}
    pipeline.host.faults = []
    filled = pipeline.run(**DAY)
    assert {city["hours"] for city in observed(pipeline)} == {24}
    assert (filled.row["rows_loaded"], filled.row["rows_unchanged"]) == (18, 54)
    content = pipeline.content()
    pipeline.fault("null_tail", times=None)
    again = pipeline.run(**DAY)
    assert (again.row["rows_loaded"], again.row["rows_unchanged"]) == (0, 72)
    assert pipeline.content() == content


def test_bad_hours_are_refused_with_reasons_and_the_others_load(pipeline):
    for kind in ("impossible_value", "unknown_code"):
        pipeline.fault(kind, times=None, latitude=MUSANZE)
    ended = pipeline.run(**DAY)
    assert (ended.row["status"], ended.row["rows_rejected"], ended.row["rows_loaded"]) == ("succeeded", 1, 71)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("missing_variable", "requested variable temperature_2m is missing"),
        ("wrong_unit", "temperature_2m is in '°F'"),
        ("short_array", "temperature_2m has 23 values for 24 times"),
        ("fewer_hours", "has 5 hours, 24 were requested"),
        ("wrong_count", "has 2 locations, 3 were requested"),
        ("other_zone", "utc_offset_seconds is 7200"),
    ],
)
def test_an_answer_to_another_question_fails_the_run_at_once_and_is_kept(pipeline, kind, says):
    pipeline.run(**DAY)
    content = pipeline.content()
    pipeline.fault(kind, times=None)
    ended = pipeline.run(**DAY)
    assert (ended.row["status"], ended.row["error"]) == ("failed", "UpstreamContractError")
    (key,) = pipeline.raw_keys(ended.row["run_id"])
    assert (ended.row["objects"], ended.row["requests"], ended.row["quota_weight"]) == ([{"raw_key": key}], 1, 3)
    assert key in ended.row["cause"]
    assert says in ended.row["cause"]
    assert pipeline.content() == content


def test_a_wrong_event_fails_by_name_without_a_retry_and_is_recorded(pipeline):
    ended = pipeline.run(start="2026-03-02", end="2026-03-01")
    assert (ended.row["status"], ended.row["error"]) == ("failed", "InvalidInputError")
    assert ended.row["cause"] == "event: end 2026-03-01 is before start 2026-03-02"
    assert ended.row["event"] == {"start": "2026-03-02", "end": "2026-03-01"}
    assert ended.failures == ["InvalidInputError"]
    assert pipeline.host.requests == []


def test_a_failed_ingest_can_be_replayed_with_what_it_fetched(pipeline):
    pipeline.fault("bad_gateway", times=None)
    failed = pipeline.run(**DAY)
    assert (failed.row["event"]["run_id"], failed.row["cities"]) == (failed.row["run_id"], 3)
    assert str(failed.row["window_start"]) == DAY["start"]
    pipeline.host.faults = []
    again = pipeline.run(**failed.row["event"])
    assert (again.row["run_id"], again.row["status"]) == (failed.row["run_id"], "succeeded")


def test_what_postgres_cannot_hold_does_not_hide_a_failure(pipeline):
    ended = pipeline.run(cities=["a\0b\ud800"])
    assert (ended.row["status"], ended.row["error"]) == ("failed", "InvalidInputError")
    assert "no such city" in ended.row["cause"]


@pytest.fixture
def told(pipeline):
    """A function that gives the next message on the failure topic."""
    sqs, sns = pipeline.emulator.aws.client("sqs"), pipeline.emulator.aws.client("sns")
    queue = sqs.create_queue(QueueName="told")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    topic = pipeline.outputs["FailureTopicArn"]
    subscription = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)["SubscriptionArn"]
    yield lambda: json.loads(sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=10)["Messages"][0]["Body"])["Message"]
    sns.unsubscribe(SubscriptionArn=subscription)
    sqs.delete_queue(QueueUrl=queue)


def test_a_failure_is_told_on_the_topic(pipeline, told):
    ended = pipeline.run(variables=["rain_of_frogs"])
    message = told()
    assert "InvalidInputError" in message
    assert "rain_of_frogs" in message
    assert ended.row["execution_arn"] in message


def test_a_run_that_is_aborted_is_told_on_the_topic_too(pipeline, told):
    pipeline.fault("slow", times=None, seconds=1)
    execution = pipeline.start(**DAY)
    pipeline.emulator.aws.client("stepfunctions").stop_execution(executionArn=execution)
    message = json.loads(told())
    assert (message["detail"]["executionArn"], message["detail"]["status"]) == (execution, "ABORTED")


def test_the_same_event_twice_at_once_is_one_run(pipeline):
    pipeline.fault("slow", times=None, seconds=0.3)
    executions = [pipeline.start(run_id="twice", **DAY) for _ in range(2)]
    assert [pipeline.end(execution)[0] for execution in executions] == ["SUCCEEDED"] * 2
    assert observed(pipeline) == [{"city_id": city, "hours": 24} for city in ("huye", "kigali", "musanze")]
    (row,) = pipeline.rows("SELECT * FROM pipeline_run")
    assert (row["run_id"], row["status"], row["rows_in"]) == ("twice", "succeeded", 72)
    assert len(pipeline.raw_keys("twice")) == 1
    content = pipeline.content()
    pipeline.clear()
    pipeline.fault("overloaded", times=None)
    pipeline.run(run_id="twice", **DAY)
    assert pipeline.content() == content


def test_model_killed_in_mid_load_leaves_nothing_and_the_run_again_loads_all(pipeline):
    pipeline.run(**DAY)
    before = pipeline.content()
    pipeline.fault("impossible_value", times=None)
    wider = {"start": str(TODAY - timedelta(days=2)), "end": str(TODAY - timedelta(days=1))}
    with closing(pipeline.connect()) as lock:
        # the load stops where it writes the mart, its rows in staging already
        lock.cursor().execute("LOCK TABLE mart_daily_city_weather IN EXCLUSIVE MODE")
        execution = pipeline.start(run_id="killed", **wider)
        (model,) = _wait_for(lambda: _blocked_functions(pipeline))
        model.kill()
        _wait_for(lambda: not model.is_running() or model.status() == psutil.STATUS_ZOMBIE)
        lock.rollback()
    status, _ = pipeline.end(execution)
    (row,) = pipeline.rows("SELECT * FROM pipeline_run WHERE run_id = 'killed'")
    assert (status, row["status"]) == ("FAILED", "failed")
    assert pipeline.content() == before

    requests = len(pipeline.host.requests)
    again = pipeline.run(**row["event"])
    assert (again.row["run_id"], again.row["status"], again.row["rows_rejected"]) == ("killed", "succeeded", 3)
    assert again.row["error"] is None
    assert len(pipeline.host.requests) == requests
    assert {city["hours"] for city in observed(pipeline)} == {47}


def test_a_run_replayed_from_raw_gives_the_same_tables_without_asking(pipeline):
    pipeline.fault("no_data", times=None, latitude=MUSANZE)
    pipeline.run(run_id="kept", **DAY)
    content, (row,) = pipeline.content(), pipeline.rows("SELECT event FROM pipeline_run")
    pipeline.clear()
    pipeline.fault("overloaded", times=None)
    again = pipeline.run(**row["event"])
    assert again.row["status"] == "partial"
    assert pipeline.content() == content
    assert pipeline.host.requests == []


def _blocked_functions(pipeline):
    """The processes of Model whose session waits for a lock in the warehouse."""
    ports = {
        row["client_port"]
        for row in pipeline.rows(
            "SELECT client_port FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'ikirere'"
        )
    }
    functions = runs_of(pipeline)
    return [
        process
        for process in functions
        if any(each.laddr and each.laddr.port in ports for each in process.net_connections())
    ]


def runs_of(pipeline):
    pid = pipeline.emulator.status()["services"]["aws"]
    return psutil.Process(pid).children(recursive=True)


def _wait_for(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not come about")

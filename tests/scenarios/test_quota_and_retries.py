"""The waits and retries of the state machine: closed quota windows, an overloaded host, unusable responses."""

import pytest
from pipeline import YESTERDAY


def test_the_state_machine_and_not_a_function_waits_for_a_closed_quota_window(pipeline):
    pipeline.fault("minutely")
    ended = pipeline.run(**YESTERDAY)
    assert ended.row["status"] == "succeeded"
    assert ended.states.count("WaitForQuota") == 1
    assert ended.states.count("Ingest") == 2
    assert ended.failures == []
    (wait,) = [step for step in ended.steps if step.state == "WaitForQuota" and step.kind == "entered"]
    assert 0 < wait.data["ingest"]["wait_seconds"] <= 61
    # Ingest itself did not wait; a wait of under 3 seconds is too short to compare
    assert ended.row["ingest_seconds"] < wait.data["ingest"]["wait_seconds"] or wait.data["ingest"]["wait_seconds"] < 3


def test_the_state_machine_retries_a_request_to_an_overloaded_host(pipeline):
    pipeline.fault("overloaded", times=2)
    ended = pipeline.run(**YESTERDAY)
    assert ended.row["status"] == "succeeded"
    assert ended.failures == ["TransientError"] * 2
    assert ended.states.count("Ingest") == 1
    assert [request.status for request in pipeline.host.requests] == [503, 503, 200]


@pytest.mark.parametrize("kind", ["truncated", "html", "empty", "reset"])
def test_a_request_whose_response_does_not_decode_is_retried(pipeline, kind):
    pipeline.fault(kind)
    ended = pipeline.run(**YESTERDAY)
    assert ended.row["status"] == "succeeded", ended
    assert ended.failures == ["TransientError"]
    assert (ended.row["rows_loaded"], len(pipeline.observed_hours())) == (72, 3)
    unusable = [key for key in pipeline.raw_keys(ended.row["run_id"]) if "unreadable-" in key]
    assert len(unusable) == (0 if kind == "reset" else 1)


def test_a_run_whose_host_stays_down_fails_with_the_last_error_after_six_retries(pipeline):
    pipeline.fault("bad_gateway", times=None)
    ended = pipeline.run(**YESTERDAY)
    assert (ended.execution, ended.row["status"], ended.row["error"]) == ("FAILED", "failed", "TransientError")
    assert "502" in ended.row["cause"]
    assert ended.failures == ["TransientError"] * 7
    assert ended.states[-3:] == ["RecordFailure", "NotifyFailure", "Failed"]

"""The operations as a program calls them: typed results, steps for an observer, UserError; nothing is printed."""

import pytest
from pipeline import YESTERDAY

from deployment.errors import UserError
from emulator.emulator import Options
from operations import executions, history, runs
from operations.runs import Observer

SECONDS = 120
# The keys of the object that `ikirere run --json` prints for a run that was loaded.
OUTCOME = {
    "run_id",
    "status",
    "rows_in",
    "rows_loaded",
    "rows_unchanged",
    "rows_rejected",
    "city_days_changed",
    "alerts",
    "findings",
    "failed_cities",
    "seconds",
    "execution_arn",
    "model_seconds",
    "objects",
}


class Recorder(Observer):
    """Stores what a run reports, in order."""

    def __init__(self):
        self.reports = []

    def starting(self, service):
        self.reports.append(("starting", service))

    def started(self, run_id, weather):
        self.reports.append(("started", run_id))

    def step(self, step, seconds):
        self.reports.append((step.kind, step.state, seconds))

    def warning(self, message):
        self.reports.append(("warning", message))

    @property
    def steps(self):
        return [report for report in self.reports if len(report) == 3]


@pytest.fixture
def recorder():
    return Recorder()


def run(pipeline, observer, **event):
    return runs.run(pipeline.emulator, event, Options(), SECONDS, observer)


def test_a_run_returns_its_outcome_and_the_city_days_of_its_window(pipeline, recorder, capfd):
    result = run(pipeline, recorder, run_id="typed", **YESTERDAY)
    assert not result.failed
    assert not result.is_lost
    assert result.outcome.keys() == OUTCOME
    assert (result.outcome["run_id"], result.outcome["status"]) == ("typed", "succeeded")
    assert [result.outcome[f"rows_{name}"] for name in ("in", "loaded", "unchanged", "rejected")] == [72, 72, 0, 0]
    # a UTC day is part of two local days in Rwanda
    assert len(result.city_days) == result.outcome["city_days_changed"] == 6
    assert sum(day["hours_observed"] for day in result.city_days) == 72
    assert capfd.readouterr() == ("", "")


def test_a_run_reports_its_start_and_then_its_steps_in_order(pipeline, recorder):
    run(pipeline, recorder, run_id="observed", **YESTERDAY)
    names = [report[0] for report in recorder.reports]
    begin = names.index("started")
    assert set(names[:begin]) == {"starting"}
    assert recorder.reports[begin] == ("started", "observed")
    assert recorder.reports[begin + 1 :] == recorder.steps
    functions = ("Ingest", "Transform", "Model")
    assert [(kind, state) for kind, state, _ in recorder.steps if state in functions] == [
        (kind, state) for state in functions for kind in ("entered", "left")
    ]
    seconds = [second for *_, second in recorder.steps]
    assert seconds == sorted(seconds)


def test_a_run_of_a_window_outside_the_hosts_range_fails_and_can_be_replayed(pipeline, recorder):
    result = run(pipeline, recorder, start="2023-01-01", end="2023-01-02")
    assert (result.failed, result.is_replayable, result.is_lost) == (True, True, False)
    assert (result.outcome["status"], result.outcome["error"]) == ("failed", "InvalidInputError")
    assert "out of allowed range" in result.outcome["cause"]
    assert result.city_days == ()
    assert ("failed", "Ingest") in [(kind, state) for kind, state, _ in recorder.steps]
    assert pipeline.observed_hours() == {}


def test_a_wrong_event_raises_user_error_before_anything_starts(pipeline, recorder):
    before = executions.newest(pipeline.emulator, 1)
    with pytest.raises(UserError, match="event: unknown key 'sorce'"):
        run(pipeline, recorder, sorce="forecast")
    assert recorder.reports == []
    assert executions.newest(pipeline.emulator, 1) == before
    assert pipeline.host.requests == []


def test_the_details_of_a_run_are_its_row_and_the_steps_of_its_execution(pipeline, recorder):
    result = run(pipeline, recorder, run_id="detailed", **YESTERDAY)
    details = history.run_details(pipeline.emulator, "detailed")
    assert (details.row["run_id"], details.row["status"], details.row["rows_in"]) == ("detailed", "succeeded", 72)
    assert details.row["execution_arn"] == result.outcome["execution_arn"]
    assert details.row["objects"] == result.outcome["objects"]
    assert [(step.kind, step.state) for step in details.steps] == [(kind, state) for kind, state, _ in recorder.steps]


def test_an_unknown_object_key_raises_user_error_with_the_address(pipeline):
    with pytest.raises(UserError, match=r"s3://.+/raw/none\.json\.gz: cannot be read \(NoSuchKey\)"):
        history.raw_object(pipeline.emulator, "raw/none.json.gz")


def entries(pipeline, run_id):
    return [entry for entry in history.history(pipeline.emulator, 20) if entry.run_id == run_id]


def test_a_run_that_was_stopped_and_run_again_under_its_id_is_one_entry_with_its_state(pipeline, recorder):
    event = {"run_id": "again", **YESTERDAY}
    pipeline.fault("daily", times=None)
    stopped = executions.start(pipeline.emulator, event, executions.new_name())
    steps = executions.follow(pipeline.emulator, stopped, SECONDS)
    assert "WaitForQuota" in (step.state for step in steps)
    (entry,) = entries(pipeline, "again")
    assert entry.status == "running"
    pipeline.emulator.aws.client("stepfunctions").stop_execution(executionArn=stopped)
    pipeline.record_of(stopped)
    (entry,) = entries(pipeline, "again")
    assert (entry.status, entry.rows_in, entry.error.split(":")[0]) == ("failed", 0, "States.Aborted")
    pipeline.host.faults = []
    run(pipeline, recorder, **event)
    (entry,) = entries(pipeline, "again")
    assert (entry.status, entry.rows_in, entry.error) == ("succeeded", 72, "")
    listed = history.run_details(pipeline.emulator, "again").executions
    assert [status for *_, status in listed] == ["aborted", "succeeded"]


def test_a_loaded_run_whose_replay_was_stopped_stays_loaded_and_the_replay_is_a_failed_run(pipeline, recorder):
    run(pipeline, recorder, run_id="loaded", **YESTERDAY)
    pipeline.fault("daily", times=None)
    event = {"run_id": "loaded", "cities": ["kigali"], **YESTERDAY}
    name = executions.new_name("replay")
    stopped = executions.start(pipeline.emulator, event, name)
    pipeline.emulator.aws.client("stepfunctions").stop_execution(executionArn=stopped)
    pipeline.record_of(stopped)
    (entry,) = entries(pipeline, "loaded")
    assert (entry.status, entry.rows_in) == ("succeeded", 72)
    (replay,) = entries(pipeline, name)
    assert (replay.status, replay.started_by, replay.error.split(":")[0]) == ("failed", "replay", "States.Aborted")

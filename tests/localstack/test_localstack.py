"""The pipeline on the real LocalStack, deployed by its init hook: it loads the same rows as the laptop.

Needs LOCALSTACK_SERVER, the name of a script that starts LocalStack on a port: ``make test-localstack``.
"""

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg2
import pytest
from pipeline import CONTENT

from functions.model.migrations import migrate
from open_meteo_stand_in.server import StandIn

ROOT = Path(__file__).parents[2]
TODAY = datetime.now(UTC).date()
EVENT = {"start": str(TODAY - timedelta(days=9)), "end": str(TODAY - timedelta(days=8)), "run_id": "same"}
# fetched_at differs between runs
COMPARED = {name: statement.replace("fetched_at, ", "") for name, statement in CONTENT.items()}

pytestmark = pytest.mark.skipif("LOCALSTACK_SERVER" not in os.environ, reason="needs LocalStack: make test-localstack")


def rows(url, statement):
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


@pytest.fixture(scope="module")
def weather():
    with StandIn("synthetic", quota=False) as host:
        yield host


@pytest.fixture(scope="module")
def warehouse(new_database):
    url = new_database()
    migrate({"dsn": url})
    return url


@pytest.fixture(scope="module")
def hook(tmp_path_factory, weather, warehouse):
    """The init hook's module, deployed to a LocalStack of this test; ``hook.outputs`` are the stack's outputs."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("localstack") / "log"
    with log.open("w") as output:
        server = subprocess.Popen(
            [os.environ["LOCALSTACK_SERVER"], str(port)],
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 600
        while not _is_ready(port):
            assert server.poll() is None, log.read_text()[-2000:]
            assert time.monotonic() < deadline, log.read_text()[-2000:]
            time.sleep(1)
        os.environ |= {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "LOADER_URL": warehouse,
            "OPEN_METEO_FORECAST_URL": f"{weather.url}/v1/forecast",
            "OPEN_METEO_ARCHIVE_URL": f"{weather.url}/v1/archive",
            "SCHEDULE": "rate(1 day)",
        }
        os.environ["IKIRERE_ROOT"] = str(ROOT)
        # LocalStack executes a hook's text in an empty namespace
        exec((ROOT / "localstack" / "ready.d" / "deploy.py").read_bytes(), {})  # noqa: S102  # the hook as LocalStack runs it
        spec = importlib.util.spec_from_file_location("hook", ROOT / "localstack" / "deploy.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        module.outputs = module.stack.outputs(module.client)
        assert module.outputs["PipelineArn"]
        yield module
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


def _is_ready(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/_localstack/health", timeout=2) as response:
            return response.status == 200
    except OSError:
        return False


def ended(hook, execution, seconds=180):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = hook.client("stepfunctions").describe_execution(executionArn=execution)
        if found["status"] != "RUNNING":
            return found
        time.sleep(0.5)
    raise AssertionError("the run did not end")


@pytest.fixture(scope="module")
def laptop(tmp_path_factory, weather):
    """A function that runs an event on the emulator, against the same host, and returns its warehouse's address."""
    outer = ("AWS_ENDPOINT_URL", "DATABASE_URL")
    environment = {name: value for name, value in os.environ.items() if name not in outer}
    state = tmp_path_factory.mktemp("laptop") / "state"

    def ikirere(*arguments):
        command = [sys.executable, "-m", "command_line", "--state", str(state), *arguments]
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=180, check=False
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def run(event):
        ikirere("run", "--weather", weather.url, "--event", json.dumps(event))
        return json.loads(ikirere("status", "--json"))["database_url"]

    def backfill(start, end, backfill_id):
        ikirere(
            "backfill", "--weather", weather.url, "--start", start, "--end", end, "--backfill-id", backfill_id
        )  # fmt: skip
        return json.loads(ikirere("status", "--json"))["database_url"]

    run.backfill = backfill
    yield run
    ikirere("down")


def test_a_run_succeeds_and_loads_the_same_rows_as_the_laptop(hook, warehouse, laptop):
    machine = hook.outputs["PipelineArn"]
    started = hook.client("stepfunctions").start_execution(stateMachineArn=machine, input=json.dumps(EVENT))
    found = ended(hook, started["executionArn"])
    assert found["status"] == "SUCCEEDED", (found.get("error"), found.get("cause"))
    assert json.loads(found["output"])["rows_loaded"] == 144
    url = laptop(EVENT)
    for name, statement in COMPARED.items():
        assert rows(warehouse, statement) == rows(url, statement), name


def test_a_backfill_loads_the_same_rows_as_the_laptop_and_resumes_without_a_request(hook, warehouse, laptop, weather):
    event = {"backfill_id": "years", "start": "2022-01-01", "end": "2023-12-31", "parallel": 2}
    ends = []
    for _ in range(2):
        weather.requests.clear()
        machine = hook.outputs["BackfillArn"]
        started = hook.client("stepfunctions").start_execution(stateMachineArn=machine, input=json.dumps(event))
        found = ended(hook, started["executionArn"], 600)
        assert found["status"] == "SUCCEEDED", (found.get("error"), found.get("cause"))
        ends.append((json.loads(found["output"]), len(weather.requests)))
    (first, requests), (second, no_requests) = ends
    assert (first["items"], first["succeeded"], first["rows_loaded"], requests) == (2, 2, 3 * 730 * 24, 2)
    assert (second, no_requests) == (first, 0)
    url = laptop.backfill("2022-01-01", "2023-12-31", "years")
    for name in ("staging", "mart"):
        compared = COMPARED[name].replace(" ORDER BY", " WHERE run_id LIKE 'years-%' ORDER BY")
        assert rows(warehouse, compared) == rows(url, compared), name


def test_deploying_again_changes_nothing(hook):
    assert hook.deploy() == hook.outputs


def test_a_wrong_event_fails_with_its_error_class_and_is_recorded(hook, warehouse):
    machine = hook.outputs["PipelineArn"]
    started = hook.client("stepfunctions").start_execution(
        stateMachineArn=machine, input='{"sorce": 1, "run_id": "wrong"}'
    )
    found = ended(hook, started["executionArn"])
    assert found["status"] == "FAILED"
    ((error, cause),) = rows(
        warehouse, "SELECT error, cause FROM pipeline_run WHERE status = 'failed' AND cause LIKE '%sorce%'"
    )
    assert (error, "unknown key 'sorce'" in cause) == ("InvalidInputError", True)


def test_an_aborted_run_is_recorded(hook, warehouse):
    client, machine = hook.client("stepfunctions"), hook.outputs["PipelineArn"]
    event = json.dumps({**EVENT, "run_id": "aborted"})
    started = client.start_execution(stateMachineArn=machine, input=event)["executionArn"]
    client.stop_execution(executionArn=started)
    deadline = time.monotonic() + 180
    statement = "SELECT status, execution_arn FROM pipeline_run WHERE run_id = 'aborted'"
    while not (found := rows(warehouse, statement)) and time.monotonic() < deadline:
        time.sleep(1)
    assert found == [("failed", started)]


def test_a_rule_starts_the_pipeline_and_loads_the_same_rows_as_the_laptop(hook, warehouse, laptop):
    os.environ["SCHEDULE"] = "rate(1 minute)"
    hook.deploy()
    fired = """
        SELECT DISTINCT ON (source) event, status, execution_arn FROM pipeline_run
        WHERE run_id NOT IN ('same', 'wrong', 'aborted') AND run_id NOT LIKE 'years-%' ORDER BY source, started_at
    """
    deadline = time.monotonic() + 240
    while len(found := rows(warehouse, fired)) < 2 and time.monotonic() < deadline:
        time.sleep(1)
    for rule in ("ikirere-schedule", "ikirere-archive"):
        hook.client("events").disable_rule(Name=rule)
    assert [(event["source"], status) for event, status, _ in found] == [
        ("archive", "succeeded"),
        ("forecast", "succeeded"),
    ]
    for event, _, execution in found:
        assert ended(hook, execution)["status"] == "SUCCEEDED"
        url = laptop(event)
    inputs = [hook.client("stepfunctions").describe_execution(executionArn=each[2])["input"] for each in found]
    assert '"aws.events"' in inputs[1]
    # the day of each run is that of the time of its event
    assert [json.loads(each)["time"][:10] for each in inputs] == [event["run_date"] for event, _, _ in found]
    for name, statement in COMPARED.items():
        # the number of forecast hours depends on the hour of fetching
        compared = statement.replace(", hours_forecast", "")
        assert rows(warehouse, compared) == rows(url, compared), name

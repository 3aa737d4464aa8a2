"""What survives ``down``, kills and damage, and how ``up`` repairs it."""

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress

import psutil
import psycopg2
import pytest
from command import ROOT, unused_port, wait_for_record

from deployment.stack import local_client
from emulator.emulator import Emulator, Options
from emulator.ministack import Ministack
from emulator.state import State
from open_meteo_stand_in.faults import Fault
from open_meteo_stand_in.server import StandIn


def test_the_warehouse_and_the_runs_survive_down_and_up(ikirere):
    ikirere("run", "--weather", "synthetic", "--run-id", "first")
    before = ikirere("sql", "SELECT * FROM mart_daily_city_weather ORDER BY city_id, date", "--csv").stdout
    ikirere("down")
    assert ikirere.processes() == []
    ikirere("up")
    assert ikirere("sql", "SELECT * FROM mart_daily_city_weather ORDER BY city_id, date", "--csv").stdout == before
    assert "first" in ikirere("history").stdout
    replayed = ikirere.json("replay", "--run", "first")
    assert (replayed["status"], replayed["rows_loaded"]) == ("succeeded", 0)


def test_up_repairs_killed_services_and_the_stored_responses_remain(ikirere):
    ikirere("run", "--weather", "recorded", "--run-id", "before")
    for process in ikirere.processes():
        process.kill()
    assert ikirere.json("status")["services"] == {"postgres": None, "aws": None, "open-meteo": None}
    ikirere("up")
    assert "before" in ikirere("history").stdout
    ikirere("up", "--weather", f"http://127.0.0.1:{unused_port()}")
    replayed = ikirere.json("replay", "--run", "before")
    assert (replayed["rows_in"], replayed["rows_unchanged"]) == (144, 144)
    # the buckets of the stack that was lost were emptied into the new one's
    s3 = local_client(ikirere.json("status")["aws_endpoint_url"], "s3")
    assert len([bucket for bucket in s3.list_buckets()["Buckets"] if "rawbucket" in bucket["Name"]]) == 1


def test_a_session_that_outlives_its_killed_server_is_ended_before_another_one_starts(ikirere):
    ikirere("up", "--weather", "recorded")
    status = ikirere.json("status")
    server = psutil.Process(status["services"]["postgres"])
    with closing(psycopg2.connect(status["database_url"])) as connection, connection.cursor() as cursor:
        session = psutil.Process(connection.info.backend_pid)
        cursor.execute("CREATE TABLE numbers (number bigint)")
        connection.commit()
        with ThreadPoolExecutor(1) as pool:
            # it only notices the server's end when it is idle
            busy = pool.submit(cursor.execute, "INSERT INTO numbers SELECT generate_series(1, 1000000000)")
            while not _is_busy(status["database_url"], session.pid):
                time.sleep(0.05)
            server.kill()
            try:
                ikirere("up")
                ended = not session.is_running() or session.status() == psutil.STATUS_ZOMBIE
            finally:
                with suppress(psutil.Error):
                    session.kill()
            assert isinstance(busy.exception(60), psycopg2.OperationalError)
    assert ended
    assert ikirere("sql", "SELECT count(*) FROM numbers", "--csv").stdout.split() == ["count", "0"]


def test_objects_that_a_kill_left_half_written_do_not_fail_later_runs(ikirere):
    """ministack writes an object's bytes and then its metadata; a kill in between is made here by hand."""
    ikirere("run", "--weather", "recorded", "--run-id", "cut")
    for process in ikirere.processes():
        process.kill()
    stored = ikirere.state / "aws" / "s3"
    (new,) = [path for path in stored.rglob("part-0000.json.gz.meta.json") if "/raw/" in str(path)]
    new.unlink()
    (replaced,) = stored.glob("[!.]*/*/quota/ledger.json")
    replaced.write_text(json.dumps(json.loads(replaced.read_text()), indent=4))
    ikirere("up")
    run = ikirere.json("run", "--run-id", "cut")
    assert (run["status"], run["rows_unchanged"]) == ("succeeded", 144)
    assert ikirere.json("run", "--run-id", "next")["status"] == "succeeded"


def test_a_run_whose_server_dies_ends_with_its_id_and_exit_code_1(ikirere):
    ikirere("up", "--weather", "recorded")
    running = subprocess.Popen(
        [sys.executable, "-m", "command_line", "run", "--run-id", "lost"],
        cwd=ROOT, env=ikirere.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    for line in running.stdout:
        if line.startswith("Run lost"):
            break
    (postgres,) = [each for each in ikirere.processes() if "postgres" in each.name() and "-D" in each.cmdline()]
    postgres.kill()
    shown = running.stdout.read()
    assert running.wait(60) == 1
    assert "Run lost has an unknown end: the warehouse does not run" in shown
    assert "`ikirere history`" in shown
    ikirere("up")
    assert ikirere.json("run", "--run-id", "lost")["status"] == "succeeded"


def test_a_run_that_ends_with_down_is_recorded_by_the_next_up_and_can_be_replayed(ikirere):
    with StandIn("synthetic", quota=False) as host:
        host.faults.append(Fault("slow", times=None, seconds=20))
        ikirere("up", "--weather", host.url)
        status = ikirere.json("status")
        client = local_client(status["aws_endpoint_url"], "stepfunctions")
        event = '{"run_id": "ended-by-down", "source": "archive", "start": "2025-11-19", "end": "2025-11-19"}'
        client.start_execution(stateMachineArn=status["pipeline_arn"], name="by-hand", input=event)
        ikirere("down")
        host.faults.clear()
        ikirere("up")
        entry = wait_for_record(ikirere, "ended-by-down")
        assert entry["status"] == "failed"
        assert entry["error"] == "States.ServiceRestart: Execution was running when service restarted"
        ikirere("down")
        ikirere("up")
        replayed = ikirere.json("replay", "--run", "ended-by-down")
        assert replayed["status"] == "succeeded"
        rows = ikirere.json("sql", "SELECT run_id, status FROM pipeline_run")
        assert rows == [{"run_id": "ended-by-down", "status": "succeeded"}]


def interrupt_at_template(step):
    """Interrupt an ``up`` that has started every service."""
    if step == "template ...":
        raise KeyboardInterrupt


def test_a_run_that_ended_with_down_is_recorded_though_the_next_up_was_interrupted(ikirere):
    with StandIn("synthetic", quota=False) as host:
        host.faults.append(Fault("slow", times=None, seconds=20))
        ikirere("up", "--weather", host.url)
        status = ikirere.json("status")
        client = local_client(status["aws_endpoint_url"], "stepfunctions")
        event = '{"run_id": "ended-by-down", "start": "2025-11-19", "end": "2025-11-19"}'
        client.start_execution(stateMachineArn=status["pipeline_arn"], input=event)
        ikirere("down")
        with pytest.raises(KeyboardInterrupt):
            Emulator(State(ikirere.state)).up(Options(), interrupt_at_template)
        ikirere("up")
        assert wait_for_record(ikirere, "ended-by-down")["status"] == "failed"


def test_the_record_of_an_interrupted_run_is_started_again_if_it_is_interrupted_and_not_otherwise(tmp_path):
    state = State(tmp_path / "state")
    server = Ministack(state)

    def restart():
        server.stop()
        server.start()

    def records():
        client = server.client("stepfunctions")
        listed = client.list_executions(stateMachineArn=recorder)["executions"]
        found = [client.describe_execution(executionArn=each["executionArn"]) for each in listed]
        return sorted((each["status"], json.loads(each["input"])["detail"]["name"]) for each in found)

    with state.lock():
        server.start()
        try:
            machine, recorder = (waiting_machine(server, name) for name in ("pipeline", "recorder"))
            server.record_interrupted(machine, recorder)
            server.client("stepfunctions").start_execution(stateMachineArn=machine, name="interrupted", input="{}")
            restart()
            for _ in range(2):
                server.record_interrupted(machine, recorder)
                assert records() == [("RUNNING", "interrupted")]
            restart()
            for _ in range(2):
                server.record_interrupted(machine, recorder)
                assert records() == [("FAILED", "interrupted"), ("RUNNING", "interrupted")]
        finally:
            server.stop()


def waiting_machine(server, name):
    """A state machine whose executions do not end; its ARN."""
    definition = {"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 3600, "End": True}}}
    role = "arn:aws:iam::000000000000:role/any"
    made = server.client("stepfunctions").create_state_machine(
        name=name, definition=json.dumps(definition), roleArn=role
    )
    return made["stateMachineArn"]


def test_damaged_settings_are_rejected_and_nothing_is_changed(ikirere):
    ikirere("up", "--weather", "recorded")
    settings = ikirere.state / "settings.json"
    stored = settings.read_text()
    settings.write_text(stored[:50])
    assert f"{settings}: is damaged" in ikirere("up", expect=2).stderr
    settings.write_text(stored)
    assert ikirere.json("run")["rows_loaded"] == 144


def test_a_server_that_the_settings_do_not_name_is_stopped_before_another_starts(ikirere):
    ikirere("run", "--weather", "recorded")
    settings = ikirere.state / "settings.json"
    stored = json.loads(settings.read_text())
    for service in stored["services"].values():
        service["born"] += 5
    settings.write_text(json.dumps(stored))
    assert ikirere.json("run")["rows_unchanged"] == 144
    postgres = [each for each in ikirere.processes() if "postgres" in each.name() and "-D" in each.cmdline()]
    assert len(postgres) == 1


def _is_busy(url, session):
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        statement = "SELECT FROM pg_stat_activity WHERE pid = %s AND state = 'active' AND query LIKE 'INSERT%%'"
        cursor.execute(statement, (session,))
        return cursor.rowcount == 1

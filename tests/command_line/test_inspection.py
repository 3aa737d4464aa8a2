"""The commands that show what ran, and why it failed."""

import json
import subprocess
import sys
from contextlib import closing

import psutil
import psycopg2
from command import ROOT, wait_for_record

from deployment.stack import local_client


def test_history_names_the_error_of_a_failed_run(up):
    bad, good = up.json("history")
    assert (bad["run_id"], bad["status"], good["run_id"], good["status"]) == ("bad", "failed", "good", "succeeded")
    assert "out of allowed range" in bad["error"]
    assert "InvalidInputError" in up("history").stdout


def test_show_run_names_the_state_that_failed_and_the_error(up):
    shown = up("show", "run", "--run", "bad").stdout
    assert "Failed: InvalidInputError: " in shown
    assert "Ingest        failed: InvalidInputError: " in shown
    assert '"start": "2024-01-01"' in shown


def test_show_prints_a_runs_objects_and_the_exact_response(up):
    shown = up("show", "run", "--run", "good").stdout
    key = next(word for word in shown.split() if word.startswith("raw/"))
    assert json.loads(up("show", "raw", key).stdout)[0]["hourly"]["time"][0] == "2025-11-19T00:00"
    assert "rejected no row" in up("show", "rejected", "--run", "good").stdout
    assert "22/24" in up("show", "mart", "--city", "kigali").stdout
    assert "Kigali" in up("show", "summary").stdout


def test_logs_of_a_run_hold_its_lines_only(up):
    bad = up("logs", "--run", "bad").stdout
    assert "out of allowed range" in bad
    assert "Traceback" in bad
    good = up("logs", "--run", "good").stdout
    assert "144 rows, 0 rejected" in good
    assert "144 rows loaded, 0 unchanged" in good
    assert "out of allowed range" not in good
    assert "rows loaded" not in up("logs", "--run", "good", "--function", "ingest").stdout


def test_invoke_calls_one_function_and_shows_its_error(up, tmp_path):
    failed = up("invoke", "ingest", "--event", '{"sorce": "x"}', expect=1)
    assert json.loads(failed.stdout)["errorType"] == "InvalidInputError"
    event = tmp_path / "event.json"
    event.write_text('{"start": "2025-11-19", "end": "2025-11-19", "cities": ["huye"]}')
    response = json.loads(up("invoke", "ingest", "--event", f"@{event}").stdout)
    assert (response["status"], response["parts"][0]["cities"]) == ("complete", 1)


def test_sql_reads_and_only_reads(up):
    assert up.json("sql", "SELECT count(*) AS days FROM mart_daily_city_weather") == [{"days": 9}]
    rejected = up("sql", "DELETE FROM mart_daily_city_weather", expect=2)
    assert "read-only transaction" in rejected.stderr
    assert up.json("sql", "SELECT count(*) AS days FROM mart_daily_city_weather") == [{"days": 9}]
    assert "read-only" in up("sql", "COMMIT; CREATE TABLE hacked (a int)", expect=2).stderr
    for statement in ("SET TRANSACTION READ WRITE; DELETE FROM pipeline_run", "COPY (SELECT 1) TO PROGRAM 'true'"):
        assert "ikirere: database: " in up("sql", statement, expect=2).stderr
    rejected = up("sql", "COMMIT; BEGIN READ WRITE; DELETE FROM pipeline_run", expect=2)
    assert "permission denied" in rejected.stderr
    assert up.json("sql", "SELECT count(*) > 0 AS stored FROM pipeline_run") == [{"stored": True}]
    assert "syntax error" in up("sql", "SELEC", expect=2).stderr
    assert up.json("sql", "SELECT 1.5 AS a") == [{"a": 1.5}]


def test_sql_shows_values_unchanged(up):
    shown = up("sql", "SELECT 30.0588 AS a, 0.004 AS b, count(*), count(uv_index) FROM staging_weather").stdout
    assert shown.split()[:4] == ["a", "b", "count", "count"]
    assert [word for word in shown.split() if word[0].isdigit()][:4] == ["30.0588", "0.004", "144", "0"]
    assert up("sql", "SELECT 1 AS a, 2 AS a WHERE false", "--csv").stdout == "a,a\n"
    assert "name them with AS" in up("sql", "SELECT 1 AS a, 2 AS a", "--json", expect=2).stderr
    assert up.json("sql", "SELECT 'NaN'::float AS a, 'Infinity'::numeric AS b") == [{"a": "nan", "b": "Infinity"}]


def test_a_stopped_run_is_found_by_its_id_and_its_executions_name_and_can_be_replayed(up):
    status = up.json("status")
    event = '{"run_id": "stopped", "start": "2025-11-19", "end": "2025-11-19"}'
    client = local_client(status["aws_endpoint_url"], "stepfunctions")
    # it stops before its state machine can record it, so the recorder does
    started = client.start_execution(stateMachineArn=status["pipeline_arn"], name="by-hand", input=event)
    client.stop_execution(executionArn=started["executionArn"], error="Stopped", cause="by a test")
    row = wait_for_record(up, "stopped")
    assert (row["status"], row["error"]) == ("failed", "States.Aborted: the execution was stopped before it ended")
    for name in ("stopped", "by-hand"):
        shown = up("show", "run", "--run", name).stdout
        assert "Failed: States.Aborted: the execution was stopped" in shown
        assert '"start": "2025-11-19"' in shown
    assert up.json("replay", "--run", "stopped")["status"] == "succeeded"
    assert next(row for row in up.json("history") if row["run_id"] == "stopped")["status"] == "succeeded"


def test_reports_written_at_once_do_not_disturb_each_other(up, tmp_path):
    command = [sys.executable, "-m", "command_line", "report", "--output", str(tmp_path / "r.html")]
    running = [
        subprocess.Popen(command, cwd=ROOT, env=up.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    assert [(process.wait(60), process.stderr.read()) for process in running] == [(0, b"")] * 4
    assert [path.name for path in tmp_path.iterdir()] == ["r.html"]


def test_status_json_has_the_addresses_for_other_tools(up):
    status = up.json("status")
    assert status["aws_endpoint_url"].startswith("http://127.0.0.1:")
    assert status["open_meteo_url"].startswith("http://127.0.0.1:")
    assert all(status["services"].values())
    assert status["pipeline_arn"].startswith("arn:aws:states:")
    assert {"raw_bucket", "processed_bucket", "backfill_arn", "report"} <= status.keys()
    with closing(psycopg2.connect(status["database_url"])) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT status FROM pipeline_run WHERE run_id = 'good'")
        assert cursor.fetchone() == ("succeeded",)
    password = status["database_url"].split(":")[2].split("@")[0]
    assert password not in up("status").stdout


def test_a_failed_run_names_the_next_commands(up):
    shown = up("run", "--variable", "uv_index", "--run-id", "bad", "--start", "2023-01-01", expect=1).stdout
    assert "Run bad failed: InvalidInputError" in shown
    assert "ikirere show run --run bad" in shown


def test_a_loaded_run_keeps_its_row_when_its_repeat_fails(up):
    shown = up("run", "--run-id", "good", "--start", "2024-01-01", "--end", "2024-01-02", expect=1).stdout
    assert "run_id good: is taken" in shown
    rows = {row["run_id"]: row for row in up.json("history")}
    assert rows["good"]["status"] == "succeeded"
    name = shown.split("ikirere show run --run ")[1].split()[0]
    assert rows[name]["status"] == "failed"
    assert "is taken" in up("show", "run", "--run", name).stdout


def test_everything_listens_on_127_0_0_1_alone(up):
    listening = [
        connection.laddr.ip
        for process in up.processes()
        for connection in process.net_connections()
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= 3
    assert set(listening) == {"127.0.0.1"}


def test_a_run_with_json_output_reports_on_stderr_that_the_report_cannot_be_written(up):
    report = up.state / "report.html"
    report.rename(up.state / "report.bak")
    report.mkdir()
    try:
        done = up("run", "--run-id", "good", "--json")
        assert json.loads(done.stdout)["status"] == "succeeded"
        assert f"report {report}: cannot be written" in done.stderr
    finally:
        report.rmdir()
        (up.state / "report.bak").rename(report)

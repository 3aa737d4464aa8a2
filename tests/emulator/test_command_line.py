"""``ikirere`` as its users meet it: a process, its output, its exit code."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
from contextlib import closing
from pathlib import Path

import psutil
import psycopg2
import pytest

from deployment.stack import local_client
from emulator.processes import MARK

ROOT = Path(__file__).parents[2]


class CommandLine:
    """``ikirere`` with a state folder of its own."""

    def __init__(self, state: Path, root: Path = ROOT, **environment: str) -> None:
        self.state = state
        self.root = root
        self.environment = {**os.environ, **environment, "IKIRERE_HOME": str(state), "SFN_WAIT_SCALE": "0.05"}
        if "DATABASE_URL" not in environment:
            self.environment.pop("DATABASE_URL", None)

    def __call__(self, *arguments: str, expect: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "command_line", *arguments],
            cwd=self.root, env=self.environment, capture_output=True, text=True, timeout=180, check=False,
        )  # fmt: skip
        assert done.returncode == expect, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def json(self, *arguments: str) -> dict:
        return json.loads(self(*arguments, "--json").stdout)

    def processes(self) -> list[psutil.Process]:
        """Everything that this state folder's servers started and that still runs."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == str(self.state) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return found


@pytest.fixture
def ikirere(tmp_path):
    command = CommandLine(tmp_path / "state")
    yield command
    command("down")
    assert command.processes() == []


@pytest.fixture(scope="module")
def up(tmp_path_factory):
    """An emulator with one good run (good) and one that failed (bad)."""
    command = CommandLine(tmp_path_factory.mktemp("up") / "state")
    command("run", "--weather", "recorded", "--run-id", "good")
    command("run", "--run-id", "bad", "--start", "2024-01-01", "--end", "2024-01-02", expect=1)
    yield command
    command("down")
    assert command.processes() == []


# ------------------------------------------------------------------ a run


def test_run_shows_its_steps_and_ends_with_the_mart_and_where_everything_lies(ikirere):
    shown = ikirere("run", "--weather", "recorded").stdout
    for text in (
        "recorded weather of 2025-11-19 and 2025-11-20, not today's",
        "Ingest        complete: 3 of 3 cities, 1 request, weight 3",
        "Transform     144 rows, 0 rejected, 1 object",
        "Model         144 loaded, 0 unchanged, 9 city-days changed",
        "22/24",
        "144 rows in, 144 loaded, 0 unchanged, 0 rejected",
        "report.html",
        str(ikirere.state),
    ):
        assert text in shown
    again = ikirere.json("run")
    assert (again["status"], again["rows_loaded"], again["rows_unchanged"]) == ("succeeded", 0, 144)
    assert again["execution_arn"]
    assert (ikirere.state / "report.html").stat().st_size > 1_000_000


def test_of_recorded_weather_an_end_that_is_left_out_is_the_recordings(ikirere):
    assert ikirere.json("run", "--weather", "recorded", "--start", "2025-11-20")["rows_in"] == 72
    refused = ikirere("run", "--start", "2025-11-21", expect=2)
    assert "end 2025-11-20 is before start 2025-11-21" in refused.stderr


def test_what_is_kept_survives_down_and_up(ikirere):
    ikirere("run", "--weather", "synthetic", "--run-id", "first")
    before = ikirere("sql", "SELECT * FROM mart_daily_city_weather ORDER BY city_id, date", "--csv").stdout
    ikirere("down")
    assert ikirere.processes() == []
    ikirere("up")
    assert ikirere("sql", "SELECT * FROM mart_daily_city_weather ORDER BY city_id, date", "--csv").stdout == before
    assert "first" in ikirere("history").stdout
    replayed = ikirere.json("replay", "--run", "first")
    assert (replayed["status"], replayed["rows_loaded"]) == ("succeeded", 0)


def test_killed_at_any_moment_it_is_repaired_by_up_and_keeps_its_answers(ikirere):
    ikirere("run", "--weather", "recorded", "--run-id", "before")
    for process in ikirere.processes():
        process.kill()
    assert ikirere.json("status")["services"] == {"postgres": None, "aws": None, "open-meteo": None}
    ikirere("up")
    assert "before" in ikirere("history").stdout
    ikirere("up", "--weather", f"http://127.0.0.1:{_unused_port()}")
    replayed = ikirere.json("replay", "--run", "before")
    assert (replayed["rows_in"], replayed["rows_unchanged"]) == (144, 144)
    # the buckets of the stack that was lost were emptied into the new one's
    s3 = local_client(ikirere.json("status")["aws_endpoint_url"], "s3")
    assert len([bucket for bucket in s3.list_buckets()["Buckets"] if "rawbucket" in bucket["Name"]]) == 1


@pytest.mark.parametrize("seconds", [0.4, 1.2, 2.5])
def test_up_killed_while_it_starts_is_repaired_by_the_next(ikirere, seconds):
    starting = subprocess.Popen(
        [sys.executable, "-m", "command_line", "up", "--weather", "recorded"],
        cwd=ROOT, env=ikirere.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    time.sleep(seconds)
    starting.send_signal(signal.SIGKILL)
    starting.wait()
    assert ikirere.json("run")["rows_loaded"] == 144
    assert not list((ikirere.state / "tmp").glob("initdb-*"))


def test_made_up_weather_among_measured_is_never_shown_in_silence(ikirere):
    assert "also holds" not in ikirere("run", "--weather", "synthetic").stdout
    shown = ikirere("run", "--weather", "recorded").stdout
    said = "The mart also holds synthetic weather of earlier runs; `ikirere reset` starts afresh."
    assert said in shown
    assert said in (ikirere.state / "report.html").read_text()
    assert "Recorded weather of 2025-11-19 and 2025-11-20, not today" in (ikirere.state / "report.html").read_text()


def test_two_ups_at_once_end_with_one_emulator(ikirere):
    command = [sys.executable, "-m", "command_line", "up", "--weather", "recorded"]
    both = [
        subprocess.Popen(command, cwd=ROOT, env=ikirere.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for _ in range(2)
    ]
    assert [process.wait(timeout=120) for process in both] == [0, 0]
    servers = [process.name() for process in ikirere.processes() if "ministack" in " ".join(process.cmdline())]
    assert len(servers) == 1


def test_a_checkout_and_a_state_folder_under_a_path_of_200_characters(tmp_path):
    deep = tmp_path / ("d" * 100) / ("e" * (200 - 102 - len(str(tmp_path)) if len(str(tmp_path)) < 90 else 50))
    deep.mkdir(parents=True)
    root = deep / "checkout"
    root.mkdir()
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["root_packages"]
    for name in (*packages, "statemachine"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "template.yaml", root)
    assert len(str(root)) >= 200
    command = CommandLine(root / ".ikirere", root)
    try:
        assert command.json("run", "--weather", "recorded")["rows_loaded"] == 144
    finally:
        command("down")
    assert command.processes() == []


def test_other_real_answers_are_loaded_as_they_are(ikirere):
    berlin = (ROOT / "tests" / "recorded" / "forecast_berlin_41_hourly_variables.json").read_bytes()
    variables = [f"--variable={name}" for name in ("temperature_2m", "precipitation", "wind_speed_10m", "weather_code")]
    with _serving(berlin) as address:
        outcome = ikirere.json(
            "run", "--weather", address, "--city", "kigali", "--start", "2025-07-27", "--end", "2025-08-02", *variables
        )
    assert (outcome["rows_in"], outcome["rows_loaded"], outcome["rows_rejected"]) == (168, 168, 0)
    hourly = json.loads(berlin)["hourly"]
    loaded = ikirere.json("sql", "SELECT temperature_c, weather_code FROM staging_weather ORDER BY observed_at")
    assert [float(row["temperature_c"]) for row in loaded] == hourly["temperature_2m"]
    assert [row["weather_code"] for row in loaded] == hourly["weather_code"]


def test_a_database_of_ones_own(ikirere, database_url):
    own = CommandLine(ikirere.state, DATABASE_URL=database_url)
    assert own.json("run", "--weather", "recorded")["rows_loaded"] == 144
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM mart_daily_city_weather")
        assert cursor.fetchone() == (9,)
    assert own.json("status")["services"]["postgres"] is None
    parts = psycopg2.extensions.parse_dsn(database_url)
    keywords = CommandLine(ikirere.state, DATABASE_URL=psycopg2.extensions.make_dsn(**parts))
    assert parts["password"] not in keywords("status").stdout
    assert keywords("sql", "SELECT 1 AS one").stdout


def test_schedules_fire_by_themselves(ikirere):
    ikirere("up", "--weather", "recorded", "--schedule", "rate(1 minute)")
    deadline = time.monotonic() + 150
    found = []
    while not any(row["status"] == "succeeded" for row in found) and time.monotonic() < deadline:
        time.sleep(1)
        found = ikirere.json("history")
    assert [(row["started_by"], row["status"], row["loaded"]) for row in found] == [
        ("schedule or API", "succeeded", 144)
    ]


# ------------------------------------------------------------------ finding out why a run failed


def test_history_names_the_error_of_a_failed_run(up):
    bad, good = up.json("history")
    assert (bad["run_id"], bad["status"], good["run_id"], good["status"]) == ("bad", "failed", "good", "succeeded")
    assert "out of allowed range" in bad["error"]
    assert "InvalidInputError" in up("history").stdout


def test_show_tells_at_which_state_a_run_failed_and_why(up):
    shown = up("show", "run", "--run", "bad").stdout
    assert "Failed: InvalidInputError: " in shown
    assert "Ingest        failed: InvalidInputError: " in shown
    assert '"start": "2024-01-01"' in shown


def test_show_lists_a_good_runs_objects_and_the_exact_answer(up):
    shown = up("show", "run", "--run", "good").stdout
    key = next(word for word in shown.split() if word.startswith("raw/"))
    assert json.loads(up("show", "raw", key).stdout)[0]["hourly"]["time"][0] == "2025-11-19T00:00"
    assert "rejected no row" in up("show", "rejected", "--run", "good").stdout
    assert "22/24" in up("show", "mart", "--city", "kigali").stdout
    assert "Kigali" in up("show", "summary").stdout


def test_logs_are_those_of_the_run_that_is_asked_for(up):
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
    answer = json.loads(up("invoke", "ingest", "--event", f"@{event}").stdout)
    assert (answer["status"], answer["parts"][0]["cities"]) == ("complete", 1)


def test_sql_reads_and_only_reads(up):
    assert up.json("sql", "SELECT count(*) AS days FROM mart_daily_city_weather") == [{"days": 9}]
    refused = up("sql", "DELETE FROM mart_daily_city_weather", expect=2)
    assert "read-only transaction" in refused.stderr
    assert up.json("sql", "SELECT count(*) AS days FROM mart_daily_city_weather") == [{"days": 9}]
    assert "read-only" in up("sql", "COMMIT; CREATE TABLE hacked (a int)", expect=2).stderr
    for statement in ("SET TRANSACTION READ WRITE; DELETE FROM pipeline_run", "COPY (SELECT 1) TO PROGRAM 'true'"):
        assert "ikirere: database: " in up("sql", statement, expect=2).stderr
    refused = up("sql", "COMMIT; BEGIN READ WRITE; DELETE FROM pipeline_run", expect=2)
    assert "permission denied" in refused.stderr
    assert up.json("sql", "SELECT count(*) > 0 AS kept FROM pipeline_run") == [{"kept": True}]
    assert "syntax error" in up("sql", "SELEC", expect=2).stderr
    assert up.json("sql", "SELECT 1.5 AS a") == [{"a": 1.5}]


def test_sql_shows_what_the_warehouse_says(up):
    shown = up("sql", "SELECT 30.0588 AS a, 0.004 AS b, count(*), count(uv_index) FROM staging_weather").stdout
    assert shown.split()[:4] == ["a", "b", "count", "count"]
    assert [word for word in shown.split() if word[0].isdigit()][:4] == ["30.0588", "0.004", "144", "0"]
    assert up("sql", "SELECT 1 AS a, 2 AS a WHERE false", "--csv").stdout == "a,a\n"
    assert "name them with AS" in up("sql", "SELECT 1 AS a, 2 AS a", "--json", expect=2).stderr
    assert up.json("sql", "SELECT 'NaN'::float AS a, 'Infinity'::numeric AS b") == [{"a": "nan", "b": "Infinity"}]


def test_a_run_that_was_stopped_is_known_by_its_id_and_its_executions_name_and_can_be_replayed(up):
    status = up.json("status")
    event = '{"run_id": "stopped", "start": "2025-11-19", "end": "2025-11-19"}'
    client = local_client(status["aws_endpoint_url"], "stepfunctions")
    # it stops before it can be recorded
    started = client.start_execution(stateMachineArn=status["pipeline_arn"], name="by-hand", input=event)
    client.stop_execution(executionArn=started["executionArn"], error="Stopped", cause="by a test")
    row = next(row for row in up.json("history") if row["run_id"] == "stopped")
    assert (row["status"], row["error"]) == ("aborted", "Stopped: by a test")
    for name in ("stopped", "by-hand"):
        shown = up("show", "run", "--run", name).stdout
        assert "Failed: Stopped: by a test" in shown
        assert '"start": "2025-11-19"' in shown
    assert up.json("replay", "--run", "stopped")["status"] == "succeeded"
    assert next(row for row in up.json("history") if row["run_id"] == "stopped")["status"] == "succeeded"


def test_a_server_that_ends_in_mid_run_is_said_with_the_run_and_exit_code_1(ikirere):
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
    assert "Run lost was lost sight of: the warehouse does not run" in shown
    assert "`ikirere history`" in shown
    ikirere("up")
    assert ikirere.json("run", "--run-id", "lost")["status"] == "succeeded"


def test_reports_written_at_once_do_not_disturb_each_other(up, tmp_path):
    command = [sys.executable, "-m", "command_line", "report", "--output", str(tmp_path / "r.html")]
    running = [
        subprocess.Popen(command, cwd=ROOT, env=up.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    assert [(process.wait(60), process.stderr.read()) for process in running] == [(0, b"")] * 4
    assert [path.name for path in tmp_path.iterdir()] == ["r.html"]


def test_status_tells_other_tools_where_everything_is(up):
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


def test_a_failed_run_says_what_to_do_next(up):
    shown = up("run", "--variable", "uv_index", "--run-id", "bad", "--start", "2023-01-01", expect=1).stdout
    assert "Run bad failed: InvalidInputError" in shown
    assert "ikirere show run --run bad" in shown


def test_a_good_run_stays_recorded_when_its_repeat_fails(up):
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


# ------------------------------------------------------------------ bad input

HEADER = "city_id,city,country,latitude,longitude,timezone,population,area_km2\n"
KIGALI = "kigali,Kigali,Rwanda,-1.95,30.06,Africa/Kigali,1,1\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (HEADER + KIGALI + KIGALI, "line 3: duplicate city_id 'kigali'"),
        (HEADER + KIGALI.replace("-1.95", "91"), "line 2: latitude 91 is outside -90 to 90"),
        (HEADER + KIGALI.replace("Africa/Kigali", "Africa/Kigale"), "line 2: unknown timezone 'Africa/Kigale'"),
        (HEADER.replace(",timezone", "") + KIGALI, "line 1: missing column timezone"),
        ("", "is empty"),
        (HEADER, "there is no city"),
        (HEADER + KIGALI.replace("Kigali,R", "=1+1,R"), "starts like a spreadsheet formula"),
    ],
)
def test_a_wrong_city_list_is_refused_with_line_and_reason_before_anything_is_written(tmp_path, text, says):
    cities = tmp_path / "cities.csv"
    cities.write_text(text)
    refused = CommandLine(tmp_path / "state")("run", "--cities", str(cities), expect=2)
    assert says in refused.stderr
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "--event", '{"sorce": "forecast"}'], "unknown key 'sorce'"),
        (["run", "--event", "[]"], "must be a JSON object"),
        (["run", "--event", "{"], "is not JSON"),
        (["run", "--event", "{}", "--city", "kigali"], "--event is the whole event"),
        (["run", "--start", "2026-03-02", "--end", "2026-03-01"], "end 2026-03-01 is before start 2026-03-02"),
        (["run", "--start", "yesterday"], "must be a day as YYYY-MM-DD"),
        (["run", "--city", "atlantis"], "no such city 'atlantis'"),
        (["run", "--source", "forecast", "--variable", "rain_of_frogs"], "variable 'rain_of_frogs'"),
        (["run", "--source", "archive", "--variable", "uv_index"], "only forecast has it"),
        (["run", "--run-id", "../etc"], "run_id '../etc' must be"),
        (["run", "--weather", "sunny"], "is none of auto, live, recorded, synthetic, or an address"),
        (["run", "--weather", "ftp://x"], "is none of auto"),
        (["run", "--cities", "/nowhere.csv"], "cannot be read"),
        (["up", "--schedule", "daily"], "is none of"),
        (["up", "--schedule", "rate(1 minutes)"], "is none of"),
        (["up", "--schedule", "cron(99 4 * * ? *)"], "is none of"),
        (["up", "--schedule", "at(2026-99-99T00:00:00)"], "is none of"),
        (["up", "--schedule", ""], "is none of"),
        (["run", "--weather", ""], "is none of auto"),
        (["run", "--weather", "http://h:0"], "is none of auto"),
        (["run", "--cities", ""], "cannot be read"),
        (["run", "--event", "[" * 100_000], "is not JSON"),
        (["run", "--timeout", "9" * 400], "is not a whole number"),
        (["up", "--port", "99999"], "is no port"),
        (["replay", "--run", "x"], "nothing runs"),
        (["logs"], "nothing runs"),
        (["show"], "does not run"),
        (["sql", "SELECT 1"], "does not run"),
        (["invoke", "ingest", "--event", "@/nowhere"], "No such file"),
        (["invoke", "ingest", "--event", f"@{sys.executable}"], "is not UTF-8 text"),
        (["dance"], "invalid choice"),
        ([], "required"),
    ],
)
def test_wrong_usage_says_what_is_wrong_exits_2_and_writes_nothing(tmp_path, arguments, says):
    refused = CommandLine(tmp_path / "state")(*arguments, expect=2)
    assert says in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "state").exists()


def test_an_unwritable_state_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    refused = CommandLine(tmp_path / "file" / "state")("run", expect=2)
    assert f"state folder {tmp_path / 'file' / 'state'}: cannot be written" in refused.stderr


def test_a_busy_port_is_said_to_be_held_and_by_whom(ikirere):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        refused = ikirere("up", "--port", str(port), expect=2)
        assert f"port {port} (AWS endpoint): is held by process {os.getpid()}" in refused.stderr
        refused = ikirere("up", "--postgres-port", str(port), expect=2)
        assert f"port {port} (Postgres): is held by process {os.getpid()}" in refused.stderr
        assert ikirere.processes() == []


def test_a_database_that_nobody_answers_for_is_named_without_its_password(tmp_path):
    port = _unused_port()
    command = CommandLine(tmp_path / "state", DATABASE_URL=f"postgresql://me:s3cret@127.0.0.1:{port}/x")
    refused = command("run", expect=2)
    assert f"DATABASE_URL me@127.0.0.1:{port}/x: does not answer (" in refused.stderr
    assert "Connection refused" in refused.stderr
    assert "s3cret" not in refused.stderr
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    "url",
    [
        "postgres//me:s3cret@h/w",
        "postgresql://me:s3/cret@h/w",
        "postgresql://me:s3@cret@h.invalid/w",
        "postgresql://me:s3@c/cret@h/w",
    ],
)
def test_an_address_that_cannot_be_read_is_refused_without_repeating_it(tmp_path, url):
    for command in (["run"], ["status"], ["status", "--json"], ["sql", "SELECT 1"], ["history"], ["report"]):
        refused = CommandLine(tmp_path / "state", DATABASE_URL=url)(*command, expect=2)
        assert "DATABASE_URL cannot be read" in refused.stderr
        assert "cret" not in refused.stderr + refused.stdout


def test_damaged_settings_are_refused_and_touch_nothing(ikirere):
    ikirere("up", "--weather", "recorded")
    settings = ikirere.state / "settings.json"
    kept = settings.read_text()
    settings.write_text(kept[:50])
    assert f"{settings}: is damaged" in ikirere("up", expect=2).stderr
    settings.write_text(kept)
    assert ikirere.json("run")["rows_loaded"] == 144


def test_a_server_that_is_not_the_one_noted_down_is_ended_before_another_is_started(ikirere):
    ikirere("run", "--weather", "recorded")
    settings = ikirere.state / "settings.json"
    kept = json.loads(settings.read_text())
    for service in kept["services"].values():
        service["born"] += 5
    settings.write_text(json.dumps(kept))
    assert ikirere.json("run")["rows_unchanged"] == 144
    postgres = [each for each in ikirere.processes() if "postgres" in each.name() and "-D" in each.cmdline()]
    assert len(postgres) == 1


def test_a_python_older_than_3_11_is_told_so_by_make(tmp_path):
    old = tmp_path / "python3.10"
    old.write_text(
        f'#!/bin/sh\nexec {sys.executable} -c "import sys; sys.version_info = (3, 10, 0); exec(sys.argv[1])" "$2"\n'
    )
    old.chmod(0o755)
    made = subprocess.run(
        ["make", "python", f"PYTHON={old}"], cwd=ROOT, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert made.returncode != 0
    assert "ikirere needs Python 3.11 or later" in made.stderr
    assert "3.10" in made.stderr


def test_help_names_every_command_and_the_exit_codes(tmp_path):
    command = CommandLine(tmp_path / "state")
    text = command("--help").stdout
    commands = ("up", "run", "status", "history", "logs", "invoke", "show", "sql", "report", "replay", "down", "reset")
    for name in commands:
        assert name in text
        assert command(name, "--help").stdout
    assert "Exit codes: 0 succeeded, 1 the run failed, 2 wrong usage" in text


def test_down_and_reset_where_nothing_is_do_nothing(tmp_path):
    command = CommandLine(tmp_path / "state")
    command("down")
    command("reset", "--yes")
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "mine.txt").write_text("keep")
    command("reset", "--yes")
    assert (tmp_path / "state" / "mine.txt").exists()


def test_reset_asks_and_then_deletes_all(ikirere):
    ikirere("up", "--weather", "recorded")
    assert "say --yes" in ikirere("reset", expect=2).stderr
    ikirere("reset", "--yes")
    assert not ikirere.state.exists()
    assert ikirere.processes() == []


# ------------------------------------------------------------------


def _unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _serving(body: bytes):
    """A server that gives one body to whoever asks; answers its address."""
    from contextlib import contextmanager
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "application/json; charset=utf-8")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    @contextmanager
    def serving():
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        server.server_close()

    return serving()

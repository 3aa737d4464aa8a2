"""``ikirere run`` and ``replay`` as their users meet them."""

import json
import shutil
import tomllib
from contextlib import closing

import psycopg2
from command import ROOT, CommandLine


def test_run_shows_its_steps_then_the_mart_and_where_the_data_is(ikirere):
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


def test_recorded_weather_completes_a_window_with_its_own_days(ikirere):
    assert ikirere.json("run", "--weather", "recorded", "--start", "2025-11-20")["rows_in"] == 72
    rejected = ikirere("run", "--start", "2025-11-21", expect=2)
    assert "end 2025-11-20 is before start 2025-11-21" in rejected.stderr


def test_synthetic_weather_in_a_mart_of_recorded_weather_is_announced(ikirere):
    assert "also holds" not in ikirere("run", "--weather", "synthetic").stdout
    shown = ikirere("run", "--weather", "recorded").stdout
    said = "The mart also holds synthetic weather of earlier runs; `ikirere reset` starts afresh."
    assert said in shown
    assert said in (ikirere.state / "report.html").read_text()
    assert "Recorded weather of 2025-11-19 and 2025-11-20, not today" in (ikirere.state / "report.html").read_text()


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


def test_a_recorded_response_of_another_city_is_loaded_unchanged(ikirere):
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


def test_a_database_named_by_database_url_is_used(ikirere, database_url):
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


def _serving(body: bytes):
    """A server that responds to every request with one body; yields its address."""
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

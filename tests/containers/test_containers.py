"""docker compose and sam local invoke, for real: one batch from the stand-in to rows, and a restart without loss.

Needs Docker, compose, the SAM CLI and python3.13: ``make test-containers``. Images that are not on the machine are
pulled; if LocalStack's cannot be pulled, a substitute is built. The end of the output names the one that ran. The
project has a name and ports of its own, so that a running stack is not touched. Metabase is left out: tests/metabase
checks the provisioning.
"""

import json
import os
import secrets
import shutil
import socket
import subprocess
import time
from pathlib import Path

import images
import pytest

ROOT = Path(__file__).parents[2]
PROJECT = f"ikirere-check-{secrets.token_hex(3)}"
SERVICES = ("open-meteo", "localstack")
# The image from which sam local invoke builds the functions' containers.
SAM_IMAGE = "public.ecr.aws/lambda/python:3.13-x86_64"
TABLES = ("staging_weather", "mart_daily_city_weather", "dim_city")

# The prefix that compose writes to each line of a log.
ERASE_LINE = "\x1b[2K"
COMPOSE = ("docker", "compose", "--profile", "synthetic")

pytestmark = pytest.mark.skipif("CONTAINERS" not in os.environ, reason="needs Docker and SAM: make test-containers")


def unused_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def described(done):
    return f"$ {' '.join(done.args)}: exit code {done.returncode}\n{done.stdout}{done.stderr}"


class Stack:
    """A copy of the checkout with its compose services."""

    def __init__(self, folder):
        self.folder = folder
        port = unused_port()
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")} | {
            "COMPOSE_PROJECT_NAME": PROJECT,
            "COMPOSE_NETWORK": PROJECT,
            "POSTGRES_PORT": unused_port(),
            "LOCALSTACK_PORT": port,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_DEFAULT_REGION": "us-east-1",
            "OPEN_METEO_FORECAST_URL": "http://open-meteo:8080/v1/forecast",
            "OPEN_METEO_ARCHIVE_URL": "http://open-meteo:8080/v1/archive",
            "SAM_CLI_TELEMETRY": "0",
        }

    def run(self, *command):
        return subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=900, check=False
        )

    def __call__(self, *command):
        done = self.run(*command)
        assert done.returncode == 0, described(done)
        return done.stdout

    def compose(self, *command):
        done = self.run(*COMPOSE, *command)
        assert done.returncode == 0, f"{described(done)}\n{self.state()}"
        return done.stdout

    def state(self):
        """Return the state of each service and the last lines of its log, without the health check's requests."""
        parts = [described(self.run(*COMPOSE, "ps", "--all"))]
        for service in self.run(*COMPOSE, "ps", "--all", "--services").stdout.split():
            log = self.run(*COMPOSE, "logs", "--no-color", "--no-log-prefix", "--tail", "500", service).stdout
            lines = [
                line.removeprefix(ERASE_LINE)
                for line in log.splitlines()
                if "/_localstack/init/ready => 200" not in line
            ]
            parts += [f"the last lines of {service}:", *lines[-20:]]
        return "\n".join(parts)

    def images(self):
        """Return the images of the services under test and of sam local invoke, each with its platform."""
        services = json.loads(self.compose("config", "--format", "json"))["services"]
        names, found = list(SERVICES), {SAM_IMAGE: None}
        for name in names:
            names += services[name].get("depends_on", ())
            found[services[name]["image"]] = services[name].get("platform")
        return found

    def obtain_images(self):
        """Make the images available; return what ran in place of each."""
        used = images.obtain(self.images())
        if used[images.LOCALSTACK] != images.LOCALSTACK:
            override = {"services": {"localstack": {"image": used[images.LOCALSTACK]}}}
            (self.folder / "substitute.json").write_text(json.dumps(override))
            self.environment["COMPOSE_FILE"] = os.pathsep.join(("docker-compose.yml", "substitute.json"))
        return [images.describe(*each) for each in used.items()]

    def up(self):
        self.compose("up", "--detach", "--wait", *SERVICES)

    def down(self):
        self.compose("stop", "--timeout", "5")
        # the functions' containers that LocalStack did not stop in time
        started = self("docker", "ps", "--all", "--quiet", "--filter", f"name={PROJECT}-localstack-1-lambda").split()
        if started:
            self("docker", "rm", "--force", *started)
        self.compose("down", "--volumes")

    def rows(self, statement):
        psql = ("psql", "-U", "ikirere", "-d", "ikirere", "-At", "-F", "|", "-c", statement)
        return self.compose("exec", "-T", "postgres", *psql).split()

    def counts(self):
        return [self.rows(f"SELECT count(*) FROM {table}") for table in TABLES]

    def runs(self, at_least, seconds=120):
        """Wait for that many runs started by LocalStack; return the status and rows of each."""
        deadline = time.monotonic() + seconds
        found = []
        while len(found) < at_least and time.monotonic() < deadline:
            time.sleep(1)
            found = self.rows("SELECT status, rows_in FROM pipeline_run WHERE run_id <> 'local' ORDER BY started_at")
        return found


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    folder = tmp_path_factory.mktemp("containers") / "ikirere"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    made = Stack(folder)
    made.ran = made.obtain_images()
    made("sam", "build")
    try:
        yield made
    finally:
        made.down()


@pytest.fixture(scope="module")
def running(stack):
    stack.up()
    return stack


@pytest.fixture(autouse=True)
def _images_are_reported(stack, record_property):
    for line in stack.ran:
        record_property(images.PROPERTY, line)


def test_the_compose_file_is_valid(stack):
    assert stack("docker", "compose", "config", "--quiet") == ""


def test_the_services_start_healthy_and_in_order_and_the_pipeline_runs_once(running):
    stack = running
    states = {
        each["Service"]: each
        for each in map(json.loads, stack.compose("ps", "--all", "--format", "json").splitlines())
    }  # fmt: skip
    assert {name: states[name]["ExitCode"] for name in ("prepare", "warehouse")} == {"prepare": 0, "warehouse": 0}
    assert {name: states[name]["Health"] for name in ("postgres", "localstack")} == {
        "postgres": "healthy",
        "localstack": "healthy",
    }
    times = {
        name: json.loads(stack("docker", "inspect", states[name]["ID"]))[0]["State"]
        for name in ("prepare", "postgres", "warehouse", "localstack")
    }
    assert times["prepare"]["FinishedAt"] < times["postgres"]["StartedAt"] < times["warehouse"]["StartedAt"]
    assert times["warehouse"]["FinishedAt"] < times["localstack"]["StartedAt"]
    assert stack.runs(1) == ["succeeded|288"]


def test_sam_local_invoke_carries_one_batch_from_the_api_to_rows(running):
    stack = running
    results = {}
    for function in ("ingest", "transform", "model"):
        # reuses this checkout's virtual environment
        printed = stack("make", f"invoke-{function}", "ARGS=--skip-pull-image", f"VENV={ROOT / '.venv'}")
        (results[function],) = [json.loads(line) for line in printed.splitlines() if line.startswith('{"')]
    assert results["ingest"]["status"] == "complete"
    assert (results["transform"]["rows"], results["transform"]["rejected"]) == (144, 0)
    assert (results["model"]["status"], results["model"]["rows_loaded"]) == ("succeeded", 144)
    days = "SELECT count(*), sum(hours_observed) FROM mart_daily_city_weather WHERE date < '2026-01-01'"
    assert stack.rows(days) == ["9|144"]


def test_after_a_restart_nothing_is_lost_or_doubled(running):
    stack = running
    before, secrets_before = stack.counts(), (stack.folder / ".env").read_text()
    stack.compose("stop")
    stack.up()
    assert stack.runs(2) == ["succeeded|288", "succeeded|288"]
    assert stack.counts() == before
    assert (stack.folder / ".env").read_text() == secrets_before

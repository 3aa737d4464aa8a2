"""The services of a bench: a real Postgres, S3 from the emulator, the archive; started in a temporary folder."""

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2

from benchmarks.setup.workload import ROOT, Size, workload
from emulator.ministack import Ministack
from emulator.postgres import Postgres
from emulator.state import State
from functions.model.migrations import migrate

# Debian's PostgreSQL 15, the oldest that the product supports; elsewhere the embedded one.
INSTALLED = Path("/usr/lib/postgresql/15/bin")
BUCKETS = ("bench-raw", "bench-processed")
API_KEY_SECRET, DATABASE_SECRET = "bench/open-meteo", "bench/database"  # their names
_OWNER, _START_SECONDS = "bench", 60


@dataclass(frozen=True, slots=True)
class Services:
    """The running services; ``archive_url`` serves the size that was requested for."""

    postgres_url: str
    aws: Ministack
    folder: Path

    @contextmanager
    def database(self, name: str = "bench_run", *, schema: bool = True) -> Iterator[str]:
        """Yield the address of a new database, with the warehouse's schema by default; drop it then."""
        execute(self.postgres_url, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)', f'CREATE DATABASE "{name}"')
        url = f"{self.postgres_url.rsplit('/', 1)[0]}/{name}"
        try:
            if schema:
                migrate({"dsn": url})
            # no contestant pays for the pages that another one wrote
            execute(url, "CHECKPOINT")
            yield url
        finally:
            execute(self.postgres_url, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def environment(self, database_url: str, archive_url: str) -> dict[str, str]:
        """Return the variables of the functions, as template.yaml sets them, and those of the other contestants."""
        manager = self.aws.client("secretsmanager")
        for name, text in (
            # a commercial plan: the free host's quota would let the larger sizes wait
            (API_KEY_SECRET, '{"api_key": "measured"}'),
            (DATABASE_SECRET, f'{{"url": "{database_url}"}}'),
        ):
            with suppress(manager.exceptions.ResourceNotFoundException):
                manager.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
            manager.create_secret(Name=name, SecretString=text)
        outer = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "GEN_WORKLOAD") if name in os.environ}
        return {
            **outer,
            "AWS_ENDPOINT_URL": self.aws.endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "NO_PROXY": "127.0.0.1",
            "POWERTOOLS_METRICS_NAMESPACE": "bench",
            "POWERTOOLS_LOG_LEVEL": "INFO",
            "RAW_BUCKET": BUCKETS[0],
            "PROCESSED_BUCKET": BUCKETS[1],
            "OPEN_METEO_ARCHIVE_URL": f"{archive_url}/v1/archive",
            "OPEN_METEO_API_KEY_SECRET": API_KEY_SECRET,
            "DATABASE_SECRET": DATABASE_SECRET,
            "BENCH_DATABASE_URL": database_url,
        }

    def postgres_version(self) -> str:
        with closing(psycopg2.connect(self.postgres_url)) as connection:
            return connection.get_parameter_status("server_version") or "unknown"

    def stored_bytes(self) -> dict[str, int]:
        """Return the bytes in both buckets."""
        return {bucket: sum(item["Size"] for item in self._objects(bucket)) for bucket in BUCKETS}

    def clear_buckets(self) -> None:
        for bucket in BUCKETS:
            for item in self._objects(bucket):
                self.aws.client("s3").delete_object(Bucket=bucket, Key=item["Key"])

    def _objects(self, bucket: str) -> list[dict[str, Any]]:
        pages = self.aws.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return [item for page in pages for item in page.get("Contents", ())]


@contextmanager
def running() -> Iterator[Services]:
    """Start Postgres and S3; stop them and delete what they stored, however the bench ends."""
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="ikirere-bench-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        folder.chmod(0o755)  # Postgres runs as another user
        state = State(folder / "state")
        stack.enter_context(state.lock())
        postgres_url = stack.enter_context(_installed(folder) if INSTALLED.exists() else _embedded(state))
        aws = Ministack(state)
        stack.callback(aws.stop)
        aws.start(_free_port())
        for bucket in BUCKETS:
            aws.client("s3").create_bucket(Bucket=bucket)
        yield Services(postgres_url, aws, folder)


@contextmanager
def archive(size: Size) -> Iterator[str]:
    """Serve a workload from a process of its own; the address. It ends with the pipe to it, however this one ends."""
    workload(size)
    command = [sys.executable, "-m", "benchmarks.setup.archive", size.name]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()


def execute(url: str, *statements: str) -> None:
    """Execute each statement outside a transaction."""
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        for statement in statements:
            connection.cursor().execute(statement)


@contextmanager
def _embedded(state: State) -> Iterator[str]:
    server = Postgres(state)
    try:
        yield server.start(_free_port())
    finally:
        server.stop()


@contextmanager
def _installed(folder: Path) -> Iterator[str]:
    """The installed server with its default settings, as a user that is not root."""
    home = folder / "postgres"
    home.mkdir()
    user: Mapping[str, Any] = {}
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(home, nobody.pw_uid, nobody.pw_gid)
        user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    settings = {"cwd": home, "env": {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}, **user}
    password = secrets.token_urlsafe(24)
    (home / "password").write_text(password)
    made = [str(INSTALLED / "initdb"), "-D", "data", "-U", _OWNER, "-E", "UTF8", "--locale=C", "-A", "scram-sha-256"]
    subprocess.run([*made, "--pwfile=password"], check=True, stdout=subprocess.DEVNULL, **settings)
    port = _free_port()
    options = ("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=")
    command = [str(INSTALLED / "postgres"), "-D", "data", "-p", str(port), *options]
    url = f"postgresql://{_OWNER}:{password}@127.0.0.1:{port}/postgres"
    with (folder / "postgres.log").open("wb") as log, subprocess.Popen(command, stderr=log, **settings) as process:
        try:
            _wait(url, process)
            yield url
        finally:
            # SIGQUIT: what it stored is deleted anyway
            process.send_signal(3)


def _wait(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            psycopg2.connect(url, connect_timeout=2).close()
        except psycopg2.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

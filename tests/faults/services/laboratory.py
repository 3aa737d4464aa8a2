"""What a history runs on: the emulator's S3 and Postgres, and slots, each a process of the functions behind proxies."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import psycopg2
from faults.services.proxies import DatabaseProxy, StorageProxy
from pipeline import CLEAR

from emulator.ministack import Ministack
from emulator.postgres import Postgres
from emulator.processes import stop
from emulator.state import State
from functions.model.migrations import migrate
from open_meteo_stand_in.server import StandIn

Json = dict[str, Any]
ROOT = Path(__file__).parents[3]
SLOTS = 5
_DATABASE = "histories"
# The name of the sessions that are not the functions'.
OBSERVER = "observer"


@dataclass(frozen=True)
class Outcome:
    """The result of an invocation, or its error: the class's name, as the state machine sees it, and the message."""

    result: Json | None = None
    error: str = ""
    cause: str = ""


class Slot:
    """A process of the functions, the host that it asks, and the proxies that it reaches S3 and Postgres through."""

    def __init__(self, laboratory: "Laboratory", number: int) -> None:
        self._laboratory = laboratory
        self.temporary = laboratory.folder / f"tmp-{number}"
        self.temporary.mkdir()
        self.host = StandIn("synthetic", quota=False)
        threading.Thread(target=self.host.serve, daemon=True).start()
        self.storage = StorageProxy(laboratory.storage_port, self.kill)
        self.database = DatabaseProxy(
            laboratory.database_port, self.kill, laboratory.terminate, laboratory.restart_database
        )
        self._socket = laboratory.folder / f"slot-{number}"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self._socket))
        self._listener.listen()
        self._listener.settimeout(60)
        self._stream: Any = None
        self.pid: int | None = None
        self._process: int | None = None
        self._killing = threading.Lock()
        self.threads: list[str] = []

    def invoke(self, function: str, event: Json, moment: datetime, environment: Mapping[str, str]) -> Outcome:
        """Call a handler, in the process of the last call unless that was killed."""
        self._laboratory.wait_for_database()
        if self.pid is None:
            self._start()
        call = {
            "function": function,
            "event": event,
            "moment": moment.isoformat(),
            "environment": {**environment, **self._addresses()},
        }
        try:
            self._stream.write(json.dumps(call) + "\n")
            self._stream.flush()
            line = self._stream.readline()
        except OSError:
            line = ""
        if not line:
            self.forget()
            # what Lambda reports for a process that died
            return Outcome(error="Runtime.ExitError", cause="the process was killed")
        answer = json.loads(line)
        self.threads = answer.pop("threads")
        return Outcome(**answer)

    def kill(self) -> None:
        # by its descriptor: the number of an ended process may belong to another one
        with self._killing:
            if self._process is not None:
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(self._process, signal.SIGKILL)

    def close(self) -> None:
        self.kill()
        self.forget()
        self._listener.close()
        self.host.stop()
        self.storage.close()
        self.database.close()

    def _start(self) -> None:
        self._laboratory.fork(self._socket)
        connection, _ = self._listener.accept()
        # a call that hangs ends the history with an error
        connection.settimeout(120)
        self._stream = connection.makefile("rw")
        self.pid = int(json.loads(self._stream.readline())["pid"])
        self._process = os.pidfd_open(self.pid)

    def forget(self) -> None:
        """Start a new process with the next call."""
        with self._killing:
            if self._process is not None:
                os.close(self._process)
            if self._stream is not None:
                with suppress(OSError):
                    self._stream.close()
            self._stream = self._process = self.pid = None

    def _addresses(self) -> dict[str, str]:
        parts = psycopg2.extensions.parse_dsn(self._laboratory.database_url())
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.storage.port}",
            "DATABASE_URL": psycopg2.extensions.make_dsn(
                **{**parts, "port": self.database.port, "sslmode": "disable", "gssencmode": "disable"}
            ),
            "OPEN_METEO_FORECAST_URL": f"{self.host.url}/v1/forecast",
            "OPEN_METEO_ARCHIVE_URL": f"{self.host.url}/v1/archive",
            "TMPDIR": str(self.temporary),
        }


class Laboratory:
    """The services of histories; ``functions`` is the folder that holds the package ``functions``."""

    def __init__(self, folder: Path, functions: Path = ROOT) -> None:
        self.folder = folder
        self._state = State(folder / "state")
        self._postgres, self._ministack = Postgres(self._state), Ministack(self._state)
        self._lock, self._restart = threading.Lock(), threading.Lock()
        self._number = 0
        self._session: Any = None
        with self._state.lock():
            self._postgres.start()
            self._ministack.start()
        self._execute(self._postgres.url(), f"CREATE DATABASE {_DATABASE}")
        migrate({"dsn": self.database_url()})
        self.s3 = self._ministack.client("s3")
        self._functions = self._function_server(functions)
        self.slots = [Slot(self, number) for number in range(SLOTS)]

    def close(self) -> None:
        for slot in self.slots:
            slot.close()
        assert self._functions.stdin is not None
        self._functions.stdin.close()
        self._functions.wait(30)
        self._ministack.stop()
        self._postgres.stop()

    def new_functions(self, folder: Path) -> None:
        """Take the functions of another folder from now on."""
        for slot in self.slots:
            slot.kill()
            slot.forget()
        assert self._functions.stdin is not None
        self._functions.stdin.close()
        self._functions.wait(30)
        self._functions = self._function_server(folder)

    def fork(self, path: Path) -> None:
        assert self._functions.stdin is not None
        with self._lock:
            self._functions.stdin.write(f"{path}\n")
            self._functions.stdin.flush()

    def new_buckets(self) -> dict[str, str]:
        """Empty tables and two new buckets; the environment that names them."""
        self._number += 1
        names = {"RAW_BUCKET": f"raw-{self._number}", "PROCESSED_BUCKET": f"processed-{self._number}"}
        for name in names.values():
            self.s3.create_bucket(Bucket=name)
        self._execute(self.database_url(), CLEAR)
        return {
            **names,
            "CITIES_URI": f"s3://raw-{self._number}/cities.csv",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "NO_PROXY": "127.0.0.1",
            "POWERTOOLS_LOG_LEVEL": "CRITICAL",
        }

    def database_url(self) -> str:
        return self._postgres.url(database=_DATABASE)

    def database_port(self) -> int:
        return int(self._state.settings()["postgres_port"])

    def storage_port(self) -> int:
        return int(self._state.settings()["aws_port"])

    def terminate(self, client_port: int) -> None:
        """End the database session of a connection from this port."""
        # a server that is restarted meanwhile ends its sessions itself
        with suppress(psycopg2.OperationalError):
            self._execute(
                self._postgres.url(),
                f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE client_port = {client_port}",
            )

    def restart_database(self) -> None:
        """Stop Postgres as a crash does, and start it."""
        with self._restart:
            stop(self._state, "postgres", signal.SIGQUIT)
            self._postgres.start()

    def wait_for_database(self) -> None:
        """Wait until a restart has ended: the state machine's waits are longer than one."""
        with self._restart:
            pass

    def rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[Json]:
        """The rows of a query, in one session for all of them: a new one only after a restart of the server."""
        for is_last in (False, True):
            try:
                if self._session is None:
                    self._session = psycopg2.connect(
                        self.database_url(), options="-c timezone=UTC", application_name=OBSERVER
                    )
                    self._session.autocommit = True
                with self._session.cursor() as cursor:
                    cursor.execute(statement, parameters)
                    names = [column.name for column in cursor.description]
                    return [dict(zip(names, row, strict=True)) for row in cursor]
            except (psycopg2.OperationalError, psycopg2.InterfaceError):
                self._session = None
                if is_last:
                    raise
        raise AssertionError

    def leftovers(self) -> list[str]:
        """Sessions, locks, temporary tables and files, threads and child processes that the functions left behind."""
        found = _without(self._database_leftovers)
        for slot in self.slots:
            found += [f"file {path.name}" for path in slot.temporary.iterdir()]
            found += [f"thread {name}" for name in slot.threads]
            if slot.pid is not None:
                found += [f"process {child}" for child in psutil.Process(slot.pid).children()]
        found += [f"file {path}" for path in (self._state.path("postgres") / "base").glob("pgsql_tmp/*")]
        return found

    def _database_leftovers(self) -> list[str]:
        rows = self.rows(
            """
            SELECT 'session ' || coalesce(state, '') || ' ' || query AS what FROM pg_stat_activity
            WHERE datname = current_database() AND application_name <> 'observer'
            UNION ALL
            SELECT 'lock ' || locktype FROM pg_locks WHERE locktype = 'advisory'
            UNION ALL
            SELECT 'prepared transaction' FROM pg_prepared_xacts
            UNION ALL
            SELECT 'temporary table ' || relname FROM pg_class WHERE relpersistence = 't'
            """
        )
        return [row["what"] for row in rows]

    def _function_server(self, functions: Path) -> "subprocess.Popen[str]":
        # psycopg2 writes to stderr when a session ends during COPY
        with (self.folder / "functions.log").open("a") as log:
            return subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("function_server.py")), str(functions)],
                stdin=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=functions,
                env={**os.environ, "PYTHONPATH": str(functions)},
            )

    def _execute(self, url: str, statement: str) -> None:
        with closing(psycopg2.connect(url)) as connection:
            connection.autocommit = True
            connection.cursor().execute(statement)


def _without(leftovers: Callable[[], list[str]]) -> list[str]:
    """What is still there after a short wait: a server learns a little later that its client was killed."""
    deadline = time.monotonic() + 5
    while (found := leftovers()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


@contextmanager
def laboratory(functions: Path = ROOT) -> Iterator[Laboratory]:
    """The services, stopped and deleted at the end."""
    with tempfile.TemporaryDirectory(prefix="ikirere-faults-") as folder:
        services = Laboratory(Path(folder), functions)
        try:
            yield services
        finally:
            services.close()

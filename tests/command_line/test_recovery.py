"""A Postgres that recovers after a kill is waited for."""

import signal
import threading
import time
from contextlib import closing, suppress

import psutil
import psycopg2
import pytest

from deployment.errors import UserError
from emulator import recovery, warehouse
from emulator.postgres import NAME, Postgres
from emulator.processes import running, stop_strays
from emulator.state import State

STARTING = psycopg2.OperationalError(
    'connection to server at "127.0.0.1", port 5432 failed: FATAL:  the database system is not yet accepting '
    "connections\nDETAIL:  Consistent recovery state has not been yet reached."
)
REFUSED = psycopg2.OperationalError("connection to server failed: Connection refused")
OWN = "postgresql://me@127.0.0.1:1/own"


@pytest.fixture
def state(tmp_path):
    made = State(tmp_path / "state")
    with made.lock():
        yield made
        Postgres(made).stop()


class Halted:
    """Halts the recovery of the next server as soon as it begins, until ``go_on``."""

    def __init__(self, state):
        self._state = state
        self.process = None
        self._thread = threading.Thread(target=self._halt, daemon=True)
        self._thread.start()

    def _halt(self):
        last = running(self._state, NAME)
        deadline = time.monotonic() + 60
        while self.process is None and time.monotonic() < deadline:
            with suppress(psutil.Error):
                server = running(self._state, NAME)
                for child in server.children() if server and server != last else ():
                    if "startup" in " ".join(child.cmdline()):
                        child.suspend()
                        self.process = child
            time.sleep(0.002)

    def go_on(self):
        self._thread.join()
        self.process.resume()


@pytest.fixture
def killed(state):
    """A Postgres that was killed after 300,000 rows of which nothing but its log is on the disk."""
    server = Postgres(state)
    with closing(psycopg2.connect(server.start())) as connection, connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE much AS SELECT n, md5(n::text) AS text FROM generate_series(1, 300000) AS n")
    process = running(state, NAME)
    process.send_signal(signal.SIGKILL)
    while (now := running(state, NAME)) is not None and now.status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    return server


def rows_of(server):
    with closing(psycopg2.connect(server.url())) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*), count(DISTINCT text) FROM much")
        return cursor.fetchone()


def test_up_waits_with_a_line_for_a_killed_postgres_that_recovers(state, killed):
    halted = Halted(state)
    lines = []

    def progress(line):
        lines.append(line)
        if len(lines) == 3:
            halted.go_on()

    killed.start(progress=progress)
    assert len(lines) >= 3
    assert lines[0].startswith("Postgres recovers, ")
    assert rows_of(killed) == (300_000, 300_000)


def test_a_postgres_that_recovers_too_long_is_an_error_and_goes_on_and_is_waited_for_again(state, killed, monkeypatch):
    halted = Halted(state)
    with monkeypatch.context() as shorter:
        shorter.setattr(recovery, "SECONDS", 1)
        with pytest.raises(UserError, match=r"Postgres still recovers after 1 s .*`ikirere up` waits for it again"):
            killed.start()
    server = running(state, NAME).pid
    again = Postgres(state)
    lines = []

    def progress(line):
        if not lines:
            halted.go_on()
        lines.append(line)

    again.start(progress=progress)
    # not ended and started anew
    assert running(state, NAME).pid == server
    assert rows_of(again) == (300_000, 300_000)


def test_a_postgres_that_ends_while_it_recovers_is_an_error_at_once(state, killed):
    Halted(state)

    def end_it(_):
        running(state, NAME).kill()

    with pytest.raises(UserError, match="Postgres ended while it recovered; `ikirere up` tries again"):
        killed.start(progress=end_it)
    stop_strays(state)
    killed.start()
    assert rows_of(killed) == (300_000, 300_000)


def test_up_after_a_kill_of_a_postgres_that_had_written_much_has_all_of_it(ikirere):
    ikirere("up", "--weather", "recorded")
    status = ikirere.json("status")
    with closing(psycopg2.connect(status["database_url"])) as connection, connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE much AS SELECT n, md5(n::text) AS text FROM generate_series(1, 300000) AS n")
    psutil.Process(status["services"]["postgres"]).kill()
    ikirere("up")
    assert ikirere("sql", "SELECT count(DISTINCT text) FROM much", "--csv").stdout.split() == ["count", "300000"]
    assert ikirere.json("run")["rows_loaded"] == 144


@pytest.fixture
def own(monkeypatch):
    """The user's own database: a function that sets what each attempt to connect to it gives."""
    monkeypatch.setenv("DATABASE_URL", OWN)
    monkeypatch.setattr(recovery, "_UNMENTIONED_SECONDS", 0)
    monkeypatch.setattr(recovery, "_PAUSE_SECONDS", 0)

    def gives(*results):
        left = list(results)

        def version(url):
            assert url == OWN
            result = left.pop(0) if len(left) > 1 else left[0]
            if isinstance(result, Exception):
                raise result
            return result

        monkeypatch.setattr(warehouse, "_version", version)

    return gives


def test_up_waits_for_a_database_of_the_user_that_recovers(own):
    own(STARTING)
    warehouse.check_own_database()
    own(STARTING, STARTING, 180000)
    lines = []
    warehouse._wait_for_own_database(OWN, lines.append)
    assert lines == [f"Postgres recovers, 0 of at most {recovery.SECONDS} s ..."] * 2


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (REFUSED, r"DATABASE_URL me@127.0.0.1:1/own: does not respond \(.*refused\); start that server"),
        (140000, "DATABASE_URL me@127.0.0.1:1/own: is Postgres 14; 15 or later is needed"),
    ],
)
def test_a_database_of_the_user_that_cannot_be_used_is_an_error_also_after_its_recovery(own, result, message):
    own(result)
    with pytest.raises(UserError, match=message):
        warehouse.check_own_database()
    own(STARTING, result)
    with pytest.raises(UserError, match=message):
        warehouse._wait_for_own_database(OWN, lambda _: None)


def test_a_database_of_the_user_that_recovers_too_long_is_an_error(own, monkeypatch):
    own(STARTING)
    monkeypatch.setattr(recovery, "SECONDS", 0)
    with pytest.raises(UserError, match=r"still recovers after 0 s \(.*not yet accepting connections.*waits for it"):
        warehouse._wait_for_own_database(OWN, lambda _: None)

"""Fixtures of every test: a real Postgres, and a fresh database in it."""

import itertools
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
from hypothesis import settings
from pipeline import Pipeline

from emulator.emulator import Emulator, Options
from emulator.ministack import Ministack
from emulator.postgres import Postgres
from emulator.state import State
from open_meteo_stand_in.server import StandIn

_NUMBERS = itertools.count()

# No test fails for being slow, and every run tries the same examples; `make test-faults` looks for new ones.
settings.register_profile("ikirere", deadline=None, derandomize=True)
settings.load_profile("ikirere")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """An embedded Postgres of this test session's own."""
    with tempfile.TemporaryDirectory(prefix="ikirere-postgres-") as folder:
        state = State(Path(folder) / "state")
        with state.lock():
            server = Postgres(state)
            server.start()
        yield server
        server.stop()


@pytest.fixture(scope="session")
def new_database(postgres: Postgres) -> Callable[[], str]:
    """A function that makes an empty database; its address. It goes with the server."""

    def make() -> str:
        name = f"test_{next(_NUMBERS)}"
        _execute(postgres.url(), f"CREATE DATABASE {name}")
        return postgres.url(database=name)

    return make


@pytest.fixture
def database_url(postgres: Postgres, new_database: Callable[[], str]) -> Iterator[str]:
    """The address of an empty database, dropped after the test."""
    url = new_database()
    yield url
    _execute(postgres.url(), f"DROP DATABASE {url.rsplit('/', 1)[1]} WITH (FORCE)")


def _execute(url: str, statement: str) -> None:
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        connection.cursor().execute(statement)


@pytest.fixture(scope="session")
def ministack() -> Iterator[Ministack]:
    """The emulator's S3 and Secrets Manager, of this test session's own."""
    with tempfile.TemporaryDirectory(prefix="ikirere-ministack-") as folder:
        state = State(Path(folder) / "state")
        with state.lock():
            server = Ministack(state)
            server.start()
        yield server
        with state.lock():
            server.stop()


@pytest.fixture(scope="session")
def deployed() -> Iterator[Pipeline]:
    """The emulator of this test session, its waits and retries fifty times as fast."""
    with (
        tempfile.TemporaryDirectory(prefix="ikirere-") as folder,
        pytest.MonkeyPatch.context() as patch,
        StandIn("synthetic", quota=False) as host,
    ):
        patch.setenv("SFN_WAIT_SCALE", "0.02")
        patch.delenv("DATABASE_URL", raising=False)
        emulator = Emulator(State(Path(folder) / "state"))
        try:
            emulator.up(Options(weather=host.url))
            yield Pipeline(emulator, host)
        finally:
            emulator.down()


@pytest.fixture
def pipeline(deployed: Pipeline) -> Pipeline:
    """The deployed pipeline with an empty warehouse and a host without faults."""
    deployed.clear()
    return deployed

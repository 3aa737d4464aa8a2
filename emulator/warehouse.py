"""The warehouse of the emulator: the embedded Postgres or the user's own, migrated, with its roles' passwords set."""

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import psycopg2
from psycopg2.extensions import parse_dsn

from deployment.errors import UserError, failure_of
from emulator import recovery
from emulator.postgres import Postgres
from emulator.state import State
from functions.core.errors import InvalidInputError, LoadError, TransientError
from functions.core.text import excerpt
from functions.model.comments import write_comments
from functions.model.database import checked_address, error_text
from functions.model.logins import set_passwords
from functions.model.migrations import migrate

# The role of the commands that only read.
_INSPECTOR = "ikirere_inspector"
_CONNECT_SECONDS = 5
_OLDEST_VERSION = 150000


def own_address() -> str | None:
    """The user's DATABASE_URL, or None where it is not set. Raises UserError, without repeating it, for no address."""
    url = os.environ.get("DATABASE_URL")
    try:
        return checked_address(url, "DATABASE_URL") if url else None
    except InvalidInputError as error:
        raise UserError(str(error)) from error


def without_password(url: str) -> str:
    """An address for display, whatever its form."""
    parts = parse_dsn(url)
    return excerpt(
        f"{parts.get('user', '')}@{parts.get('host', 'localhost')}:{parts.get('port', 5432)}/{parts.get('dbname', '')}"
    )


def check_own_database() -> None:
    """Connect to the user's own database, if one is named. Raises UserError when it cannot be used.

    One that recovers passes: ``prepare`` waits for it.
    """
    url = own_address()
    if not url:
        return
    with _connecting(url):
        try:
            version = _version(url)
        except psycopg2.Error as error:
            if recovery.recovers(error):
                return
            raise
    _require_version(url, version)


def _wait_for_own_database(url: str, progress: Callable[[str], None]) -> None:
    with _connecting(url):
        version = recovery.after_recovery(lambda: _version(url), recovery.recovers, progress)
    _require_version(url, version)


def _version(url: str) -> int:
    with closing(psycopg2.connect(url, connect_timeout=_CONNECT_SECONDS)) as connection:
        return int(connection.server_version)


@contextmanager
def _connecting(url: str) -> Iterator[None]:
    """Raise UserError where the user's own database cannot be connected to."""
    try:
        yield
    except psycopg2.Error as error:
        if recovery.recovers(error):
            raise UserError(
                f"DATABASE_URL {without_password(url)}: still recovers after {recovery.SECONDS} s "
                f"({error_text(error)}); `ikirere up` waits for it again, and that server's log tells how far it is"
            ) from error
        raise UserError(
            f"DATABASE_URL {without_password(url)}: does not respond ({error_text(error)}); start that server, or "
            "unset DATABASE_URL to use the embedded one"
        ) from error


def _require_version(url: str, version: int) -> None:
    if version < _OLDEST_VERSION:
        raise UserError(f"DATABASE_URL {without_password(url)}: is Postgres {version // 10000}; 15 or later is needed")


def prepare(
    state: State, postgres: Postgres, port: int | None, progress: Callable[[str], None] = lambda _: None
) -> str:
    """Start the warehouse, or wait until it has recovered, and migrate it; the loader's address. Raises UserError."""
    own = own_address()
    if own:
        _wait_for_own_database(own, progress)
    owner = own or postgres.start(port, progress)
    try:
        migrate({"dsn": owner})
        write_comments({"dsn": owner})
        return owner if own else _set_passwords(state, postgres)
    except (LoadError, TransientError) as error:
        raise failure_of(f"database {without_password(owner)}", str(error)) from error


def reader_address(state: State, postgres: Postgres) -> str:
    """The address of a role that reads everything and writes nothing; of the user's own database the owner's."""
    return own_address() or postgres.url(_INSPECTOR, state.secret(f"{_INSPECTOR}_password"))


def _set_passwords(state: State, postgres: Postgres) -> str:
    """Let loader, reader and inspector sign in to the embedded server; the loader's address."""
    owner = postgres.url()
    with closing(psycopg2.connect(owner)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", (_INSPECTOR,))
        if not cursor.rowcount:
            cursor.execute(f"CREATE ROLE {_INSPECTOR} IN ROLE pg_read_all_data")
    roles = ("ikirere_loader", "metabase_reader", _INSPECTOR)
    passwords = {role: state.secret(f"{role}_password") for role in roles}
    set_passwords({"dsn": owner}, passwords)
    return postgres.url("ikirere_loader", passwords["ikirere_loader"])

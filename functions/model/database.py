"""The connection to the warehouse, and the pipeline's errors for those of the database."""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812  # a class that psycopg2 names in lower case
from psycopg2.extensions import cursor as Cursor  # noqa: N812
from psycopg2.extensions import parse_dsn

from functions.core import storage
from functions.core.errors import InvalidInputError, LoadError, TransientError
from functions.core.text import excerpt

# The valid parts of an address; a password with an unescaped @ or / ends up in one of them.
_ADDRESS_PARTS = {
    "host": re.compile(r"[\w.:/-]*(,[\w.:/-]*)*"),
    "port": re.compile(r"\d{0,5}(,\d{0,5})*"),
    "dbname": re.compile(r"[^@/]*"),
}

SQL = Path(__file__).parent / "sql"

_CONNECT_SECONDS = 10
# A load waits for the previous one, but ends before Lambda's timeout ends the function.
_LOCK_TIMEOUT_MS = 600_000
# A function that is killed leaves an open connection. The server finds out within two minutes, with the operating
# system's defaults only after two hours; until then the locks of its load would stop all others.
_SESSION = (
    f"-c lock_timeout={_LOCK_TIMEOUT_MS} -c client_connection_check_interval=10s "
    "-c tcp_keepalives_idle=60 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=6"
)

# Messages of rejections that a retry repeats (libpq gives no SQLSTATE for a rejected connection).
_PERMANENT_REJECTIONS = ("authentication failed", "does not exist", "no pg_hba.conf entry", "no password supplied")


def connection_parameters(environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Return the parameters of psycopg2.connect, from the secret DATABASE_SECRET if set, or else from DATABASE_URL.

    The secret has ``{"url"}``, or the keys that RDS writes: ``{"host", "port", "username", "password", "dbname"}``,
    and optionally libpq's ``sslmode``.
    Raises InvalidInputError if neither is set or the secret has neither form.
    """
    secret_id = environment.get("DATABASE_SECRET")
    if not secret_id:
        url = environment.get("DATABASE_URL")
        if not url:
            raise InvalidInputError("environment: neither DATABASE_SECRET nor DATABASE_URL is set; set one")
        return {"dsn": checked_address(url, "environment: DATABASE_URL")}
    secret = storage.secret(secret_id)
    if "url" in secret:
        return {"dsn": checked_address(secret["url"], f"secret {secret_id}: its url")}
    try:
        return {
            "host": secret["host"],
            "port": secret.get("port", 5432),
            "user": secret["username"],
            "password": secret["password"],
            "dbname": secret["dbname"],
            **({"sslmode": secret["sslmode"]} if "sslmode" in secret else {}),
        }
    except KeyError as error:
        raise InvalidInputError(
            f"secret {secret_id}: has neither url nor {error.args[0]}; store the loader's login as docs/aws.md shows it"
        ) from error


def checked_address(url: str, what: str) -> str:
    """Return the address if it is valid. Raises InvalidInputError, whose message calls it ``what``.

    libpq's own message is not used: it repeats parts of the address, possibly of the password.
    """
    try:
        parts = parse_dsn(url)
    except (psycopg2.Error, TypeError):
        parts = {"host": "@"}
    if not all(pattern.fullmatch(parts.get(name, "")) for name, pattern in _ADDRESS_PARTS.items()):
        raise InvalidInputError(
            f"{what} cannot be read; expected postgresql://user:password@host:5432/name, with characters such as "
            "@ : / in the password written as %40 %3A %2F"
        )
    return url


@contextmanager
def connect(parameters: Mapping[str, Any]) -> Iterator[Connection]:
    """Yield a connection and close it at the end; uncommitted changes are rolled back.

    Raises TransientError if the server is unreachable or the connection breaks, LoadError if the server rejects it.
    """
    with database_errors("warehouse", "correct DATABASE_SECRET (or DATABASE_URL), then run it again"):
        connection = psycopg2.connect(
            **with_options(parameters, _SESSION),
            connect_timeout=_CONNECT_SECONDS,
            application_name="ikirere",
        )
    try:
        yield connection
    finally:
        connection.close()


def with_options(parameters: Mapping[str, Any], options: str) -> dict[str, Any]:
    """Return the parameters with these server options appended to those of the address."""
    own = parse_dsn(parameters["dsn"]).get("options", "") if "dsn" in parameters else ""
    return {**parameters, "options": f"{own} {options}".strip()}


@contextmanager
def database_errors(what: str, if_rejected: str = "") -> Iterator[None]:
    """Turn psycopg2's errors into the pipeline's; ``what`` names the failed operation.

    ``if_rejected`` is what to do if the server rejects the login, which a retry would repeat.
    """
    try:
        yield
    except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
        if any(rejection in str(error) for rejection in _PERMANENT_REJECTIONS):
            raise LoadError(f"{what}: {error_text(error)}{if_rejected and f'; {if_rejected}'}") from error
        raise TransientError(f"{what}: {error_text(error)}") from error
    except psycopg2.Error as error:
        raise LoadError(f"{what}: {error_text(error)}") from error


def error_text(error: psycopg2.Error) -> str:
    """Return an excerpt of a database's error, which has several lines, as one line."""
    return excerpt(" ".join(line.strip() for line in str(error).strip().split("\n")))


def execute_file(cursor: Cursor, name: str, parameters: Mapping[str, Any] | None = None) -> None:
    """Execute the statements of ``sql/load/NAME.sql``."""
    cursor.execute((SQL / "load" / f"{name}.sql").read_text(encoding="utf-8"), parameters)


def single_row(cursor: Cursor) -> tuple[Any, ...]:
    """The row of a statement that always has one."""
    row = cursor.fetchone()
    return () if row is None else row

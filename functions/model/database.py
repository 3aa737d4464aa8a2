"""The connection to the warehouse, and what its errors mean to the state machine."""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812  # a class that psycopg2 names in lower case
from psycopg2.extensions import parse_dsn

from functions.core import storage
from functions.core.errors import InvalidInputError, LoadError, TransientError

# What parts of an address can be; a password with @ or / in it that was not escaped ends up in one of them.
_SHAPES = {
    "host": re.compile(r"[\w.:/-]*(,[\w.:/-]*)*"),
    "port": re.compile(r"\d{0,5}(,\d{0,5})*"),
    "dbname": re.compile(r"[^@/]*"),
}

SQL = Path(__file__).parent / "sql"

_CONNECT_SECONDS = 10
# A load waits for the one before it, but not until the function is killed.
_LOCK_TIMEOUT_MS = 600_000

# What the server says when it will say it again (libpq gives no SQLSTATE for a refused connection).
_REFUSALS = ("authentication failed", "does not exist", "no pg_hba.conf entry", "no password supplied")


def connection_parameters(environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """What to connect with: the secret DATABASE_SECRET names, or else DATABASE_URL.

    The secret holds ``{"url"}``, or the keys RDS writes: ``{"host", "port", "username", "password", "dbname"}``, and
    perhaps an ``sslmode`` of libpq's.
    Raises InvalidInputError when neither is set or the secret has neither form.
    """
    secret_id = environment.get("DATABASE_SECRET")
    if not secret_id:
        url = environment.get("DATABASE_URL")
        if not url:
            raise InvalidInputError("environment: neither DATABASE_SECRET nor DATABASE_URL is set")
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
        raise InvalidInputError(f"secret {secret_id}: has neither url nor {error.args[0]}") from error


def checked_address(url: str, what: str) -> str:
    """The address, if it is one. Raises InvalidInputError calling it ``what``.

    What libpq says of an address it cannot read repeats parts of it, which may be those of the password.
    """
    try:
        parts = parse_dsn(url)
    except (psycopg2.Error, TypeError):
        parts = {"host": "@"}
    if not all(shape.fullmatch(parts.get(name, "")) for name, shape in _SHAPES.items()):
        raise InvalidInputError(
            f"{what} cannot be read; postgresql://user:password@host:5432/name is expected, with characters such as "
            "@ : / in the password written as %40 %3A %2F"
        )
    return url


@contextmanager
def connect(parameters: Mapping[str, Any]) -> Iterator[Connection]:
    """A connection, closed at the end; what was not committed is rolled back.

    Raises TransientError when the server cannot be reached or breaks off, LoadError when it refuses.
    """
    with database_errors("warehouse"):
        connection = psycopg2.connect(
            **with_options(parameters, f"-c lock_timeout={_LOCK_TIMEOUT_MS}"),
            connect_timeout=_CONNECT_SECONDS,
            application_name="ikirere",
        )
    try:
        yield connection
    finally:
        connection.close()


def with_options(parameters: Mapping[str, Any], options: str) -> dict[str, Any]:
    """The parameters with these options for the server behind those that the address itself has."""
    own = parse_dsn(parameters["dsn"]).get("options", "") if "dsn" in parameters else ""
    return {**parameters, "options": f"{own} {options}".strip()}


@contextmanager
def database_errors(what: str) -> Iterator[None]:
    """Turn psycopg2's errors into the pipeline's; ``what`` says what was being done."""
    try:
        yield
    except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
        text = str(error).strip()
        kind = LoadError if any(refusal in text for refusal in _REFUSALS) else TransientError
        raise kind(f"{what}: {text}") from error
    except psycopg2.Error as error:
        raise LoadError(f"{what}: {str(error).strip()}") from error

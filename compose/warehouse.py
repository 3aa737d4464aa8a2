"""Prepares Postgres for docker compose: migrations, logins of the roles, and Metabase's own database."""

import os
import sys
from collections.abc import Mapping
from contextlib import closing

import psycopg2
from psycopg2 import sql

from functions.core.errors import LoadError, TransientError
from functions.model.comments import write_comments
from functions.model.logins import set_passwords
from functions.model.migrations import migrate

METABASE_STATE = "metabase"


def prepare(owner_url: str, environment: Mapping[str, str]) -> None:
    """Prepare the server; a second call changes nothing. Raises LoadError, TransientError, psycopg2.Error."""
    owner = {"dsn": owner_url}
    migrate(owner)
    write_comments(owner)
    set_passwords(
        owner,
        {"ikirere_loader": environment["LOADER_PASSWORD"], "metabase_reader": environment["READER_PASSWORD"]},
    )
    with closing(psycopg2.connect(owner_url)) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        for exists, create in (
            ("SELECT FROM pg_roles WHERE rolname = %s", "CREATE ROLE {}"),
            ("SELECT FROM pg_database WHERE datname = %s", "CREATE DATABASE {0} OWNER {0}"),
        ):
            cursor.execute(exists, (METABASE_STATE,))
            if not cursor.rowcount:
                cursor.execute(sql.SQL(create).format(sql.Identifier(METABASE_STATE)))
    set_passwords(owner, {METABASE_STATE: environment["METABASE_STATE_PASSWORD"]})


def main() -> int:
    """Prepare with the settings of the environment; return 0 on success, 1 on failure."""
    try:
        prepare(os.environ["OWNER_URL"], os.environ)
    except (LoadError, TransientError, psycopg2.Error) as error:
        print(f"warehouse: {error}; the passwords in .env must be those of Postgres's volume", file=sys.stderr)
        return 1
    print("the warehouse is ready", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())

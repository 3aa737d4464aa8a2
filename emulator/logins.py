"""Passwords for the warehouse's roles, which the migrations make without one."""

from collections.abc import Mapping
from contextlib import closing

import psycopg2
from psycopg2 import sql


def let_log_in(owner_url: str, passwords: Mapping[str, str]) -> None:
    """Let each role log in with its password. Raises psycopg2.Error."""
    with closing(psycopg2.connect(owner_url)) as connection, connection, connection.cursor() as cursor:
        for role, password in passwords.items():
            cursor.execute(
                sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), sql.Literal(password))
            )

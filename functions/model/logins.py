"""Passwords for the warehouse's roles, which the migrations make without one."""

from collections.abc import Mapping
from typing import Any

from psycopg2 import sql
from psycopg2.extensions import encrypt_password

from functions.model.database import connect, database_errors


def let_log_in(parameters: Mapping[str, Any], passwords: Mapping[str, str]) -> None:
    """Let each role log in with its password; ``parameters`` connect as the owner, who made the roles.

    Raises LoadError when the server refuses, TransientError when it cannot be reached.
    """
    with connect(parameters) as connection, database_errors("logins"), connection, connection.cursor() as cursor:
        for role, password in passwords.items():
            # what the server keeps, made here: a statement that fails is logged with all that is in it
            kept = encrypt_password(password, role, connection, "scram-sha-256")
            cursor.execute(sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), sql.Literal(kept)))

"""Passwords for the warehouse's roles, which the migrations create without one."""

from collections.abc import Mapping
from typing import Any

from psycopg2 import sql
from psycopg2.extensions import encrypt_password

from functions.model.database import connect, database_errors


def set_passwords(parameters: Mapping[str, Any], passwords: Mapping[str, str]) -> None:
    """Set the password of each role and allow it to log in; ``parameters`` connect as the owner of the roles.

    Raises LoadError if the server rejects the change, TransientError if it is unreachable.
    """
    with connect(parameters) as connection, database_errors("logins"), connection, connection.cursor() as cursor:
        for role, password in passwords.items():
            # hashed here, because the server logs the full text of a failed statement
            hashed = encrypt_password(password, role, connection, "scram-sha-256")
            cursor.execute(sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), sql.Literal(hashed)))

"""The roles of the pipeline's own warehouse: their passwords, and the end of what everybody may do there.

A database of the user's own may serve others too: who sets its passwords decides on its rights as well.
"""

from collections.abc import Mapping
from typing import Any

from psycopg2 import sql
from psycopg2.extensions import encrypt_password

from functions.model.database import connect, database_errors

# What every role of a server may do by default and no role of the pipeline needs: sign in to its other databases, fill
# the disk with temporary tables (a load needs them) and with large objects, create in the schema (before version 15).
# A server that somebody else runs may keep some of it for itself.
_REVOKE = """
DO $$
DECLARE
    statement text;
BEGIN
    FOR statement IN
        SELECT format('REVOKE ALL ON DATABASE %%I FROM PUBLIC', datname)
        FROM pg_database WHERE datname IN (current_database(), 'postgres', 'template1')
        UNION ALL
        SELECT format('GRANT CONNECT ON DATABASE %%I TO %%I', current_database(), wanted)
        FROM unnest(%(roles)s) AS role (wanted)
        UNION ALL
        SELECT format('GRANT TEMPORARY ON DATABASE %%I TO ikirere_loader', current_database())
        WHERE 'ikirere_loader' = ANY (%(roles)s)
        UNION ALL
        SELECT 'REVOKE CREATE ON SCHEMA public FROM PUBLIC'
        UNION ALL
        SELECT format('REVOKE EXECUTE ON FUNCTION %%s FROM PUBLIC', pg_proc.oid::regprocedure)
        FROM pg_proc
        WHERE pronamespace = 'pg_catalog'::regnamespace
            AND (starts_with(proname, 'lo_') OR proname IN ('loread', 'lowrite'))
    LOOP
        BEGIN
            EXECUTE statement;
        EXCEPTION
            WHEN insufficient_privilege THEN NULL;
        END;
    END LOOP;
END
$$
"""


def set_passwords(parameters: Mapping[str, Any], passwords: Mapping[str, str]) -> None:
    """Set the password of each role and allow it to log in to this database, and all others to do nothing.

    ``parameters`` connect as the owner of the roles and the database.

    Raises LoadError if the server rejects the change, TransientError if it is unreachable.
    """
    with connect(parameters) as connection, database_errors("logins"), connection, connection.cursor() as cursor:
        for role, password in passwords.items():
            # hashed here, because the server logs the full text of a failed statement
            hashed = encrypt_password(password, role, connection, "scram-sha-256")
            cursor.execute(sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), sql.Literal(hashed)))
        cursor.execute(_REVOKE, {"roles": list(passwords)})

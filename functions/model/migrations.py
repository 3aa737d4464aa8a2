"""The migrations of the warehouse: numbered SQL files that are applied once, in order.

``DATABASE_URL=... python -m functions.model.migrations`` applies the pending ones, as the owner, and writes
the comments.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psycopg2.extensions import connection as Connection  # noqa: N812

from functions.core.errors import LoadError
from functions.model.database import SQL, connect, connection_parameters, database_errors

_NAME = re.compile(r"(\d{3})_(\w+)\.sql")
_CREATE_MIGRATION_TABLE = """
    CREATE TABLE IF NOT EXISTS schema_migration (
        version    integer PRIMARY KEY,
        name       text NOT NULL,
        sha256     text NOT NULL,
        applied_at timestamptz NOT NULL DEFAULT now()
    )
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of ``sql/schema``."""

    version: int
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations() -> list[Migration]:
    """Return the migrations of this package, in order. Raises LoadError if their numbers are not 1, 2, 3 ..."""
    shipped = [
        Migration(int(match.group(1)), match.group(2), path.read_text(encoding="utf-8"))
        for path in sorted((SQL / "schema").glob("*.sql"))
        if (match := _NAME.fullmatch(path.name))
    ]
    if [migration.version for migration in shipped] != list(range(1, len(shipped) + 1)):
        raise LoadError(f"migrations: numbers must run from 001 without a gap, found {[m.version for m in shipped]}")
    return shipped


def migrate(parameters: Mapping[str, Any]) -> list[str]:
    """Apply the pending migrations and return their names. Concurrent calls are safe: the second one waits.

    Each migration is one transaction with its row in ``schema_migration``. Raises LoadError if a migration fails
    or an applied one was changed, and TransientError if the server is unreachable.
    """
    applied = []
    with connect(parameters) as connection, database_errors("migration"):
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute("SELECT pg_advisory_lock(hashtext('ikirere migrate'))")
        cursor.execute(_CREATE_MIGRATION_TABLE)
        for migration in pending(connection):
            label = f"{migration.version:03d}_{migration.name}"
            with database_errors(f"migration {label}"):
                cursor.execute("BEGIN")
                cursor.execute(migration.sql)
                cursor.execute(
                    "INSERT INTO schema_migration (version, name, sha256) VALUES (%s, %s, %s)",
                    (migration.version, migration.name, migration.sha256),
                )
                cursor.execute("COMMIT")
            applied.append(label)
    return applied


def pending(connection: Connection) -> list[Migration]:
    """Return the migrations that the warehouse lacks. Raises LoadError if an applied one was changed or is newer."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('schema_migration') IS NOT NULL")
        rows = []
        if cursor.fetchone() == (True,):
            cursor.execute("SELECT version, sha256 FROM schema_migration")
            rows = cursor.fetchall()
    applied: dict[int, str] = dict(rows)
    shipped = migrations()
    if applied and max(applied) > len(shipped):
        raise LoadError(
            f"warehouse: its schema has version {max(applied)}, this package has {len(shipped)}; "
            "deploy the package that migrated it"
        )
    for migration in shipped:
        if applied.get(migration.version, migration.sha256) != migration.sha256:
            raise LoadError(
                f"migration {migration.version:03d}_{migration.name}: was changed after it was applied; "
                "restore the file and write a new migration"
            )
    return [migration for migration in shipped if migration.version not in applied]


def require_schema(connection: Connection) -> None:
    """Raise LoadError naming the migrations that the warehouse lacks."""
    missing = pending(connection)
    if missing:
        names = ", ".join(f"{migration.version:03d}_{migration.name}" for migration in missing)
        raise LoadError(
            f"warehouse: lacks the migrations {names}; apply them as the owner (DATABASE_URL=... python -m "
            "functions.model.migrations), or invoke the Prepare function if the stack created the warehouse"
        )


if __name__ == "__main__":
    # not above: Model's handler imports this module, and needs no dictionary
    from functions.model.comments import write_comments

    print("\n".join(migrate(connection_parameters())) or "nothing to apply")  # noqa: T201  # a command line prints
    write_comments(connection_parameters())

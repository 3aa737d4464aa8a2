"""Prepare: migrates the database that the stack created, comments it, and sets the passwords of its roles.

It is invoked after each deployment, as the owner, in the database's network; the pipeline never calls it.
"""

from typing import Any

from functions.core import storage
from functions.core.observability import invocation, logger
from functions.core.settings import required
from functions.model.comments import write_comments
from functions.model.database import connection_parameters
from functions.model.logins import set_passwords
from functions.model.migrations import migrate


def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Apply the pending migrations, set the loader's and the reader's password; return the applied migrations.

    Raises InvalidInputError for a missing secret, LoadError or TransientError.
    """
    with invocation("prepare", context):
        owner, loader, reader = (
            storage.secret(required(name)) for name in ("OWNER_SECRET", "DATABASE_SECRET", "READER_SECRET")
        )
        # the owner's secret, which RDS writes, has user and password but no host
        parameters = connection_parameters() | {"user": owner["username"], "password": owner["password"]}
        applied = migrate(parameters)
        write_comments(parameters)
        set_passwords(parameters, {secret["username"]: secret["password"] for secret in (loader, reader)})
        logger.info(f"applied {', '.join(applied) or 'no migration'}; set the passwords of loader and reader")
    return {"applied": applied}

"""Prepare: brings the database that the stack made to this package's schema, and lets its roles log in.

It is invoked after each deployment, as the owner, in the database's network; the pipeline never calls it.
"""

from typing import Any

from functions.core import storage
from functions.core.observability import invocation, logger
from functions.core.settings import required
from functions.model.database import connection_parameters
from functions.model.logins import let_log_in
from functions.model.migrations import migrate


def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Apply what is pending and set the loader's and the reader's password to their secrets'; again, no change.

    Raises InvalidInputError for a secret that is not there, LoadError or TransientError.
    """
    with invocation("prepare", context):
        owner, loader, reader = (
            storage.secret(required(name)) for name in ("OWNER_SECRET", "DATABASE_SECRET", "READER_SECRET")
        )
        # RDS keeps in the owner's secret who it is, and not where the database is
        parameters = connection_parameters() | {"user": owner["username"], "password": owner["password"]}
        applied = migrate(parameters)
        let_log_in(parameters, {secret["username"]: secret["password"] for secret in (loader, reader)})
        logger.info(f"applied {', '.join(applied) or 'nothing'}; loader and reader can log in")
    return {"applied": applied}

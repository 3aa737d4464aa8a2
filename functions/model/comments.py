"""The comments of tables and columns in the warehouse, from the data dictionary."""

import json
from collections.abc import Mapping
from typing import Any

from functions.core.dictionary import tables
from functions.model.database import connect, database_errors

# The comments that differ, as statements. A table that this role does not own, or that a warehouse of another version
# lacks, is left as it is.
_STATEMENTS = """
    WITH wanted AS (
        SELECT name, "column", comment
        FROM jsonb_to_recordset(%(comments)s) AS dictionary (name text, "column" text, comment text)
    )
    SELECT
        CASE
            WHEN "column" IS NOT NULL
                THEN format('COMMENT ON COLUMN %%s.%%I IS %%L', class.oid::regclass, "column", comment)
            WHEN relkind = 'v' THEN format('COMMENT ON VIEW %%s IS %%L', class.oid::regclass, comment)
            ELSE format('COMMENT ON TABLE %%s IS %%L', class.oid::regclass, comment)
        END
    FROM wanted
    JOIN pg_class AS class ON class.oid = to_regclass(quote_ident(name)) AND relkind IN ('r', 'p', 'v')
    LEFT JOIN pg_attribute AS attribute
        ON attrelid = class.oid AND attname = "column" AND attnum > 0 AND NOT attisdropped
    WHERE pg_has_role(relowner, 'USAGE')
        AND ("column" IS NULL OR attname IS NOT NULL)
        AND comment IS DISTINCT FROM CASE
            WHEN attnum IS NULL THEN obj_description(class.oid, 'pg_class')
            ELSE col_description(class.oid, attnum)
        END
    ORDER BY name, attnum NULLS FIRST
"""


def write_comments(parameters: Mapping[str, Any]) -> int:
    """Write the comments that differ from the dictionary, as the owner; return their number.

    No reader or load waits for it. Raises LoadError, and TransientError if the server is unreachable.
    """
    comments = json.dumps(
        [
            {"name": table.name, "column": name, "comment": comment}
            for table in tables().values()
            for name, comment in [(None, table.description), *((c.name, c.comment) for c in table.columns.values())]
        ]
    )
    with connect(parameters) as connection, database_errors("comments"), connection, connection.cursor() as cursor:
        cursor.execute(_STATEMENTS, {"comments": comments})
        statements = [statement for (statement,) in cursor.fetchall()]
        if statements:
            cursor.execute(";\n".join(statements))
    return len(statements)

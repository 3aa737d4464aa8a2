"""The quality of a run: the findings of Transform and of the load itself, and what they make of the run's status."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from psycopg2.extensions import cursor as Cursor  # noqa: N812

from functions.core.contracts import QUALITY_COLUMNS, ProcessedPart
from functions.core.quality import LARGEST_DIFFERENCES, SEVERITIES, names_of
from functions.core.run import Run
from functions.core.storage import quality_key
from functions.model.copying import OpenPart, copy
from functions.model.database import execute_file, single_row


@dataclass(frozen=True, slots=True)
class Findings:
    """The number of city-days with a finding, by rule, and the hours of those of severity error."""

    city_days: dict[str, int]
    error_hours: int


def copy_quality(cursor: Cursor, parts: Sequence[ProcessedPart], open_part: OpenPart) -> None:
    """Copy the quality objects of the parts into ``incoming_quality``."""
    for part in parts:
        copy(cursor, quality_key(part.raw_key), "incoming_quality", QUALITY_COLUMNS, open_part)


def store_findings(cursor: Cursor, run: Run) -> Findings:
    """Evaluate the rules of the stage model, write the findings that are new, and return all of them."""
    execute_file(cursor, "06_quality_responses", {"start": run.start})
    # a load that compares no hour, or changes none, has no such table
    cursor.execute(
        "SELECT to_regclass('pg_temp.changed_hour') IS NOT NULL, to_regclass('pg_temp.recomputed_day') IS NOT NULL"
    )
    has_compared, has_recomputed = single_row(cursor)
    if has_compared and run.source == "archive":
        execute_file(cursor, "06_quality_differences", LARGEST_DIFFERENCES)
    if has_recomputed:
        execute_file(cursor, "06_quality_days")
    execute_file(
        cursor,
        "06_quality_results",
        {"run_id": run.run_id, "severities": json.dumps(SEVERITIES), "transform_rules": names_of("transform")},
    )
    cursor.execute("SELECT rule, count(*), sum(count) FROM finding GROUP BY rule ORDER BY rule")
    rows = cursor.fetchall()
    return Findings(
        city_days={rule: city_days for rule, city_days, _ in rows},
        error_hours=sum(hours for rule, _, hours in rows if SEVERITIES[rule] == "error"),
    )

"""Deliberately broken rules, each a change of a temporary copy of ``functions``, to show that histories find them.

A change that no longer applies raises LookupError: the text that it replaces has moved or changed.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from faults.services.laboratory import ROOT

_LOAD = "functions/model/sql/load"
_MERGE, _DAYS, _MARTS = f"{_LOAD}/03_merge.sql", f"{_LOAD}/05_days.sql", f"{_LOAD}/06_marts.sql"
_PERIODS = f"{_LOAD}/07_periods.sql"
_WAREHOUSE, _HOURS = "functions/model/warehouse.py", "functions/model/hours.py"


@dataclass(frozen=True)
class Change:
    """Each ``old`` in a file becomes ``new``."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class BrokenRule:
    """A rule of the load that does not hold after the changes."""

    name: str
    changes: tuple[Change, ...]


_WITHOUT_DROP = tuple(
    Change(path.relative_to(ROOT).as_posix(), " ON COMMIT DROP", "")
    for path in [*sorted((ROOT / _LOAD).glob("*.sql")), ROOT / _WAREHOUSE]
    if " ON COMMIT DROP" in path.read_text(encoding="utf-8")
)

BROKEN_RULES = (
    BrokenRule(
        "null overwrites",
        (Change(_MERGE, "incoming_filled & ~higher_filled AS wins", "63 & ~higher_filled AS wins"),),
    ),
    BrokenRule(
        "older wins",
        (Change(_MERGE, "coalesce(higher.filled, 0::smallint)::integer AS higher_filled", "0 AS higher_filled"),),
    ),
    BrokenRule(
        "forecast over archive",
        (
            Change(_MERGE, "coverage.source = 'archive'", "coverage.source = 'forecast'"),
            Change(_MERGE, "response.source = 'archive'", "response.source = 'forecast'"),
        ),
    ),
    BrokenRule(
        "wrong local day at a clock change",
        (
            # the offset of the first day for all hours
            Change(
                _DAYS,
                "(utc_hour AT TIME ZONE timezone)::date AS date",
                "(utc_hour AT TIME ZONE 'UTC' + (((first_day::timestamp AT TIME ZONE 'UTC') AT TIME ZONE timezone) "
                "- first_day::timestamp))::date AS date",
            ),
        ),
    ),
    BrokenRule("tie of conditions", (Change(_DAYS, "ORDER BY weather_code DESC", "ORDER BY weather_code"),)),
    BrokenRule(
        "mart day not recomputed",
        (
            # only the first changed day of a city
            Change(
                _MERGE,
                "SELECT DISTINCT city_id, daterange(date, date, '[]')",
                "SELECT city_id, daterange(min(date), min(date), '[]')",
            ),
            Change(_MERGE, ") AS changed_day;", ") AS changed_day GROUP BY city_id;"),
        ),
    ),
    BrokenRule("coverage not kept", (Change(_WAREHOUSE, 'execute_file(cursor, "04_coverage")', "pass"),)),
    BrokenRule(
        "lock removed",
        (
            Change(_WAREHOUSE, "pg_advisory_xact_lock(hashtext('ikirere load'))", "1"),
            Change(_WAREHOUSE, "pg_advisory_xact_lock_shared(hashtext('ikirere load'))", "1"),
            Change(_WAREHOUSE, "pg_advisory_xact_lock(hashtext('ikirere city'), key)", "key"),
        ),
    ),
    BrokenRule(
        "commit before marts",
        (
            Change(_WAREHOUSE, "city_days = _load_marts(", "connection.commit()\n        city_days = _load_marts("),
            # the working tables outlive the first commit
            *_WITHOUT_DROP,
        ),
    ),
    BrokenRule(
        "rejected row not counted",
        (Change("functions/transform/handler.py", "rejected=rejected.rows,", "rejected=0,"),),
    ),
    # Beyond the ten of the issue: rules that the tests of the load once did not hold.
    BrokenRule(
        "last day of an extreme",
        (Change(_MARTS, "ORDER BY max_temperature_c DESC, date)", "ORDER BY max_temperature_c DESC, date DESC)"),),
    ),
    BrokenRule(
        "only the first period of the affected days",
        (Change(_PERIODS, "last_day::timestamp, ('1 '", "first_day::timestamp, ('1 '"),),
    ),
    # Without a fault's effect on the tables: the runs fail that must not.
    BrokenRule(
        "requests to S3 not repeated",
        (Change("functions/core/storage.py", '"max_attempts": 4', '"max_attempts": 1'),),
    ),
    BrokenRule(
        "hours around a local day too few",
        (Change(_DAYS, "- interval '14 hours'", "- interval '12 hours'"),),
    ),
)  # fmt: skip


@contextmanager
def broken(rule: BrokenRule) -> Iterator[Path]:
    """Yield a folder whose copy of ``functions`` breaks the rule. Raises LookupError if a change does not apply."""
    with TemporaryDirectory(prefix="ikirere-broken-rule-") as name:
        folder = Path(name)
        shutil.copytree(ROOT / "functions", folder / "functions", ignore=shutil.ignore_patterns("__pycache__"))
        for change in rule.changes:
            path = folder / change.file
            text = path.read_text(encoding="utf-8")
            if change.old not in text:
                raise LookupError(
                    f"broken rule {rule.name!r}: {change.file} no longer has {change.old!r}; write it anew"
                )
            path.write_text(text.replace(change.old, change.new), encoding="utf-8")
        yield folder

"""Rebuild: a warehouse from the raw bucket alone.

The runs are loaded one by one into a schema of its own, and then copied into the warehouse in one transaction. So
readers see the old tables or the new ones, a failure changes nothing, and the same command resumes after a stop.
"""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812
from psycopg2.extensions import cursor as Cursor  # noqa: N812
from psycopg2.extensions import make_dsn, parse_dsn

from deployment.errors import UserError
from emulator.emulator import Emulator
from functions.core.cities import City
from functions.core.errors import InvalidInputError, LoadError, TransientError, UpstreamContractError
from functions.core.storage import ObjectStore, RawStore
from functions.model.database import connect, database_errors
from functions.model.migrations import migrate
from operations.lineage.responses import LOADED
from operations.lineage.stored_runs import StoredRun, StoredRuns, forget_times, load_again, stored_runs

SCHEMA = "ikirere_rebuild"
_SHOWN_CITIES = 10
# The tables that have rows of loads; dim_city comes first because others refer to it.
_TABLES = (
    "SELECT tablename FROM pg_tables WHERE schemaname = %s AND tablename <> 'schema_migration' "
    "ORDER BY tablename <> 'dim_city', tablename"
)

_REPLACED_RUNS = " WHERE status = ANY(%s) OR run_id IN (SELECT run_id FROM {}.pipeline_run)"


class RebuildObserver:
    """Receives the progress of a rebuild; this one ignores it."""

    def loaded(self, run_id: str, done: int, runs: int) -> None:
        """A run was loaded into the new tables."""

    def publishing(self) -> None:
        """All runs are loaded; the new tables replace the old ones."""


@dataclass(slots=True)
class Rebuild:
    """What a rebuild made. ``left_out``: damaged raw objects, and why; its other lists are keys or ids of runs.

    ``never_loaded``: runs with a response that breaks the contract, or with the id of a later run, and why.
    ``never_transformed``: raw objects of runs that ended before Transform. ``resumed``: the number of runs that an
    interrupted rebuild had loaded already.
    """

    runs: int = 0
    resumed: int = 0
    rows: dict[str, int] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    never_loaded: dict[str, str] = field(default_factory=dict)
    never_transformed: list[str] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        return not self.left_out


def rebuild(
    emulator: Emulator, cities: str | None, *, replace: bool, unfinished_too: bool, observer: RebuildObserver
) -> Rebuild:
    """Load every run of the raw bucket into new tables, and put them in the place of the old ones.

    ``cities`` is a city list to use instead of the one in use. Raises UserError if the warehouse has data and
    ``replace`` is not set, if a city of the raw bucket is not in the city list, and if a damaged raw object would make
    ``replace`` lose data; then the warehouse is as it was.
    """
    listed = emulator.cities(cities)
    emulator.require_up()
    outputs, url = emulator.outputs(), emulator.database_url()
    if url is None:
        raise UserError("the warehouse does not run; `ikirere up` starts it with its stored state")
    raw = RawStore(outputs["RawBucket"], emulator.aws.client)
    processed = ObjectStore(outputs["ProcessedBucket"], emulator.aws.client)
    try:
        found = stored_runs(raw, processed, unfinished_too=unfinished_too)
        return rebuilt(url, raw, found, listed, replace=replace, observer=observer)
    except (InvalidInputError, LoadError, TransientError) as error:
        raise UserError(f"rebuild: {error}; the warehouse is as it was, and the same command resumes") from error


def rebuilt(
    url: str,
    raw: RawStore,
    found: StoredRuns,
    cities: Mapping[str, City],
    *,
    replace: bool,
    observer: RebuildObserver,
) -> Rebuild:
    """Rebuild the warehouse at ``url`` from these runs. Raises UserError, and the errors of a load."""
    with connect({"dsn": url}) as connection, database_errors("rebuild"), connection.cursor() as cursor:
        if not replace:
            _require_empty(cursor)
        connection.rollback()
    _require_listed(found.runs, cities)
    result = Rebuild(
        left_out=list(found.unreadable.values()),
        never_loaded={
            each.responses[0].key.rsplit("/", 1)[
                0
            ]: "a later run has the same id; which of both was loaded is not known"
            for each in found.of_used_ids
        },
        never_transformed=list(found.never_transformed),
    )
    with _new_tables(url) as dsn:
        _load_runs(dsn, raw, [each for each in found.runs if each.keys_with_hours], cities, result, observer)
        if replace and not result.is_whole:
            more = f" (and {len(result.left_out) - 1} more)" if len(result.left_out) > 1 else ""
            raise UserError(
                f"rebuild: {result.left_out[0]}{more}; --replace would lose its values, so the warehouse is as it was; "
                "restore the raw object, then repeat"
            )
        observer.publishing()
        with connect({"dsn": url}) as connection, database_errors("rebuild"), connection, connection.cursor() as cursor:
            _publish(cursor, result, replace=replace)
    return result


def _require_empty(cursor: Cursor) -> None:
    """Raise UserError if the warehouse has data."""
    cursor.execute(
        "SELECT (SELECT count(*) FROM pipeline_run WHERE status = ANY(%s)), "
        "EXISTS (SELECT FROM staging_weather) OR EXISTS (SELECT FROM mart_daily_city_weather)",
        (list(LOADED),),
    )
    runs, has_rows = cursor.fetchone() or (0, False)
    if runs or has_rows:
        raise UserError(
            f"the warehouse has data ({runs} loaded run{'' if runs == 1 else 's'}); `ikirere verify` compares it with "
            "the raw bucket, --replace puts the rebuilt tables in its place"
        )


def _require_listed(runs: Sequence[StoredRun], cities: Mapping[str, City]) -> None:
    """Raise UserError for cities of the raw bucket whose name and time zone are not known."""
    missing = sorted({city_id for each in runs for city_id in each.run.cities} - set(cities))
    if missing:
        more = f" and {len(missing) - _SHOWN_CITIES} more" if len(missing) > _SHOWN_CITIES else ""
        raise UserError(
            f"rebuild: the raw bucket has responses of {', '.join(missing[:_SHOWN_CITIES])}{more}, not in the city "
            "list; name a list that has them: --cities FILE (the next run makes them inactive again)"
        )


@contextmanager
def _new_tables(url: str) -> Iterator[str]:
    """Yield the address of the schema of the new tables; it goes unless it is to be resumed."""
    options = f"{parse_dsn(url).get('options', '')} -c search_path={SCHEMA}".strip()
    dsn = make_dsn(url, options=options)
    with connect({"dsn": url}) as connection, database_errors("rebuild"), connection, connection.cursor() as cursor:
        cursor.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(SCHEMA)))
    migrate({"dsn": dsn})
    yield dsn
    with connect({"dsn": url}) as connection, database_errors("rebuild"), connection, connection.cursor() as cursor:
        cursor.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(SCHEMA)))


def _load_runs(
    dsn: str,
    raw: RawStore,
    runs: Sequence[StoredRun],
    cities: Mapping[str, City],
    result: Rebuild,
    observer: RebuildObserver,
) -> None:
    with connect({"dsn": dsn}) as connection:
        done = _loaded_keys(connection)
        attempt = secrets.token_hex(4)
        for number, stored in enumerate(runs, 1):
            if done.get(stored.run.run_id) == stored.keys_with_hours:
                result.resumed += 1
            else:
                try:
                    result.left_out += load_again(connection, raw, stored, cities, attempt)
                except UpstreamContractError as error:
                    result.never_loaded[stored.run.run_id] = str(error)
            observer.loaded(stored.run.run_id, number, len(runs))
        forget_times(connection, runs)
        result.runs = len(_loaded_keys(connection))


def _loaded_keys(connection: Connection) -> dict[str, set[str]]:
    """Return the raw keys of each loaded run."""
    with database_errors("rebuild"), connection, connection.cursor() as cursor:
        cursor.execute("SELECT run_id, objects FROM pipeline_run")
        return {run_id: {part["raw_key"] for part in objects} for run_id, objects in cursor.fetchall()}


def _publish(cursor: Cursor, result: Rebuild, *, replace: bool) -> None:
    """Replace the rows of the warehouse by the new ones. Failed runs that were not loaded keep their rows."""
    # excludes every load until the end of the transaction
    cursor.execute("SELECT pg_advisory_xact_lock(hashtext('ikirere load'))")
    if not replace:
        _require_empty(cursor)
    cursor.execute(
        sql.SQL(
            "SELECT run_id FROM pipeline_run WHERE status = ANY(%s) EXCEPT SELECT run_id FROM {}.pipeline_run"
        ).format(sql.Identifier(SCHEMA)),
        (list(LOADED),),
    )
    lost = sorted(run_id for (run_id,) in cursor.fetchall())
    if lost:
        more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
        raise UserError(
            f"rebuild: the warehouse has run {lost[0]}{more}, of which no response of the raw bucket was loaded; if it "
            "ended meanwhile, the same command adds it"
        )
    cursor.execute(_TABLES, (SCHEMA,))
    tables = [name for (name,) in cursor.fetchall()]
    for name in reversed(tables):
        condition = sql.SQL(
            " WHERE status <> 'failed' OR run_id IN (SELECT run_id FROM {}.pipeline_run)"
            if name == "pipeline_run"
            else ""
        ).format(sql.Identifier(SCHEMA))
        cursor.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(name)) + condition)
    for name in tables:
        cursor.execute(
            sql.SQL("INSERT INTO {0} SELECT * FROM {1}.{0}").format(sql.Identifier(name), sql.Identifier(SCHEMA))
        )
        result.rows[name] = cursor.rowcount

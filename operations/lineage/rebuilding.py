"""Rebuild: a warehouse from the raw bucket alone.

The runs are loaded one by one into a schema of its own, and then copied into the warehouse in one transaction. So
readers see the old tables or the new ones, a failure changes nothing, and the same command resumes after a stop.
"""

import hashlib
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812
from psycopg2.extensions import cursor as Cursor  # noqa: N812
from psycopg2.extensions import make_dsn, parse_dsn

from deployment.errors import UserError
from deployment.packages import source_package
from emulator.emulator import Emulator
from functions.core.alert_rules import alert_rules
from functions.core.cities import City
from functions.core.errors import InvalidInputError, LoadError, TransientError, UpstreamContractError
from functions.core.storage import ObjectStore, RawStore
from functions.model.alerts import evaluate_alerts
from functions.model.database import connect, database_errors
from functions.model.migrations import migrate
from operations.lineage.responses import LOADED
from operations.lineage.stored_runs import (
    StoredRun,
    StoredRuns,
    forget_times,
    load_again,
    run_as_loaded,
    runs_to_load,
    stored_runs,
)

SCHEMA = "ikirere_rebuild"
_SHOWN_CITIES = 10
# The tables that are copied; dim_city comes first because others refer to it. The alerts are evaluated from them.
_TABLES = (
    "SELECT tablename FROM pg_tables WHERE schemaname = %s "
    "AND tablename NOT IN ('schema_migration', 'alert_rule', 'weather_alert') "
    "ORDER BY tablename <> 'dim_city', tablename"
)


class RebuildObserver:
    """Receives the progress of a rebuild; this one ignores it."""

    def loaded(self, run_id: str, done: int, runs: int) -> None:
        """A run was loaded into the new tables."""

    def publishing(self) -> None:
        """All runs are loaded; the new tables replace the old ones."""


@dataclass(slots=True)
class Rebuild:
    """What a rebuild made. ``left_out``: damaged raw objects, and why; its other lists are keys or folders of runs.

    ``never_loaded``: runs that were not loaded for certain, such as those with a response that breaks the contract, and
    why. ``uncertain``: runs that are left out although they may have been loaded, and why. ``never_transformed``: raw
    objects of runs that ended before Transform. ``resumed``: the number of runs that an interrupted rebuild had loaded
    already.
    """

    runs: int = 0
    resumed: int = 0
    rows: dict[str, int] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    never_loaded: dict[str, str] = field(default_factory=dict)
    uncertain: dict[str, str] = field(default_factory=dict)
    never_transformed: list[str] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        return not self.left_out and not self.uncertain


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
        loaded = _loaded_keys(connection)
    chosen = runs_to_load(found, {key for keys in loaded.values() for key in keys})
    _require_listed(chosen.runs, cities)
    result = Rebuild(
        left_out=list(found.unreadable.values()),
        never_loaded=dict(chosen.never_loaded),
        uncertain=dict(chosen.uncertain),
        never_transformed=list(found.never_transformed),
    )
    with _new_tables(url, chosen.runs, cities) as dsn:
        _load_runs(dsn, raw, chosen.runs, cities, result, observer)
        if replace and result.left_out:
            more = f" (and {len(result.left_out) - 1} more)" if len(result.left_out) > 1 else ""
            raise UserError(
                f"rebuild: {result.left_out[0]}{more}; --replace would lose its values, so the warehouse is as it was; "
                f"restore the raw object, then repeat: schema {SCHEMA} has what was loaded"
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
def _new_tables(url: str, runs: Sequence[StoredRun], cities: Mapping[str, City]) -> Iterator[str]:
    """Yield the address of the schema of the new tables: that of an interrupted rebuild of the same, or a new one.

    The schema stays if the rebuild does not end, to be resumed.
    """
    options = f"{parse_dsn(url).get('options', '')} -c search_path={SCHEMA}".strip()
    dsn = make_dsn(url, options=options)
    name, mark = sql.Identifier(SCHEMA), _mark(cities)
    with connect({"dsn": url}) as connection, database_errors("rebuild"), connection, connection.cursor() as cursor:
        if not _is_resumable(cursor, mark, runs, cities):
            cursor.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(name))
            cursor.execute(sql.SQL("CREATE SCHEMA {}").format(name))
            cursor.execute(sql.SQL("COMMENT ON SCHEMA {} IS %s").format(name), (mark,))
    migrate({"dsn": dsn})
    yield dsn
    with connect({"dsn": url}) as connection, database_errors("rebuild"), connection, connection.cursor() as cursor:
        cursor.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(name))


def _mark(cities: Mapping[str, City]) -> str:
    """Return what the new tables depend on besides the raw objects: the city list and the code of the functions."""
    code = source_package("transform") + source_package("model")
    return hashlib.sha256(repr(list(cities.values())).encode() + code).hexdigest()


def _is_resumable(cursor: Cursor, mark: str, runs: Sequence[StoredRun], cities: Mapping[str, City]) -> bool:
    """Return whether the schema was begun with the same mark, and each of its runs is one of ``runs`` still."""
    cursor.execute(
        "SELECT obj_description(oid, 'pg_namespace'), to_regclass(%s) IS NOT NULL FROM pg_namespace WHERE nspname = %s",
        (f"{SCHEMA}.pipeline_run", SCHEMA),
    )
    found, has_runs = cursor.fetchone() or (None, False)
    if found != mark:
        return False
    if not has_runs:
        return True
    cursor.execute(sql.SQL("SELECT event FROM {}.pipeline_run").format(sql.Identifier(SCHEMA)))
    events = [run_as_loaded(each, cities).to_json() for each in runs]
    by_id = {str(event["run_id"]): event for event in reversed(events)}
    return all(by_id.get(event["run_id"]) == event for (event,) in cursor.fetchall())


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
        # Model loads the first of the runs with one id, and rejects the others
        loaded: dict[str, StoredRun] = {}
        for number, stored in enumerate(runs, 1):
            run_id = stored.run.run_id
            if run_id in loaded:
                result.uncertain[stored.folder] = (
                    f"an earlier run has its id, and Model loads the first: {loaded[run_id].folder}"
                )
            elif done.get(run_id) == stored.keys_with_hours:
                result.resumed += 1
                loaded[run_id] = stored
            else:
                try:
                    problems = load_again(connection, raw, stored, cities, attempt)
                except UpstreamContractError as error:
                    result.never_loaded[stored.folder] = str(error)
                else:
                    result.left_out += problems
                    loaded[run_id] = stored
            observer.loaded(run_id, number, len(runs))
        forget_times(connection, list(loaded.values()))
        result.runs = len(_loaded_keys(connection))


def _loaded_keys(connection: Connection) -> dict[str, set[str]]:
    """Return the raw keys of each loaded run."""
    with database_errors("rebuild"), connection, connection.cursor() as cursor:
        cursor.execute("SELECT run_id, objects FROM pipeline_run WHERE status = ANY(%s)", (list(LOADED),))
        return {run_id: {part["raw_key"] for part in objects} for run_id, objects in cursor.fetchall()}


def _publish(cursor: Cursor, result: Rebuild, *, replace: bool) -> None:
    """Replace the rows of the warehouse by the new ones. Failed runs that were not loaded keep their rows."""
    # excludes every load until the end of the transaction
    cursor.execute("SELECT pg_advisory_xact_lock(hashtext('ikirere load'))")
    if not replace:
        _require_empty(cursor)
    cursor.execute(
        sql.SQL(
            "SELECT run.run_id FROM pipeline_run AS run LEFT JOIN {}.pipeline_run AS made USING (run_id) "
            "WHERE run.status = ANY(%s) AND (made.run_id IS NULL OR EXISTS ("
            "SELECT FROM jsonb_array_elements(run.objects) AS object WHERE NOT made.objects "
            "@> jsonb_build_array(jsonb_build_object('raw_key', object -> 'raw_key')))) ORDER BY run.run_id"
        ).format(sql.Identifier(SCHEMA)),
        (list(LOADED),),
    )
    lost = [run_id for (run_id,) in cursor.fetchall()]
    if lost:
        more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
        raise UserError(
            f"rebuild: the warehouse has run {lost[0]}{more}, of which a response was not loaded from the raw bucket; "
            "if it ended meanwhile, the same command adds it, else restore its raw objects; the warehouse is as it "
            f"was, and schema {SCHEMA} has what was loaded, for the same command"
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
    # not copied: only the warehouse knows which alerts were sent
    evaluate_alerts(cursor, alert_rules(), everything=True)

"""The runs of a raw bucket, and the load of each of them by the product's own Transform and Model."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from psycopg2.extensions import connection as Connection  # noqa: N812
from psycopg2.extras import execute_values

from functions.core.alert_rules import alert_rules
from functions.core.cities import City
from functions.core.contracts import CityFailure, Execution, IngestResult, LoadTask, ProcessedPart
from functions.core.errors import InvalidInputError, UpstreamContractError
from functions.core.run import MAX_NAMED_CITIES, Run
from functions.core.storage import ObjectStore, RawStore, StoredResponse, part_number, processed_key, run_of
from functions.ingest.failures import failure_of
from functions.model.database import database_errors
from functions.model.prefetch import prefetched
from functions.model.warehouse import load
from functions.transform.part import csv_objects, part_of, require_unchanged, result_of
from operations.lineage.responses import folder_of

_OK = 200


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run as the raw bucket has it: its responses by part number. ``run.cities`` are those of all responses."""

    run: Run
    responses: tuple[StoredResponse, ...]

    @property
    def fetched_at(self) -> datetime:
        """When its last response was fetched."""
        return max(each.fetched_at for each in self.responses)

    @property
    def keys_with_hours(self) -> set[str]:
        """The raw keys of its responses that are not rejections."""
        return {each.key for each in self.responses if each.status == _OK}

    @property
    def folder(self) -> str:
        """What the keys of its responses begin with: two runs with one id have two."""
        return folder_of(self.responses[0].key)

    def without(self, keys: Collection[str]) -> "StoredRun":
        """Return the run without some of its responses."""
        return _stored_run([(self.run, each) for each in self.responses if each.key not in keys])


@dataclass(frozen=True, slots=True)
class StoredRuns:
    """The runs of a raw bucket, with all their responses.

    ``unreadable``: a raw object whose metadata were not written by Ingest, and why. ``never_transformed``: the keys of
    responses that were stored and never transformed; their runs are loaded only with ``unfinished_too``.
    """

    runs: Sequence[StoredRun]
    unreadable: Mapping[str, str] = field(default_factory=dict)
    never_transformed: Sequence[str] = field(default=())
    unfinished_too: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """The runs to load, in the order of their last responses; several may have one id.

    ``never_loaded``: folders of runs that were not loaded for certain, and why. ``uncertain``: folders of runs that are
    left out although it is not known whether they were loaded, and why.
    """

    runs: Sequence[StoredRun]
    never_loaded: Mapping[str, str]
    uncertain: Mapping[str, str]


def stored_runs(raw: RawStore, processed: ObjectStore, *, unfinished_too: bool) -> StoredRuns:
    """Return the runs of a raw bucket, and which of their responses were never transformed.

    Model loads a response after Transform has written its processed object. Processed objects expire with their age: so
    a response without one was never transformed if it is younger than a processed object that is still there.
    """
    written = processed.times("processed/")
    oldest = min(written.values(), default=None)
    by_run: dict[str, list[tuple[Run, StoredResponse]]] = {}
    unreadable, never_transformed = {}, []
    for key in raw.response_keys():
        try:
            response = raw.metadata(key)
            run = run_of(response)
        except InvalidInputError as error:
            unreadable[key] = str(error)
            continue
        is_lost = response.status == _OK and processed_key(key) not in written
        if is_lost and oldest is not None and response.fetched_at > oldest:
            never_transformed.append(key)
        by_run.setdefault(folder_of(key), []).append((run, response))
    runs = [_stored_run(found) for found in by_run.values()]
    return StoredRuns(runs, unreadable, never_transformed, unfinished_too)


def runs_to_load(found: StoredRuns, loaded: Collection[str]) -> Choice:
    """Return the runs to load. ``loaded``: the raw keys of the loaded runs, as far as a warehouse still has them.

    A run whose responses were transformed in part was never loaded, unless some of them are in ``loaded``. Of runs with
    one id, that in ``loaded`` was loaded and no other one was.
    """
    lost = set() if found.unfinished_too else set(found.never_transformed) - set(loaded)
    runs: list[StoredRun] = []
    never_loaded, uncertain = {}, {}
    for each in found.runs:
        keys = each.keys_with_hours
        if not keys & lost or keys & set(loaded):
            runs.append(each.without(lost))
        elif keys - lost:
            uncertain[each.folder] = "only some of its responses were transformed; --unfinished loads it whole"
    of_loaded = {each.run.run_id: each for each in runs if each.keys_with_hours & set(loaded)}
    for each in list(runs):
        if of_loaded.get(each.run.run_id, each) is not each:
            runs.remove(each)
            never_loaded[each.folder] = "the warehouse has another run with this id"
    runs.sort(key=lambda each: (each.fetched_at, each.run.run_id))
    return Choice([each for each in runs if each.keys_with_hours], never_loaded, uncertain)


def _stored_run(found: Sequence[tuple[Run, StoredResponse]]) -> StoredRun:
    responses = sorted((response for _, response in found), key=lambda each: part_number(each.key))
    cities = tuple(dict.fromkeys(city_id for each in responses for city_id in each.cities))
    return StoredRun(replace(found[0][0], cities=cities), tuple(responses))


def load_again(
    connection: Connection, raw: RawStore, stored: StoredRun, cities: Mapping[str, City], attempt: str
) -> list[str]:
    """Load a run from its stored responses; why a response of it was left out, for each.

    A response whose bytes were changed is left out, the others of its run are loaded. ``attempt`` names this rebuild.
    Raises UpstreamContractError if a response breaks the contract: then its run was never loaded. LoadError.
    """
    objects: dict[str, bytes] = {}
    parts: list[ProcessedPart] = []
    failures: list[CityFailure] = []
    problems: list[str] = []
    zones = {city_id: cities[city_id].timezone for city_id in stored.run.cities}
    for response in stored.responses:
        try:
            body, _ = raw.read(response.key)
            require_unchanged(body, response)
        except UpstreamContractError as error:
            problems.append(str(error))
            continue
        if response.status != _OK:
            failures.append(failure_of(response, body))
            continue
        part = part_of(body, response, stored.run, zones)
        del body
        objects |= csv_objects(part, stored.run, response)
        parts.append(result_of(part, response, 0.0))
    if parts:
        task = _task(stored, cities, parts, failures, attempt)
        with prefetched(objects.__getitem__, task.parts) as open_part:
            load(connection, task, tuple(cities.values()), open_part, alert_rules())
    return problems


def run_as_loaded(stored: StoredRun, cities: Mapping[str, City]) -> Run:
    """Return the run as its row has it: an event that names no city is of the whole list.

    Whether it named all of them is not stored.
    """
    ids = stored.run.cities
    return replace(stored.run, cities=() if len(ids) > MAX_NAMED_CITIES or set(ids) == set(cities) else ids)


def _task(
    stored: StoredRun,
    cities: Mapping[str, City],
    parts: Sequence[ProcessedPart],
    failures: Sequence[CityFailure],
    attempt: str,
) -> LoadTask:
    return LoadTask(
        # the form of an item's execution, so that the runs of a backfill are recognised as such
        execution=Execution(
            stored.run.run_id, f"rebuild:{stored.run.run_id}-{attempt}", stored.responses[0].fetched_at
        ),
        ingest=IngestResult(
            status="partial" if failures else "complete",
            run=run_as_loaded(stored, cities),
            cities=len(stored.run.cities),
            failed_cities=tuple(failures),
            requests=len(stored.responses),
            quota_weight=round(sum(each.quota_weight for each in stored.responses), 3),
        ),
        parts=tuple(parts),
        has_quality=True,
    )


def forget_times(connection: Connection, runs: Sequence[StoredRun]) -> None:
    """Set what the raw objects do not tell: no duration, and as the end of a run the time of its last response."""
    with database_errors("rebuild"), connection, connection.cursor() as cursor:
        execute_values(
            cursor,
            "UPDATE pipeline_run AS run SET ingest_seconds = NULL, transform_seconds = NULL, model_seconds = NULL, "
            "finished_at = ended.at FROM (VALUES %s) AS ended (run_id, at) WHERE run.run_id = ended.run_id",
            [(each.run.run_id, each.fetched_at) for each in runs],
        )

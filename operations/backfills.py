"""A backfill from its options to its result: checked, planned, stored, started or resumed."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime

from deployment.errors import UserError
from emulator.emulator import Emulator, Options
from emulator.weather import Weather
from functions.backfill.planner import WorkItem, cut
from functions.backfill.records import Plan, Summary, digest_of
from functions.backfill.request import BackfillRequest
from functions.backfill.store import BackfillStore
from functions.core.cities import City
from functions.core.errors import InvalidInputError, TransientError
from operations import executions, gaps
from operations.estimates import Estimate, estimate
from operations.following import BackfillObserver, BackfillResult, follow, store_of


@dataclass(frozen=True, slots=True)
class BackfillOptions:
    """The options of a backfill; ``cities`` are ids, None means all of the city list."""

    start: str
    end: str
    cities: list[str] | None = None
    backfill_id: str | None = None
    parallel: int = 1
    gaps: bool = False


def plan(emulator: Emulator, wanted: BackfillOptions, options: Options) -> Estimate:
    """What a backfill would cost; starts and writes nothing. Raises UserError for wrong input."""
    emulator.check(options)
    request, cities = _checked(emulator, wanted, options)
    return _cost(_items(emulator, request, cities, gaps_only=wanted.gaps), wanted)


def run(
    emulator: Emulator, wanted: BackfillOptions, options: Options, seconds: float, observer: BackfillObserver
) -> BackfillResult:
    """Start what is not up, run the backfill or what remains of it, and wait at most ``seconds`` for its end.

    All input is checked before anything starts. Raises UserError for it, and when the time is over.
    """
    emulator.check(options)
    request, cities = _checked(emulator, wanted, options)
    items = None
    if not wanted.gaps:
        items = _items(emulator, request, cities, gaps_only=False)
        observer.planned(_cost(items, wanted))
    source = emulator.up(options, observer.starting)
    _check_window(source, request)
    with _as_user_errors():
        store = store_of(emulator)
        stored = _find(store, request, cities, wanted)
        if stored is None:
            if items is None:
                items = _items(emulator, request, cities, gaps_only=True)
                observer.planned(_cost(items, wanted))
            ids, now = [city.city_id for city in cities], datetime.now(UTC)
            made = Plan.of(request.backfill_id, _window(request), ids, items, gaps=wanted.gaps, now=now)
            if not items:
                return BackfillResult(Summary.of(made, []))
            stored = store.put_plan(made, items)
    execution = running(emulator).get(stored.backfill_id) or executions.start_backfill(
        emulator, {"backfill_id": stored.backfill_id, "parallel": wanted.parallel}, stored.backfill_id
    )
    observer.started(stored, source.notice)
    return follow(emulator, stored, execution, seconds, observer)


def running(emulator: Emulator) -> dict[str, str]:
    """The executions of backfills that run, by backfill id."""
    found = {}
    for execution in executions.running_backfills(emulator):
        named = executions.event_of(execution).get("backfill_id")
        found[str(named or execution["name"])] = str(execution["executionArn"])
    return found


def _checked(emulator: Emulator, wanted: BackfillOptions, options: Options) -> tuple[BackfillRequest, list[City]]:
    """The request, and its cities. Raises UserError."""
    listed = emulator.cities(options.cities)
    given = {
        "backfill_id": wanted.backfill_id,
        "start": wanted.start,
        "end": wanted.end,
        "cities": wanted.cities,
        "parallel": wanted.parallel,
    }
    default_id = executions.new_name("backfill")
    today = datetime.now(UTC).date()
    with _as_user_errors():
        request = BackfillRequest.from_event(given, tuple(listed), backfill_id=default_id, today=today)
    return request, [listed[city_id] for city_id in request.cities or listed]


def _window(request: BackfillRequest) -> tuple[date, date]:
    assert request.start and request.end  # noqa: S101  # the command requires both
    return request.start, request.end


def _items(emulator: Emulator, request: BackfillRequest, cities: Sequence[City], *, gaps_only: bool) -> list[WorkItem]:
    """The work items of all cities and days, or of those that the mart lacks. Raises UserError."""
    window = _window(request)
    wanted = gaps.find(emulator.reading_url(), cities, window) if gaps_only else {window: [c.city_id for c in cities]}
    with _as_user_errors():
        return cut(wanted)


def _cost(items: Sequence[WorkItem], wanted: BackfillOptions) -> Estimate:
    return estimate(items, datetime.now(UTC).date(), wanted.parallel)


def _check_window(source: Weather, request: BackfillRequest) -> None:
    """Raises UserError if the weather in use does not have the backfill's window."""
    start, end = _window(request)
    if source.window and not source.window[0] <= start <= end <= source.window[1]:
        raise UserError(
            f"backfill {start} to {end}: the {source.kind} weather in use has {source.window[0]} to "
            f"{source.window[1]} only; name another: --weather live or --weather synthetic"
        )


def _find(
    store: BackfillStore, request: BackfillRequest, cities: Sequence[City], wanted: BackfillOptions
) -> Plan | None:
    """The stored plan to resume: that of the id, or the latest unfinished one of the same request. Raises UserError."""
    window, digest = _window(request), digest_of(city.city_id for city in cities)
    if wanted.backfill_id:
        found = store.plan(wanted.backfill_id)
        if found and ((found.start, found.end), found.cities, found.gaps) != (window, digest, wanted.gaps):
            raise UserError(
                f"backfill {wanted.backfill_id}: is one of {found.start} to {found.end}"
                f"{', of gaps only' if found.gaps else ''}, or of other cities; choose another --backfill-id"
            )
        return found
    plans = [each for backfill_id in store.backfill_ids() if (each := store.plan(backfill_id))]
    for found in sorted(plans, key=lambda each: each.created_at, reverse=True):
        if ((found.start, found.end), found.cities, found.gaps) == (window, digest, wanted.gaps):
            results = store.results(found.backfill_id).read()
            if Summary.of(found, results).done < found.items:
                return found
    return None


@contextmanager
def _as_user_errors() -> Iterator[None]:
    """Turn the functions' errors into UserError."""
    try:
        yield
    except (InvalidInputError, TransientError) as error:
        raise UserError(str(error)) from error

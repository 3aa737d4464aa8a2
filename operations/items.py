"""The items of one backfill, and how each of them ended."""

from dataclasses import dataclass

from deployment.errors import UserError
from emulator.emulator import Emulator
from functions.backfill.records import ItemResult
from functions.core.text import excerpt
from operations.following import store_of


@dataclass(frozen=True, slots=True)
class ItemEntry:
    """One item of a backfill; counts are None if it has not ended."""

    item: int
    run_id: str
    start: str
    end: str
    cities: int
    status: str
    rows_in: int | None = None
    loaded: int | None = None
    unchanged: int | None = None
    rejected: int | None = None
    failed_cities: str = ""
    error: str = ""


def items(emulator: Emulator, backfill_id: str) -> list[ItemEntry]:
    """The items of a backfill, in their order. Raises UserError where there is no such backfill."""
    emulator.require_up()
    store = store_of(emulator)
    results = {result.item: result for result in store.results(backfill_id).read()}
    events = store.items(backfill_id)
    if not events:
        raise UserError(f"backfill {excerpt(backfill_id)}: is not known; `ikirere history` lists the backfills")
    entries = []
    for number, event in enumerate(events, 1):
        planned = (number, event["run_id"], event["start"], event["end"], len(event["cities"]))
        ended = _ended(results[number]) if number in results else ("not ended",)
        entries.append(ItemEntry(*planned, *ended))
    return entries


def _ended(result: ItemResult) -> tuple[str, int, int, int, int, str, str]:
    return (
        result.status,
        result.rows_in,
        result.rows_loaded,
        result.rows_unchanged,
        result.rows_rejected,
        ", ".join(city.city_id for city in result.failed_cities),
        ": ".join(part for part in (result.error, result.cause) if part),
    )

"""Cuts windows and cities into work items, each of which is one run of the pipeline. Pure.

The limits of an item follow from those of a run:
- Model loads a run in one transaction and stages it first: a million hours took 16 s and 261 MB (2026-11-24), far from
  its 900 s and small beside the warehouse that they go to.
- An event names at most MAX_NAMED_CITIES, so no state of a run exceeds 256 KB. Each city causes at most one response,
  so a run cannot exceed MAX_RESPONSES, even if all are rejected.
- On a paid plan an item takes a minute or two, so little is done twice after a stop. On the free host it weighs at most
  a third of an hour's quota, so it waits at most for the next day, within the 26 hours of an execution.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from math import ceil
from typing import Any

from functions.core import quota
from functions.core.errors import InvalidInputError
from functions.core.run import MAX_NAMED_CITIES

SOURCE = "archive"
MAX_ITEM_HOURS = 1_000_000
# A Map keeps one number for each child: 10,000 of them are 70 KB of the 256 KB of its state.
MAX_ITEMS = 10_000
# Up to 28 days a city of five variables weighs one, however few the days: a shorter rest joins the year beside it.
_SHORTEST_DAYS = 28

Json = dict[str, Any]
# First and last UTC day.
Window = tuple[date, date]


@dataclass(frozen=True, slots=True)
class WorkItem:
    """The cities and the window of one run of the pipeline."""

    window: Window
    cities: tuple[str, ...]

    @property
    def days(self) -> int:
        return days_of(self.window)

    @property
    def hours(self) -> int:
        return 24 * self.days * len(self.cities)

    def requests(self, variables: int) -> list[float]:
        """Return the quota weight of each request that the item needs.

        Ingest sends more if it makes a batch smaller: for the rest of a quota window, or because ids are long.
        """
        per_city = quota.weight(1, variables, self.days)
        most = quota.largest_batch(variables, self.days)
        sizes = [len(self.cities[first : first + most]) for first in range(0, len(self.cities), most)]
        return [size * per_city for size in sizes]

    def event(self, run_id: str, run_date: date) -> Json:
        """Return the pipeline event of the item's run."""
        start, end = self.window
        return {
            "run_id": run_id,
            "run_date": run_date.isoformat(),
            "source": SOURCE,
            "start": start.isoformat(),
            "end": end.isoformat(),
            "cities": list(self.cities),
        }


def cut(wanted: Mapping[Window, Sequence[str]]) -> list[WorkItem]:
    """Return the work items for the cities of each window. Raises InvalidInputError if they are more than MAX_ITEMS.

    Each city and day that is wanted is in exactly one item if the windows of a city do not overlap.
    """
    items: list[WorkItem] = []
    for item in _items(wanted):
        items.append(item)
        if len(items) > MAX_ITEMS:
            raise InvalidInputError(
                f"backfill: needs more than {MAX_ITEMS} work items; plan fewer years or cities at a time"
            )
    return items


def run_id_of_item(backfill_id: str, number: int) -> str:
    """Return the run id of an item; the items are counted from 1."""
    return f"{backfill_id}-{number:05d}"


def item_number(run_id: str) -> int:
    """Return the number of the item whose run has this id."""
    return int(run_id.rpartition("-")[2])


def days_of(window: Window) -> int:
    return (window[1] - window[0]).days + 1


def _items(wanted: Mapping[Window, Sequence[str]]) -> Iterator[WorkItem]:
    for window in sorted(wanted):
        for year in years(window):
            for cities in _groups(wanted[window], days_of(year)):
                yield WorkItem(year, cities)


def years(window: Window) -> list[Window]:
    """Return the window cut at the turns of the years; a rest of less than 28 days is not cut off."""
    start, end = window
    turns = [
        date(year, 1, 1)
        for year in range(start.year + 1, end.year + 1)
        if (date(year, 1, 1) - start).days >= _SHORTEST_DAYS and (end - date(year, 1, 1)).days + 1 >= _SHORTEST_DAYS
    ]
    return list(zip([start, *turns], [*(turn - timedelta(days=1) for turn in turns), end], strict=True))


def _groups(cities: Sequence[str], days: int) -> Iterable[tuple[str, ...]]:
    """Yield the cities in groups of nearly the same size that fit into an item of this many days."""
    most = max(1, min(MAX_NAMED_CITIES, MAX_ITEM_HOURS // (24 * days)))
    count = ceil(len(cities) / most)
    for n in range(count):
        yield tuple(cities[len(cities) * n // count : len(cities) * (n + 1) // count])

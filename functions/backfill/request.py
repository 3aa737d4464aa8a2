"""The request for a backfill: its event, checked completely before anything is written or started."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from functions.core.errors import InvalidInputError
from functions.core.run import day_of, names_text
from functions.core.text import quoted

# With an item's number and an attempt it is the name of an execution, which has at most 80 characters.
_BACKFILL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,49}")
# Open-Meteo's archive begins in 1940: https://open-meteo.com/en/docs/historical-weather-api.
FIRST_DAY = date(1940, 1, 1)
# Each item that runs holds a connection of the warehouse, of which a small one has about 80.
MAX_PARALLEL = 40
_EVENT_KEYS = ("backfill_id", "start", "end", "cities", "parallel")


@dataclass(frozen=True, slots=True)
class BackfillRequest:
    """A backfill's id, window and cities; ``cities`` are the named ones, empty means the whole city list.

    ``start`` and ``end`` are UTC days, both included, or both None: the stored backfill of this id is resumed.
    """

    backfill_id: str
    start: date | None
    end: date | None
    cities: tuple[str, ...]
    parallel: int | None

    @classmethod
    def from_event(
        cls, event: object, known_cities: Sequence[str], *, backfill_id: str, today: date
    ) -> "BackfillRequest":
        """Return the request of an event; ``backfill_id`` is the default, ``today`` the UTC day.

        Raises InvalidInputError with the name of the unknown key, the value of a wrong type, the impossible window or
        the city that does not exist.
        """
        if not isinstance(event, Mapping):
            raise InvalidInputError(f"backfill: must be a JSON object, not {type(event).__name__}")
        unknown = sorted(str(key) for key in event if key not in _EVENT_KEYS)
        if unknown:
            raise InvalidInputError(
                f"backfill: unknown key {names_text(unknown)}; known keys are {', '.join(_EVENT_KEYS)}"
            )
        start, end = _window(day_of(event, "start", "backfill"), day_of(event, "end", "backfill"), today)
        return cls(
            backfill_id=_checked_id(event.get("backfill_id") or backfill_id),
            start=start,
            end=end,
            cities=_cities(event.get("cities"), known_cities),
            parallel=_parallel(event.get("parallel")),
        )


def _checked_id(backfill_id: object) -> str:
    if not isinstance(backfill_id, str) or not _BACKFILL_ID.fullmatch(backfill_id):
        raise InvalidInputError(
            f"backfill: backfill_id {quoted(backfill_id)} must be 1 to 50 letters, digits, '.', '_' or '-', the first "
            "a letter or digit"
        )
    return backfill_id


def _window(start: date | None, end: date | None, today: date) -> tuple[date | None, date | None]:
    if start is None and end is None:
        return None, None
    if start is None or end is None:
        raise InvalidInputError(
            f"backfill: {'start' if start is None else 'end'} is missing; name both days, or neither to resume"
        )
    if start < FIRST_DAY:
        raise InvalidInputError(f"backfill: start {start} is before {FIRST_DAY}, the first day of the archive")
    if start > end:
        raise InvalidInputError(f"backfill: end {end} is before start {start}")
    if end > today:
        raise InvalidInputError(f"backfill: end {end} is in the future; the archive ends today, {today}")
    return start, end


def _cities(value: object, known_cities: Sequence[str]) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not value or not all(isinstance(name, str) for name in value):
        raise InvalidInputError("backfill: cities must be a list of city ids; omit it for all cities")
    known = set(known_cities)
    unlisted = [name for name in value if name not in known]
    if unlisted:
        raise InvalidInputError(
            f"backfill: no such city {names_text(unlisted)} in the city list; correct the id, or add the city "
            "to the list"
        )
    return tuple(dict.fromkeys(value))


def _parallel(value: object) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_PARALLEL:
        raise InvalidInputError(f"backfill: parallel {quoted(value)} must be a whole number from 1 to {MAX_PARALLEL}")
    return value

"""The load rules for hours, in numpy: which response each value of staging comes from. Pure, no I/O.

Each value is the non-null one of highest precedence: archive over forecast, then the later ``fetched_at``, then the
greater ``run_id``. So responses that are added in ascending order overwrite each other wherever they have a value.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from functions.core.storage import StoredResponse
from functions.core.variables import VARIABLES
from functions.transform.hours import POSITIONS, Floats, Hours

Integers = npt.NDArray[np.int32]
Small = npt.NDArray[np.int8]

TEMPERATURE = POSITIONS["temperature_2m"]
# What an hour has: no row, a row without any value, with some value, with a temperature.
NO_ROW, WITHOUT_VALUE, WITH_VALUE, WITH_TEMPERATURE = -1, 0, 1, 2


def precedence(source: str, response: StoredResponse, run_id: str) -> tuple[bool, float, str]:
    """Return what responses are ordered by, the highest precedence last."""
    return source == "archive", response.fetched_at.timestamp(), run_id


class Merge:
    """The hours of some cities as the load rules give them, on a grid of (cities, hours since ``first_hour``).

    ``cities`` are the rows of the cities. ``first_hour`` is in hours since 1970 (UTC). ``values`` (variables, cities,
    hours): NaN for null. ``rank``: what each hour has. ``top``: the number of the response that is its origin by the
    rules. ``named`` is the number of the response that staging names as its origin; of that one ``named_rank`` and
    ``named_temperature`` are what it has in this hour.
    """

    def __init__(self, cities: Mapping[str, int], first_hour: int, hours: int, named: Integers) -> None:
        shape = (len(cities), hours)
        self.cities = cities
        self._hours = hours
        self.first_hour = first_hour
        self.values = np.full((len(VARIABLES), *shape), np.nan)
        self.rank = np.full(shape, NO_ROW, dtype=np.int8)
        self.top = np.zeros(shape, dtype=np.int32)
        self.named_rank = np.full(shape, NO_ROW, dtype=np.int8)
        self.named_temperature = np.full(shape, np.nan)
        self._named = named

    def add(self, number: int, hours: Hours, response: StoredResponse, start_hour: int) -> None:
        """Add a response, of higher precedence than all before. ``start_hour`` is the first of its window."""
        rows = np.array([self.cities.get(city_id, -1) for city_id in response.cities], dtype=np.intp)[hours.city]
        columns = hours.hour + (start_hour - self.first_hour)
        wanted = (rows >= 0) & (columns >= 0) & (columns < self._hours)
        if not wanted.any():
            return
        place = rows[wanted] * self._hours + columns[wanted]
        values = hours.values[:, wanted]
        rank = ranks(values)
        for column, incoming in zip(self.values, values, strict=True):
            has_value = ~np.isnan(incoming)
            column.reshape(-1)[place[has_value]] = incoming[has_value]
        # An hour's origin is the response of its temperature, so that an hour is not taken for observed because a later
        # response had no value for it.
        is_top = rank >= self.rank.reshape(-1)[place]
        self.rank.reshape(-1)[place[is_top]] = rank[is_top]
        self.top.reshape(-1)[place[is_top]] = number
        is_named = self._named.reshape(-1)[place] == number
        self.named_rank.reshape(-1)[place[is_named]] = rank[is_named]
        self.named_temperature.reshape(-1)[place[is_named]] = values[TEMPERATURE, is_named]


def ranks(values: Floats) -> Small:
    """Return what each hour has; ``values`` is (variables, hours)."""
    has_value = ~np.isnan(values)
    found: Small = np.where(
        has_value[TEMPERATURE], WITH_TEMPERATURE, np.where(has_value.any(axis=0), WITH_VALUE, WITHOUT_VALUE)
    ).astype(np.int8)
    return found

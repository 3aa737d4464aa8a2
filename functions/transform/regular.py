"""The fast path: the values of a regular location, read into numpy columns without any other Python object.

A location is regular if it passes every check of ``response.hourly_block``, its hours are exactly the window's, and
every value is null or a possible number. All others are irregular, whatever the reason: ``irregular.py`` finds it.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from functools import cache
from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET, Raw, UnsetType

from functions.core.variables import UNDEFINED, VARIABLES
from functions.core.wmo import CONDITIONS
from functions.transform.hours import POSITIONS, Flags, Floats, Locations

_HOURS_OF_DAY = ",".join(f'"DAYT{hour:02d}:00"' for hour in range(24))


class Reader:
    """Reads the locations of one request: these variables, the hours of the UTC days ``start`` to ``end``.

    ``found`` takes the grid cell of each location, and the variables that it has no unit of.
    """

    def __init__(self, variables: Sequence[str], start: date, end: date, found: Locations) -> None:
        self._variables = tuple(variables)
        self._found = found
        self._decoder = _decoder(self._variables)
        days = [(start + timedelta(days=day)).isoformat() for day in range((end - start).days + 1)]
        # replacing the day in the text of all its hours is 25 times faster than making the text of each hour
        self._times = f"[{','.join(_HOURS_OF_DAY.replace('DAY', day) for day in days)}]".encode()

    def read(self, location: Raw, position: int, columns: Floats) -> bool:
        """Write the values of the location at ``position`` of a response into ``columns``; return False if irregular.

        ``columns`` is (variables, hours), all of VARIABLES in their order; a variable that was not requested is left.
        """
        try:
            document = self._decoder.decode(location)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return False
        hourly, units = document.hourly, document.hourly_units
        self._found.cells[position] = document.latitude, document.longitude, document.elevation
        undefined = [name for name in self._variables if getattr(units, name) == UNDEFINED]
        if undefined:
            self._found.undefined[position] = undefined
        if (
            document.utc_offset_seconds != 0
            or document.location_id not in (UNSET, position)
            or (document.error is not UNSET and document.error)
            or units.time != "iso8601"
            or bytes(hourly.time) != self._times
        ):
            return False
        for name in self._variables:
            values = getattr(hourly, name)
            if len(values) != columns.shape[1]:
                return False
            columns[POSITIONS[name]] = values
            unit = getattr(units, name)
            if unit != VARIABLES[name].unit and not (unit == UNDEFINED and np.isnan(columns[POSITIONS[name]]).all()):
                return False
        return True


def possible(values: Floats) -> Flags:
    """Return for each city whether all its values are NaN or possible; ``values`` is (variables, cities, hours)."""
    impossible: Flags = np.zeros(values.shape[1:], dtype=bool)
    for variable, column in zip(VARIABLES.values(), values, strict=True):
        # comparisons with NaN are false
        impossible |= (column < variable.low) | (column > variable.high)
    codes = values[POSITIONS["weather_code"]]
    whole = np.clip(np.where(np.isnan(codes), min(CONDITIONS), codes), 0, max(CONDITIONS)).astype(np.intp)
    impossible |= ~(np.isnan(codes) | ((whole == codes) & _IS_CODE[whole]))
    is_possible: Flags = np.logical_not(impossible.any(axis=1))
    return is_possible


_IS_CODE = np.isin(np.arange(max(CONDITIONS) + 1), list(CONDITIONS))


@cache
def _decoder(variables: tuple[str, ...]) -> msgspec.json.Decoder[Any]:
    """Return a decoder of one location: it skips what was not requested and accepts no string or boolean as number."""
    units = msgspec.defstruct("Units", [("time", str), *((name, str) for name in variables)], gc=False)
    hourly = msgspec.defstruct("Hourly", [("time", Raw), *((name, list[float | None]) for name in variables)], gc=False)
    location = msgspec.defstruct(
        "Location",
        [
            ("utc_offset_seconds", int),
            ("hourly_units", units),
            ("hourly", hourly),
            ("location_id", int | UnsetType, UNSET),
            ("error", bool | UnsetType, UNSET),
            ("latitude", float | None, None),
            ("longitude", float | None, None),
            ("elevation", float | None, None),
        ],
        gc=False,
    )
    return msgspec.json.Decoder(location)

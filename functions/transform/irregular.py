"""The slow path: the hours of irregular locations, accepted or rejected with their reasons by pandas.

The working frame has one row for each hour, in the order of the response: ``position`` (of the city in the request),
``time`` (text) and a column for each variable with the value as Open-Meteo sent it (any JSON type). A frame has at most
IRREGULAR_HOURS rows.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd

from functions.core.run import Run
from functions.core.text import IN_RAW_OBJECT, MESSAGE_LENGTH, excerpt, json_text
from functions.core.variables import VARIABLES
from functions.core.wmo import CONDITIONS
from functions.transform.hours import IRREGULAR_HOURS, POSITIONS, Flags, Hours, RejectedRow
from functions.transform.reasons import DUPLICATE_HOUR, NOT_ON_THE_HOUR, OUTSIDE_THE_WINDOW, SEPARATOR, UNREADABLE_TIME

Blocks = Mapping[int, Mapping[str, Any]]


def irregular_hours(
    blocks: Blocks, cities: Sequence[str], run: Run, raw_key: str
) -> Iterator[tuple[Hours, list[RejectedRow]]]:
    """Yield accepted hours and rejected rows of the ``hourly`` blocks, by their positions in ``cities``, in parts."""
    taken = np.zeros((len(cities), 24 * run.days), dtype=bool)
    for frame in _frames(blocks, run.variables):
        hours, reasons = split(frame, run, taken)
        rejected = frame.assign(reason=reasons)[reasons != ""]
        yield hours, rejected_rows(rejected, cities, run.variables, raw_key)


def _frames(blocks: Blocks, variables: Sequence[str]) -> Iterator[pd.DataFrame]:
    """Yield the hours of the blocks, with times and values as sent: of all cities, or of a part of one."""
    if sum(len(block["time"]) for block in blocks.values()) <= IRREGULAR_HOURS:
        yield _frame(blocks, variables, slice(None))
        return
    for position, block in blocks.items():
        for begin in range(0, len(block["time"]), IRREGULAR_HOURS):
            yield _frame({position: block}, variables, slice(begin, begin + IRREGULAR_HOURS))


def _frame(blocks: Blocks, variables: Sequence[str], hours: slice) -> pd.DataFrame:
    columns: dict[str, list[Any]] = {name: [] for name in ("time", *variables)}
    positions: list[int] = []
    for position, block in blocks.items():
        for name in columns:
            columns[name] += block[name][hours]
        positions += [position] * (len(columns["time"]) - len(positions))
    frame = pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in columns.items()})
    return frame.assign(position=np.array(positions, dtype=np.intp))


def split(frame: pd.DataFrame, run: Run, taken: Flags) -> tuple[Hours, pd.Series]:
    """Return the accepted hours, and the reasons for which each hour is rejected: joined with "; ", or empty.

    ``taken`` (cities, hours of the window): the hours that earlier frames have; the accepted ones are added.
    """
    observed_at = _observed_at(frame["time"])
    values = {name: _number(frame[name]) for name in run.variables}

    reasons = pd.Series("", index=frame.index, dtype=object)

    def reject(mask: Any, reason: Any) -> None:
        marked = np.asarray(mask, dtype=bool)
        if marked.any():
            text = reason[marked] if isinstance(reason, pd.Series) else reason
            earlier = reasons[marked]
            reasons[marked] = earlier.where(earlier == "", earlier + SEPARATOR) + text

    unreadable = observed_at.isna()
    first, last = pd.Timestamp(run.start, tz="UTC"), pd.Timestamp(run.end + timedelta(days=1), tz="UTC")
    reject(unreadable, UNREADABLE_TIME)
    reject(~unreadable & (observed_at.dt.floor("h") != observed_at), NOT_ON_THE_HOUR)
    reject(~unreadable & ((observed_at < first) | (observed_at >= last)), OUTSIDE_THE_WINDOW)
    for name, (numbers, unparsable) in values.items():
        variable = VARIABLES[name]
        reject(unparsable, f"{name} cannot be read")
        outside = ~unparsable & ((numbers < variable.low) | (numbers > variable.high))
        if name == "weather_code":
            outside = ~unparsable & numbers.notna() & ~numbers.isin(CONDITIONS)
            reject(outside, "unknown weather code")
        else:
            reject(outside, f"impossible {name}")
    # of a repeated hour the first valid row is accepted
    valid = (reasons == "").to_numpy()
    city = frame["position"].to_numpy()[valid]
    hour = ((observed_at[valid] - first) // pd.Timedelta(hours=1)).to_numpy(dtype=np.intp)
    is_repeated = np.zeros(len(frame), dtype=bool)
    is_repeated[valid] = pd.DataFrame({"city": city, "hour": hour}).duplicated().to_numpy() | taken[city, hour]
    reject(is_repeated, DUPLICATE_HOUR)

    accepted = ~is_repeated[valid]
    city, hour = city[accepted], hour[accepted]
    taken[city, hour] = True
    order = np.lexsort((hour, city))
    columns = np.full((len(VARIABLES), len(order)), np.nan)
    for name, (numbers, _) in values.items():
        columns[POSITIONS[name]] = numbers.to_numpy(dtype=np.float64)[valid][accepted][order]
    return Hours(city[order], hour[order], columns), reasons


def rejected_rows(
    rejected: pd.DataFrame, cities: Sequence[str], variables: Sequence[str], raw_key: str
) -> list[RejectedRow]:
    """Return the rejected hours as REJECTED_COLUMNS: the time as text, the row as JSON object, each an excerpt."""
    names = ["time", *variables]
    return [
        (
            cities[position],
            excerpt(row["time"]),
            reason,
            excerpt(json_text(row), MESSAGE_LENGTH, IN_RAW_OBJECT),
            raw_key,
        )
        for position, reason, row in zip(
            rejected["position"], rejected["reason"], rejected[names].to_dict("records"), strict=True
        )
    ]


def _observed_at(times: pd.Series) -> pd.Series:
    """Return the times as UTC, NaT for any format but ``YYYY-MM-DDTHH:MM``, the one that Open-Meteo sends."""
    formatted = times.where(times.map(lambda time: isinstance(time, str) and len(time) == len("YYYY-MM-DDTHH:MM")))
    return pd.to_datetime(formatted, format="%Y-%m-%dT%H:%M", errors="coerce", utc=True)


def _number(values: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Return the values as floats, NaN for null, and a mask of those that are neither a finite number nor null."""
    kinds = values.map(type)
    numeric = kinds.isin((int, float))
    numbers = pd.Series(
        [_float(value) if known else math.nan for value, known in zip(values, numeric, strict=True)],
        index=values.index,
        dtype=float,
    )
    unparsable = ~numeric & values.map(lambda value: value is not None)
    return numbers, unparsable | (numeric & ~np.isfinite(numbers))


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer of hundreds of digits
        return math.inf

"""The slow path: the hours of irregular locations, accepted or rejected with their reasons by pandas.

The working frame has one row for each hour, in the order of the response: ``city_id``, ``time`` (text) and
a column for each variable with the value as Open-Meteo sent it (any JSON type).
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd

from functions.core.run import Run
from functions.core.variables import VARIABLES
from functions.core.wmo import CONDITIONS
from functions.transform.hours import Hours, RejectedRow

_MEASURES = [variable.column for variable in VARIABLES.values()]


def irregular_hours(
    blocks: Mapping[int, Mapping[str, Any]], cities: Sequence[str], run: Run, raw_key: str
) -> tuple[Hours, list[RejectedRow]]:
    """Return the accepted hours and the rejected rows of the ``hourly`` blocks, by their positions in ``cities``."""
    frame = hours(((cities[position], block) for position, block in blocks.items()), run.variables)
    rows, rejected = split(frame, run.variables, run.start, run.end)
    positions = {cities[position]: position for position in blocks}
    city = rows["city_id"].map(positions).to_numpy(dtype=np.intp)
    since_start = rows["observed_at"] - pd.Timestamp(run.start, tz="UTC")
    hour = (since_start // pd.Timedelta(hours=1)).to_numpy(dtype=np.intp)
    order = np.lexsort((hour, city))
    values = rows[_MEASURES].to_numpy(dtype=np.float64).T[:, order]
    return Hours(city[order], hour[order], values), rejected_rows(rejected, run.variables, raw_key)


def hours(blocks: Iterable[tuple[str, Mapping[str, Any]]], variables: Sequence[str]) -> pd.DataFrame:
    """Return the hours of all ``(city_id, hourly block)`` pairs in one frame, with times and values as sent."""
    columns: dict[str, list[Any]] = {name: [] for name in ("city_id", "time", *variables)}
    for city_id, hourly in blocks:
        columns["city_id"] += [city_id] * len(hourly["time"])
        for name in ("time", *variables):
            columns[name] += hourly[name]
    return pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in columns.items()})


def split(frame: pd.DataFrame, variables: Sequence[str], start: date, end: date) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the accepted hours with typed values, and the rejected hours with their reasons.

    Accepted: ``city_id``, ``observed_at`` and a float column for each measure, NaN for null. Rejected: the hour
    as sent and ``reason``, several joined with "; ". The window is the UTC days ``start`` to ``end``.
    """
    observed_at = _observed_at(frame["time"])
    values = {name: _number(frame[name]) for name in variables}

    reasons = pd.Series("", index=frame.index, dtype=object)

    def reject(mask: Any, reason: Any) -> None:
        marked = np.asarray(mask, dtype=bool)
        if marked.any():
            text = reason[marked] if isinstance(reason, pd.Series) else reason
            earlier = reasons[marked]
            reasons[marked] = earlier.where(earlier == "", earlier + "; ") + text

    unreadable = observed_at.isna()
    first, last = pd.Timestamp(start, tz="UTC"), pd.Timestamp(end + timedelta(days=1), tz="UTC")
    reject(unreadable, "time cannot be read")
    reject(~unreadable & (observed_at.dt.floor("h") != observed_at), "time is not on the hour")
    reject(~unreadable & ((observed_at < first) | (observed_at >= last)), "hour outside the window")
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
    valid = reasons == ""
    hour = pd.DataFrame({"city_id": frame["city_id"], "observed_at": observed_at})
    reject(valid & hour[valid].duplicated().reindex(frame.index, fill_value=False), "duplicate hour")

    accepted = reasons == ""
    rows = hour[accepted].assign(**{VARIABLES[name].column: numbers[accepted] for name, (numbers, _) in values.items()})
    absent = {column: np.nan for column in _MEASURES if column not in rows}
    rejected = frame[~accepted].assign(reason=reasons[~accepted])
    return rows.assign(**absent)[["city_id", "observed_at", *_MEASURES]], rejected


def rejected_rows(rejected: pd.DataFrame, variables: Sequence[str], raw_key: str) -> list[RejectedRow]:
    """Return the rejected hours as REJECTED_COLUMNS: the time as text, the row as JSON object."""
    names = ["time", *variables]
    return [
        (city_id, str(row["time"]), reason, json.dumps(row, ensure_ascii=False), raw_key)
        for city_id, reason, row in zip(
            rejected["city_id"], rejected["reason"], rejected[names].to_dict("records"), strict=True
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

"""An answer of Open-Meteo, held to its contract: what was asked, as it was asked."""

import json
from collections.abc import Sequence
from typing import Any

from functions.core.errors import UpstreamContractError
from functions.core.variables import VARIABLES

Json = dict[str, Any]


def hourly_blocks(body: bytes, raw_key: str, cities: Sequence[str], variables: Sequence[str], hours: int) -> list[Json]:
    """The ``hourly`` block of each city asked, in the order asked, each with at least the ``hours`` of the window.

    Cities are matched by position: the coordinates that come back are the grid cell's, and two cities can
    share one. Further hours, variables and blocks are left alone. Raises UpstreamContractError naming the raw
    object, the city and what differs.
    """
    documents = _documents(body, raw_key)
    if len(documents) != len(cities):
        raise UpstreamContractError(f"{raw_key}: answers {len(documents)} locations, {len(cities)} were asked")
    return [
        _hourly(document, position, f"{raw_key}: {city}", variables, hours)
        for position, (city, document) in enumerate(zip(cities, documents, strict=True))
    ]


def _documents(body: bytes, raw_key: str) -> list[Any]:
    """One location comes as an object, several as a list."""
    try:
        decoded = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UpstreamContractError(f"{raw_key}: is not JSON: {error}") from error
    if isinstance(decoded, dict):
        return [decoded]
    if isinstance(decoded, list):
        return decoded
    raise UpstreamContractError(f"{raw_key}: is neither an object nor a list but {type(decoded).__name__}")


def _hourly(document: Any, position: int, where: str, variables: Sequence[str], hours: int) -> Json:
    if not isinstance(document, dict):
        raise UpstreamContractError(f"{where}: is not an object but {type(document).__name__}")
    # the first location of an answer has none
    if document.get("location_id", position) != position:
        raise UpstreamContractError(f"{where}: is location {document['location_id']!r}; it was asked as {position}")
    if document.get("error"):
        raise UpstreamContractError(f"{where}: is an error: {document.get('reason')}")
    if document.get("utc_offset_seconds") != 0:
        raise UpstreamContractError(
            f"{where}: utc_offset_seconds is {document.get('utc_offset_seconds')!r}; times in GMT were asked"
        )
    hourly, units = document.get("hourly"), document.get("hourly_units")
    if not isinstance(hourly, dict) or not isinstance(units, dict):
        raise UpstreamContractError(f"{where}: has no hourly and hourly_units")
    times = hourly.get("time")
    if not isinstance(times, list) or units.get("time") != "iso8601":
        raise UpstreamContractError(f"{where}: hourly.time is not a list of iso8601 times")
    if len(times) < hours:
        raise UpstreamContractError(f"{where}: answers {len(times)} hours, {hours} were asked")
    for name in variables:
        _check_column(hourly.get(name), units.get(name), name, len(times), where)
    return hourly


def _check_column(values: Any, unit: Any, name: str, hours: int, where: str) -> None:
    if not isinstance(values, list):
        raise UpstreamContractError(f"{where}: variable {name} was asked and is missing")
    if len(values) != hours:
        raise UpstreamContractError(f"{where}: {name} has {len(values)} values for {hours} times")
    expected = VARIABLES[name].unit
    # Open-Meteo calls the unit of a variable that its models lack "undefined".
    without_values = unit == "undefined" and all(value is None for value in values)
    if unit != expected and not without_values:
        raise UpstreamContractError(f"{where}: {name} is in {unit!r}; {expected!r} was asked")

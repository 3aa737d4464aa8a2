"""The check of a response against its request and Open-Meteo's contract."""

import json
from collections.abc import Sequence
from typing import Any

from functions.core.errors import UpstreamContractError
from functions.core.variables import VARIABLES

Json = dict[str, Any]


def hourly_blocks(body: bytes, raw_key: str, cities: Sequence[str], variables: Sequence[str], hours: int) -> list[Json]:
    """Return the ``hourly`` block of each city, in the order of the request, with at least the window's ``hours``.

    Cities are matched by position: the coordinates in a response are the grid cell's, and two cities can
    share one. Additional hours, variables and blocks are ignored. Raises UpstreamContractError with the raw
    object, the city and the difference.
    """
    documents = _documents(body, raw_key)
    if len(documents) != len(cities):
        raise UpstreamContractError(f"{raw_key}: has {len(documents)} locations, {len(cities)} were requested")
    return [
        _hourly(document, position, f"{raw_key}: {city}", variables, hours)
        for position, (city, document) in enumerate(zip(cities, documents, strict=True))
    ]


def _documents(body: bytes, raw_key: str) -> list[Any]:
    """Return the locations: Open-Meteo sends one as an object, several as a list."""
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
    # the first location of a response has no location_id
    if document.get("location_id", position) != position:
        raise UpstreamContractError(f"{where}: is location {document['location_id']!r}, {position} was requested")
    if document.get("error"):
        raise UpstreamContractError(f"{where}: is an error: {document.get('reason')}")
    if document.get("utc_offset_seconds") != 0:
        raise UpstreamContractError(
            f"{where}: utc_offset_seconds is {document.get('utc_offset_seconds')!r}, times in GMT were requested"
        )
    hourly, units = document.get("hourly"), document.get("hourly_units")
    if not isinstance(hourly, dict) or not isinstance(units, dict):
        raise UpstreamContractError(f"{where}: has no hourly and hourly_units")
    times = hourly.get("time")
    if not isinstance(times, list) or units.get("time") != "iso8601":
        raise UpstreamContractError(f"{where}: hourly.time is not a list of iso8601 times")
    if len(times) < hours:
        raise UpstreamContractError(f"{where}: has {len(times)} hours, {hours} were requested")
    for name in variables:
        _check_column(hourly.get(name), units.get(name), name, len(times), where)
    return hourly


def _check_column(values: Any, unit: Any, name: str, hours: int, where: str) -> None:
    if not isinstance(values, list):
        raise UpstreamContractError(f"{where}: requested variable {name} is missing")
    if len(values) != hours:
        raise UpstreamContractError(f"{where}: {name} has {len(values)} values for {hours} times")
    expected = VARIABLES[name].unit
    # The unit of a variable that Open-Meteo's models lack is "undefined".
    without_values = unit == "undefined" and all(value is None for value in values)
    if unit != expected and not without_values:
        raise UpstreamContractError(f"{where}: {name} is in {unit!r}, {expected!r} was requested")

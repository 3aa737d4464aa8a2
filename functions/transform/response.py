"""The check of a response against its request and Open-Meteo's contract."""

import json
import math
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Raw

from functions.core.errors import UpstreamContractError
from functions.core.text import IN_RAW_OBJECT, excerpt, quoted
from functions.core.variables import UNDEFINED, VARIABLES

Json = dict[str, Any]


def locations(body: bytes, raw_key: str, cities: int) -> list[Raw]:
    """Return the JSON of each location in a body: Open-Meteo sends one as an object, several as a list.

    The body is checked to be JSON, without Python objects of its values. Raises UpstreamContractError with the raw
    object if it is not JSON or does not have the requested number of locations.
    """
    found = _locations(body, raw_key)
    if len(found) != cities:
        raise UpstreamContractError(f"{raw_key}: has {len(found)} locations, {cities} were requested")
    return found


def hourly_block(location: Raw, position: int, where: str, variables: Sequence[str], hours: int) -> Json:
    """Return the ``hourly`` block of the location at ``position``, with at least the window's ``hours``.

    Cities are matched by position: the coordinates in a response are the grid cell's, and two cities can share one.
    Additional hours, variables and blocks are ignored. Raises UpstreamContractError with ``where`` (the raw object and
    the city) and the difference.
    """
    document = _decoded(location, where)
    if not isinstance(document, dict):
        raise UpstreamContractError(f"{where}: is not an object but {type(document).__name__}")
    # the first location of a response has no location_id
    if document.get("location_id", position) != position:
        raise UpstreamContractError(f"{where}: is location {_shown(document['location_id'])}, {position} was requested")
    if document.get("error"):
        reason = excerpt(document.get("reason"), rest=IN_RAW_OBJECT)
        raise UpstreamContractError(f"{where}: is an error: {reason}")
    if document.get("utc_offset_seconds") != 0:
        raise UpstreamContractError(
            f"{where}: utc_offset_seconds is {_shown(document.get('utc_offset_seconds'))}, times in GMT were requested"
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


def _locations(body: bytes, raw_key: str) -> list[Raw]:
    try:
        found = msgspec.json.decode(body, type=list[Raw] | dict[str, Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _lenient_locations(body, raw_key)
    return found if isinstance(found, list) else [Raw(body)]


def _lenient_locations(body: bytes, raw_key: str) -> list[Raw]:
    """Return the locations of a body that only Python's json decodes: it has NaN or half of a surrogate pair."""
    decoded = _decoded(body, raw_key)
    if isinstance(decoded, dict):
        decoded = [decoded]
    if not isinstance(decoded, list):
        raise UpstreamContractError(f"{raw_key}: is neither an object nor a list but {type(decoded).__name__}")
    return [Raw(json.dumps(each, separators=(",", ":")).encode()) for each in decoded]


def _decoded(text: bytes | Raw, where: str) -> Any:
    try:
        return json.loads(bytes(text), parse_int=_integer)
    except (ValueError, RecursionError) as error:
        raise UpstreamContractError(f"{where}: is not JSON: {excerpt(error)}") from error


def _integer(digits: str) -> int | float:
    """Return a number, infinity for one of more digits than Python converts: its hour is rejected, not the response."""
    try:
        return int(digits)
    except ValueError:
        return math.inf


def _shown(value: object) -> str:
    return quoted(value, rest=IN_RAW_OBJECT)


def _check_column(values: Any, unit: Any, name: str, hours: int, where: str) -> None:
    if not isinstance(values, list):
        raise UpstreamContractError(f"{where}: requested variable {name} is missing")
    if len(values) != hours:
        raise UpstreamContractError(f"{where}: {name} has {len(values)} values for {hours} times")
    expected = VARIABLES[name].unit
    without_values = unit == UNDEFINED and all(value is None for value in values)
    if unit != expected and not without_values:
        raise UpstreamContractError(f"{where}: {name} is in {_shown(unit)}, {expected!r} was requested")

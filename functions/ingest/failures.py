"""The reason in the body of an error, and the failed city of a stored rejection."""

import json

import msgspec
from msgspec import Raw

from functions.core.contracts import REASON_LENGTH, CityFailure
from functions.core.storage import StoredResponse
from functions.core.text import excerpt

_LONGEST_VALUE = 10_000


def reason_of(body: bytes | bytearray) -> object:
    """Return the ``reason`` of an error body, or any other body itself, of which an excerpt is made."""
    try:
        return json_value(msgspec.json.decode(body, type=dict[str, Raw])["reason"])
    except (msgspec.MsgspecError, ValueError, RecursionError, KeyError):
        return body


def json_value(raw: Raw | None) -> object:
    """Return the value of a part of a body, or its bytes if it is a long array, object or number; None if it is absent.

    A text is one object of Python's; a long array can be a million. Raises ValueError or RecursionError.
    """
    text = bytes(raw or b"null")
    return json.loads(text) if text.startswith(b'"') or len(text) <= _LONGEST_VALUE else text


def failure_of(response: StoredResponse, body: bytes) -> CityFailure:
    """Return the failed city of a response with an error status: Open-Meteo's reason, or the start of its body."""
    return CityFailure(response.cities[0], excerpt(reason_of(body), REASON_LENGTH), response.key)

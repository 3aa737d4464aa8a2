"""The failed city of a stored rejection."""

import json

from functions.core.contracts import REASON_LENGTH, CityFailure
from functions.core.storage import StoredResponse


def failure_of(response: StoredResponse, body: bytes) -> CityFailure:
    """Return the failed city of a response with an error status: Open-Meteo's reason, or the start of its body."""
    try:
        reason = str(json.loads(body)["reason"])
    except (ValueError, KeyError, TypeError):
        reason = body[:100].decode(errors="replace")
    return CityFailure(response.cities[0], reason[:REASON_LENGTH], response.key)

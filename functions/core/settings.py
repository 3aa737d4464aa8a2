"""The environment variables of a function, read when it is invoked and never at import."""

import os
from collections.abc import Mapping

from functions.core.errors import InvalidInputError

FORECAST_URL = "https://api.open-meteo.com/v1/forecast"
ARCHIVE_URL = "https://archive-api.open-meteo.com/v1/archive"


def required(name: str, environment: Mapping[str, str] = os.environ) -> str:
    """Return the value of a variable that must be set. Raises InvalidInputError with its name."""
    value = environment.get(name)
    if not value:
        raise InvalidInputError(f"environment: {name} is not set; set it to the value that template.yaml gives it")
    return value


def open_meteo_url(source: str, environment: Mapping[str, str] = os.environ) -> str:
    """Return the address of the host that serves ``source``: the public free host if none is set."""
    if source == "archive":
        return environment.get("OPEN_METEO_ARCHIVE_URL") or ARCHIVE_URL
    return environment.get("OPEN_METEO_FORECAST_URL") or FORECAST_URL


def cities_uri(environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the address (s3://bucket/key) of the city list, or None for the list of the package."""
    return environment.get("CITIES_URI") or None

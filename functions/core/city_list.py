"""The city list in use: the one that CITIES_URI names in S3, or the one of the package.

A process parses a list once. A list in S3 changes without a deployment: every invocation asks S3 whether it changed.
"""

from functools import cache

from functions.core import settings, storage
from functions.core.cities import City, load_cities, parse_cities
from functions.core.errors import InvalidInputError
from functions.core.text import excerpt

# By address: the version (ETag) and its cities.
_parsed: dict[str, tuple[str, dict[str, City]]] = {}


def listed_cities() -> dict[str, City]:
    """Return the cities by id, in the order of the list.

    Raises InvalidInputError with line and reason for a wrong list, TransientError if S3 is unavailable.
    """
    uri = settings.cities_uri()
    if uri is None:
        return _packaged_cities()
    version, cities = _parsed.get(uri, (None, {}))
    changed = storage.changed_object(uri, version)
    if changed is not None:
        body, version = changed
        try:
            cities = parse_cities(body.decode("utf-8-sig"), uri)
        except UnicodeDecodeError as error:
            raise InvalidInputError(
                f"city list {excerpt(uri)}: is not UTF-8 (byte {error.start}); save it as UTF-8"
            ) from error
        _parsed[uri] = version, cities
    return cities


@cache
def _packaged_cities() -> dict[str, City]:
    return load_cities()

"""One request to Open-Meteo, and what its answer means.

The table of errors is facts/open-meteo.md's: a 400 is final, 429 closes a window or means too many at
once, 5xx and a body that does not decode are worth another try.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import get_args

import requests
import urllib3

from functions.core.cities import City
from functions.core.errors import InvalidInputError, TransientError, UpstreamContractError
from functions.core.observability import logger
from functions.core.run import Run
from functions.ingest.quota import Window

# A request is over within this, however slowly its bytes come.
REQUEST_SECONDS = 120.0
_CONNECT_SECONDS, _READ_SECONDS = 10, 30
_LARGEST_BODY = 64 << 20
_CHUNK = 1 << 16
_SHOWN = 100
_WRONG_ADDRESS = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
)

# Reasons of a 400 that lie in the request, not in one of its locations: splitting it would not help.
_ABOUT_THE_REQUEST = ("start_date", "end_date", "Cannot initialize", "timezone", "must have the same number", "API key")
_TOO_MUCH = ("too much data", "locations can be requested at once")


@dataclass(frozen=True, slots=True)
class Answered:
    """A body that decodes; whether it is what was asked is Transform's to check."""

    body: bytes


@dataclass(frozen=True, slots=True)
class Refused:
    """A 400 that one of the locations caused."""

    reason: str
    body: bytes


@dataclass(frozen=True, slots=True)
class TooLarge:
    """The request is too large to be answered at all."""

    reason: str


@dataclass(frozen=True, slots=True)
class QuotaClosed:
    """A quota window is used up."""

    window: Window
    reason: str


@dataclass(frozen=True, slots=True)
class Unusable:
    """A body that is evidence of what went wrong, and the error to raise once it is kept."""

    error: TransientError | UpstreamContractError
    body: bytes


Outcome = Answered | Refused | TooLarge | QuotaClosed | Unusable


def address(host: str, run: Run, cities: Sequence[City]) -> str:
    """What is asked, as one address: always in GMT, and never with a key in it."""
    query = {
        "latitude": ",".join(_decimal(city.latitude) for city in cities),
        "longitude": ",".join(_decimal(city.longitude) for city in cities),
        "hourly": ",".join(run.variables),
        "start_date": run.start.isoformat(),
        "end_date": run.end.isoformat(),
        "timezone": "GMT",
    }
    return f"{host}?{'&'.join(f'{name}={value}' for name, value in query.items())}"


class OpenMeteo:
    """A client that asks one request at a time, as the free hosts want it."""

    def __init__(self, api_key: str | None = None) -> None:
        self._session = requests.Session()
        self._session.headers["User-Agent"] = "ikirere/0.1"
        if api_key:
            self._session.headers["X-Api-Key"] = api_key

    def ask(self, url: str) -> Outcome:
        """Ask once. Raises TransientError, InvalidInputError or UpstreamContractError for the rest of the table."""
        started = time.monotonic()
        try:
            # the last read may begin just before this and last as long as a read may
            status, content_type, body = self._get(url, started + REQUEST_SECONDS - _READ_SECONDS)
        except _WRONG_ADDRESS as error:
            raise InvalidInputError(f"{url}: is no address that can be asked: {error}") from error
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise TransientError(f"{url}: {error}") from error
        logger.info(
            "asked Open-Meteo",
            address=url, status=status, bytes=len(body), request_seconds=round(time.monotonic() - started, 3),
        )  # fmt: skip
        return _outcome(url, status, content_type, body)

    def _get(self, url: str, deadline: float) -> tuple[int, str, bytes]:
        timeouts = (_CONNECT_SECONDS, _READ_SECONDS)
        with self._session.get(url, timeout=timeouts, stream=True, allow_redirects=False) as answer:
            body = bytearray()
            # what has come, without waiting for more: else a trickle would pass every deadline
            while chunk := answer.raw.read1(_CHUNK, decode_content=True):
                body += chunk
                if time.monotonic() > deadline:
                    raise TransientError(f"{url}: {len(body)} bytes came in {REQUEST_SECONDS:g} seconds, not all")
                if len(body) > _LARGEST_BODY:
                    raise UpstreamContractError(f"{url}: answers more than {_LARGEST_BODY >> 20} MB")
            return answer.status_code, answer.headers.get("Content-Type", ""), bytes(body)


def _outcome(url: str, status: int, content_type: str, body: bytes) -> Outcome:
    said = f"{url}: {status}: {_reason(body)}"
    reason = _reason(body)
    if status == 200:
        if not _is_an_answer(body):
            kind = content_type or "no type"
            return Unusable(TransientError(f"{url}: 200 with {kind} that is no answer: {reason!r}"), body)
        return Answered(body)
    if status == 400:
        if any(part in reason for part in _TOO_MUCH):
            return TooLarge(reason)
        if any(part in reason for part in _ABOUT_THE_REQUEST):
            raise InvalidInputError(said)
        return Refused(reason, body)
    if status in (413, 414):
        return TooLarge(reason)
    if status in (401, 403):
        raise InvalidInputError(
            f"{said}; check the API key and the plan (OPEN_METEO_API_KEY_SECRET, the host's address)"
        )
    if status == 429:
        for window in get_args(Window):
            if window in reason.lower():
                return QuotaClosed(window, reason)
        raise TransientError(said)
    if status >= 500 or status == 408:
        raise TransientError(said)
    return Unusable(UpstreamContractError(said), body)


def _is_an_answer(body: bytes) -> bool:
    """Whether the body decodes to data. A 200 can hold HTML, nothing, or JSON that an error cut short."""
    try:
        decoded = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return isinstance(decoded, list) or (isinstance(decoded, dict) and not decoded.get("error"))


def _reason(body: bytes) -> str:
    """The ``reason`` of an error body, or the beginning of whatever else it is."""
    try:
        return str(json.loads(body)["reason"])
    except (ValueError, RecursionError, KeyError, TypeError):
        return body[:_SHOWN].decode(errors="replace")


def _decimal(degrees: float) -> str:
    return format(Decimal(repr(degrees)), "f")

"""One request to Open-Meteo, and the outcome that its response means.

A 400 is final. A 429 closes a quota window or means too many concurrent requests. A 5xx and a body that
does not decode are retried.
"""

import codecs
import hashlib
import json
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import get_args

import msgspec
import requests
import urllib3
from msgspec import Raw

from functions.core.cities import City
from functions.core.errors import InvalidInputError, TransientError, UpstreamContractError
from functions.core.observability import logger
from functions.core.quota import Window
from functions.core.run import Run
from functions.core.text import IN_RAW_OBJECT, excerpt, quoted
from functions.ingest.failures import json_value, reason_of
from functions.ingest.transport import Connections, Session

# A request ends within this time, however slowly its bytes arrive.
REQUEST_SECONDS = 120.0
_CONNECT_SECONDS, _READ_SECONDS = 10, 30
_LARGEST_BODY = 64 << 20
_CHUNK = 1 << 18
_TYPE_LENGTH = 100
_HIDDEN = "[API key]"
# The arrays and objects of a response: at most 1,000 locations have a dozen each. A body of 64 MB that consists of them
# takes more than a gigabyte when it is decoded.
_MOST_CONTAINERS = 100_000
# The largest response has 13 MB; one that only Python's json decodes takes up to twelve times its size.
_LARGEST_FOR_PYTHON = 16 << 20
# NaN, Infinity, halves of surrogate pairs (escaped, or as UTF-8), a byte order mark, UTF-16 and UTF-32.
_ACCEPTED_BY_PYTHON = (b"NaN", b"Infinity", rb"\ud", rb"\uD", b"\xed", b"\xef\xbb\xbf", b"\0")
_INVALID_ADDRESS = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
)

# Reasons of a 400 that the request causes, not one of its locations: smaller batches would fail too.
_ABOUT_THE_REQUEST = ("start_date", "end_date", "Cannot initialize", "timezone", "must have the same number", "API key")
_TOO_MUCH = ("too much data", "locations can be requested at once")

# A downloaded body stays in the array that it was read into: a copy would double the memory of a large response.
Body = bytes | bytearray


@dataclass(frozen=True, slots=True)
class Download:
    """A response as it was received; ``sha256`` is of its body."""

    status: int
    content_type: str
    body: Body
    sha256: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """A body that decodes; Transform checks it against the request."""

    body: Body
    sha256: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """A 400 that one of the locations caused."""

    body: Body
    sha256: str


@dataclass(frozen=True, slots=True)
class TooLarge:
    """The request is larger than the host serves."""

    reason: str


@dataclass(frozen=True, slots=True)
class QuotaClosed:
    """A quota window is used up."""

    window: Window
    reason: str


@dataclass(frozen=True, slots=True)
class Unusable:
    """An unusable response: the body to store, and the error to raise then."""

    error: TransientError | UpstreamContractError
    body: Body


Outcome = Accepted | Rejected | TooLarge | QuotaClosed | Unusable


def request_address(host: str, run: Run, cities: Sequence[City]) -> str:
    """Return the address of a request: always with times in GMT, never with an API key."""
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
    """A client that sends one request at a time, as the free hosts require."""

    def __init__(self, api_key: str | None = None) -> None:
        self._session = Session()
        self._session.headers["User-Agent"] = "ikirere/0.1"
        self._connections = Connections()
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, self._connections)
        self._api_key = api_key
        if api_key:
            self._session.headers["X-Api-Key"] = api_key

    def get(self, url: str) -> Outcome:
        """Send one request, return its outcome. Raises TransientError, InvalidInputError or UpstreamContractError."""
        started = time.monotonic()
        try:
            with self._connections.deadline(REQUEST_SECONDS) as is_over:
                download = self._download(url, is_over)
        except _INVALID_ADDRESS as error:
            raise InvalidInputError(
                f"{url}: is not a valid address, check OPEN_METEO_*_URL: {excerpt(error)}"
            ) from error
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            if is_over.is_set():
                raise _incomplete(url) from error
            raise TransientError(f"{url}: {excerpt(_connection_reason(error))}") from error
        logger.info(
            "response from Open-Meteo",
            address=url, status=download.status, bytes=len(download.body),
            request_seconds=round(time.monotonic() - started, 3),
        )  # fmt: skip
        return self._outcome(url, download)

    def _download(self, url: str, is_over: threading.Event) -> Download:
        timeouts = (_CONNECT_SECONDS, _READ_SECONDS)
        with self._session.get(url, timeout=timeouts, stream=True, allow_redirects=False) as response:
            body, digest = bytearray(), hashlib.sha256()
            # read1 returns the bytes received so far, decompressed up to the size of a chunk
            while chunk := response.raw.read1(_CHUNK, decode_content=True):
                body += chunk
                digest.update(chunk)
                if len(body) > _LARGEST_BODY:
                    raise UpstreamContractError(
                        f"{url}: the response is larger than {_LARGEST_BODY >> 20} MB; start the run "
                        "with a shorter window"
                    )
            if is_over.is_set():
                # a body without a length ends where its connection does
                raise _incomplete(url)
            return Download(
                response.status_code, response.headers.get("Content-Type", ""), body, sha256=digest.hexdigest()
            )

    def _outcome(self, url: str, download: Download) -> Outcome:
        status, body = download.status, download.body
        repeats_key = bool(self._api_key) and str(self._api_key).encode() in body
        if status == 200 and repeats_key:
            # of accepted data later messages repeat parts
            return Unusable(UpstreamContractError(f"{url}: 200: the response repeats the API key"), body)
        if status == 200 and _is_data(body):
            return Accepted(body, download.sha256)
        whole = self._without_key(reason_of(body))
        reason = excerpt(whole)
        message = f"{url}: {status}: {reason}"
        if status == 200:
            kind = excerpt(self._without_key(download.content_type), _TYPE_LENGTH) or "no type"
            said = quoted(whole, rest=IN_RAW_OBJECT)
            return Unusable(TransientError(f"{url}: 200 with {kind} that does not decode to data: {said}"), body)
        if status == 400:
            if any(part in reason for part in _TOO_MUCH):
                return TooLarge(reason)
            if any(part in reason for part in _ABOUT_THE_REQUEST) or repeats_key:
                raise InvalidInputError(f"{message}; correct the window or the variables of the event")
            return Rejected(body, download.sha256)
        if status in (413, 414):
            return TooLarge(reason)
        if status in (401, 403):
            raise InvalidInputError(
                f"{message}; check the API key and the plan (OPEN_METEO_API_KEY_SECRET, the host's address)"
            )
        if status == 429:
            for window in get_args(Window):
                if window in reason.lower():
                    return QuotaClosed(window, reason)
            raise TransientError(message)
        if status >= 500 or status == 408:
            raise TransientError(message)
        return Unusable(UpstreamContractError(f"{url}: {status}: {excerpt(whole, rest=IN_RAW_OBJECT)}"), body)

    def _without_key(self, said: object) -> object:
        """Return what the host said without the API key, should it repeat it."""
        if not self._api_key:
            return said
        if isinstance(said, bytes | bytearray):
            return said.replace(self._api_key.encode(), _HIDDEN.encode())
        return str(said).replace(self._api_key, _HIDDEN)


def _incomplete(url: str) -> TransientError:
    return TransientError(f"{url}: incomplete after {REQUEST_SECONDS:g} seconds")


def _is_data(body: Body) -> bool:
    """Return whether the body decodes to data. A 200 can have HTML, nothing, or JSON that an error truncated.

    msgspec checks JSON without Python objects of its values, but not the UTF-8 of what it skips.
    """
    if body.count(b"[") + body.count(b"{") > _MOST_CONTAINERS:
        return False
    try:
        decoded = msgspec.json.decode(body, type=list[Raw] | dict[str, Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _is_data_for_python(body)
    if not _is_utf8(body):
        return _is_data_for_python(body)
    try:
        return isinstance(decoded, list) or not json_value(decoded.get("error"))
    except (ValueError, RecursionError):  # of thousands of digits or arrays in arrays
        return False


def _is_data_for_python(body: Body) -> bool:
    """Return whether Python's json decodes a body to data that msgspec does not decode.

    Only a body with something that Python alone accepts is decoded: the objects of a large one take much memory.
    """
    if len(body) > _LARGEST_FOR_PYTHON or not any(each in body for each in _ACCEPTED_BY_PYTHON):
        return False
    try:
        # of an integer of thousands of digits int fails, float does not
        decoded = json.loads(body, parse_int=float)
    except (ValueError, RecursionError):
        return False
    return isinstance(decoded, list) or (isinstance(decoded, dict) and not decoded.get("error"))


def _is_utf8(body: Body) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    view = memoryview(body)
    try:
        for begin in range(0, len(view), _CHUNK):
            decoder.decode(view[begin : begin + _CHUNK])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _connection_reason(error: Exception) -> object:
    """The reason in an error of requests, whose own text repeats the address."""
    cause = error.args[0] if error.args else None
    return getattr(cause, "reason", None) or error


def _decimal(degrees: float) -> str:
    return format(Decimal(repr(degrees)), "f")

"""A DHIS2 server: its address, the personal access token, and one request that imports data values.

The token (https://docs.dhis2.org/en/develop/using-the-api/dhis-core-version-master/introduction.html) is sent in a
header to that host only: no redirect is followed, TLS is verified, http is for this machine only. It is in no message.
"""

import json
import threading
from collections.abc import Sequence

import requests
import urllib3

from deployment.errors import UserError
from functions.core.text import excerpt
from functions.ingest.transport import Connections, Session, host_of
from operations.dhis2.import_summary import Json, summary_of
from operations.dhis2.values import DataValue

TOKEN_VARIABLE = "DHIS2_TOKEN"  # noqa: S105  # the name of a variable
_PATH = "/api/dataValueSets"
# CREATE_AND_UPDATE: a value that is there is changed, so that a second post of the same values changes nothing.
_OPTIONS = "importStrategy=CREATE_AND_UPDATE&async=false"
# A server imports some thousand values in seconds; an overloaded one in minutes.
REQUEST_SECONDS = 600.0
_CONNECT_SECONDS, _READ_SECONDS = 10, 300
_CHUNK = 1 << 16
# A refused batch has a conflict for each value, of less than a kilobyte and three arrays and objects.
_LARGEST_BODY = 16 << 20
_MOST_CONTAINERS = 200_000
_HIDDEN = "[token]"


class _TokenAuth(requests.auth.AuthBase):
    """The header with the token; with it requests does not look for another login in ~/.netrc."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"ApiToken {self._token}"
        return request


class Dhis2:
    """A server of DHIS2. Raises UserError for an address or token that cannot be one, which it does not repeat."""

    def __init__(self, address: str, token: str | None) -> None:
        self._address = _checked_address(address)
        self._token = _checked_token(token)
        self._session = Session()
        self._session.headers.update({"User-Agent": "ikirere/0.1", "Accept": "application/json"})
        self._session.auth = _TokenAuth(self._token)
        if self._address.lower().startswith("http:"):
            # this machine: a proxy of the environment would get the token, readable
            self._session.trust_env = False
        self._connections = Connections()
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, self._connections)

    def import_values(self, values: Sequence[DataValue], data_set: str | None, *, is_dry_run: bool) -> Json:
        """Import values, or only check them; the import summary. Raises UserError when the server sends none."""
        document = {**({"dataSet": data_set} if data_set else {}), "dataValues": [each.document() for each in values]}
        url = f"{self._address}{_PATH}?{_OPTIONS}&dryRun={'true' if is_dry_run else 'false'}"
        try:
            with self._connections.deadline(REQUEST_SECONDS) as is_over:
                status, body = self._post(url, json.dumps(document).encode(), is_over)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise UserError(
                f"DHIS2 {self._address}: does not respond ({self.said(_reason(error))}); check the address, then repeat"
            ) from error
        return self._summary(status, body)

    def said(self, text: object) -> str:
        """Return an excerpt of what the server says, without the token."""
        return excerpt(str(text).replace(self._token, _HIDDEN))

    def _post(self, url: str, body: bytes, is_over: threading.Event) -> tuple[int, bytes]:
        with self._session.post(
            url,
            data=body,
            headers={"Content-Type": "application/json"},
            timeout=(_CONNECT_SECONDS, _READ_SECONDS),
            stream=True,
            allow_redirects=False,
        ) as response:
            received = bytearray()
            while chunk := response.raw.read1(_CHUNK, decode_content=True):
                received += chunk
                if len(received) > _LARGEST_BODY:
                    raise UserError(
                        f"DHIS2 {self._address}: sent more than {_LARGEST_BODY >> 20} MB; check the address"
                    )
            if is_over.is_set():
                raise TimeoutError(f"incomplete after {REQUEST_SECONDS:g} seconds")
            return response.status_code, bytes(received)

    def _summary(self, status: int, body: bytes) -> Json:
        document = _decoded(body)
        summary = summary_of(document)
        # a refusal of values is a 409 with a summary, or a 200 of an earlier version
        if summary is not None and status in (200, 409):
            return summary
        message = document.get("message") if isinstance(document, dict) else None
        said = f": {self.said(message)}" if message else ""
        place = f"DHIS2 {self._address}: {status}"
        if status == 401:
            raise UserError(f"{place}{said}; the token in {TOKEN_VARIABLE} is wrong or expired, make another in DHIS2")
        if status == 403:
            raise UserError(f"{place}{said}; the user of the token needs the right to import data values")
        if 300 <= status < 400:
            raise UserError(f"{place}: redirects elsewhere, which is not followed; give the server's own address")
        if status >= 500 or status in (408, 429):
            raise UserError(f"{place}{said}; the server is busy or has a fault, repeat later")
        if status in (200, 404, 405):
            raise UserError(f"{place}{said}; there is no {_PATH} of DHIS2, check the address")
        raise UserError(f"{place}{said}; DHIS2 does not accept the request")


def _checked_address(address: str) -> str:
    host = host_of(address)
    if host is None:
        raise UserError("--post: is not the address of a server: expected https://host/path without user and query")
    if host.is_link_local:
        raise UserError("--post: is a link-local address, which is that of cloud metadata; expected a server of DHIS2")
    if not host.is_encrypted and not host.is_this_machine:
        raise UserError("--post: is not https: the token would be sent readable; only this machine may be http")
    return address.rstrip("/").removesuffix(_PATH).removesuffix("/api")


def _checked_token(token: str | None) -> str:
    if not token:
        raise UserError(f"--post needs a personal access token of DHIS2 in the environment variable {TOKEN_VARIABLE}")
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise UserError(f"{TOKEN_VARIABLE} has a character that no token has; copy the token again")
    return token


def _decoded(body: bytes) -> object:
    if body.count(b"[") + body.count(b"{") > _MOST_CONTAINERS:
        return None
    try:
        decoded: object = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return decoded


def _reason(error: Exception) -> object:
    """The reason in an error of requests, whose own text repeats the address."""
    cause = error.args[0] if error.args else None
    return getattr(cause, "reason", None) or error

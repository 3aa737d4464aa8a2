"""Metabase's REST API, as far as the provisioning uses it."""

import time
from typing import Any

import requests

_TIMEOUT_SECONDS = 30


class MetabaseError(Exception):
    """Metabase rejected a request or sent no usable response; the text names the request and the response."""


class Metabase:
    """A Metabase server; ``writes`` lists the POST and PUT requests, except the sign-in."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._http = requests.Session()
        self.writes: list[str] = []

    def wait(self, seconds: float) -> dict[str, Any]:
        """Wait until health and session endpoints respond; return the session properties. Raises MetabaseError."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                self.get("/api/health")
                properties: dict[str, Any] = self.get("/api/session/properties")
            except MetabaseError as error:
                if time.monotonic() > deadline:
                    raise MetabaseError(
                        f"{error}; Metabase was not ready within {seconds:g} s; repeat once it is"
                    ) from error
                time.sleep(1)
            else:
                return properties

    def sign_in(self, email: str, password: str) -> None:
        """Sign in as that user for all later requests. Raises MetabaseError when the server rejects them."""
        session = self._request("POST", "/api/session", {"username": email, "password": password})
        self._http.headers["X-Metabase-Session"] = session["id"]

    def get(self, path: str) -> Any:
        return self._request("GET", path)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        self.writes.append(f"POST {path}")
        return self._request("POST", path, body)

    def put(self, path: str, body: dict[str, Any]) -> Any:
        self.writes.append(f"PUT {path}")
        return self._request("PUT", path, body)

    def _request(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        try:
            response = self._http.request(method, self._url + path, json=body, timeout=_TIMEOUT_SECONDS)
        except requests.RequestException as error:
            raise MetabaseError(
                f"{self._url}: does not respond ({type(error).__name__}); is METABASE_URL right?"
            ) from error
        if not response.ok:
            raise MetabaseError(
                f"{method} {self._url}{path}: rejected with {response.status_code}: {response.text[:300]}"
            )
        try:
            return response.json() if response.content else None
        except ValueError as error:
            raise MetabaseError(
                f"{method} {self._url}{path}: sent no JSON: {response.text[:100]!r}; is METABASE_URL right?"
            ) from error

"""Metabase's REST API, as far as the provisioning uses it."""

import time
from typing import Any

import requests

_SECONDS = 30


class MetabaseError(Exception):
    """Metabase refused or did not answer; the text says what was asked, what came, and what to do next."""


class Metabase:
    """A server; ``writes`` lists the requests that changed something, sign-in aside."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._http = requests.Session()
        self.writes: list[str] = []

    def wait(self, seconds: float) -> dict[str, Any]:
        """The session properties, once the server has them: its health is good before its endpoints are."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                self.get("/api/health")
                properties: dict[str, Any] = self.get("/api/session/properties")
            except MetabaseError as error:
                if time.monotonic() > deadline:
                    raise MetabaseError(f"{error}; Metabase was not ready within {seconds:g} s") from error
                time.sleep(1)
            else:
                return properties

    def sign_in(self, email: str, password: str) -> None:
        """Be that user from now on. Raises MetabaseError when the server does not know them."""
        session = self._ask("POST", "/api/session", {"username": email, "password": password})
        self._http.headers["X-Metabase-Session"] = session["id"]

    def get(self, path: str) -> Any:
        return self._ask("GET", path)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        self.writes.append(f"POST {path}")
        return self._ask("POST", path, body)

    def put(self, path: str, body: dict[str, Any]) -> Any:
        self.writes.append(f"PUT {path}")
        return self._ask("PUT", path, body)

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        try:
            answer = self._http.request(method, self._url + path, json=body, timeout=_SECONDS)
        except requests.RequestException as error:
            raise MetabaseError(
                f"{self._url}: does not answer ({type(error).__name__}); is METABASE_URL right?"
            ) from error
        if not answer.ok:
            raise MetabaseError(f"{method} {self._url}{path}: {answer.status_code}: {answer.text[:300]}")
        try:
            return answer.json() if answer.content else None
        except ValueError as error:
            raise MetabaseError(f"{method} {self._url}{path}: did not answer JSON: {answer.text[:100]!r}") from error

"""The stand-in as a server."""

import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from open_meteo_stand_in import contract, faults
from open_meteo_stand_in.contract import RejectedError
from open_meteo_stand_in.faults import Fault
from open_meteo_stand_in.limits import Limits
from open_meteo_stand_in.weather import SOURCES

_PATHS = {"/v1/forecast": False, "/v1/archive": True}


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """A request that the stand-in received, and the status of its response."""

    path: str
    parameters: dict[str, str]
    status: int


class StandIn:
    """The stand-in, as a context manager. ``faults`` and ``requests`` may be read and changed while it runs."""

    def __init__(
        self, weather: str = "synthetic", *, host: str = "127.0.0.1", port: int = 0, quota: bool = True
    ) -> None:
        self.weather = SOURCES[weather]
        self.limits = Limits(quota)
        self.faults: list[Fault] = []
        self.requests: list[ReceivedRequest] = []
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer((host, port), _handler(self))
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def serve(self) -> None:
        """Serve until ``stop``."""
        self._server.serve_forever(poll_interval=0.1)

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> "StandIn":
        threading.Thread(target=self.serve, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def matching_faults(self, parameters: dict[str, str]) -> list[Fault]:
        """The faults of this request: document faults, up to and including the first of another kind."""
        latitudes = [float(text) for text in parameters.get("latitude", "").split(",") if _is_number(text)]
        matching: list[Fault] = []
        with self._lock:
            for fault in self.faults:
                in_document = fault.kind in faults.DOCUMENT or fault.kind == "wrong_count"
                if (in_document or not matching) and fault.occurs(latitudes):
                    matching.append(fault)
                    if not in_document:
                        break
        return matching

    def documents(self, parameters: dict[str, str], archive: bool, active: list[Fault]) -> list[dict[str, Any]]:
        """Return the documents of the response, changed by the active faults. Raises RejectedError."""
        self.limits.check()
        today = datetime.now(UTC).date()
        try:
            request = contract.parse_request(parameters, archive, self.weather, today)
        except RejectedError:
            self.limits.count(1)
            raise
        self.limits.count(request.weight)
        documents = contract.response_documents(request, self.weather)
        for fault in active:
            for place, document in zip(request.places, documents, strict=False):
                if fault.kind in faults.DOCUMENT and fault.latitude in (None, place[0]):
                    faults.DOCUMENT[fault.kind](document)
            if fault.kind == "wrong_count":
                documents = documents[:-1]
        return documents


def _as_json(value: Any) -> tuple[str, bytes]:
    """Return the content type and the body of a JSON response."""
    return "application/json; charset=utf-8", json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _handler(stand_in: StandIn) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:  # http.server's name
            address = urlsplit(self.path)
            if address.path == "/health":
                first, last = stand_in.weather.window(False, datetime.now(UTC).date())
                health = {"weather": stand_in.weather.name, "start": str(first), "end": str(last)}
                self._send(200, *_as_json(health))
            elif address.path == "/_standin/faults":
                self._send(200, *_as_json([asdict(fault) for fault in stand_in.faults]))
            else:
                self._respond(address.path, dict(parse_qsl(address.query, keep_blank_values=True)))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.path == "/_standin/faults":
                try:
                    stand_in.faults[:] = [Fault(**fault) for fault in json.loads(body)]
                except (ValueError, TypeError) as error:
                    self._send(400, *_as_json({"error": True, "reason": str(error)}))
                    return
                self._send(200, *_as_json([asdict(fault) for fault in stand_in.faults]))
            else:
                self._respond(urlsplit(self.path).path, dict(parse_qsl(body.decode(), keep_blank_values=True)))

        def do_DELETE(self) -> None:
            stand_in.faults.clear()
            self._send(200, *_as_json([]))

        def _respond(self, path: str, parameters: dict[str, str]) -> None:
            def send(status: int, content_type: str, body: bytes, **transport: Any) -> None:
                # before sending: a client that has the response may read the list at once
                stand_in.requests.append(ReceivedRequest(path, parameters, status))
                self._send(status, content_type, body, **transport)

            try:
                if path not in _PATHS:
                    raise RejectedError(404, "Not Found")
                with stand_in.limits.request():
                    self._weather(path, parameters, send)
            except RejectedError as error:
                send(error.status, *_as_json({"error": True, "reason": error.reason}))

        def _weather(self, path: str, parameters: dict[str, str], send: Callable[..., None]) -> None:
            active = stand_in.matching_faults(parameters)
            kinds = {fault.kind: fault for fault in active}
            for kind in kinds:
                if kind in faults.ERRORS:
                    raise RejectedError(*faults.ERRORS[kind])
                if kind in faults.BODIES:
                    status, text = faults.BODIES[kind]
                    send(status, "text/html", text.encode())
                    return
            documents = stand_in.documents(parameters, _PATHS[path], active)
            content_type, body = _as_json(documents[0] if len(documents) == 1 else documents)
            if "slow" in kinds:
                time.sleep(min(kinds["slow"].seconds, 60))
            if "truncated" in kinds:
                body = body[: len(body) // 2] + faults.STREAM_BROKE.encode()
            send(200, content_type, body, pace=0.05 if "trickle" in kinds else 0.0, breaks="reset" in kinds)

        def _send(
            self, status: int, content_type: str, body: bytes, *, pace: float = 0.0, breaks: bool = False
        ) -> None:
            """Send a response: one byte every ``pace`` seconds if given; with ``breaks`` only its first half."""
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if pace:
                with suppress(OSError):
                    for byte in body:
                        self.wfile.write(bytes([byte]))
                        time.sleep(pace)
            elif breaks:
                self.wfile.write(body[: len(body) // 2])
                self.close_connection = True
            else:
                self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # http.server's name
            """Write no log: ``requests`` lists the received requests."""

    return Handler

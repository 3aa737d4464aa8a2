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

from emulator.openmeteo import contract, faults
from emulator.openmeteo.contract import RefusedError
from emulator.openmeteo.faults import Fault
from emulator.openmeteo.limits import Limits
from emulator.openmeteo.weather import SOURCES

_PATHS = {"/v1/forecast": False, "/v1/archive": True}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that came, and the status it was answered with."""

    path: str
    parameters: dict[str, str]
    status: int


class StandIn:
    """A running stand-in; a context manager. ``faults`` and ``requests`` may be read and changed while it runs."""

    def __init__(
        self, weather: str = "synthetic", *, host: str = "127.0.0.1", port: int = 0, quota: bool = True
    ) -> None:
        self.weather = SOURCES[weather]
        self.limits = Limits(quota)
        self.faults: list[Fault] = []
        self.requests: list[Asked] = []
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

    def struck(self, parameters: dict[str, str]) -> list[Fault]:
        """The faults that strike this request: the first that answers for the host, and all that spoil its answer."""
        latitudes = [float(text) for text in parameters.get("latitude", "").split(",") if _is_number(text)]
        chosen: list[Fault] = []
        with self._lock:
            for fault in self.faults:
                spoils = fault.kind in faults.DOCUMENT or fault.kind == "wrong_count"
                if (spoils or not chosen) and fault.strikes(latitudes):
                    chosen.append(fault)
                    if not spoils:
                        break
        return chosen

    def documents(self, parameters: dict[str, str], archive: bool, spoilers: list[Fault]) -> list[dict[str, Any]]:
        """The answer's documents. Raises RefusedError."""
        self.limits.check()
        today = datetime.now(UTC).date()
        try:
            question = contract.understand(parameters, archive, self.weather, today)
        except RefusedError:
            self.limits.count(1)
            raise
        self.limits.count(question.weight)
        found = contract.answers(question, self.weather)
        for fault in spoilers:
            for place, document in zip(question.places, found, strict=False):
                if fault.kind in faults.DOCUMENT and fault.latitude in (None, place[0]):
                    faults.DOCUMENT[fault.kind](document)
            if fault.kind == "wrong_count":
                found = found[:-1]
        return found


def _as_json(value: Any) -> tuple[str, bytes]:
    """A value as the host sends it: content type and body."""
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
                told = {"weather": stand_in.weather.name, "start": str(first), "end": str(last)}
                self._send(200, *_as_json(told))
            elif address.path == "/_standin/faults":
                self._send(200, *_as_json([asdict(fault) for fault in stand_in.faults]))
            else:
                self._answer(address.path, dict(parse_qsl(address.query, keep_blank_values=True)))

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
                self._answer(urlsplit(self.path).path, dict(parse_qsl(body.decode(), keep_blank_values=True)))

        def do_DELETE(self) -> None:
            stand_in.faults.clear()
            self._send(200, *_as_json([]))

        def _answer(self, path: str, parameters: dict[str, str]) -> None:
            def send(status: int, content_type: str, body: bytes, **transport: Any) -> None:
                # before the answer: who has it may look here at once
                stand_in.requests.append(Asked(path, parameters, status))
                self._send(status, content_type, body, **transport)

            try:
                if path not in _PATHS:
                    raise RefusedError(404, "Not Found")
                with stand_in.limits.request():
                    self._weather(path, parameters, send)
            except RefusedError as refused:
                send(refused.status, *_as_json({"error": True, "reason": refused.reason}))

        def _weather(self, path: str, parameters: dict[str, str], send: Callable[..., None]) -> None:
            struck = stand_in.struck(parameters)
            kinds = {fault.kind: fault for fault in struck}
            for kind in kinds:
                if kind in faults.ERRORS:
                    raise RefusedError(*faults.ERRORS[kind])
                if kind in faults.BODIES:
                    status, text = faults.BODIES[kind]
                    send(status, "text/html", text.encode())
                    return
            documents = stand_in.documents(parameters, _PATHS[path], struck)
            content_type, body = _as_json(documents[0] if len(documents) == 1 else documents)
            if "slow" in kinds:
                time.sleep(min(kinds["slow"].seconds, 60))
            if "truncated" in kinds:
                body = body[: len(body) // 2] + faults.STREAM_BROKE.encode()
            send(200, content_type, body, pace=0.05 if "trickle" in kinds else 0.0, breaks="reset" in kinds)

        def _send(
            self, status: int, content_type: str, body: bytes, *, pace: float = 0.0, breaks: bool = False
        ) -> None:
            """Answer; with a ``pace``, byte by byte with so many seconds between them; or break off halfway."""
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
            """Silent: what was asked is in ``requests``."""

    return Handler

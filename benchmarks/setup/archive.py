"""Open-Meteo's archive as a process on 127.0.0.1: a workload's documents, prepared before the first request.

``python -m benchmarks.setup.archive SIZE`` prints its address and serves until its standard input ends, so that it
never outlives the bench that started it.
"""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from benchmarks.setup.workload import SIZES, VARIABLES, Workload, workload


class Archive:
    """The bodies of a workload by place and window."""

    def __init__(self, made: Workload) -> None:
        self._made = made
        self._city_ids = {
            (float(city["latitude"]), float(city["longitude"])): city["city_id"] for city in made.cities()
        }
        self._bodies: dict[tuple[str, str, str], bytes] = {}
        windows = [(str(start), str(end)) for start, end in made.size.windows()]
        for city_id in self._city_ids.values():
            document = made.document(city_id)
            bodies = [document] if len(windows) == 1 else _cut(document, windows)
            self._bodies |= {(city_id, *window): body for window, body in zip(windows, bodies, strict=True)}

    def body(self, query: dict[str, str]) -> bytes:
        """Return the body for a request: an object for one place, a list for several. Raises KeyError, ValueError."""
        if query["hourly"].split(",") != list(VARIABLES) or query.get("timezone", "GMT") != "GMT":
            raise ValueError("this archive has the five variables of a workload, in GMT")
        places = zip(*(map(float, query[name].split(",")) for name in ("latitude", "longitude")), strict=True)
        bodies = [self._body(self._city_ids[place], query["start_date"], query["end_date"]) for place in places]
        if len(bodies) == 1:
            return bodies[0]
        numbered = [b'{"location_id":%d,' % n + body[1:] if n else body for n, body in enumerate(bodies)]
        return b"[" + b",".join(numbered) + b"]"

    def _body(self, city_id: str, start: str, end: str) -> bytes:
        key = city_id, start, end
        if key not in self._bodies:
            # a window that no run of the size has: cut once, at the cost of the one who asks
            (self._bodies[key],) = _cut(self._made.document(city_id), [(start, end)])
        return self._bodies[key]


def _cut(document: bytes, windows: list[tuple[str, str]]) -> list[bytes]:
    """Return the document for each window, with the hours of that window only. Raises ValueError for hours it lacks."""
    decoded = json.loads(document)
    hourly = decoded["hourly"]
    bodies = []
    for start, end in windows:
        first, last = hourly["time"].index(f"{start}T00:00"), hourly["time"].index(f"{end}T23:00")
        part = {name: values[first : last + 1] for name, values in hourly.items()}
        bodies.append(json.dumps({**decoded, "hourly": part}, separators=(",", ":"), ensure_ascii=False).encode())
    return bodies


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    archive: Archive

    def do_GET(self) -> None:  # http.server's name
        query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        try:
            status, body = 200, self.archive.body(query)
        except (KeyError, ValueError) as error:
            status, body = 400, json.dumps({"error": True, "reason": repr(error)}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # http.server's name
        pass


def main() -> int:
    _Handler.archive = Archive(workload(SIZES[sys.argv[1]]))
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
    return 0


if __name__ == "__main__":
    sys.exit(main())

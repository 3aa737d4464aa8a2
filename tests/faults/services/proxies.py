"""Proxies in front of S3 and Postgres that fail at a chosen request or message."""

import http.client
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from faults.histories import DatabaseFault, StorageFault

_ERROR = (
    "<?xml version='1.0' encoding='UTF-8'?><Error><Code>{0}</Code><Message>Injected.</Message>"
    "<RequestId>0</RequestId></Error>"
)
_SLOW_SECONDS = 0.2


class StorageProxy:
    """S3 for one process: ``arm`` says what happens to which of its next requests."""

    def __init__(self, upstream: Callable[[], int], kill: Callable[[], None]) -> None:
        self._upstream, self._kill = upstream, kill
        self._faults: list[StorageFault] = []
        self._count = 0
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _storage_handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def arm(self, faults: Sequence[StorageFault]) -> None:
        with self._lock:
            self._faults, self._count = list(faults), 0

    def action(self) -> str:
        """What happens to the request that has just arrived."""
        with self._lock:
            number = self._count
            self._count += 1
        for fault in self._faults:
            if fault.request <= number < fault.request + fault.times:
                return fault.action
        return ""

    def kill(self) -> None:
        self._kill()

    def upstream(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self._upstream(), timeout=30)


def _storage_handler(proxy: StorageProxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def handle_expect_100(self) -> bool:
            super().handle_expect_100()
            # the client waits for it before it sends the body
            self.wfile.flush()
            return True

        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            action = proxy.action()
            if action == "slow":
                time.sleep(_SLOW_SECONDS)
            if action == "kill before":
                proxy.kill()
            if action in ("cut before", "kill before"):
                self.close_connection = True
                return
            if action == "error before":
                self._error(503, "SlowDown")
                return
            if action == "denied":
                self._error(403, "AccessDenied")
                return
            status, headers, content = self._forward(body)
            if action == "kill after":
                proxy.kill()
            if action in ("cut after", "kill after"):
                self.close_connection = True
                return
            if action == "error after":
                self._error(500, "InternalError")
                return
            self.send_response_only(status)
            for name, value in headers:
                if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                    self.send_header(name, value)
            length = {name.lower(): value for name, value in headers}.get("content-length", len(content))
            self.send_header("Content-Length", str(length if self.command == "HEAD" else len(content)))
            self.end_headers()
            if action == "cut in body":
                content = content[: len(content) // 2]
                self.close_connection = True
            self.wfile.write(content)
            self.wfile.flush()

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _handle  # noqa: N815  # http.server's names

        def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
            headers = {name: value for name, value in self.headers.items() if name.lower() != "expect"}
            with suppress(AttributeError, OSError, http.client.HTTPException):
                return self._exchange(self.connection_upstream, body, headers)
            self.connection_upstream = proxy.upstream()
            return self._exchange(self.connection_upstream, body, headers)

        def _exchange(
            self, connection: http.client.HTTPConnection, body: bytes, headers: Any
        ) -> tuple[int, list[tuple[str, str]], bytes]:
            connection.request(self.command, self.path, body or None, headers)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()

        def finish(self) -> None:
            with suppress(OSError):
                super().finish()
            with suppress(AttributeError):
                self.connection_upstream.close()

        def _error(self, status: int, code: str) -> None:
            content = b"" if self.command == "HEAD" else _ERROR.format(code).encode()
            self.send_response_only(status)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            self.wfile.flush()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # http.server's name
            """Write no log."""

    return Handler


class DatabaseProxy:
    """Postgres for one process: it reads the messages that the client sends, and fails at the armed one."""

    def __init__(
        self,
        upstream: Callable[[], int],
        kill: Callable[[], None],
        terminate: Callable[[int], None],
        restart: Callable[[], None],
    ) -> None:
        self._upstream, self._kill, self._terminate, self._restart = upstream, kill, terminate, restart
        self._fault: DatabaseFault | None = None
        self._count = 0
        self.has_fired = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def arm(self, fault: DatabaseFault | None) -> None:
        self._fault, self._count, self.has_fired = fault, 0, False

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            server = socket.create_connection(("127.0.0.1", self._upstream()), timeout=10)
            server.settimeout(None)
            with server:
                threading.Thread(target=_copy_bytes, args=(server, client), daemon=True).start()
                self._forward(client, server)
                _shut(server)

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        received, is_started = b"", False
        while chunk := client.recv(1 << 16):
            received += chunk
            while True:
                prefix = 1 if is_started else 0
                if len(received) < prefix + 4:
                    break
                size = prefix + struct.unpack("!I", received[prefix : prefix + 4])[0]
                if len(received) < size:
                    break
                message, received = received[:size], received[size:]
                action = self._action(message) if is_started else ""
                is_started = True
                if not self._send(message, action, client, server):
                    return

    def _send(self, message: bytes, action: str, client: socket.socket, server: socket.socket) -> bool:
        """Forward a message as the fault wants it; return whether the connection goes on."""
        if action == "kill before":
            self._kill()
        if action.endswith("before"):
            _shut(client)
            return False
        if action == "terminate":
            self._terminate(server.getsockname()[1])
        if action == "restart":
            self._restart()
        server.sendall(message)
        if action.endswith("after"):
            if action == "kill after":
                self._kill()
            _shut(client)
            return False
        return True

    def _action(self, message: bytes) -> str:
        fault = self._fault
        if fault is None or self.has_fired or not _is_at(fault.point, message):
            return ""
        self._count += 1
        if self._count <= fault.place:
            return ""
        self.has_fired = True
        return fault.action


def _is_at(point: str, message: bytes) -> bool:
    match point:
        case "commit":
            return re.match(rb"Q.{4}COMMIT", message, re.DOTALL) is not None
        case "copy":
            return message[:1] == b"d"
        case _:
            return message[:1] == b"Q"


def _copy_bytes(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while chunk := source.recv(1 << 16):
            target.sendall(chunk)
    _shut(target)


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)

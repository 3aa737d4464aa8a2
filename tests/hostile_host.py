"""A host that sends what a test wants, byte by byte, and a client in a process of its own whose memory is measured."""

import json
import socket
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).parents[1]
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
_CLIENT = """
import json, sys
from pathlib import Path
from functions.core.errors import PipelineError
from functions.ingest.failures import reason_of
from functions.ingest.open_meteo import OpenMeteo
def megabytes(name):
    # of this process: ru_maxrss would begin with that of the process that started it
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1024

client = OpenMeteo("c4n4ry")
before = megabytes("VmRSS")
try:
    outcome = client.get(sys.argv[1])
    shown = f"{type(outcome).__name__} {getattr(outcome, 'error', '')!r}"
except PipelineError as error:
    shown = f"{type(error).__name__} {error}"
print(json.dumps([shown, megabytes("VmHWM") - before]))
"""


class HostileHost:
    """``url`` of a server that sends to each client the pieces that ``send`` yields, until the client has gone."""

    def __init__(self, send: Callable[[], Iterator[bytes]]) -> None:
        self._send = send
        self._server = socket.create_server(("127.0.0.1", 0))
        self._ended = threading.Event()
        self.received: list[bytes] = []
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}/v1/forecast"

    def __enter__(self) -> "HostileHost":
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        # wakes the thread that accepts
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                threading.Thread(target=self._respond, args=(client,), daemon=True).start()

    def _respond(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            request = b""
            while b"\r\n\r\n" not in request:
                if not (read := client.recv(65536)):
                    return
                request += read
            self.received.append(request)
            for piece in self._send():
                if self._ended.is_set():
                    return
                client.sendall(piece)


def client_of(url: str) -> tuple[str, float]:
    """The outcome of a request in a process of its own, and the MB by which it made that process grow."""
    done = subprocess.run(
        [sys.executable, "-c", _CLIENT, url], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    outcome, grown = json.loads(done.stdout.splitlines()[-1])
    assert "c4n4ry" not in done.stdout + done.stderr
    return outcome, grown


def packed(kind: str, body: Iterator[bytes]) -> Iterator[bytes]:
    """The pieces of a body, compressed as ``gzip`` or ``deflate``."""
    packer = zlib.compressobj(9, wbits=31 if kind == "gzip" else 15)
    for piece in body:
        yield packer.compress(piece)
    yield packer.flush()


def chunk(piece: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(piece), piece) if piece else b""


def zeros(megabytes: int) -> Iterator[bytes]:
    return (bytes(1 << 20) for _ in range(megabytes))

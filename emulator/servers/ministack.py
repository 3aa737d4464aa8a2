"""ministack for one user: ``python -m emulator.servers.ministack``.

ministack accepts any credentials, so every user of this machine could read the warehouse's password from it, or create
a function whose code runs as the user who started it. The system knows the user at the other end of a local connection:
a request of another user is rejected. Only Linux tells; elsewhere every local user is served, as by ministack itself.
"""

import os
import socket
import socketserver
import struct
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import ministack.app

App = Callable[[Any, Any, Any], Awaitable[None]]

_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
# Numbers of linux/netlink.h and linux/sock_diag.h.
_SOCK_DIAG, _BY_FAMILY = 4, 20
_KERNEL_SECONDS = 1.0
_BODY = b"this AWS endpoint serves only the user who started it\n"


def for_user(app: App, user: int, tables: Iterable[Path] = _TABLES) -> App:
    """Return the application, which responds with 403 to a connection of any other user."""
    tables = [table for table in tables if table.exists()]

    async def guarded(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan" or not tables or _is_of(user, scope["client"], scope["server"], tables):
            await app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(_BODY)).encode())]
            await send({"type": "http.response.start", "status": 403, "headers": headers})
            await send({"type": "http.response.body", "body": _BODY})

    return guarded


def guard_functions(user: int, tables: Iterable[Path] = _TABLES) -> None:
    """Let the servers from which ministack's functions get their events accept connections of the user only."""
    tables = [table for table in tables if table.exists()]

    def verify_request(_server: Any, request: Any, client: Any) -> bool:
        return not tables or _is_of(user, client, request.getsockname(), tables)

    # each is made by ministack inside a function; all are of this class
    socketserver.BaseServer.verify_request = verify_request  # type: ignore[method-assign,assignment]


def _is_of(user: int, client: Any, server: Any, tables: Iterable[Path]) -> bool:
    """Return whether the client's socket belongs to the user. That of a client that has closed it belongs to nobody."""
    if not client or not server:
        return False
    owner = _asked(client, server) or _listed(client, server, tables)
    # a closed socket has inode 0 and the user id of root
    return owner is not None and owner[0] == user and owner[1] != 0


def _asked(client: Any, server: Any) -> tuple[int, int] | None:
    """Return user and inode of the client's socket as the kernel says (sock_diag(7)), None if it does not say.

    The tables of /proc take ten milliseconds to read.
    """
    ends = struct.pack(
        "!HH4s12x4s12x", client[1], server[1], socket.inet_aton(client[0]), socket.inet_aton(server[0])
    ) + struct.pack("=I2I", 0, 0xFFFFFFFF, 0xFFFFFFFF)
    request = struct.pack("=BBBBI", socket.AF_INET, socket.IPPROTO_TCP, 0, 0, 0xFFFFFFFF) + ends
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG) as kernel:
            kernel.settimeout(_KERNEL_SECONDS)
            kernel.send(struct.pack("=IHHII", 16 + len(request), _BY_FAMILY, 1, 1, 0) + request)
            reply = kernel.recv(4096)
    except (OSError, AttributeError):
        return None
    if struct.unpack_from("=H", reply, 4) != (_BY_FAMILY,):
        return None
    user, inode = struct.unpack_from("=II", reply, 16 + 64)
    return user, inode


def _listed(client: Any, server: Any, tables: Iterable[Path]) -> tuple[int, int] | None:
    """Return user and inode of the client's socket from the kernel's tables, None if it is in none of them."""
    ends = {tuple(_address(end[0], end[1], v6) for end in (client, server)) for v6 in (False, True)}
    for table in tables:
        for line in table.read_text().splitlines()[1:]:
            fields = line.split()
            if (fields[1], fields[2]) in ends:
                return int(fields[7]), int(fields[9])
    return None


def _address(host: str, port: int, v6: bool) -> str:
    """Return an IPv4 address as the kernel's tables write it: words in the machine's own byte order."""
    packed = socket.inet_aton(host)
    if v6:
        packed = bytes(10) + b"\xff\xff" + packed
    words = struct.unpack(f"={len(packed) // 4}I", packed)
    return f"{''.join(f'{word:08X}' for word in words)}:{port:04X}"


if __name__ == "__main__":
    ministack.app.app = for_user(ministack.app.app, os.geteuid())
    guard_functions(os.geteuid())
    ministack.app.main()

"""How requests reach a host: which addresses are allowed, no redirect, and connections that end at a deadline."""

import ipaddress
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from functions.core.errors import InvalidInputError

# The kinds of proxy whose connections are of these pools; a SOCKS proxy has pools of its own.
_PROXIES = ("http://", "https://")


@dataclass(frozen=True, slots=True)
class Host:
    """What an address says about its host."""

    is_encrypted: bool
    is_this_machine: bool
    is_link_local: bool


def host_of(address: str) -> Host | None:
    """Return the host of an address; None if it is no http address, or has a user, a password or a query."""
    try:
        parts = urlsplit(address)
        name, is_sound = parts.hostname or "", parts.scheme in ("http", "https") and parts.port != 0
    except ValueError:
        return None
    if not is_sound or not name or not address.isascii() or not address.isprintable() or set(address) & set(" @?#\\"):
        return None
    kind = _ip_address(name)
    return Host(
        is_encrypted=parts.scheme == "https",
        is_this_machine=name == "localhost" or (kind is not None and kind.is_loopback),
        is_link_local=kind is not None and kind.is_link_local,
    )


def checked_host(address: str, *, has_api_key: bool) -> str:
    """Return the address of a host. Raises InvalidInputError, which does not repeat it: it may contain a secret.

    It has no user, password or query, since a request's address is logged and stored; no link-local host, which is
    that of cloud metadata; and with an API key it is encrypted, unless the host is this machine.
    """
    host = host_of(address)
    if host is None:
        raise InvalidInputError(
            "the address of Open-Meteo is not a valid address, check OPEN_METEO_*_URL: expected https://host/path "
            "without user, password and query"
        )
    if host.is_link_local:
        raise InvalidInputError("the address of Open-Meteo is link-local, check OPEN_METEO_*_URL: expected a host")
    if has_api_key and not host.is_encrypted and not host.is_this_machine:
        raise InvalidInputError(
            "the address of Open-Meteo is not https, check OPEN_METEO_*_URL: the API key would be sent readable"
        )
    return address


def _ip_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    with suppress(ValueError):
        parsed = ipaddress.ip_address(host)
        return getattr(parsed, "ipv4_mapped", None) or parsed
    return None


class Session(requests.Session):
    """A session that follows no redirect, whose host would get the secret of a request, nor reads its body."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        # requests itself reads the whole body of a redirect, of any size, even if it is not to be followed
        return None


class Connections(HTTPAdapter):
    """Connections of which the open one can be cut, whatever part of a response it is about to read.

    The timeouts of requests are of single reads: a host that sends a byte of its headers, or of a chunk's length, now
    and then, or 100 Continue for ever, would never reach one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: socket.socket | None = None
        note = self._note

        class Http(HTTPConnection):
            def _new_conn(self) -> socket.socket:
                return note(super()._new_conn())

        class Https(HTTPSConnection):
            def _new_conn(self) -> socket.socket:
                return note(super()._new_conn())

        class HttpPool(HTTPConnectionPool):
            ConnectionCls = Http

        class HttpsPool(HTTPSConnectionPool):
            ConnectionCls = Https

        self._pools = {"http": HttpPool, "https": HttpsPool}
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **options)
        if proxy.lower().startswith(_PROXIES):
            manager.pool_classes_by_scheme = self._pools
        return manager

    @contextmanager
    def deadline(self, seconds: float) -> Iterator[threading.Event]:
        """Cut the connection after this time, or when an error leaves the block; the event is set by the former.

        Whoever reads from a connection that is cut sees the end of the response.
        """
        is_over = threading.Event()

        def end() -> None:
            is_over.set()
            self._cut()

        timer = threading.Timer(seconds, end)
        timer.daemon = True
        timer.start()
        try:
            yield is_over
        except BaseException:
            self._cut()
            raise
        finally:
            timer.cancel()

    def _note(self, connected: socket.socket) -> socket.socket:
        # a descriptor of its own: TLS takes the socket over, a response that ends with the connection too
        with self._lock:
            if self._open is not None:
                self._open.close()
            self._open = socket.socket(fileno=os.dup(connected.fileno()))
        return connected

    def _cut(self) -> None:
        with self._lock:
            if self._open is not None:
                with suppress(OSError):
                    self._open.shutdown(socket.SHUT_RDWR)
                self._open.close()
                self._open = None

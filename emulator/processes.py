"""Servers that outlive the command that started them: how each is known again, and how it is ended."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from emulator.refusal import RefusalError
from emulator.state import State

# Every process of one emulator, and every one those start, carries this variable with the state folder.
MARK = "IKIRERE_STATE"
_STOP_SECONDS = 15


def start(state: State, name: str, command: Sequence[str], environment: Mapping[str, str], cwd: Path) -> int:
    """Start a server in a session of its own, its output in ``logs/NAME.log``; its pid."""
    log = state.path("logs", f"{name}.log")
    with log.open("ab") as output:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**environment, MARK: str(state.folder)},
            cwd=cwd,
            start_new_session=True,
        )
    # a pid is used again after a while: the start time makes it unique
    born = psutil.Process(process.pid).create_time()
    services = {**state.settings().get("services", {}), name: {"pid": process.pid, "born": born}}
    state.remember(services=services)
    return process.pid


def running(state: State, name: str) -> psutil.Process | None:
    """The server ``name`` if it is alive."""
    kept: dict[str, Any] = state.settings().get("services", {}).get(name) or {}
    with suppress(psutil.Error, KeyError):
        process = psutil.Process(kept["pid"])
        if abs(process.create_time() - kept["born"]) < 1 and not _ended(process):
            return process
    return None


def stop(state: State, name: str, how: signal.Signals = signal.SIGTERM) -> None:
    """End a server: asked first, killed when it does not. What it started is then a stray."""
    process = running(state, name)
    if process is None:
        return
    with suppress(psutil.Error):
        process.send_signal(how)
    _wait_for_end([process])
    _kill([process])


def strays(state: State) -> list[psutil.Process]:
    """Processes of this emulator that belong to no server it knows: what a killed server left behind."""
    own = {os.getpid()}
    for name in state.settings().get("services", {}):
        if server := running(state, name):
            own |= {server.pid, *(child.pid for child in server.children(recursive=True))}
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid not in own and process.environ().get(MARK) == str(state.folder):
                found.append(process)
    return found


def stop_strays(state: State) -> None:
    _kill(strays(state))


def _kill(processes: Sequence[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.Error):
            process.kill()
    _wait_for_end(processes)


def _wait_for_end(processes: Sequence[psutil.Process]) -> None:
    """Not psutil's wait: an ended process whose parent is gone may stay a zombie for seconds."""
    wait_until(lambda: all(map(_ended, processes)), _STOP_SECONDS, lambda: True)


def _ended(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.Error:
        return True


def wait_until(ready: Callable[[], bool], seconds: float, alive: Callable[[], bool]) -> bool:
    """Whether ``ready`` came true within ``seconds``; gives up early when the server is gone."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if ready():
            return True
        if not alive():
            return False
        time.sleep(0.05)
    return False


def log_tail(state: State, name: str, lines: int = 8) -> str:
    """The end of a server's log, for a message about it."""
    with suppress(OSError):
        return "\n".join(state.path("logs", f"{name}.log").read_text(errors="replace").splitlines()[-lines:])
    return ""


def is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def choose_port(wanted: int | None, preferred: int, what: str) -> int:
    """The port wanted, which must be free, or else the preferred one if free, or else any.

    Raises RefusalError saying who holds the one wanted.
    """
    if wanted is not None:
        if not is_free(wanted):
            raise RefusalError(f"port {wanted} ({what}): is held by {holder(wanted)}; end that or name another port")
        return wanted
    if is_free(preferred):
        return preferred
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def holder(port: int) -> str:
    """Who listens on a port, as far as this user may know."""
    with suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            if connection.laddr and connection.laddr.port == port and connection.status == psutil.CONN_LISTEN:
                if connection.pid is None:
                    break
                return f"process {connection.pid} ({psutil.Process(connection.pid).name()})"
    return "a process of another user"

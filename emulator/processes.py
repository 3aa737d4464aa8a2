"""Servers that outlive the command that started them: started, found again, stopped; and the ports they get."""

import fcntl
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from deployment.errors import UserError, failure_of, writing
from emulator.state import State
from functions.core.text import excerpt

# Every process of one emulator, and every one those start, carries this variable with the state folder.
MARK = "IKIRERE_STATE"
_STOP_SECONDS = 15
_START_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Service:
    """A server of the emulator: its name in the settings, its title in messages, the setting that holds its port."""

    name: str
    title: str
    port_setting: str
    preferred_port: int


def start_service(
    state: State,
    service: Service,
    wanted_port: int | None,
    command: Callable[[int], Sequence[str]],
    environment: Callable[[], Mapping[str, str]],
    cwd: Path,
    is_healthy: Callable[[], bool],
) -> None:
    """Choose a port, start the server that ``command`` names for it, and wait until it responds.

    The port is in the settings before ``environment`` and ``is_healthy`` are called. Raises UserError.
    """
    with _port_lock():
        last = state.settings().get(service.port_setting)
        port = choose_port(wanted_port, last or service.preferred_port, service.title)
        state.remember(**{service.port_setting: port})
        _start(state, service.name, command(port), environment(), cwd)
        alive = lambda: running(state, service.name) is not None  # noqa: E731
        if not wait_until(is_healthy, _START_SECONDS, alive):
            raise failure_of(
                f"{service.title} did not start; `ikirere up` tries again, the whole log is "
                f"{state.path('logs', service.name)}.log",
                log_tail(state, service.name),
            )


@contextmanager
def _port_lock() -> Iterator[None]:
    """One emulator of a checkout at a time: a port that was found free is in use before the next one looks."""
    folder = os.open(Path(__file__).parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _start(state: State, name: str, command: Sequence[str], environment: Mapping[str, str], cwd: Path) -> int:
    """Start a server in a session of its own, its output in ``logs/NAME.log``; its pid."""
    log = state.path("logs", f"{name}.log")
    with writing(log):
        output = log.open("ab")
    with output:
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
    noted: dict[str, Any] = state.settings().get("services", {}).get(name) or {}
    with suppress(psutil.Error, KeyError):
        process = psutil.Process(noted["pid"])
        if abs(process.create_time() - noted["born"]) < 1 and not _ended(process):
            return process
    return None


def stop(state: State, name: str, how: signal.Signals = signal.SIGTERM) -> None:
    """Stop a server: by signal first, then killed. Processes that it started are strays then."""
    process = running(state, name)
    if process is None:
        return
    with suppress(psutil.Error):
        process.send_signal(how)
    _wait_for_end([process])
    _kill([process])


def strays(state: State) -> list[psutil.Process]:
    """Processes of this emulator that belong to none of its servers: leftovers of killed ones."""
    own = {os.getpid()}
    for name in state.settings().get("services", {}):
        if server := running(state, name):
            own |= {server.pid, *(child.pid for child in server.children(recursive=True))}
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid not in own and _is_of(state, process):
                found.append(process)
    return found


def _is_of(state: State, process: psutil.Process) -> bool:
    """Whether this emulator started a process, or one that did so started it.

    A session of Postgres overwrites its environment with its title, and outlives a killed server while it is busy: it
    is known by its working folder, the server's data.
    """
    if process.environ().get(MARK) == str(state.folder):
        return True
    return process.name() == "postgres" and process.cwd() == os.path.realpath(state.path("postgres"))


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
        tail = state.path("logs", f"{name}.log").read_text(errors="replace").splitlines()[-lines:]
        return "\n".join(map(excerpt, tail))
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
    """The wanted port, which must be free; without one the preferred port if free, else any.

    Raises UserError naming the holder of the wanted port.
    """
    if wanted is not None:
        if not is_free(wanted):
            raise UserError(f"port {wanted} ({what}): is held by {holder(wanted)}; end that or name another port")
        return wanted
    if is_free(preferred):
        return preferred
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def holder(port: int) -> str:
    """The process that listens on a port, as far as this user may know."""
    with suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            if connection.laddr and connection.laddr.port == port and connection.status == psutil.CONN_LISTEN:
                if connection.pid is None:
                    break
                return f"process {connection.pid} ({psutil.Process(connection.pid).name()})"
    return "a process of another user"

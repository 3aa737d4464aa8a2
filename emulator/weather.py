"""Where weather comes from: the choice, checked; and what ``auto`` decides."""

import json
import queue
import sys
import threading
import urllib.request
from dataclasses import dataclass
from datetime import date
from typing import Literal
from urllib.parse import urlsplit

from emulator import processes
from emulator.openmeteo.weather import RECORDED_END, RECORDED_START
from emulator.refusal import RefusalError
from emulator.state import ROOT, State
from functions.core.settings import ARCHIVE_URL, FORECAST_URL

CHOICES = "auto, live, recorded, synthetic, or an address"
NAME = "open-meteo"
PREFERRED_PORT = 4580
# The whole decision, name resolution included.
_DECIDE_SECONDS = 1.8
_START_SECONDS = 30
_PROBE = f"{FORECAST_URL}?latitude=-1.95&longitude=30.06&hourly=temperature_2m&forecast_days=1&timezone=GMT"


@dataclass(frozen=True, slots=True)
class Weather:
    """Resolved weather: the two hosts' addresses, a plain line saying what it is, and the window it is limited to."""

    kind: Literal["live", "recorded", "synthetic", "address"]
    forecast_url: str
    archive_url: str
    notice: str
    window: tuple[date, date] | None = None


def check(choice: str) -> str:
    """The choice, if it is one. Raises RefusalError."""
    if choice in ("auto", "live", "recorded", "synthetic"):
        return choice
    parts = urlsplit(choice)
    try:
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound or parts.query or parts.fragment:
        raise RefusalError(f"--weather {choice!r}: is none of {CHOICES} such as http://127.0.0.1:8080")
    return choice


def resolve(state: State, choice: str) -> Weather:
    """Decide, and have the stand-in running exactly when it is needed. Raises RefusalError when it does not start."""
    kind = ("live" if live_is_reachable() else "recorded") if choice == "auto" else choice
    if kind in ("recorded", "synthetic"):
        base = _stand_in(state, kind)
    else:
        stop(state)
        base = ""
    if kind == "live":
        notice = "live weather from api.open-meteo.com"
        return Weather("live", FORECAST_URL, ARCHIVE_URL, notice)
    if kind == "recorded":
        why = "Open-Meteo cannot be reached from here, so this is " if choice == "auto" else ""
        notice = f"{why}recorded weather of {RECORDED_START} and {RECORDED_END}, not today's"
        return Weather("recorded", f"{base}/v1/forecast", f"{base}/v1/archive", notice, (RECORDED_START, RECORDED_END))
    if kind == "synthetic":
        return Weather(
            "synthetic", f"{base}/v1/forecast", f"{base}/v1/archive", "synthetic weather: made up, not measured"
        )
    base = choice.rstrip("/").removesuffix("/v1/forecast").removesuffix("/v1/archive")
    return Weather("address", f"{base}/v1/forecast", f"{base}/v1/archive", f"weather from {base}")


def live_is_reachable() -> bool:
    """Whether the real API answers a small real request, decided within two seconds.

    In a thread of its own, since a name that does not resolve can hang longer than any timeout set here.
    """
    answers: queue.Queue[bool] = queue.Queue()

    def ask() -> None:
        try:
            with urllib.request.urlopen(_PROBE, timeout=_DECIDE_SECONDS) as answer:  # noqa: S310
                answers.put("hourly" in json.loads(answer.read(1 << 20)))
        except (OSError, ValueError, TypeError):
            answers.put(False)

    threading.Thread(target=ask, daemon=True).start()
    try:
        return answers.get(timeout=_DECIDE_SECONDS)
    except queue.Empty:
        return False


def stop(state: State) -> None:
    processes.stop(state, NAME)


def _stand_in(state: State, kind: str) -> str:
    """The stand-in's address; started when it is not running or serves something else."""
    settings = state.settings()
    port = settings.get("stand_in_port") or PREFERRED_PORT
    if processes.running(state, NAME) is None or settings.get("stand_in_weather") != kind or not _healthy(port):
        stop(state)
        port = processes.choose_port(None, port, "Open-Meteo stand-in")
        state.remember(stand_in_port=port, stand_in_weather=kind)
        command = [sys.executable, "-m", "emulator.openmeteo", "--weather", kind, "--port", str(port)]
        processes.start(state, NAME, command, {"PYTHONPATH": str(ROOT)}, cwd=ROOT)
        alive = lambda: processes.running(state, NAME) is not None  # noqa: E731
        if not processes.wait_until(lambda: _healthy(port), _START_SECONDS, alive):
            raise RefusalError(f"the Open-Meteo stand-in did not start:\n{processes.log_tail(state, NAME)}")
    return f"http://127.0.0.1:{port}"


def _healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False

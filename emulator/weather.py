"""The source of weather: the option checked, ``auto`` decided, the stand-in started and stopped."""

import json
import queue
import re
import sys
import threading
import urllib.request
from dataclasses import dataclass
from datetime import date
from typing import Literal
from urllib.parse import urlsplit

from deployment.errors import UserError
from deployment.template import ROOT
from emulator import processes
from emulator.state import State
from functions.core.settings import ARCHIVE_URL, FORECAST_URL
from functions.core.text import quoted
from open_meteo_stand_in.weather import RECORDED_END, RECORDED_START, SOURCES

# The kinds of weather that the stand-in serves.
STAND_IN_KINDS = tuple(SOURCES)
CHOICES = f"auto, live, {', '.join(STAND_IN_KINDS)}, or an address"
NAME = "open-meteo"
_SERVICE = processes.Service(NAME, "the Open-Meteo stand-in", "stand_in_port", 4580)
# The whole decision, name resolution included.
_DECIDE_SECONDS = 1.8
# What an address may contain: no user or password, which would be stored and logged; a longer one leaves no room for
# the cities in the metadata of a response.
_ADDRESS = re.compile(r"[\w.~:/%!$&'()*+,;=\[\]-]{1,500}", re.ASCII)
_PROBE = f"{FORECAST_URL}?latitude=-1.95&longitude=30.06&hourly=temperature_2m&forecast_days=1&timezone=GMT"


@dataclass(frozen=True, slots=True)
class Weather:
    """The weather in use: the two hosts' addresses, a notice for people, and the window it is limited to."""

    kind: Literal["live", "recorded", "synthetic", "address"]
    forecast_url: str
    archive_url: str
    notice: str
    window: tuple[date, date] | None = None


def check(choice: str) -> str:
    """The choice, checked. Raises UserError."""
    if choice in ("auto", "live", *STAND_IN_KINDS):
        return choice
    try:
        parts = urlsplit(choice)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound or not _ADDRESS.fullmatch(choice):
        raise UserError(f"--weather {quoted(choice)}: is none of {CHOICES} such as http://127.0.0.1:8080")
    return choice


def resolve(state: State, choice: str) -> Weather:
    """The weather for a choice; the stand-in runs afterwards exactly when it serves that. Raises UserError."""
    kind = ("live" if live_is_reachable() else "recorded") if choice == "auto" else choice
    if kind in STAND_IN_KINDS:
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
    """Whether the real API serves a small request within two seconds.

    In a thread of its own, since a name that does not resolve can hang longer than any timeout set here.
    """
    results: queue.Queue[bool] = queue.Queue()

    def probe() -> None:
        try:
            with urllib.request.urlopen(_PROBE, timeout=_DECIDE_SECONDS) as response:  # noqa: S310  # a constant
                results.put("hourly" in json.loads(response.read(1 << 20)))
        except (OSError, ValueError, TypeError):
            results.put(False)

    threading.Thread(target=probe, daemon=True).start()
    try:
        return results.get(timeout=_DECIDE_SECONDS)
    except queue.Empty:
        return False


def stop(state: State) -> None:
    processes.stop(state, NAME)


def _stand_in(state: State, kind: str) -> str:
    """The stand-in's address; started when it is not running or serves something else."""

    def is_healthy() -> bool:
        return _is_healthy(state.settings()[_SERVICE.port_setting])

    def command(port: int) -> list[str]:
        return [sys.executable, "-m", "open_meteo_stand_in", "--weather", kind, "--port", str(port)]

    if processes.running(state, NAME) is None or state.settings().get("stand_in_weather") != kind or not is_healthy():
        stop(state)
        state.remember(stand_in_weather=kind)
        processes.start_service(state, _SERVICE, None, command, lambda: {"PYTHONPATH": str(ROOT)}, ROOT, is_healthy)
    return f"http://127.0.0.1:{state.settings()[_SERVICE.port_setting]}"


def _is_healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as response:
            return bool(response.status == 200)
    except OSError:
        return False

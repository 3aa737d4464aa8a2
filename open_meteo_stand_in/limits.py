"""The free host's limits: quota weight per minute, hour and day, and concurrent requests."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from open_meteo_stand_in.contract import RejectedError

LIMITS = {"Minutely": (60, 600), "Hourly": (3600, 5000), "Daily": (86_400, 10_000)}
REASONS = {
    "Minutely": "Minutely API request limit exceeded. Please try again in one minute.",
    "Hourly": "Hourly API request limit exceeded. Please try again in the next hour.",
    "Daily": "Daily API request limit exceeded. Please try again tomorrow.",
    "Concurrent": "Too many concurrent requests",
}
MAX_CONCURRENT = 5


class Limits:
    """The weight used in the current windows. As on the host, ``check`` comes before ``count``."""

    def __init__(self, enforced: bool = True) -> None:
        self._enforced = enforced
        self._lock = threading.Lock()
        self._used: dict[tuple[str, int], float] = {}
        self._running = 0

    @contextmanager
    def request(self) -> Iterator[None]:
        """Hold one of the concurrent requests. Raises RejectedError when all are in use."""
        with self._lock:
            if self._enforced and self._running >= MAX_CONCURRENT:
                raise RejectedError(429, REASONS["Concurrent"])
            self._running += 1
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1

    @property
    def running(self) -> int:
        """The number of requests whose response is not sent yet."""
        with self._lock:
            return self._running

    def check(self) -> None:
        """Raises RejectedError when a quota window is used up."""
        if self._enforced:
            with self._lock:
                for name, window in self._windows():
                    if self._used.get(window, 0) >= LIMITS[name][1]:
                        raise RejectedError(429, REASONS[name])

    def used(self, name: str) -> dict[int, float]:
        """Return the weight used in each window of a name of LIMITS, by the window's number since 1970."""
        with self._lock:
            return {number: weight for (window, number), weight in self._used.items() if window == name}

    def count(self, weight: float) -> None:
        with self._lock:
            for _, window in self._windows():
                self._used[window] = self._used.get(window, 0) + weight

    @staticmethod
    def _windows() -> list[tuple[str, tuple[str, int]]]:
        now = datetime.now(UTC).timestamp()
        return [(name, (name, int(now // seconds))) for name, (seconds, _) in LIMITS.items()]

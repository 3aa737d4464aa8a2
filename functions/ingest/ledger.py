"""The quota ledger: what all runs together have used of the free host's windows, as one object in S3.

A run reserves a request's weight before it sends the request. The object is replaced only if it is still as it was
read, so two runs never reserve the same weight. What a run that died had reserved stays used until the window ends.
"""

import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from functions.core import quota
from functions.core.errors import InvalidInputError, TransientError
from functions.core.storage import ObjectStore, quota_key
from functions.core.text import excerpt

# By window, by start of the window (ISO 8601): the used weight.
Used = dict[str, dict[str, float]]

# The host counts a request when it arrives there, by its own clock. A request that may arrive in the next window
# reserves its weight in both.
_ARRIVES_WITHIN = timedelta(seconds=5)
# Longest first: the reason to wait that lasts longest.
_WINDOWS: tuple[quota.Window, ...] = ("daily", "hourly", "minutely")
_ATTEMPTS, _LONGEST_PAUSE_SECONDS = 60, 0.2


@dataclass(frozen=True, slots=True)
class Closed:
    """The window that a request would exceed, the longest one, and the weight that every window still accepts."""

    window: quota.Window
    rest: float


class Ledger:
    """The ledger, as one run uses it: one request at a time."""

    def __init__(self, store: ObjectStore, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._store, self._now = store, now
        self._reserved: list[tuple[quota.Window, str]] = []
        self._weight = 0.0

    def reserve(self, weight: float) -> Closed | None:
        """Reserve the weight of a request that is sent now. Return None, or the window that it would exceed.

        Raises TransientError if S3 is unavailable or other runs change the ledger all the time.
        """
        closed: list[Closed] = []

        def change(used: Used) -> bool:
            now = self._now()
            moments = (now, now + _ARRIVES_WITHIN)
            places = [
                (window, start)
                for window in _WINDOWS
                for start in dict.fromkeys(quota.window_start(window, moment).isoformat() for moment in moments)
            ]
            exceeded = [window for window, start in places if quota.exceeds(window, used[window].get(start, 0), weight)]
            if exceeded:
                rest = min(quota.WINDOWS[window][1] - used[window].get(start, 0) for window, start in places)
                closed[:] = [Closed(exceeded[0], rest)]
                return False
            closed.clear()
            for window, start in places:
                used[window][start] = round(used[window].get(start, 0) + weight, 3)
            self._reserved, self._weight = places, weight
            return True

        self._update(change)
        return closed[0] if closed else None

    def settle(self, weight: float) -> None:
        """Give back what the last request was reserved more than the ``weight`` that the host counted."""
        surplus = self._weight - weight
        if surplus <= 0:
            return

        def change(used: Used) -> bool:
            for window, start in self._reserved:
                if start in used[window]:
                    used[window][start] = round(max(0.0, used[window][start] - surplus), 3)
            return True

        self._update(change)
        self._weight = weight

    def _update(self, change: Callable[[Used], bool]) -> None:
        """Apply ``change`` to the ledger, again for as long as other runs are faster; write it if that returns True."""
        for _ in range(_ATTEMPTS):
            stored = self._store.read(quota_key())
            used = self._current(stored[0] if stored else b"{}")
            if not change(used):
                return
            if self._store.write_if(quota_key(), json.dumps(used).encode(), stored[1] if stored else None):
                return
            time.sleep(random.uniform(0, _LONGEST_PAUSE_SECONDS))  # noqa: S311  # a pause, not a secret
        raise TransientError(f"s3://{self._store.bucket}/{quota_key()}: other runs changed it {_ATTEMPTS} times")

    def _current(self, body: bytes) -> Used:
        """Return the windows of the ledger that have not ended."""
        now = self._now()
        try:
            stored = json.loads(body)
            return {
                window: {
                    start: float(used)
                    for start, used in stored.get(window, {}).items()
                    if datetime.fromisoformat(start) >= quota.window_start(window, now)
                }
                for window in _WINDOWS
            }
        except (ValueError, TypeError, AttributeError) as error:
            raise InvalidInputError(
                f"s3://{self._store.bucket}/{quota_key()}: is no quota ledger ({excerpt(error)}); delete it"
            ) from error

"""What a contestant's process does around its work: a task as JSON in, its result as JSON out, and its own figures."""

import contextlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Json = dict[str, Any]


def report_result(imports: Callable[[Json], Any], work: Callable[[Json], Json]) -> int:
    """Read a task from standard input, do the work, print the result with import seconds and peak memory beside it.

    What the work prints is dropped: the functions log to standard output.
    """
    task = json.load(sys.stdin)
    started = time.perf_counter()
    imports(task)
    import_seconds = time.perf_counter() - started
    imported_mb = peak_mb()
    with Path(os.devnull).open("w") as nothing, contextlib.redirect_stdout(nothing):
        result = work(task)
    json.dump(
        {**result, "import_seconds": import_seconds, "imported_mb": imported_mb, "peak_mb": peak_mb()}, sys.stdout
    )
    return 0


def peak_mb() -> float:
    """Return the peak resident megabytes of this process.

    From Linux's own file where there is one: getrusage's figure begins with that of the process that started this one.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class Clock:
    """The seconds of named steps; a step that is entered again is added up."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started

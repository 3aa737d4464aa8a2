"""``ikirere`` as its users meet it: a process, its output, its exit code."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil

from emulator.processes import MARK

ROOT = Path(__file__).parents[1]


class CommandLine:
    """``ikirere`` with a state folder of its own."""

    def __init__(self, state: Path, root: Path = ROOT, **environment: str) -> None:
        self.state = state
        self.root = root
        self.environment = {**os.environ, **environment, "IKIRERE_HOME": str(state), "SFN_WAIT_SCALE": "0.05"}
        if "DATABASE_URL" not in environment:
            self.environment.pop("DATABASE_URL", None)

    def __call__(self, *arguments: str, expect: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "command_line", *arguments],
            cwd=self.root, env=self.environment, capture_output=True, text=True, timeout=180, check=False,
        )  # fmt: skip
        assert done.returncode == expect, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def json(self, *arguments: str) -> dict:
        return json.loads(self(*arguments, "--json").stdout)

    def processes(self) -> list[psutil.Process]:
        """Everything that this state folder's servers started and that still runs."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == str(self.state) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return found


def wait_for_record(ikirere: CommandLine, run_id: str) -> dict:
    """The entry of a run in the history, once pipeline_run has a row of it."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for entry in ikirere.json("history"):
            if entry["run_id"] == run_id and entry["rows_in"] is not None:
                return entry
        time.sleep(0.2)
    raise AssertionError(f"run {run_id} has no row")


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]

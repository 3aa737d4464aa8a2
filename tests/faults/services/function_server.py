"""The functions as processes: a parent that has imported them, and a child for each process that is asked for.

``python function_server.py FOLDER``: the functions are imported from FOLDER, which may hold a changed copy of them. A
line on standard input is the path of a Unix socket: a new child connects to it, reads invocations as JSON lines and
writes results as JSON lines. In a child clients and caches live on from one invocation to the next, as in Lambda.
"""

import importlib
import json
import os
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from datetime import datetime, tzinfo

# A pause of a retry inside a function is this much shorter: no test waits for backoff.
_PAUSES = 0.005
_HANDLERS = ("ingest", "transform", "model")


class Clock(datetime):
    """The time of Ingest: that of the history."""

    moment: datetime | None = None

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        assert cls.moment is not None
        return cls.moment


def main(folder: str) -> None:
    sys.path.insert(0, folder)
    functions = {name: importlib.import_module(f"functions.{name}.handler") for name in _HANDLERS}
    importlib.import_module("functions.transform.irregular")
    fetch = importlib.import_module("functions.ingest.fetch")
    assert fetch.__file__ is not None
    assert fetch.__file__.startswith(folder), f"{fetch.__file__} is not in {folder}"
    fetch.datetime = Clock  # type: ignore[attr-defined]
    real_sleep = time.sleep
    time.sleep = lambda seconds: real_sleep(seconds * _PAUSES)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            with suppress(OSError):
                _serve(line.strip(), functions)
            os._exit(0)


def _serve(path: str, functions: dict) -> None:
    # the parent's own output would show the functions' logs
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123  # for as long as the process lives
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    stream = connection.makefile("rw")
    stream.write(json.dumps({"pid": os.getpid()}) + "\n")
    stream.flush()
    for line in stream:
        call = json.loads(line)
        os.environ.update(call["environment"])
        Clock.moment = datetime.fromisoformat(call["moment"])
        try:
            answer = {"result": functions[call["function"]].lambda_handler(call["event"], None)}
        except Exception as error:  # noqa: BLE001  # as Lambda reports it
            answer = {"error": type(error).__name__, "cause": str(error)}
        answer["threads"] = [thread.name for thread in threading.enumerate()][1:]
        stream.write(json.dumps(answer) + "\n")
        stream.flush()


if __name__ == "__main__":
    main(sys.argv[1])

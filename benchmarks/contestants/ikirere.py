"""Ikirere: the handlers of the three functions, called in one process as the state machine calls them.

The package ``functions`` is a copy with the workload's city list in it, as a deployed package has; its folder is the
working directory. A task names the steps to do, so that one step can have a process of its own.
"""

import importlib
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.contestants.process import Clock, Json, report_result

_HANDLERS = {"ingest": "ingest", "transform": "transform", "load": "model"}
_handlers: dict[str, Any] = {}


def imports(task: Json) -> None:
    """Import the handlers of a task's steps; without an observer nothing else, so that memory is the function's own."""
    if task.get("is_observed", True):
        from benchmarks.contestants import warehouse

        _handlers["statements"] = warehouse.Statements()
    for step in {step for run in task["runs"] for step in run["steps"]}:
        _handlers[step] = importlib.import_module(f"functions.{_HANDLERS[step]}.handler").lambda_handler
    here = Path(importlib.import_module("functions").__file__ or "").parent.parent
    if here != Path.cwd():
        raise SystemExit(f"functions come from {here}, not from the copy with the workload's cities")


def work(task: Json) -> Json:
    """Do the runs of a task, each ``{"run", "windows", "steps", "states"}``; ``states`` is what earlier steps left."""
    if not task.get("is_observed", True):
        return {"runs": [_do(run) for run in task["runs"]]}
    from benchmarks.contestants.warehouse import Observer

    observer = Observer(os.environ["BENCH_DATABASE_URL"], is_small=task.get("is_small", True))
    runs = []
    for run in task["runs"]:
        observer.begin()
        before = _handlers["statements"].number
        done = _do(run)
        statements = _handlers["statements"].number - before
        runs.append({**done, "statements": statements, **observer.end()})
    observer.close()
    return {"runs": runs}


def _do(run: Json) -> Json:
    """Do one run of a task: a run of the pipeline for each window."""
    clock, states = Clock(), run.get("states") or [{} for _ in run["windows"]]
    for number, (window, state) in enumerate(zip(run["windows"], states, strict=True)):
        _load_window(clock, state, run["steps"], window, f"{run['run']}-{number}")
    parts = [part for state in states for part in state.get("parts", ())]
    return {
        "run": run["run"],
        "seconds": clock.seconds,
        "parts": len(parts),
        "rows": sum(part["rows"] for part in parts),
        "loaded": sum(state.get("load", {}).get("rows_loaded", 0) for state in states),
        "states": states,
    }


def _load_window(clock: Clock, state: Json, steps: list[str], window: list[str], run_id: str) -> None:
    """Do some steps of one run of the pipeline; ``state`` takes their results."""
    execution = {"name": run_id, "arn": f"arn:bench:{run_id}", "started_at": datetime.now(UTC).isoformat()}
    event = {"source": "archive", "start": window[0], "end": window[1], "run_id": run_id}
    if "ingest" in steps:
        with clock.step("ingest"):
            state["ingest"] = _handlers["ingest"]({"event": event, "execution": execution}, None)
        if state["ingest"]["status"] != "complete":
            raise SystemExit(f"ingest: {state['ingest']['status']}: {state['ingest']['reason']}")
    if "transform" in steps:
        with clock.step("transform"):
            run = state["ingest"]["run"]
            tasks = [{"run": run, "raw_key": part["raw_key"]} for part in state["ingest"]["parts"]]
            state["parts"] = [_handlers["transform"](task, None) for task in tasks]
    if "load" in steps:
        with clock.step("load"):
            task = {"action": "load", "execution": execution, "has_quality": True}
            task |= {name: state[name] for name in ("ingest", "parts")}
            state["load"] = _handlers["load"](task, None)


if __name__ == "__main__":
    sys.exit(report_result(imports, work))

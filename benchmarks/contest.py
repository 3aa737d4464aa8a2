"""The contest: Ikirere, the baseline, dlt and the floor on one workload, interleaved, each with a new database."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import psycopg2

from benchmarks.contestants.warehouse import column_list
from benchmarks.setup.services import Services, archive, execute
from benchmarks.setup.workload import ROOT, Size, Workload, workload

Json = dict[str, Any]
# dlt with the columns of staging_weather, and with the five measures only.
NAMES = ("ikirere", "baseline", "dlt", "dlt_narrow", "floor")
STEPS = ("ingest", "transform", "load")
# The interpreter of the virtual environment that has dlt.
DLT_PYTHON = ROOT / ".venv" / "bench" / "bin" / "python"


def contest(
    services: Services, size: Size, rounds: int, names: Sequence[str], say: Callable[[str], None]
) -> list[Json]:
    """Return one row for each round, contestant and run: first load and unchanged rerun."""
    rows: list[Json] = []
    made = workload(size)
    with ExitStack() as stack:
        archive_url = stack.enter_context(archive(size))
        package = stack.enter_context(functions_copy(services, made))
        say(f"{size.name}: {size.rows:,} rows; loading them once to warm up ...")
        staged = stack.enter_context(staged_csv(services, made, package, archive_url))
        for number in range(rounds):
            # another order in each round: none always follows the same one
            for name in [*names[number % len(names) :], *names[: number % len(names)]]:
                started = time.monotonic()
                with services.database(schema=name == "ikirere") as url:
                    if name == "floor":
                        runs = [_floor(url, *staged)]
                    else:
                        runs = _contestant(name, services, made, package, services.environment(url, archive_url))
                work = ", ".join(f"{run['run']} {sum(run['seconds'].values()):.2f} s" for run in runs)
                took = time.monotonic() - started
                say(f"{size.name} round {number + 1} of {rounds}: {name}: {work} ({took:.0f} s in all)")
                rows += [{"size": size.name, "round": number, "contestant": name, **run} for run in runs]
    return rows


def memory(services: Services, size: Size, say: Callable[[str], None]) -> list[Json]:
    """Return the peak memory of each step of a first load, each step in a process of its own."""
    rows, states = [], None
    made = workload(size)
    with (
        archive(size) as archive_url,
        functions_copy(services, made) as package,
        services.database() as url,
    ):
        for step in STEPS:
            run = {**_run("first", size), "steps": [step], "states": states}
            task = {"runs": [run], "is_observed": False}
            result = _process("ikirere", task, services.environment(url, archive_url), package)
            (done,) = result["runs"]
            states = done["states"]
            rows.append(
                {"size": size.name, "step": step, "imported_mb": result["imported_mb"], "peak_mb": result["peak_mb"]}
            )
            say(f"{size.name}: {step} {result['peak_mb']:.0f} MB")
        services.clear_buckets()
    return rows


def load(services: Services, package: Path, url: str, archive_url: str, run_id: str, window: tuple[date, date]) -> Json:
    """Return the figures of one run of the pipeline into a warehouse of any size."""
    run = {"run": run_id, "windows": [[str(day) for day in window]], "steps": STEPS}
    result = _process("ikirere", {"runs": [run], "is_small": False}, services.environment(url, archive_url), package)
    services.clear_buckets()
    (done,) = result["runs"]
    done.pop("states")
    return {**done, "peak_mb": result["peak_mb"]}


@contextmanager
def functions_copy(services: Services, made: Workload) -> Iterator[Path]:
    """A folder with the package ``functions`` as deployed: the workload's city list in it, compiled to bytecode."""
    folder = services.folder / f"package-{made.size.name}"
    shutil.copytree(ROOT / "functions", folder / "functions", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(made.city_list, folder / "functions" / "core" / "data" / "cities.csv")
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(folder)], check=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def staged_csv(services: Services, made: Workload, package: Path, archive_url: str) -> Iterator[tuple[str, str]]:
    """Load the workload once, which also warms everything up; yield a file of the staged rows, and their columns."""
    with services.database() as url:
        run = {**_run("first", made.size), "steps": STEPS}
        _process("ikirere", {"runs": [run]}, services.environment(url, archive_url), package)
        services.clear_buckets()
        with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
            cursor.execute("SHOW data_directory")
            # the one folder where the server may write for sure
            file = f"{(cursor.fetchone() or ('',))[0]}/bench-{made.size.name}.csv"
        columns = column_list(url, "staging_weather")
        names = ", ".join(f'"{name}"' for name, _ in columns)
        execute(url, f"COPY (SELECT {names} FROM staging_weather) TO '{file}' WITH (FORMAT csv)")
    try:
        yield file, ", ".join(f'"{name}" {kind}' for name, kind in columns)
    finally:
        Path(file).unlink(missing_ok=True)


def _floor(url: str, file: str, columns: str) -> Json:
    """Return the seconds of a server-side COPY of all columns of the staged rows into a bare table."""
    execute(url, f"CREATE TABLE bare ({columns})", "CHECKPOINT")
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        started = time.perf_counter()
        cursor.execute(f"COPY bare FROM '{file}' WITH (FORMAT csv)")
        rows = cursor.rowcount
        connection.commit()
        return {"run": "first", "seconds": {"load": time.perf_counter() - started}, "rows": rows}


def _contestant(
    name: str, services: Services, made: Workload, package: Path, environment: dict[str, str]
) -> list[Json]:
    """Return the runs of one contestant on a new database."""
    folder = services.folder / "work"
    folder.mkdir()
    task = {
        "runs": [{**_run(run, made.size), "steps": STEPS} for run in ("first", "rerun")],
        "city_list": str(made.city_list),
        "documents": str(made.folder / "raw"),
        "folder": str(folder),
        "is_complete": name == "dlt",
    }
    try:
        result = _process(name, task, environment, package if name == "ikirere" else folder)
        stored = services.stored_bytes()
    finally:
        services.clear_buckets()
        shutil.rmtree(folder)
    for run in result["runs"]:
        run.pop("states", None)
        run |= {"peak_mb": result["peak_mb"], "stored_bytes": stored}
    return list(result["runs"])


def _run(name: str, size: Size) -> Json:
    return {"run": name, "windows": [[str(start), str(end)] for start, end in size.windows()]}


def _process(name: str, task: Json, environment: dict[str, str], folder: Path) -> Json:
    """Run a contestant's process to its end; its result. Its messages are shown when it fails."""
    is_dlt = name.startswith("dlt")
    done = subprocess.run(
        [
            str(DLT_PYTHON) if is_dlt else sys.executable,
            "-m",
            f"benchmarks.contestants.{'dlt_load' if is_dlt else name}",
        ],
        input=json.dumps(task),
        env={**environment, "PYTHONPATH": str(ROOT), "RUNTIME__DLTHUB_TELEMETRY": "false"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"{name} failed:\n{done.stderr[-2000:]}")
    result: Json = json.loads(done.stdout)
    return result

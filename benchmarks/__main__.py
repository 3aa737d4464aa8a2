"""The benchmarks: ``run`` measures, ``render`` writes docs/performance.md from the results, ``quick`` is a small run.

Results are stored for each bench (and size) in ``benchmarks/results``, so that a single one can be run again.
"""

import argparse
import json
import os
import platform
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
# The first two go through the state machine of an emulator of their own.
BENCHES = ("year", "daily", "imports", "contest", "memory", "growth")
# The baseline takes minutes at L, and there is nothing to learn from it at XL.
ROUNDS = {"S": 7, "M": 7, "L": 3, "XL": 1}
NOT_THE_BASELINE = "XL"
MEMORY_SIZES = ("M", "L", "XL")
IMPORT_ROUNDS, GROWTH_ROUNDS = 15, 7


def say(text: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S}  {text}", file=sys.stderr, flush=True)


def run(options: argparse.Namespace) -> int:
    """Run the benches that were named and store the rows of each."""
    if {"year", "daily"} & set(options.only):
        from benchmarks import daily_run

        if "year" in options.only:
            store("year", daily_run.year_run(say))
        if "daily" in options.only:
            store("daily", daily_run.daily_runs(daily_run.DAILY_CITIES, say))
    if set(options.only) - {"year", "daily"}:
        from benchmarks.setup.services import running

        with running() as services:
            say(f"PostgreSQL {services.postgres_version()}")
            for name, rows in _measured(services, options):
                store(name, rows, postgres=services.postgres_version())
    return 0


def _measured(services: Any, options: argparse.Namespace) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield name and rows of each bench when it is done."""
    from benchmarks import contest, growth, imports
    from benchmarks.setup.workload import SIZES, workload

    if "imports" in options.only:
        with contest.functions_copy(services, workload(SIZES["S"])) as package:
            yield "imports", imports.imports(package, options.rounds or IMPORT_ROUNDS, say)
    if "contest" in options.only:
        for name in options.sizes:
            without = [*options.without, *(["baseline"] if name == NOT_THE_BASELINE else [])]
            yield (
                f"contest-{name}",
                contest.contest(services, SIZES[name], options.rounds or ROUNDS[name], contestants(without), say),
            )
    if "memory" in options.only:
        for name in (size for size in options.sizes if size in MEMORY_SIZES):
            yield f"memory-{name}", contest.memory(services, SIZES[name], say)
    if "growth" in options.only:
        warehouses = list(growth.WAREHOUSES)[: 3 if options.xxl else 2]
        yield "growth", growth.growth(services, warehouses, options.rounds or GROWTH_ROUNDS, say)


def contestants(without: Sequence[str]) -> list[str]:
    """Return the contestants that take part: dlt only where its virtual environment is."""
    from benchmarks import contest

    names = [name for name in contest.NAMES if name not in without]
    if not contest.DLT_PYTHON.exists():
        say("dlt is left out: `make bench` and `make bench-quick` install it")
        names = [name for name in names if not name.startswith("dlt")]
    return names


def quick(options: argparse.Namespace) -> int:
    """Run the contest at M, two rounds, and print its table; docs/performance.md is not touched."""
    from benchmarks import contest, summary
    from benchmarks.setup.services import running
    from benchmarks.setup.workload import SIZES

    with running() as services:
        rows = contest.contest(services, SIZES["M"], 2, contestants(options.without), say)
    if options.json:
        options.json.write_text(json.dumps(rows), encoding="utf-8")
    print("\n".join(summary.contest_table(summary.contest(rows))))
    return 0


def render(_: argparse.Namespace) -> int:
    """Write docs/performance.md, its plots and the summary that both are made from."""
    from benchmarks import report

    report.write(RESULTS)
    return 0


def store(name: str, rows: Iterable[dict[str, Any]], **machine: str) -> None:
    """Write the rows of one bench with the date and the machine."""
    RESULTS.mkdir(exist_ok=True)
    result = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "machine": {**_machine(), **machine}, "rows": list(rows)}
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1), encoding="utf-8")
    say(f"{name}: stored")


def _machine() -> dict[str, str]:
    model, cpuinfo = platform.processor(), Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), model)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    return {
        "cores": str(os.cpu_count()),
        "cpu": model,
        "memory": f"{memory} GiB",
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "load": f"{os.getloadavg()[0]:.1f}",
    }


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    all_of = commands.add_parser("run", help="run benches and store their results")
    all_of.add_argument("--only", nargs="+", choices=BENCHES, default=BENCHES, metavar="NAME", help=", ".join(BENCHES))
    all_of.add_argument("--sizes", nargs="+", choices=list(ROUNDS), default=list(ROUNDS), help="of contest and memory")
    all_of.add_argument("--rounds", type=int, help="instead of the number that each bench has")
    all_of.add_argument("--xxl", action="store_true", help="growth also with 44 million rows (20 GB of disk)")
    all_of.set_defaults(command=run)
    small = commands.add_parser("quick", help="the contest at M, two rounds, printed")
    small.add_argument("--json", type=Path, metavar="FILE", help="also write the rows there")
    small.set_defaults(command=quick)
    for each in (all_of, small):
        each.add_argument("--without", nargs="+", default=[], metavar="CONTESTANT", help="leave a contestant out")
    commands.add_parser("render", help="write docs/performance.md from the results").set_defaults(command=render)
    return top


@contextmanager
def _ended_by_signal() -> Iterator[None]:
    """Let SIGTERM end the servers too."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
    yield
    signal.signal(signal.SIGTERM, before)


def main() -> int:
    options = parser().parse_args()
    command: Callable[[argparse.Namespace], int] = options.command
    with _ended_by_signal():
        return command(options)


if __name__ == "__main__":
    sys.exit(main())

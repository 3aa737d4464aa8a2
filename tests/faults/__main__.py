"""The long forms: ``python -m faults histories --runs 300``, ``python -m faults broken-rules``."""

import argparse
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

from faults.broken_rules import BROKEN_RULES, broken
from faults.kills import Kills
from faults.readers import check_readers
from faults.runs import Failure, first_failure, run_history
from faults.services.laboratory import laboratory

from open_meteo_stand_in.server import StandIn


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the long forms; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m faults", description=__doc__)
    forms = parser.add_subparsers(required=True)
    runs = forms.add_parser("histories", help="random histories against the oracle")
    runs.add_argument("--runs", type=int, default=300)
    runs.add_argument("--first", type=int, default=1, help="the first seed")
    runs.add_argument("--seed", type=int, help="only the history of this seed, shrunk if it fails")
    runs.add_argument("--jobs", type=int, default=2, help="histories at a time, each with services of its own")
    runs.set_defaults(form=_histories)
    rules = forms.add_parser("broken-rules", help="which history finds each broken rule")
    rules.add_argument("--runs", type=int, default=20)
    rules.add_argument("--rule", help="only this one")
    rules.set_defaults(form=_broken_rules)
    readers = forms.add_parser("readers", help="readers that poll the mart during loads")
    readers.add_argument("--loads", type=int, default=50)
    readers.set_defaults(form=_readers)
    kills = forms.add_parser("kills", help="kill -9 at random moments of `ikirere run`")
    kills.add_argument("--moments", type=int, default=50)
    kills.add_argument("--seed", type=int, default=1)
    kills.set_defaults(form=_kills)
    options = parser.parse_args(arguments)
    return int(options.form(options))


def _histories(options: argparse.Namespace) -> int:
    seeds = [options.seed] if options.seed is not None else range(options.first, options.first + options.runs)
    started = time.monotonic()
    left = iter(seeds)
    lock = threading.Lock()
    done: list[int] = []
    failures: list[Failure] = []

    def next_seeds() -> Iterator[int]:
        while not failures:
            with lock:
                seed = next(left, None)
            if seed is None:
                return
            yield seed

    def work() -> None:
        with laboratory() as services:
            for seed in next_seeds():
                failure = run_history(services, seed)
                with lock:
                    done.append(seed)
                if failure:
                    failures.append(failure)
                elif len(done) % 20 == 0:
                    print(f"{len(done)} of {len(seeds)} histories, {time.monotonic() - started:.0f} s", flush=True)

    jobs = min(options.jobs, len(seeds))
    with ThreadPoolExecutor(jobs) as pool:
        for worker in [pool.submit(work) for _ in range(jobs)]:
            worker.result()
    for failure in failures:
        print(failure)
    equal = len(done) - len(failures)
    print(f"{equal} of {len(seeds)} histories equal the oracle, {time.monotonic() - started:.0f} s")
    return 1 if failures else 0


def _broken_rules(options: argparse.Namespace) -> int:
    missed = 0
    with laboratory() as services:
        for rule in BROKEN_RULES:
            if options.rule not in (None, rule.name):
                continue
            with broken(rule) as folder:
                services.new_functions(folder)
                failure = first_failure(services, range(1, options.runs + 1))
            missed += failure is None
            found = (
                f"caught in run {failure.seed}: {failure.error[:110]}"
                if failure
                else f"NOT caught in {options.runs} runs"
            )
            print(f"{rule.name}: {found}", flush=True)
    return 1 if missed else 0


def _readers(options: argparse.Namespace) -> int:
    with laboratory() as services:
        queries = check_readers(services, options.loads)
    print(f"{queries} queries of the marts during {options.loads} loads: each saw the tables of before or after a load")
    return 0


def _kills(options: argparse.Namespace) -> int:
    with TemporaryDirectory(prefix="ikirere-kills-") as folder, StandIn("synthetic", quota=False) as host:
        kills = Kills(Path(folder), host, options.seed)
        try:
            kills.warm_up()
            for number in range(options.moments):
                print(f"{number + 1}. {kills.kill_one_run(number)}: the tables equal the oracle", flush=True)
        finally:
            kills.down()
    print(f"{options.moments} kills; nothing is left behind after ikirere down")
    return 0


if __name__ == "__main__":
    sys.exit(main())

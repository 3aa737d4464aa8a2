"""Histories by seed: one is made, run and, if it fails, shrunk by Hypothesis."""

from collections.abc import Iterator
from dataclasses import dataclass

from faults.histories import History, histories
from faults.services.laboratory import Laboratory
from faults.trial import Trial
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import HypothesisException


@dataclass(frozen=True)
class Failure:
    """A history that failed: as it was made, and the smallest one that Hypothesis found."""

    seed: int
    error: str
    history: History
    smallest: History
    smallest_error: str

    def __str__(self) -> str:
        return (
            f"seed {self.seed}: {self.error}\n{self.history}\n"
            f"smallest history: {self.smallest_error}\n{self.smallest}\n"
            f"again: make test-faults SEED={self.seed}"
        )


def run_history(laboratory: Laboratory, number: int, *, shrinks: bool = True) -> Failure | None:
    """Run the history of a seed; None if all is as it must be.

    The first example of Hypothesis is the smallest history, whatever the seed, and is not run; the second is the
    seed's. A failure that depends on time may
    not recur: then the smallest history is the smallest of those that failed.
    """
    failures: list[tuple[History, str]] = []
    examples: list[History] = []

    @seed(number)
    @settings(
        max_examples=2,
        phases=(Phase.generate, Phase.shrink) if shrinks else (Phase.generate,),
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
        report_multiple_bugs=False,
    )
    @given(histories)
    def one(history: History) -> None:
        examples.append(history)
        if len(examples) == 1:
            return
        if failures and not shrinks:
            raise AssertionError
        try:
            Trial(laboratory, history).run()
        except AssertionError as error:
            failures.append((history, str(error)))
            raise

    try:
        one()
    except (AssertionError, HypothesisException, ExceptionGroup):
        if not failures:
            raise
    if len(examples) < 2:
        raise LookupError(f"seed {number}: made no history")
    if not failures:
        return None
    smallest = min(failures, key=lambda each: len(repr(each[0])))
    return Failure(number, failures[0][1], failures[0][0], *smallest)


def first_failure(laboratory: Laboratory, seeds: Iterator[int] | range) -> Failure | None:
    """Run histories until one fails; it is not shrunk."""
    for number in seeds:
        if failure := run_history(laboratory, number, shrinks=False):
            return failure
    return None

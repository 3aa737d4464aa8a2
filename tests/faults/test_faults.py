"""The short form of the fault runs; `make test-faults` and its neighbours are the long one (docs/checks.md)."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from faults.broken_rules import BROKEN_RULES, broken
from faults.histories import DatabaseFault, HostFault, Run, StorageFault, histories
from faults.kills import Kills
from faults.oracle import rules
from faults.readers import check_readers
from faults.runs import first_failure, run_history
from faults.services.laboratory import ROOT, laboratory
from faults.trial import ATTEMPTS
from hypothesis import HealthCheck, given, settings

from open_meteo_stand_in.server import StandIn

SEEDS = range(1, 9)
# A kill of the emulator, and one of all processes.
MOMENTS = (1, 4)


@pytest.fixture(scope="module")
def services():
    with laboratory() as started:
        yield started


def test_the_oracle_imports_nothing_but_the_standard_library():
    tree = ast.parse(Path(rules.__file__).read_text(encoding="utf-8"))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert {name.split(".")[0] for name in imported} <= sys.stdlib_module_names


@pytest.mark.parametrize(("given_words", "asked"), [(["RUNS=300"], "--runs 300 --first 1"), (["SEED=17"], "--seed 17")])
def test_make_runs_the_named_number_of_histories_and_one_only_if_a_seed_is_named(given_words, asked):
    command = ["make", "--dry-run", "test-faults", *given_words]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert asked in printed
    assert ("--seed" in printed) == ("--seed" in asked)


@settings(max_examples=200, database=None, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(histories)
def test_each_history_has_a_run(history):
    assert any(isinstance(step, Run) for step in history.steps)


@pytest.mark.parametrize(
    ("run", "may_fail"),
    [
        (Run(), False),
        (Run(host=(HostFault("reset", 5),)), False),
        (Run(host=(HostFault("reset", 5), HostFault("overloaded", 2))), True),
        (Run(host=(HostFault("bad_key"),)), True),
        (Run(host=(HostFault("missing_variable"),)), True),
        (Run(host=(HostFault("minutely", 2),)), False),
        (Run(storage=(StorageFault("ingest", 0, "error before", 20),)), False),
        (Run(storage=(StorageFault("ingest", 0, "error before", 40),)), True),
        (Run(storage=(StorageFault("model", 0, "denied"),)), True),
        (Run(storage=(StorageFault("model", 0, "kill after"),)), False),
        (Run(storage=(StorageFault("model", 0, "kill after"),), database=DatabaseFault("copy", 0, "kill after")), True),
        (Run(database=DatabaseFault("commit", 0, "cut after")), False),
    ],
    ids=str,
)
def test_a_run_may_fail_only_if_its_faults_outlast_the_retries(run, may_fail):
    assert run.may_fail(ATTEMPTS) is may_fail


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_history_with_faults_leaves_the_tables_that_the_oracle_has_and_nothing_else(services, seed):
    failure = run_history(services, seed, shrinks=False)
    assert failure is None, str(failure)


@pytest.mark.slow
def test_a_reader_sees_the_marts_of_before_or_after_a_load_and_never_fewer_city_days(services):
    assert check_readers(services, loads=6) > 0


@pytest.mark.parametrize("rule", BROKEN_RULES, ids=lambda rule: rule.name)
def test_the_changes_that_break_a_rule_apply_to_the_code_as_it_is(rule):
    with broken(rule) as folder:
        changed = [change.file for change in rule.changes]
        assert all((folder / file).read_text() != (ROOT / file).read_text() for file in changed)


@pytest.mark.slow
def test_a_history_finds_a_broken_rule(services):
    (rule,) = (rule for rule in BROKEN_RULES if rule.name == "tie of conditions")
    with broken(rule) as folder:
        services.new_functions(folder)
        try:
            failure = first_failure(services, range(1, 21))
        finally:
            services.new_functions(ROOT)
    assert failure is not None
    assert "dominant_condition" in failure.error


@pytest.mark.slow
def test_a_run_after_a_killed_one_makes_the_right_tables_and_down_leaves_nothing(tmp_path):
    with StandIn("synthetic", quota=False) as host:
        kills = Kills(tmp_path, host, seed=1)
        try:
            kills.warm_up()
            for number in MOMENTS:
                kills.kill_one_run(number)
        finally:
            kills.down()

"""A backfill killed at any moment and resumed ends as one that was not, requests nothing twice and fills the quota.

A year of 100 cities with the free host's real minutes takes minutes: ``make test-backfill SEED=1``. It prints the kills
that follow from the seed.
"""

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack

import pytest
from command import ROOT, CommandLine
from killed import Backfill, Kill, kills_of, write_cities

from functions.core import quota
from open_meteo_stand_in.faults import Fault
from open_meteo_stand_in.server import StandIn

# A year across the turn of a year, so that it is two items, which run at the same time.
YEAR = ("--start", "2023-07-01", "--end", "2024-06-30")
# Two months of two items.
WINTER = ("--start", "2023-12-01", "--end", "2024-01-31")
# Ten percent of a minute may be less than the weight of any request that is left.
LEAST_SHARE = 0.9


@pytest.fixture
def new_backfill(tmp_path):
    """A function that makes a backfill with a host and a state folder of its own; all are stopped after the test."""
    with ExitStack() as stack:

        def make(name, *arguments):
            host = stack.enter_context(StandIn("synthetic"))
            backfill = Backfill(tmp_path / name, host, *arguments)
            stack.callback(backfill.down)
            return backfill

        yield make


def check_equal(killed, untouched, cities):
    """Check that a killed and resumed backfill ended as the untouched one did."""
    assert killed.tables() == untouched.tables()
    for backfill in (killed, untouched):
        assert {request.status for request in backfill.host.requests} == {200}
        assert backfill.running_executions() == []
        (entry,) = backfill.command.json("history")
        assert (entry["started_by"], entry["status"], entry["items"]) == ("backfill", "succeeded", "2 of 2")
    assert untouched.check_origins(cities) == len(untouched.host.requests)
    assert set(untouched.requested().values()) == {1}
    print(f"  {len(killed.host.requests)} requests, of which {killed.lost} were in flight at a kill")
    assert killed.check_origins(cities) == len(killed.host.requests) - killed.lost
    assert killed.requested().keys() == untouched.requested().keys()


def test_a_backfill_killed_twice_ends_as_one_that_was_not_and_requests_nothing_twice(new_backfill):
    untouched, killed = new_backfill("untouched", *WINTER), new_backfill("killed", *WINTER)
    killed.host.faults = [Fault("slow", times=None, seconds=0.5)]
    kills = [Kill("everything", 2, 0.0, False, True), Kill("postgres", 5, 0.0, True, False)]
    untouched.start()
    killed.start()
    for kill in kills:
        killed.kill(kill)
    assert killed.finish()["rows_in"] == 3 * 62 * 24
    assert untouched.ended()[0] == 0
    check_equal(killed, untouched, ("kigali", "musanze", "huye"))


@pytest.mark.skipif("BACKFILL_SEED" not in os.environ, reason="takes minutes: make test-backfill SEED=1")
def test_a_year_of_100_cities_killed_three_times_and_resumed_ends_as_one_that_was_not(new_backfill, tmp_path):
    seed, cities = int(os.environ["BACKFILL_SEED"]), tmp_path / "cities.csv"
    write_cities(cities, 100)
    arguments = (*YEAR, "--cities", str(cities))
    untouched, killed = new_backfill("untouched", *arguments), new_backfill("killed", *arguments)
    untouched.command("up", "--weather", untouched.host.url, "--cities", str(cities))
    # The first requests come early in a minute: one of its last seconds is reserved in the next minute too.
    time.sleep(60 - time.time() % 60)
    started = time.monotonic()
    untouched.start()
    kills = kills_of(seed, 3, steps=19)
    # so that more of the moments are those of a request
    killed.host.faults = [Fault("slow", times=None, seconds=1)]
    killed.start()
    print(f"seed {seed}:")
    for kill in kills:
        killed.kill(kill)
    result = killed.finish()
    print(f"  killed and resumed: {time.monotonic() - started:.0f} s with the other one beside it")
    assert (result["status"], result["items"], result["rows_in"]) == ("succeeded", 2, 100 * 366 * 24)
    assert untouched.ended()[0] == 0
    check_equal(killed, untouched, [f"city-{n:03d}" for n in range(100)])
    minutes = untouched.host.limits.used("Minutely")
    print(f"  quota weight of each minute: {[round(minutes[number], 1) for number in sorted(minutes)]}")
    _, limit = quota.WINDOWS["minutely"]
    assert sorted(minutes) == list(range(min(minutes), max(minutes) + 1))
    assert sum(minutes.values()) == pytest.approx(quota.weight(100, 5, 184) + quota.weight(100, 5, 182), rel=1e-3)
    for number, used in minutes.items():
        assert used <= limit
        assert used >= LEAST_SHARE * limit or number == max(minutes), minutes


@pytest.mark.skipif("BACKFILL_SEED" not in os.environ, reason="takes minutes: make test-backfill SEED=1")
def test_500_cities_of_two_runs_and_a_backfill_at_once_send_no_request_into_a_closed_window(tmp_path):
    cities = tmp_path / "cities.csv"
    write_cities(cities, 500)
    with StandIn("synthetic") as host:
        command = CommandLine(tmp_path / "state")
        command.environment["SFN_WAIT_SCALE"] = "1"
        command("up", "--weather", host.url, "--cities", str(cities))
        window = ("--start", "2025-12-01", "--end", "2026-01-15")
        try:
            started = [
                subprocess.Popen(
                    [sys.executable, "-m", "command_line", *arguments, "--json"],
                    cwd=ROOT, env=command.environment, stdout=subprocess.PIPE, text=True,
                )
                for arguments in (["run"], ["run", "--source", "archive"], ["backfill", *window, "--parallel", "2"])
            ]  # fmt: skip
            results = [json.loads(process.communicate(timeout=900)[0]) for process in started]
        finally:
            command("down")
    assert [result["rows_in"] for result in results] == [500 * 24 * days for days in (4, 7, 46)]
    assert {request.status for request in host.requests} == {200}
    minutes = host.limits.used("Minutely")
    print(f"  quota weight of each minute: {[round(minutes[number], 1) for number in sorted(minutes)]}")
    assert max(minutes.values()) <= quota.WINDOWS["minutely"][1]

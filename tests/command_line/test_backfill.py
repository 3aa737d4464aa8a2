"""``ikirere backfill`` as its users meet it: the plan, wrong input, a killed command, gaps, failures."""

import json
import subprocess
import sys
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta

import psycopg2
import pytest
from command import ROOT, CommandLine
from pipeline import MUSANZE_LATITUDE

from open_meteo_stand_in.faults import Fault
from open_meteo_stand_in.server import StandIn

TOMORROW = str(datetime.now(UTC).date() + timedelta(days=1))
# Two months of three cities, in two items because of the turn of the year.
WINDOW = ("--start", "2023-12-01", "--end", "2024-01-31")
HOURS = 62 * 24 * 3


@pytest.fixture
def host():
    with StandIn("synthetic") as stand_in:
        yield stand_in


def backfill(command, host, *arguments, expect=0):
    done = command("backfill", *WINDOW, "--weather", host.url, *arguments, "--json", expect=expect)
    return json.loads(done.stdout)


def requested(host):
    return [(each.parameters["start_date"], each.parameters["end_date"]) for each in host.requests]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--start", "2024-02-01", "--end", "2024-01-01"], "end 2024-01-01 is before start 2024-02-01"),
        (["--start", "2024-02-01", "--end", TOMORROW], f"end {TOMORROW} is in the future"),
        (["--start", "1939-12-31", "--end", "2024-01-01"], "start 1939-12-31 is before 1940-01-01"),
        (["--start", "2024", "--end", "2024-01-01"], "start '2024' must be a day as YYYY-MM-DD"),
        ([*WINDOW, "--city", "atlantis"], "no such city 'atlantis' in the city list"),
        ([*WINDOW, "--parallel", "41"], "parallel 41 must be a whole number from 1 to 40"),
        ([*WINDOW, "--parallel", "0"], "is not a whole number above 0"),
        ([*WINDOW, "--backfill-id", "../x"], "backfill_id '../x' must be"),
        ([*WINDOW, "--cities", "/nowhere.csv"], "cannot be read"),
        ([*WINDOW, "--weather", "sunny"], "is none of auto"),
        ([*WINDOW, "--gaps", "--plan"], "the warehouse does not run"),
        (["--start", "2024-01-01"], "the following arguments are required: --end"),
    ],
)
def test_wrong_input_prints_the_reason_exits_2_and_writes_nothing(tmp_path, arguments, says):
    rejected = CommandLine(tmp_path / "state")("backfill", *arguments, expect=2)
    assert says in rejected.stderr
    assert "Traceback" not in rejected.stderr
    assert not (tmp_path / "state").exists()


def test_more_items_than_a_map_allows_are_rejected_before_anything_starts(tmp_path):
    cities = tmp_path / "cities.csv"
    lines = [f"c{n:05d},C,X,1,1,Africa/Kigali,1,1" for n in range(30_000)]
    cities.write_text("city_id,city,country,latitude,longitude,timezone,population,area_km2\n" + "\n".join(lines))
    window = ("--start", "1940-01-01", "--end", "2024-12-31", "--cities", str(cities))
    rejected = CommandLine(tmp_path / "state")("backfill", *window, expect=2)
    assert "needs more than 10000 work items; plan fewer years or cities at a time" in rejected.stderr
    assert not (tmp_path / "state").exists()


def test_a_plan_says_what_the_backfill_will_cost_and_starts_nothing(tmp_path):
    command = CommandLine(tmp_path / "state")
    shown = command("backfill", *WINDOW, "--plan").stdout
    assert shown.startswith("2 work items, 2 requests, quota weight 7, 4,464 rows\n")
    for text in ("free host", "paid plan", "GB raw", "GB processed", "GB warehouse"):
        assert text in shown
    cost = json.loads(command("backfill", *WINDOW, "--plan", "--json").stdout)
    assert (cost["items"], cost["requests"], cost["rows"]) == (2, 2, HOURS)
    assert not (tmp_path / "state").exists()


def test_a_killed_command_leaves_the_backfill_running_and_the_next_one_follows_it(ikirere, host):
    # it waits for quota until this test lets it go on
    host.faults = [Fault("minutely", times=None)]
    running = subprocess.Popen(
        [sys.executable, "-m", "command_line", "backfill", *WINDOW, "--weather", host.url],
        cwd=ROOT, env=ikirere.environment, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    for line in running.stdout:
        if line.startswith("Backfill backfill-"):
            break
    running.kill()
    running.communicate()
    (entry,) = ikirere.json("history")
    assert (entry["started_by"], entry["status"]) == ("backfill", "running")
    following = subprocess.Popen(
        [sys.executable, "-m", "command_line", "backfill", *WINDOW, "--weather", host.url, "--json"],
        cwd=ROOT, env=ikirere.environment, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    time.sleep(5)
    assert following.poll() is None
    host.faults = []
    result = json.loads(following.communicate(timeout=120)[0])
    assert (result["backfill_id"], result["status"]) == (entry["run_id"], "succeeded")
    assert result["backfill_id"] in line
    assert [request.status for request in host.requests].count(200) == 2
    (entry,) = ikirere.json("history")
    assert (entry["status"], entry["items"], entry["loaded"]) == ("succeeded", "2 of 2", HOURS)
    # one that is over is not resumed: the same command loads the window again
    again = backfill(ikirere, host)
    assert again["backfill_id"] != result["backfill_id"]
    assert (again["rows_loaded"], again["rows_unchanged"]) == (0, HOURS)


def test_failed_items_and_cities_are_listed_and_the_items_run_again(ikirere, host):
    host.faults = [Fault("no_data", times=None, latitude=MUSANZE_LATITUDE), Fault("teapot", times=1)]
    shown = ikirere("backfill", *WINDOW, "--weather", host.url, "--backfill-id", "b", expect=1).stdout
    host.faults = [Fault("teapot", times=None)]
    assert "Backfill b failed: 1 of 2 items" in shown or "Backfill b failed: 0 of 2 items" in shown
    assert "failed item: b-0000" in shown
    assert "418: short and stout" in shown
    host.faults = [Fault("no_data", times=None, latitude=MUSANZE_LATITUDE)]
    result = backfill(ikirere, host, "--backfill-id", "b")
    assert (result["status"], result["partial"], result["failed"]) == ("partial", 2, 0)
    assert {(city["city_id"], city["reason"]) for city in result["failed_cities"]} == {
        ("musanze", "No data is available for this location")
    }
    items = json.loads(ikirere("history", "--backfill", "b", "--json").stdout)
    assert [(item["item"], item["status"], item["cities"], item["failed_cities"]) for item in items] == [
        (1, "partial", 3, "musanze"),
        (2, "partial", 3, "musanze"),
    ]
    assert "is not known" in ikirere("history", "--backfill", "x", expect=2).stderr
    rejected = ikirere("backfill", "--start", "2020-01-01", "--end", "2020-01-02", "--backfill-id", "b", expect=2)
    assert "backfill b: is one of 2023-12-01 to 2024-01-31" in rejected.stderr


def test_gaps_are_requested_and_nothing_else(ikirere, host):
    assert ikirere.json("backfill", *WINDOW, "--weather", host.url, "--city", "kigali")["rows_loaded"] == HOURS / 3
    url = ikirere.json("status")["database_url"]
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("UPDATE mart_daily_city_weather SET hours_observed = 3 WHERE date = '2024-01-10'")
        cursor.execute("UPDATE mart_daily_city_weather SET hours_forecast = 1 WHERE date = '2023-12-20'")
    cost = json.loads(ikirere("backfill", *WINDOW, "--gaps", "--plan", "--json").stdout)
    assert cost["rows"] == 2 * HOURS / 3 + 2 * 48
    host.requests.clear()
    result = backfill(ikirere, host, "--gaps", "--city", "kigali", "--city", "huye")
    assert sorted(requested(host)) == [
        ("2023-12-01", "2023-12-31"),
        ("2023-12-19", "2023-12-20"),
        ("2024-01-01", "2024-01-31"),
        ("2024-01-09", "2024-01-10"),
    ]
    assert (result["items"], result["rows_loaded"]) == (4, HOURS / 3)
    assert ikirere("sql", "SELECT count(*) FROM pipeline_run", "--csv").stdout.split() == ["count", "6"]

"""Wrong usage: a message on stderr, exit code 2, nothing written."""

import subprocess
import sys

import pytest
from command import ROOT, CommandLine, unused_port

from command_line.main import parser

HEADER = "city_id,city,country,latitude,longitude,timezone,population,area_km2\n"
KIGALI = "kigali,Kigali,Rwanda,-1.95,30.06,Africa/Kigali,1,1\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (HEADER + KIGALI + KIGALI, "line 3: duplicate city_id 'kigali'"),
        (HEADER + KIGALI.replace("-1.95", "91"), "line 2: latitude 91 is outside -90 to 90"),
        (HEADER + KIGALI.replace("Africa/Kigali", "Africa/Kigale"), "line 2: unknown timezone 'Africa/Kigale'"),
        (HEADER.replace(",timezone", "") + KIGALI, "line 1: missing column timezone"),
        ("", "is empty"),
        (HEADER, "there is no city"),
        (HEADER + KIGALI.replace("Kigali,R", "=1+1,R"), "starts like a spreadsheet formula"),
    ],
)
def test_a_wrong_city_list_is_rejected_with_line_and_reason_before_anything_is_written(tmp_path, text, says):
    cities = tmp_path / "cities.csv"
    cities.write_text(text)
    rejected = CommandLine(tmp_path / "state")("run", "--cities", str(cities), expect=2)
    assert says in rejected.stderr
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "--event", '{"sorce": "forecast"}'], "unknown key 'sorce'"),
        (["run", "--event", "[]"], "must be a JSON object"),
        (["run", "--event", "{"], "is not JSON"),
        (["run", "--event", "{}", "--city", "kigali"], "--event is the whole event"),
        (["run", "--start", "2026-03-02", "--end", "2026-03-01"], "end 2026-03-01 is before start 2026-03-02"),
        (["run", "--start", "yesterday"], "must be a day as YYYY-MM-DD"),
        (["run", "--city", "atlantis"], "no such city 'atlantis'"),
        (["run", "--source", "forecast", "--variable", "rain_of_frogs"], "variable 'rain_of_frogs'"),
        (["run", "--source", "archive", "--variable", "uv_index"], "only forecast has it"),
        (["run", "--run-id", "../etc"], "run_id '../etc' must be"),
        (["run", "--weather", "sunny"], "is none of auto, live, recorded, synthetic, "),
        (["run", "--weather", "ftp://x"], "is none of auto"),
        (["run", "--cities", "/nowhere.csv"], "cannot be read"),
        (["up", "--schedule", "daily"], "is none of"),
        (["up", "--schedule", "rate(1 minutes)"], "is none of"),
        (["up", "--schedule", "cron(99 4 * * ? *)"], "is none of"),
        (["up", "--schedule", "at(2026-99-99T00:00:00)"], "is none of"),
        (["up", "--schedule", ""], "is none of"),
        (["run", "--weather", ""], "is none of auto"),
        (["run", "--weather", "http://h:0"], "is none of auto"),
        (["run", "--cities", ""], "cannot be read"),
        (["run", "--event", "[" * 100_000], "is not JSON"),
        (["run", "--timeout", "9" * 400], "is not a whole number"),
        (["up", "--port", "99999"], "is not a port number"),
        (["replay", "--run", "x"], "nothing runs"),
        (["logs"], "nothing runs"),
        (["show"], "does not run"),
        (["sql", "SELECT 1"], "does not run"),
        (["export"], "the following arguments are required: FORM"),
        (["export", "xlsx"], "invalid choice: 'xlsx'"),
        (["export", "csv"], "the following arguments are required: --output"),
        (["export", "csv", "--output", "x", "--table", "frogs"], "no table frogs"),
        (["export", "package", "--output", "x"], "does not run"),
        (["invoke", "ingest", "--event", "@/nowhere"], "No such file"),
        (["invoke", "ingest", "--event", f"@{sys.executable}"], "is not UTF-8 text"),
        (["dance"], "invalid choice"),
        ([], "required"),
    ],
)
def test_wrong_usage_prints_the_reason_exits_2_and_writes_nothing(tmp_path, arguments, says):
    rejected = CommandLine(tmp_path / "state")(*arguments, expect=2)
    assert says in rejected.stderr
    assert "Traceback" not in rejected.stderr
    assert not (tmp_path / "state").exists()


def test_an_unwritable_state_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    rejected = CommandLine(tmp_path / "file" / "state")("run", expect=1)
    assert f"state folder {tmp_path / 'file' / 'state'}: cannot be written" in rejected.stderr


def test_a_database_that_does_not_respond_is_named_without_its_password(tmp_path):
    port = unused_port()
    command = CommandLine(tmp_path / "state", DATABASE_URL=f"postgresql://me:s3cret@127.0.0.1:{port}/x")
    rejected = command("run", expect=2)
    assert f"DATABASE_URL me@127.0.0.1:{port}/x: does not respond (" in rejected.stderr
    assert "Connection refused" in rejected.stderr
    assert "s3cret" not in rejected.stderr
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    "url",
    [
        "postgres//me:s3cret@h/w",
        "postgresql://me:s3/cret@h/w",
        "postgresql://me:s3@cret@h.invalid/w",
        "postgresql://me:s3@c/cret@h/w",
    ],
)
def test_a_malformed_database_url_is_rejected_without_repeating_it(tmp_path, url):
    for command in (["run"], ["status"], ["status", "--json"], ["sql", "SELECT 1"], ["history"], ["report"]):
        rejected = CommandLine(tmp_path / "state", DATABASE_URL=url)(*command, expect=2)
        assert "DATABASE_URL cannot be read" in rejected.stderr
        assert "cret" not in rejected.stderr + rejected.stdout


def test_make_rejects_a_python_older_than_3_11(tmp_path):
    old = tmp_path / "python3.10"
    old.write_text(
        f'#!/bin/sh\nexec {sys.executable} -c "import sys; sys.version_info = (3, 10, 0); exec(sys.argv[1])" "$2"\n'
    )
    old.chmod(0o755)
    made = subprocess.run(
        ["make", "python", f"PYTHON={old}"], cwd=ROOT, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert made.returncode != 0
    assert "ikirere needs Python 3.11 or later" in made.stderr
    assert "3.10" in made.stderr


def test_help_names_every_command_and_the_exit_codes(tmp_path):
    command = CommandLine(tmp_path / "state")
    text = command("--help").stdout
    (commands,) = (action.choices for action in parser()._actions if action.choices)
    for name in commands:
        assert name in text
        assert command(name, "--help").stdout
    one_line = " ".join(text.split())
    assert "1 the run failed, a file cannot be written or what was compared is not equal, 2 wrong usage" in one_line

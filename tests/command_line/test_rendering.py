"""What the commands print, from data alone: no service runs."""

import io
import json
from datetime import UTC, date, datetime

from rich.console import Console

from command_line import inspection, tables
from command_line.steps import step_line
from operations.executions import Step
from operations.history import RunDetails

AT = datetime(2026, 3, 1, tzinfo=UTC)
SHA256 = "0123456789abcdef" * 4


def test_the_line_of_a_failed_step_has_the_address_of_a_request_without_its_query():
    message = "https://api.open-meteo.com/v1/forecast?latitude=-1.95,-1.5&hourly=temperature_2m: 503: overloaded"
    cause = json.dumps({"errorMessage": message, "errorType": "TransientError"})
    line = step_line(Step(AT, "failed", "Ingest", {"error": "TransientError", "cause": cause}), 1.25)
    assert "Ingest        failed: TransientError: https://api.open-meteo.com/v1/forecast?..." in line
    assert line.endswith("forecast?...: 503: overloaded")
    assert "latitude" not in line


def test_the_summary_in_80_columns_breaks_no_heading_inside_a_word():
    row = {
        "city_id": "kigali",
        "city": "Kigali",
        "total_days_recorded": 365,
        "highest_temperature_c": 31.25,
        "highest_temperature_date": date(2026, 2, 1),
        "lowest_temperature_c": 11.25,
        "lowest_temperature_date": date(2026, 7, 1),
        "average_humidity": 76.67,
        "first_day": date(2026, 1, 1),
        "last_day": date(2026, 12, 31),
    }
    console = Console(file=io.StringIO(), width=80)
    console.print(tables.summary_table([row]))
    lines = console.file.getvalue().splitlines()
    heading, _, cells = "\n".join(lines).partition("─")
    assert cells
    assert max(map(len, lines)) <= 80
    assert {"31.25", "11.25", "2026-02-01", "2026-07-01", "2026-01-01", "2026-12-31"} <= set(cells.split())
    assert sorted(heading.split()) == sorted(" ".join(tables._SUMMARY_HEADS.values()).split())


def test_the_sha256_of_an_object_is_printed_on_one_line(capsys):
    part = {"raw_key": "raw/part-0000.json.gz", "sha256": SHA256, "rows_in": 72, "rows": 71, "rejected": 1}
    row = {"run_id": "r", "status": "succeeded", "event": {}, "error": None, "failed_cities": [], "objects": [part]}
    inspection._print_run(RunDetails(row))
    lines = capsys.readouterr().out.splitlines()
    assert f"  sha256 {SHA256}" in lines
    assert "  72 rows in, 71 accepted, 1 rejected" in lines

"""What the commands print, from data alone: no service runs."""

import io
import json
from datetime import UTC, date, datetime

import pytest
from rich.console import Console

from command_line import backfills, data, inspection, tables
from command_line.steps import step_line
from functions.backfill.records import ItemResult, Summary
from functions.core.contracts import CityFailure
from operations.executions import Step
from operations.following import BackfillResult
from operations.history import RunDetails
from operations.lineage.verification import Verification

AT = datetime(2026, 3, 1, tzinfo=UTC)
SHA256 = "0123456789abcdef" * 4


def test_the_line_of_a_failed_step_has_the_address_of_a_request_without_its_query():
    message = "https://api.open-meteo.com/v1/forecast?latitude=-1.95,-1.5&hourly=temperature_2m: 503: overloaded"
    cause = json.dumps({"errorMessage": message, "errorType": "TransientError"})
    line = step_line(Step(AT, "failed", "Ingest", {"error": "TransientError", "cause": cause}), 1.25)
    assert "Ingest        failed: TransientError: https://api.open-meteo.com/v1/forecast?..." in line
    assert line.endswith("forecast?...: 503: overloaded")
    assert "latitude" not in line


@pytest.mark.parametrize("differences", [0, 1])
def test_a_note_of_verify_is_printed_and_is_no_difference(capsys, differences):
    data._print_verification(Verification(notes=["time zone A/B: \x1b[2J"], differences=differences))
    shown = capsys.readouterr().out
    assert "note: time zone A/B: \\x1b[2J\n" in shown
    assert ("NOT equal: 1 difference" if differences else "Equal: the warehouse") in shown


def test_a_partial_item_of_a_backfill_without_a_failed_city_is_named_with_the_command_that_says_why(capsys):
    failed = CityFailure("huye", "no data", "raw/key")
    results = [ItemResult(1, "b-00001", "partial"), ItemResult(2, "b-00002", "partial", failed_cities=(failed,))]
    backfills._show(BackfillResult(Summary("b", "partial", 2, 0, 2, 0, 48, 48, 0, 0), results))
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "  partial item: b-00001: many of its hours have errors (ikirere show run --run b-00001)",
        "  failed city: huye: no data (b-00002)",
    ]


SUMMARY = {
    "city_id": "addis-ababa-ethiopia",
    "city": "Addis Ababa",
    "total_days_recorded": 365,
    "highest_temperature_c": 31.25,
    "highest_temperature_date": date(2026, 2, 1),
    "lowest_temperature_c": -31.25,
    "lowest_temperature_date": date(2026, 7, 1),
    "average_humidity": 76.67,
    "first_day": date(2026, 1, 1),
    "last_day": date(2026, 12, 31),
}
DAY = {
    "city": "Addis Ababa",
    "date": date(2026, 11, 22),
    **dict.fromkeys([head for head in tables.MART_HEADS if head.endswith(("_c", "_mm", "_kmh"))], -12.45),
    "avg_humidity": 65.42,
    "max_uv_index": 11,
    "dominant_condition": "Slight rain showers",
    "hours": "22/24",
    "hours_forecast": 22,
}
RUN = {
    "started": AT,
    "run_id": "run-20260301-000000-abcd",
    "status": "failed",
    "error": "TransientError: 503: " + "x" * 90,
}


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 160, 200])
@pytest.mark.parametrize(
    ("row", "heads"),
    [(DAY, tables.MART_HEADS), (SUMMARY, tables.SUMMARY_HEADS), (RUN, None)],
    ids=["mart", "summary", "run"],
)
def test_no_heading_and_no_value_is_cut_at_any_width(row, heads, width):
    console = Console(file=io.StringIO(), width=width)
    console.print(tables.table([row, row], heads, width), soft_wrap=True)
    shown = console.file.getvalue().split()
    for head in heads.values() if heads else row:
        assert set(head.split()) <= set(shown), head
    for value in row.values():
        assert set(tables.text(value).split()) <= set(shown), value


def test_a_table_that_fits_has_each_heading_and_row_on_one_line():
    console = Console(file=io.StringIO(), width=160)
    console.print(tables.table([DAY, DAY], tables.MART_HEADS, 160))
    heading, _, *rows = console.file.getvalue().splitlines()
    assert heading.split() == " ".join(tables.MART_HEADS.values()).split()
    assert len(rows) == 2


def test_the_sha256_of_an_object_is_printed_on_one_line(capsys):
    part = {"raw_key": "raw/part-0000.json.gz", "sha256": SHA256, "rows_in": 72, "rows": 71, "rejected": 1}
    row = {"run_id": "r", "status": "succeeded", "event": {}, "error": None, "failed_cities": [], "objects": [part]}
    inspection._print_run(RunDetails(row))
    lines = capsys.readouterr().out.splitlines()
    assert f"  sha256 {SHA256}" in lines
    assert "  72 rows in, 71 accepted, 1 rejected" in lines

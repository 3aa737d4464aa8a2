"""How runs end, and what they leave in the tables: through the real state machine, functions and Postgres."""

import pytest
from pipeline import MUSANZE_LATITUDE, YESTERDAY

from operations import executions, history


def test_a_run_loads_every_hour_and_its_row_has_the_counts(pipeline):
    ended = pipeline.run(**YESTERDAY)
    assert ended.states[:3] == ["Begin", "Ingest", "IsQuotaOpen"]
    assert ended.row["status"] == "succeeded"
    assert (ended.row["rows_in"], ended.row["rows_loaded"], ended.row["rows_unchanged"]) == (72, 72, 0)
    assert (ended.row["requests"], ended.row["cities"], ended.row["error"]) == (1, 3, None)
    assert ended.row["objects"][0]["sha256"]
    assert pipeline.observed_hours() == {"huye": 24, "kigali": 24, "musanze": 24}
    assert len(pipeline.host.requests) == 1


def test_a_second_run_of_a_window_writes_no_row_again(pipeline):
    pipeline.run(**YESTERDAY)
    findings = pipeline.rows("SELECT xmin, * FROM quality_result ORDER BY rule, city_id, date")
    cells = pipeline.rows("SELECT xmin, * FROM city_grid_cell ORDER BY city_id")
    before = pipeline.rows("SELECT xmin, * FROM staging_weather ORDER BY city_id, observed_at")
    days = pipeline.rows("SELECT xmin, * FROM mart_daily_city_weather ORDER BY city_id, date")
    ended = pipeline.run(**YESTERDAY)
    assert (ended.row["rows_loaded"], ended.row["rows_unchanged"]) == (0, 72)
    assert pipeline.rows("SELECT xmin, * FROM staging_weather ORDER BY city_id, observed_at") == before
    assert pipeline.rows("SELECT xmin, * FROM mart_daily_city_weather ORDER BY city_id, date") == days
    assert pipeline.rows("SELECT xmin, * FROM quality_result ORDER BY rule, city_id, date") == findings != []
    assert pipeline.rows("SELECT xmin, * FROM city_grid_cell ORDER BY city_id") == cells != []


def test_two_concurrent_executions_of_one_run_id_are_one_run(pipeline):
    pipeline.fault("slow", times=None, seconds=0.3)
    started = [pipeline.start(run_id="twice", **YESTERDAY) for _ in range(2)]
    assert [pipeline.end(execution)[0] for execution in started] == ["SUCCEEDED"] * 2
    assert pipeline.observed_hours() == {"huye": 24, "kigali": 24, "musanze": 24}
    (row,) = pipeline.rows("SELECT * FROM pipeline_run")
    assert (row["run_id"], row["status"], row["rows_in"]) == ("twice", "succeeded", 72)
    assert len(pipeline.raw_keys("twice")) == 1
    content = pipeline.content()
    pipeline.clear()
    pipeline.fault("overloaded", times=None)
    pipeline.run(run_id="twice", **YESTERDAY)
    assert pipeline.content() == content


def test_a_rejected_city_is_a_failed_city_and_the_others_are_loaded(pipeline):
    pipeline.fault("no_data", times=None, latitude=MUSANZE_LATITUDE)
    ended = pipeline.run(**YESTERDAY)
    assert (ended.execution, ended.row["status"]) == ("SUCCEEDED", "partial")
    assert pipeline.observed_hours().keys() == {"huye", "kigali"}
    (failed,) = ended.row["failed_cities"]
    assert (failed["city_id"], failed["reason"]) == ("musanze", "No data is available for this location")
    assert failed["raw_key"] in pipeline.raw_keys(ended.row["run_id"])


def test_a_response_of_nulls_only_is_loaded_as_nulls(pipeline):
    pipeline.fault("all_null", times=None)
    ended = pipeline.run(**YESTERDAY)
    assert (ended.row["status"], ended.row["rows_loaded"], ended.row["rows_rejected"]) == ("succeeded", 72, 0)
    assert pipeline.observed_hours() == {"huye": 0, "kigali": 0, "musanze": 0}
    days = pipeline.rows("SELECT * FROM mart_daily_city_weather")
    assert {(day["hours_observed"], day["avg_temperature_c"], day["dominant_condition"]) for day in days} == {
        (0, None, None)
    }


def test_nulls_at_the_end_of_a_window_are_filled_by_a_later_run_and_never_return(pipeline):
    pipeline.fault("null_tail", times=None)
    pipeline.run(**YESTERDAY)
    assert set(pipeline.observed_hours().values()) == {18}
    pipeline.host.faults = []
    filled = pipeline.run(**YESTERDAY)
    assert set(pipeline.observed_hours().values()) == {24}
    assert (filled.row["rows_loaded"], filled.row["rows_unchanged"]) == (18, 54)
    content = pipeline.content()
    pipeline.fault("null_tail", times=None)
    again = pipeline.run(**YESTERDAY)
    assert (again.row["rows_loaded"], again.row["rows_unchanged"]) == (0, 72)
    assert pipeline.content() == content


def test_an_impossible_hour_is_rejected_and_the_others_are_loaded(pipeline):
    for kind in ("impossible_value", "unknown_code"):
        pipeline.fault(kind, times=None, latitude=MUSANZE_LATITUDE)
    ended = pipeline.run(**YESTERDAY)
    assert (ended.row["status"], ended.row["rows_rejected"], ended.row["rows_loaded"]) == ("succeeded", 1, 71)


def test_a_run_with_an_error_in_one_hour_of_24_is_no_partial_one_and_its_finding_is_in_the_table(pipeline):
    pipeline.fault("impossible_value", times=None, latitude=MUSANZE_LATITUDE)
    ended = pipeline.run(**YESTERDAY, cities=["musanze"])
    assert (ended.execution, ended.row["status"], ended.row["rows_loaded"]) == ("SUCCEEDED", "succeeded", 23)
    assert ended.row["findings"]["impossible_value"] == 1
    (found,) = pipeline.rows("SELECT * FROM quality_result WHERE severity = 'error'")
    assert (found["run_id"], found["rule"], found["city_id"]) == (ended.row["run_id"], "impossible_value", "musanze")
    assert (str(found["date"]), found["count"]) == (YESTERDAY["start"], 1)
    assert found["example"] == f"{YESTERDAY['start']}T00:00: impossible temperature_2m"
    cells = pipeline.rows("SELECT city_id, source, elevation FROM city_grid_cell")
    assert [(cell["city_id"], cell["source"]) for cell in cells] == [("musanze", "forecast")]


def test_a_forecast_without_any_temperature_before_its_fetch_is_stale_and_the_next_run_is_not(pipeline):
    pipeline.fault("all_null", times=None)
    ended = pipeline.run()
    assert (ended.row["status"], ended.row["findings"]["stale"]) == ("partial", 3)
    pipeline.host.faults = []
    later = pipeline.run()
    assert later.row["status"] == "succeeded"
    assert "stale" not in later.row["findings"]


@pytest.mark.parametrize(("module", "read_first"), [(executions, "newest"), (history, "run_rows")])
def test_history_shows_a_run_that_ends_while_it_reads_with_its_counts_or_not_at_all(
    pipeline, monkeypatch, module, read_first
):
    read = getattr(module, read_first)
    ended = []

    def then_a_run_ends(*arguments, **options):
        found = read(*arguments, **options)
        if not ended:
            ended.append(pipeline.run(**YESTERDAY, cities=["kigali"]).row["run_id"])
        return found

    monkeypatch.setattr(module, read_first, then_a_run_ends)
    shown = [entry for entry in history.history(pipeline.emulator, 50) if entry.run_id in ended]
    assert len(ended) == 1
    assert [entry.loaded for entry in shown] in ([], [24])

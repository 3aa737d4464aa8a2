"""A warehouse made from the raw bucket alone equals the one that was lost."""

from contextlib import closing
from dataclasses import replace
from datetime import date, timedelta

import psycopg2
import pytest
from histories import CITIES, HOURS, at, load_run, store_run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pipeline import CLEAR, MUSANZE_LATITUDE, YESTERDAY
from test_second_computation import histories
from test_verify_and_trace import changed_object, values

from deployment.errors import UserError
from functions.core.cities import load_cities
from functions.core.storage import ObjectStore, processed_key
from operations.lineage.rebuilding import SCHEMA, RebuildObserver, rebuilt
from operations.lineage.stored_runs import StoredRun, stored_runs
from operations.lineage.tracing import traced
from operations.lineage.verification import VerifyObserver, compared

LISTED = {**load_cities(), **CITIES}
TABLES = {
    "dim_city": "city_id",
    "city_list": "sha256",
    "staging_weather": "city_id, observed_at",
    "staging_coverage": "city_id, source, fetched_at, run_id, first_hour",
    "mart_daily_city_weather": "city_id, date",
    "mart_weekly_city_weather": "city_id, period",
    "mart_monthly_city_weather": "city_id, period",
    "climate_normal": "city_id, period_type, period_number, base_start, base_end",
    "climate_threshold": "city_id, measure, base_start, base_end",
    "mart_city_weather_summary": "city_id",
    "forecast_day": "city_id, date, lead_days",
    "pipeline_run": "run_id",
    "quality_result": "run_id, rule, city_id, date",
    "city_grid_cell": "city_id, source",
    "alert_rule": "rule",
    "weather_alert": "city_id, rule, opened_on",
}
ORIGIN = {"fetched_at", "run_id", "raw_key"}
# What the raw bucket does not have: times of the warehouse's own, and the execution.
NOT_STORED = {"updated_at", "found_at", "started_at", "finished_at", "ingest_seconds", "transform_seconds",
              "model_seconds", "execution_arn"}  # fmt: skip


class StoppedError(Exception):
    pass


class StopsAfterTheFirst(RebuildObserver):
    def loaded(self, run_id, done, runs):
        raise StoppedError


@pytest.fixture
def empty(pipeline):
    """The pipeline with an empty raw and processed bucket too."""
    delete_objects(pipeline)
    return pipeline


def delete_objects(pipeline):
    s3 = pipeline.emulator.aws.client("s3")
    for bucket in (pipeline.outputs["RawBucket"], pipeline.outputs["ProcessedBucket"]):
        for item in s3.list_objects_v2(Bucket=bucket).get("Contents", ()):
            s3.delete_object(Bucket=bucket, Key=item["Key"])


def content(pipeline):
    return {
        table: [
            {name: value for name, value in row.items() if name not in NOT_STORED}
            for row in pipeline.rows(f"SELECT * FROM {table} ORDER BY {order}")
        ]
        for table, order in TABLES.items()
    }


def partial_last(tables):
    return sorted(tables["pipeline_run"], key=lambda row: row["status"] == "partial")


def lose(pipeline):
    with closing(pipeline.connect()) as connection, connection, connection.cursor() as cursor:
        cursor.execute(CLEAR)


def rebuild(pipeline, raw, *, cities=None, replace=False, unfinished_too=False, observer=None):
    processed = ObjectStore(pipeline.outputs["ProcessedBucket"], pipeline.emulator.aws.client)
    return rebuilt(
        pipeline.emulator.database_url(),
        raw,
        stored_runs(raw, processed, unfinished_too=unfinished_too),
        cities or load_cities(),
        replace=replace,
        observer=observer or RebuildObserver(),
    )


def has_schema(pipeline):
    return bool(pipeline.rows("SELECT FROM pg_namespace WHERE nspname = %s", SCHEMA))


def test_a_rebuilt_warehouse_equals_the_lost_one_in_values_origin_and_runs(empty, raw):
    """Forecasts, an archive, a repeated run, one with a failed city and an impossible value, and one that failed."""
    yesterday = date.fromisoformat(YESTERDAY["start"])
    older = {"start": str(yesterday - timedelta(days=3)), "end": str(yesterday)}
    empty.run(run_id="forecast")
    empty.run(run_id="loaded-after", source="forecast", cities=["kigali"])
    empty.fault("no_data", times=None, latitude=MUSANZE_LATITUDE)
    empty.fault("impossible_value", times=None)
    empty.run(run_id="partial", source="archive", **older)
    empty.host.faults = []
    empty.run(run_id="archive", source="archive", **YESTERDAY)
    empty.fault("wrong_unit", times=None)
    failed = empty.run(run_id="failed", **YESTERDAY)
    assert failed.row["status"] == "failed"
    empty.host.faults = []
    before = content(empty)

    lose(empty)
    made = rebuild(empty, raw)
    assert made.is_whole
    after = content(empty)
    before["pipeline_run"] = [row for row in before["pipeline_run"] if row["status"] != "failed"]
    # the requests of a batch that Open-Meteo rejected as a whole left no response
    requests = [(rows[-1].pop("requests"), rows[-1].pop("quota_weight")) for rows in map(partial_last, (before, after))]
    assert requests[0] > requests[1]
    for table in TABLES:
        assert after[table] == before[table], table
    assert made.runs == len(after["pipeline_run"]) == 4
    assert {row["status"] for row in after["pipeline_run"]} == {"succeeded", "partial"}
    assert any(row["rows_rejected"] for row in after["pipeline_run"])
    assert [key for key in made.never_transformed if "run=failed/" in key] == made.never_transformed != []
    assert not has_schema(empty)
    with closing(empty.connect()) as connection:
        assert compared(connection, raw, None, None, VerifyObserver()).is_equal
    # a rebuilt run can be replayed, and changes nothing
    (event,) = (row["event"] for row in after["pipeline_run"] if row["run_id"] == "archive")
    assert empty.run(**event).row["rows_loaded"] == 0


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=histories(), order=st.randoms(use_true_random=False))
def test_any_responses_loaded_in_any_order_are_traced_and_rebuilt_as_they_are(empty, raw, history, order):
    empty.clear()
    delete_objects(empty)
    loads = [store_run(raw, at(fetched), cities, source) for source, fetched, cities in history]
    order.shuffle(loads)
    for each in loads:
        load_run(empty.emulator.database_url(), raw, each)
    before = content(empty)
    with closing(empty.connect()) as connection:
        for row in order.sample(before["mart_daily_city_weather"], min(3, len(before["mart_daily_city_weather"]))):
            assert traced(connection, raw, row["city_id"], row["date"], None).is_equal, row

    lose(empty)
    assert rebuild(empty, raw, cities=LISTED, unfinished_too=True).is_whole
    after = content(empty)
    for table in ("staging_weather", *(name for name in TABLES if name.startswith("mart_"))):
        assert without_origin(after[table]) == without_origin(before[table]), table
    with closing(empty.connect()) as connection:
        assert compared(connection, raw, None, None, VerifyObserver()).is_equal


def without_origin(rows):
    """Of responses with an equal value the one that was loaded first stays the origin: that depends on the order."""
    return [{name: value for name, value in row.items() if name not in ORIGIN} for row in rows]


def test_rebuild_leaves_a_warehouse_with_data_unless_it_is_to_replace_it(empty, raw):
    empty.run(run_id="one", **YESTERDAY)
    with pytest.raises(UserError, match="has data"):
        rebuild(empty, raw)
    before = content(empty)
    with closing(empty.connect()) as connection, connection, connection.cursor() as cursor:
        cursor.execute("UPDATE staging_weather SET temperature_c = 0")
        cursor.execute(
            "INSERT INTO pipeline_run (run_id, status, started_at, finished_at) "
            "VALUES ('broken', 'failed', now(), now())"
        )
    rebuild(empty, raw, replace=True)
    after = content(empty)
    # the row of a failed run, which has nothing in the raw bucket, stays
    assert [row["run_id"] for row in after["pipeline_run"]] == ["broken", "one"]
    del after["pipeline_run"][0]
    assert after == before


def test_an_interrupted_rebuild_changes_nothing_and_is_resumed(empty, raw):
    empty.run(run_id="one", **YESTERDAY)
    empty.run(run_id="two", source="archive", **YESTERDAY)
    before = content(empty)
    lose(empty)

    with pytest.raises(StoppedError):
        rebuild(empty, raw, observer=StopsAfterTheFirst())
    assert not any(content(empty).values())
    made = rebuild(empty, raw)
    assert (made.runs, made.resumed) == (2, 1)
    assert content(empty) == before
    assert not has_schema(empty)


def test_a_stopped_rebuild_with_another_city_list_starts_again(empty, raw):
    empty.run(run_id="one", **YESTERDAY)
    other = {city_id: replace(city, population=7) for city_id, city in load_cities().items()}
    lose(empty)
    with pytest.raises(StoppedError):
        rebuild(empty, raw, observer=StopsAfterTheFirst())
    assert rebuild(empty, raw, cities=other).resumed == 0
    assert {row["population"] for row in empty.rows("SELECT population FROM mart_daily_city_weather")} == {7}


def test_a_stopped_rebuild_of_a_run_that_is_not_to_be_loaded_any_more_starts_again(empty, raw):
    empty.run(run_id="loaded", **YESTERDAY)
    store_run(raw, at(24 * 3650), {"london": values(10)}, run_id="unfinished")

    class Stops(RebuildObserver):
        def publishing(self):
            raise StoppedError

    with pytest.raises(StoppedError):
        rebuild(empty, raw, cities=LISTED, replace=True, unfinished_too=True, observer=Stops())
    assert rebuild(empty, raw, cities=LISTED, replace=True).runs == 1


def test_a_rebuild_keeps_which_alerts_were_sent_and_sends_none(empty, raw):
    day = date.fromisoformat(YESTERDAY["start"])
    empty.run(cities=["kigali"], start=str(day - timedelta(days=4)), end=str(day - timedelta(days=4)))
    empty.run(cities=["huye"], start=str(day - timedelta(days=1)), end=str(day))
    sent = empty.rows("SELECT * FROM weather_alert")
    assert [(row["rule"], row["notified_at"] is not None) for row in sent] == [("data_missing", True)]
    rebuild(empty, raw, replace=True)
    assert empty.rows("SELECT * FROM weather_alert") == sent
    lose(empty)
    rebuild(empty, raw)
    assert [{**row, "found_at": None} for row in empty.rows("SELECT * FROM weather_alert")] == [
        {**row, "found_at": None, "notified_at": None} for row in sent
    ]


def test_readers_see_the_old_tables_until_the_new_ones_are_whole(empty, raw):
    empty.run(run_id="one", **YESTERDAY)
    seen = []

    class Reads(RebuildObserver):
        def publishing(self):
            seen.append(len(empty.rows("SELECT FROM mart_daily_city_weather")))

    rebuild(empty, raw, replace=True, observer=Reads())
    assert seen == [len(empty.rows("SELECT FROM mart_daily_city_weather"))]


def test_a_damaged_response_is_left_out_and_never_replaces_what_was_loaded(empty, raw):
    one, two = (
        store_run(raw, at(hour), {"london": values(base), "apia": values(base)}) for hour, base in ((4, 10), (5, 11))
    )
    rebuild(empty, raw, cities=LISTED)
    key = two.responses[0].key
    with changed_object(raw, key, lambda packed: packed[:-20]):
        with pytest.raises(UserError, match="--replace would lose its values"):
            rebuild(empty, raw, cities=LISTED, replace=True)
        lose(empty)
        made = rebuild(empty, raw, cities=LISTED)
    assert not made.is_whole
    assert key in made.left_out[0]
    assert [row["run_id"] for row in empty.rows("SELECT run_id FROM pipeline_run")] == [one.run.run_id]
    rebuild(empty, raw, cities=LISTED, replace=True)
    assert len(empty.rows("SELECT FROM pipeline_run")) == 2


def test_a_city_that_left_the_list_has_to_be_named_for_a_rebuild(empty, raw):
    store_run(raw, at(4), {"london": values(10)})
    with pytest.raises(UserError, match="responses of london, not in the city list"):
        rebuild(empty, raw)
    assert not has_schema(empty)
    assert rebuild(empty, raw, cities=LISTED).runs == 1


def test_a_response_that_was_never_transformed_is_named_and_loaded_only_with_unfinished(empty, raw):
    empty.run(run_id="loaded", **YESTERDAY)
    # a run that ended in Ingest: younger than the processed object of the one before
    ended = store_run(raw, at(24 * 3650), {"london": values(10)})
    lose(empty)
    made = rebuild(empty, raw, cities=LISTED)
    assert made.never_transformed == [ended.responses[0].key]
    assert made.runs == 1
    made = rebuild(empty, raw, cities=LISTED, replace=True, unfinished_too=True)
    assert made.runs == 2


def test_a_rebuild_needs_no_processed_object(empty, raw):
    empty.run(run_id="one", **YESTERDAY)
    before = content(empty)
    s3 = empty.emulator.aws.client("s3")
    bucket = empty.outputs["ProcessedBucket"]
    for item in s3.list_objects_v2(Bucket=bucket)["Contents"]:
        s3.delete_object(Bucket=bucket, Key=item["Key"])
    lose(empty)
    rebuild(empty, raw)
    assert content(empty) == before


def test_a_run_that_is_loaded_during_a_rebuild_is_not_lost(empty, raw):
    empty.run(run_id="one", **YESTERDAY)

    class RunsAnother(RebuildObserver):
        def publishing(self):
            empty.run(run_id="meanwhile", source="archive", **YESTERDAY)

    with pytest.raises(UserError, match="has run meanwhile"):
        rebuild(empty, raw, replace=True, observer=RunsAnother())
    assert rebuild(empty, raw, replace=True).runs == 2


def test_the_tables_keep_the_rights_of_their_roles(empty, raw):
    empty.run(run_id="one", **YESTERDAY)
    rebuild(empty, raw, replace=True)
    reader = empty.emulator.postgres.url("metabase_reader", empty.emulator.state.secret("metabase_reader_password"))
    with closing(psycopg2.connect(reader)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM mart_daily_city_weather")
        assert cursor.fetchone()[0] > 0
    # a load by the loader goes on
    assert empty.run(run_id="after", **YESTERDAY).row["status"] == "succeeded"


def lowest(pipeline):
    return pipeline.rows("SELECT min(temperature_c) AS lowest FROM staging_weather")[0]["lowest"]


def two_runs_with_one_id(raw):
    first = store_run(raw, at(4), {"london": values(10)}, run_id="two-runs")
    second = store_run(raw, at(30), {"london": values(11)}, run_id="two-runs", run_date=date(2026, 3, 29))
    return first, second


def test_of_two_runs_with_one_id_the_earlier_one_is_loaded_as_model_does_and_the_other_is_named(empty, raw):
    _, second = two_runs_with_one_id(raw)
    made = rebuild(empty, raw, cities=LISTED)
    assert (made.runs, list(made.uncertain)) == (1, [second.responses[0].key.rsplit("/", 1)[0]])
    # which of both was loaded is not known
    assert not made.is_whole
    assert lowest(empty) == 10


@pytest.mark.parametrize("loaded", [0, 1])
def test_of_two_runs_with_one_id_replace_loads_the_one_that_the_warehouse_has(empty, raw, loaded):
    runs = two_runs_with_one_id(raw)
    load_run(empty.emulator.database_url(), raw, runs[loaded], LISTED)
    before = content(empty)
    made = rebuild(empty, raw, cities=LISTED, replace=True)
    assert made.is_whole
    assert list(made.never_loaded) == [runs[1 - loaded].responses[0].key.rsplit("/", 1)[0]]
    assert content(empty) == before


def test_replace_never_loses_a_response_that_was_loaded(empty, raw):
    """Of a run that was loading during the rebuild, only a part was in the raw bucket when the rebuild began."""
    url = empty.emulator.database_url()
    part = store_run(raw, at(4), {"london": values(10)}, run_id="loading")

    class LoadsTheWholeRun(RebuildObserver):
        def publishing(self):
            later = store_run(raw, at(4), {"apia": values(11)}, run_id="loading", part=1)
            run = replace(part.run, cities=("london", "apia"))
            load_run(url, raw, StoredRun(run, (*part.responses, *later.responses)), LISTED)

    with pytest.raises(UserError, match="run loading"):
        rebuild(empty, raw, cities=LISTED, replace=True, observer=LoadsTheWholeRun())
    before = content(empty)
    assert len(before["staging_weather"]) == 2 * HOURS
    rebuild(empty, raw, cities=LISTED, replace=True)
    assert content(empty) == before


def test_a_partly_transformed_run_is_named_and_loaded_whole_or_not_at_all(empty, raw):
    empty.run(run_id="loaded", **YESTERDAY)
    parts = [
        store_run(raw, at(24 * 3650), {city_id: values(10)}, run_id="half", part=part)
        for part, city_id in enumerate(("london", "apia"))
    ]
    key = processed_key(parts[0].responses[0].key)
    empty.emulator.aws.client("s3").put_object(Bucket=empty.outputs["ProcessedBucket"], Key=key, Body=b"")
    lose(empty)
    made = rebuild(empty, raw, cities=LISTED)
    assert made.never_transformed == [parts[1].responses[0].key]
    assert (made.runs, list(made.uncertain)) == (1, [parts[0].responses[0].key.rsplit("/", 1)[0]])
    assert not made.is_whole
    made = rebuild(empty, raw, cities=LISTED, replace=True, unfinished_too=True)
    assert (made.runs, made.is_whole) == (2, True)

"""Which of several values for an hour wins, and which rows a load writes: each rule on a real Postgres."""

import io

import pytest
from loads import Hour, Response, at, load_responses, response, rows_of, temperatures


def test_a_null_never_overwrites_a_value(warehouse):
    load_responses(warehouse, response("a", 100, [1, 2, 3]))
    result = load_responses(warehouse, response("b", 101, [1, None, 4]))
    assert temperatures(warehouse) == [1, 2, 4]
    assert (result.rows_loaded, result.rows_unchanged) == (1, 2)


def test_a_later_response_fills_a_null(warehouse):
    load_responses(warehouse, response("a", 100, [1, None, None]))
    load_responses(warehouse, response("b", 101, [1, 2, None]))
    load_responses(warehouse, response("c", 102, [None, None, 3]))
    assert temperatures(warehouse) == [1, 2, 3]


def test_a_response_fetched_earlier_and_loaded_later_only_fills_nulls(warehouse):
    load_responses(warehouse, response("b", 101, [5, None]))
    load_responses(warehouse, response("a", 100, [1, 2]))
    assert temperatures(warehouse) == [5, 2]


def test_a_value_of_the_archive_outranks_a_later_forecast(warehouse):
    load_responses(warehouse, response("a", 100, [1, 2], source="archive"))
    load_responses(warehouse, response("b", 200, [8, 9]))
    assert temperatures(warehouse) == [1, 2]


def test_of_responses_with_the_same_fetched_at_the_greatest_run_id_wins(warehouse):
    load_responses(warehouse, response("b", 100, [2]))
    load_responses(warehouse, response("B", 100, [9]))
    load_responses(warehouse, response("a", 100, [1]))
    assert temperatures(warehouse) == [2]


def test_a_response_that_repeats_the_stored_value_still_outranks_an_older_response(warehouse):
    load_responses(warehouse, response("a", 100, [5]))
    assert load_responses(warehouse, response("c", 102, [5])).rows_unchanged == 1
    load_responses(warehouse, response("b", 101, [7]))
    assert temperatures(warehouse) == [5]


def row_versions(warehouse):
    """The system columns that Postgres changes when it writes a row, even with the same values."""
    tables = rows_of(
        warehouse,
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public' "
        "AND tablename NOT IN ('staging_coverage', 'pipeline_run', 'schema_migration') ORDER BY 1",
    )
    return [rows_of(warehouse, f"SELECT xmin, ctid FROM {table} ORDER BY 2") for (table,) in tables]


def test_an_unchanged_row_is_not_written(warehouse):
    load_responses(warehouse, response("a", 100, [1, 2]))
    before = row_versions(warehouse)
    result = load_responses(warehouse, response("b", 101, [1, 2]))
    assert (result.rows_loaded, result.rows_unchanged, result.city_days_changed) == (0, 2, 0)
    assert row_versions(warehouse) == before


def test_a_response_fetched_after_an_hour_makes_it_no_forecast_hour_though_its_values_are_unchanged(warehouse):
    load_responses(warehouse, response("a", -1, [1, 2]))
    assert rows_of(warehouse, "SELECT hours_forecast FROM mart_daily_city_weather") == [(2,)]
    result = load_responses(warehouse, response("b", 0.5, [1, 2]))
    assert rows_of(warehouse, "SELECT hours_forecast FROM mart_daily_city_weather") == [(1,)]
    assert result.rows_loaded == 1


def test_a_value_that_a_replay_adds_outranks_an_older_response_loaded_later(warehouse):
    load_responses(warehouse, response("b", 101, [None, 2, None]))
    load_responses(warehouse, response("b", 101, [1, 2, None]))
    load_responses(warehouse, response("a", 100, [7, 8, 9]))
    assert temperatures(warehouse) == [1, 2, 9]


@pytest.mark.parametrize(
    "replayed",
    [[1], [None, 2], [None, None, 3], [1, None, 3], [None] * 3],
    ids=["first", "second", "last", "ends", "none"],
)
def test_what_a_replay_no_longer_has_still_outranks_an_older_response_loaded_later(warehouse, replayed):
    load_responses(warehouse, response("b", 101, [1, 2, 3]))
    load_responses(warehouse, response("b", 101, replayed))
    load_responses(warehouse, response("a", 100, [7, 8, 9, 10]))
    assert temperatures(warehouse) == [1, 2, 3, 10]


def test_a_replay_of_later_hours_keeps_what_the_first_load_had_before_them(warehouse):
    load_responses(warehouse, response("b", 101, [1, 2, 3]))
    later = tuple(Hour("kigali", at(n), temperature_c=n + 1) for n in (2, 3))
    load_responses(warehouse, Response("b", at(101), later))
    load_responses(warehouse, response("a", 100, [6, 7, 8, 9, 10]))
    assert temperatures(warehouse) == [1, 2, 3, 4, 10]


def test_a_newer_response_without_a_temperature_leaves_the_hour_a_forecast_hour(warehouse):
    load_responses(warehouse, response("a", -1, [25]))
    load_responses(warehouse, response("b", 100, [None], source="archive"))
    assert rows_of(warehouse, "SELECT source, run_id, raw_key FROM staging_weather") == [
        ("forecast", "a", "raw/a/part-0000.json.gz")
    ]
    assert rows_of(warehouse, "SELECT hours_observed, hours_forecast FROM mart_daily_city_weather") == [(1, 1)]


def test_the_run_of_a_row_is_that_of_its_temperature_though_a_newer_response_has_another_measure(warehouse):
    load_responses(warehouse, response("a", -1, [5]))
    load_responses(warehouse, Response("c", at(102), (Hour("kigali", at(0), humidity=50),)))
    load_responses(warehouse, response("b", 101, [5]))
    assert rows_of(warehouse, "SELECT humidity, run_id FROM staging_weather") == [(50, "b")]


class Unread(io.BytesIO):
    """A processed object that must not be read."""

    def read(self, _size=-1, /):
        raise AssertionError("read")


def test_a_response_that_repeats_the_one_that_outranks_all_others_is_not_read(warehouse):
    load_responses(warehouse, response("a", 100, [1, None, 3]))
    result = load_responses(warehouse, response("b", 101, [1, None, 3]), stream=Unread)
    assert (result.rows_loaded, result.rows_unchanged) == (0, 3)
    load_responses(warehouse, response("late", 100.5, [7, 8, 9]))
    assert temperatures(warehouse) == [1, 8, 3]


def test_a_response_that_repeats_an_outranked_one_is_compared(warehouse):
    load_responses(warehouse, response("a", 100, [1, 2]))
    load_responses(warehouse, response("b", 101, [5, 2]))
    assert load_responses(warehouse, response("c", 102, [1, 2])).rows_loaded == 1
    assert temperatures(warehouse) == [1, 2]


def test_a_response_that_repeats_one_beside_a_newer_response_for_some_of_its_hours_is_compared(warehouse):
    load_responses(warehouse, response("a", 100, [1, 2, 3]))
    load_responses(warehouse, response("b", 101, [9]))
    load_responses(warehouse, response("c", 102, [1, 2, 3]))
    assert temperatures(warehouse) == [1, 2, 3]


def test_the_same_number_in_two_notations_is_one_value(warehouse):
    load_responses(warehouse, response("a", 100, ["5", "6"]))
    assert load_responses(warehouse, response("b", 101, ["5.0", "6.00"])).rows_loaded == 0
    assert [str(value) for value in temperatures(warehouse)] == ["5", "6"]

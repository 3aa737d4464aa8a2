"""The findings of a load: what is compared with the warehouse, what is written, and the status of the run."""

from datetime import UTC, datetime

import pytest
from loads import CITIES, Hour, Response, at, load_responses, response, rows_of

from functions.core.quality import ERROR_SHARE, LARGEST_DIFFERENCES, SEVERITIES

RESULTS = "SELECT run_id, rule, city_id, date::text, severity, count, example FROM quality_result ORDER BY 1, 2, 3, 4"
# A local day of Kigali, two hours before the UTC day.
FULL_DAY = [20.0] * 22


def found(database_url, *rules):
    return [row for row in rows_of(database_url, RESULTS) if not rules or row[1] in rules]


def finding(count=3, rule="impossible_value", city="kigali", date="2026-03-01", example="05:00: impossible"):
    return (city, rule, date, count, example, None, None, None)


def cell(latitude, longitude=30.0, elevation=1500.0, city="kigali"):
    return (city, None, None, None, None, latitude, longitude, elevation)


def test_a_day_that_is_over_and_lacks_hours_is_incomplete_and_one_that_goes_on_is_not(warehouse):
    # 2026-03-01 ends in Kigali at 22:00 UTC, hour 22
    load_responses(warehouse, response("a", 21.9, [1.0] * 23))
    assert found(warehouse) == []
    load_responses(warehouse, response("b", 22, [2.0] * 23))
    assert found(warehouse) == [
        ("b", "incomplete_day", "kigali", "2026-03-01", "warning", 2, "22 of 24 hours have a temperature")
    ]


def test_a_complete_day_is_no_finding(warehouse):
    hours = tuple(Hour("kigali", at(n), temperature_c=1) for n in range(-2, 22))
    load_responses(warehouse, Response("a", at(100), hours))
    assert found(warehouse) == []


@pytest.mark.parametrize("column", LARGEST_DIFFERENCES)
@pytest.mark.parametrize(("beyond", "expected"), [(0, 0), (1, 2)])
def test_an_archive_value_far_from_the_forecast_it_replaces_is_a_finding(warehouse, column, beyond, expected):
    far = LARGEST_DIFFERENCES[column] + beyond

    def hours(value):
        values = {"temperature_c": 10, column: value}
        return tuple(Hour("kigali", at(n), **values) for n in range(2))

    load_responses(warehouse, Response("a", at(100), hours(20)))
    load_responses(warehouse, Response("b", at(101), hours(20 + far), "archive"))
    rows = found(warehouse, "archive_difference")
    assert sum(row[5] for row in rows) == expected
    if rows:
        assert rows == [
            (
                "b",
                "archive_difference",
                "kigali",
                "2026-03-01",
                "info",
                2,
                f"2026-03-01T00:00Z, {column} {20 + far} was 20",
            )
        ]


def test_a_forecast_that_revises_a_forecast_is_no_archive_difference(warehouse):
    load_responses(warehouse, response("a", 100, [0]))
    load_responses(warehouse, response("b", 101, [40]))
    load_responses(warehouse, response("c", 102, [41], source="archive"))
    load_responses(warehouse, response("d", 103, [0], source="archive"))
    assert found(warehouse, "archive_difference") == []


def test_a_moved_grid_cell_is_found_once_for_each_source(warehouse):
    load_responses(warehouse, response("a", 100, FULL_DAY), quality=[cell(-1.95)])
    load_responses(warehouse, response("b", 101, FULL_DAY), quality=[cell(-1.95)])
    load_responses(warehouse, response("c", 102, FULL_DAY, "archive"), quality=[cell(-2.0)])
    assert found(warehouse, "grid_cell_moved") == []
    load_responses(warehouse, response("d", 103, FULL_DAY), quality=[cell(-1.95, elevation=1499.0)])
    load_responses(warehouse, response("e", 104, FULL_DAY), quality=[cell(-1.95, elevation=1499.0)])
    example = "-1.95, 30, 1500 m to -1.95, 30, 1499 m"
    assert found(warehouse, "grid_cell_moved") == [
        ("d", "grid_cell_moved", "kigali", "2026-01-01", "warning", 1, example)
    ]


def test_a_response_that_is_loaded_late_does_not_move_the_grid_cell_back(warehouse):
    load_responses(warehouse, response("b", 101, FULL_DAY), quality=[cell(-1.95)])
    load_responses(warehouse, response("a", 100, FULL_DAY), quality=[cell(-2.0)])
    assert found(warehouse, "grid_cell_moved") == []
    assert rows_of(warehouse, "SELECT latitude FROM city_grid_cell") == [(-1.95,)]


def test_a_finding_of_transform_is_stored_with_its_severity_and_counted_in_the_run(warehouse):
    quality = [finding(), finding(rule="large_step", example="step"), finding(date="2026-03-02")]
    result = load_responses(warehouse, response("a", 0, FULL_DAY), quality=quality)
    assert found(warehouse) == [
        ("a", "impossible_value", "kigali", "2026-03-01", "error", 3, "05:00: impossible"),
        ("a", "impossible_value", "kigali", "2026-03-02", "error", 3, "05:00: impossible"),
        ("a", "large_step", "kigali", "2026-03-01", "warning", 3, "step"),
    ]
    assert result.findings == {"impossible_value": 2, "large_step": 1}
    assert rows_of(warehouse, "SELECT findings FROM pipeline_run") == [({"impossible_value": 2, "large_step": 1},)]


@pytest.mark.parametrize("rule", SEVERITIES)
@pytest.mark.parametrize("beyond", [0, 1])
def test_a_run_is_partial_beyond_the_share_of_hours_with_errors_whatever_else_is_found(warehouse, rule, beyond):
    hours = 100
    quality = [finding(count=int(hours * ERROR_SHARE) + beyond, rule=rule)]
    result = load_responses(warehouse, response("a", 0, [20.0] * hours), quality=quality)
    is_partial = bool(beyond) and SEVERITIES[rule] == "error"
    assert result.status == ("partial" if is_partial else "succeeded")
    assert rows_of(warehouse, "SELECT status FROM pipeline_run") == [(result.status,)]


def test_a_run_that_finds_the_same_as_the_newest_run_before_writes_no_row_and_has_the_same_status(warehouse):
    first = load_responses(warehouse, response("a", 100, FULL_DAY), quality=[finding()])
    again = load_responses(warehouse, response("b", 101, FULL_DAY), quality=[finding()])
    assert (again.status, again.findings) == ("partial", {"impossible_value": 1})
    assert first.status == "partial"
    assert [row[0] for row in found(warehouse, "impossible_value")] == ["a"]
    load_responses(warehouse, response("c", 102, FULL_DAY), quality=[finding(count=4)])
    load_responses(warehouse, response("d", 103, FULL_DAY), quality=[finding()])
    assert [row[0] for row in found(warehouse, "impossible_value")] == ["a", "c", "d"]


def test_a_replay_writes_nothing_again_and_replaces_what_its_responses_no_longer_show(warehouse):
    files = "SELECT xmin::text, run_id, rule, date FROM quality_result ORDER BY run_id, rule, date"
    quality = [finding(), finding(date="2026-03-02")]
    load_responses(warehouse, response("a", 100, FULL_DAY), quality=quality)
    before = rows_of(warehouse, files)
    load_responses(warehouse, response("a", 100, FULL_DAY), quality=quality)
    assert rows_of(warehouse, files) == before
    load_responses(warehouse, response("a", 100, FULL_DAY), quality=[finding(count=5)])
    assert [(rule, date, count) for _, rule, _, date, _, count, _ in found(warehouse)] == [
        ("impossible_value", "2026-03-01", 5),
        ("incomplete_day", "2026-03-01", 2),
    ]


def test_the_finding_of_a_city_without_an_accepted_hour_is_stored(warehouse):
    load_responses(warehouse, response("a", 0, FULL_DAY), quality=[finding(city="huye")])
    assert [row[2] for row in found(warehouse)] == ["huye"]


def test_a_response_without_an_accepted_hour_has_the_findings_of_its_fetch_whenever_it_is_loaded(warehouse):
    load_responses(warehouse, Response("a", at(100), ()), quality=[finding()])
    assert rows_of(warehouse, "SELECT found_at FROM quality_result") == [(at(100),)]


def test_processed_objects_of_an_earlier_version_have_no_quality_object_and_are_loaded(warehouse):
    result = load_responses(warehouse, response("a", 0, FULL_DAY))
    assert (result.status, result.findings) == ("succeeded", {})


def test_a_failed_load_leaves_no_finding(warehouse):
    with pytest.raises(Exception, match="Transform reported 99"):
        load_responses(warehouse, response("a", 0, FULL_DAY), quality=[finding()], rows=99)
    assert found(warehouse) == []
    assert rows_of(warehouse, "SELECT * FROM city_grid_cell") == []


def test_a_finding_names_the_newest_fetch_of_its_run(warehouse):
    load_responses(warehouse, response("a", 100, FULL_DAY), quality=[finding()], cities=CITIES)
    ((moment,),) = rows_of(warehouse, "SELECT DISTINCT found_at FROM quality_result")
    assert moment == datetime(2026, 3, 5, 4, tzinfo=UTC) == at(100)

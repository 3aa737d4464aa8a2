"""trace, verify and rebuild: their output and exit codes."""

from contextlib import closing

import psycopg2
import pytest

from deployment.stack import local_client

DAY = ("--city", "kigali", "--date", "2025-11-19")


@pytest.fixture
def change(up):
    """A function that runs a statement as the owner, and its opposite at the end."""
    undone = []

    def execute(statement):
        with closing(psycopg2.connect(up.json("status")["database_url"])) as connection, connection:
            connection.cursor().execute(statement)

    def change_until_the_end(statement, undo):
        execute(statement)
        undone.append(undo)

    yield change_until_the_end
    for statement in undone:
        execute(statement)


def test_trace_shows_the_response_of_a_mart_value(up):
    shown = up("trace", *DAY, "--column", "max_temperature_c").stdout
    assert "25.7" in shown
    assert "run good, forecast, fetched at " in shown
    assert "equal to that of the bytes now" in shown
    assert "hourly=temperature_2m," in shown
    assert "Equal: the mart, staging and the raw objects of this day." in shown
    found = up.json("trace", *DAY)
    assert found["is_equal"]
    assert {each["column"]: each["mart"] for each in found["columns"]}["max_temperature_c"] == 25.7
    assert [each["run_id"] for each in found["responses"]] == ["good"]
    assert len(found["values"]) == 24 * 6


def test_verify_reports_the_whole_mart_as_equal(up):
    shown = up("verify").stdout
    assert "144 hours, 9 city-days, 6 weeks and months and 3 summaries computed from the raw objects" in shown
    assert "Equal: the warehouse is what its raw objects give" in shown
    found = up.json("verify", "--start", "2025-11-20", "--end", "2025-11-20", "--city", "huye")
    assert (found["is_equal"], found["city_days"], found["hours"]) == (True, 1, 24)


def test_a_changed_mart_value_is_shown_and_ends_with_exit_code_1(up, change):
    change(
        "UPDATE mart_daily_city_weather SET max_temperature_c = 26 WHERE city_id = 'kigali' AND date = '2025-11-19'",
        "UPDATE mart_daily_city_weather SET max_temperature_c = 25.7 WHERE city_id = 'kigali' AND date = '2025-11-19'",
    )
    shown = up("verify", expect=1).stdout
    assert "mart_daily_city_weather   kigali 2025-11-19   max_temperature_c   25.7       26" in shown
    assert "NOT equal: 1 difference, 0 damaged raw objects." in shown
    shown = up("trace", *DAY, "--column", "max_temperature_c", expect=1).stdout
    assert "max_temperature_c   26     25.7                   NO" in shown


def test_a_lost_raw_object_is_shown_and_ends_with_exit_code_1(up):
    status = up.json("status")
    s3 = local_client(status["aws_endpoint_url"], "s3")
    (key,) = (
        item["Key"]
        for item in s3.list_objects_v2(Bucket=status["raw_bucket"], Prefix="raw/")["Contents"]
        if "run=good/" in item["Key"]
    )
    stored = s3.get_object(Bucket=status["raw_bucket"], Key=key)
    body = stored["Body"].read()
    s3.delete_object(Bucket=status["raw_bucket"], Key=key)
    shown = up("verify", expect=1).stdout
    assert f"{key}\n  MISSING: " in shown
    s3.put_object(Bucket=status["raw_bucket"], Key=key, Body=body, Metadata=stored["Metadata"])
    up("verify")


def test_rebuild_replaces_data_only_with_its_option_and_the_result_is_equal(up):
    before = up("sql", "SELECT * FROM staging_weather ORDER BY city_id, observed_at", "--csv").stdout
    assert "--replace" in up("rebuild", expect=2).stderr
    shown = up("rebuild", "--replace").stdout
    assert "Rebuilt from 1 run. Rows: " in shown
    assert "144 staging_weather" in shown
    assert up("sql", "SELECT * FROM staging_weather ORDER BY city_id, observed_at", "--csv").stdout == before
    # the row of the failed run stays
    assert {row["run_id"] for row in up.json("history")} == {"good", "bad"}
    up("verify")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("trace", "--city", "kigali", "--date", "19.11.2025"), "must be a day as YYYY-MM-DD"),
        (("trace", *DAY, "--column", "pressure"), "must be one of avg_temperature_c,"),
        (("verify", "--start", "2025-11-20", "--end", "2025-11-19"), "--end 2025-11-19 is before --start 2025-11-20"),
        (("verify", "--end", "9999-12-31"), "end 9999-12-31 must be from 1940 to 2100"),
        (("verify", "--start", "0001-01-01"), "start 0001-01-01 must be from 1940 to 2100"),
        (("trace", "--city", "kigali", "--date", "0001-01-01"), "date 0001-01-01 must be from 1940 to 2100"),
        (("trace", "--city", "kigali", "--date", "1940-01-01"), "has no hour of 1940-01-01"),
        (("rebuild", "--cities", "nowhere.csv"), "nowhere.csv"),
    ],
)
def test_wrong_input_ends_with_exit_code_2_and_the_reason(up, arguments, message):
    assert message in up(*arguments, expect=2).stderr


def test_without_the_raw_bucket_each_command_ends_with_exit_code_2_and_the_reason(up):
    status = up.json("status")
    s3 = local_client(status["aws_endpoint_url"], "s3")
    bucket = status["raw_bucket"]
    versions = s3.list_object_versions(Bucket=bucket)
    for item in (*versions.get("Versions", ()), *versions.get("DeleteMarkers", ())):
        s3.delete_object(Bucket=bucket, Key=item["Key"], VersionId=item["VersionId"])
    s3.delete_bucket(Bucket=bucket)
    for arguments in (("verify",), ("trace", *DAY), ("rebuild", "--replace")):
        shown = up(*arguments, expect=2).stderr
        assert bucket in shown
        assert "Traceback" not in shown

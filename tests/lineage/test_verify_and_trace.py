"""What verify and trace find: one changed byte, value, origin, and a missing or surplus row, wherever it is."""

import gzip
import json
from contextlib import closing, contextmanager
from datetime import date
from decimal import Decimal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest
from histories import CITIES, HOURS, at, load_run, store_run

from deployment.errors import UserError
from operations.lineage.responses import loaded_responses
from operations.lineage.tracing import OtherValue, overlaps, traced
from operations.lineage.verification import MAX_LISTED, VerifyObserver, compared

DAY = date(2026, 3, 28)
STAGING, DAILY, SUMMARY = "staging_weather", "mart_daily_city_weather", "mart_city_weather_summary"
WEEKLY, MONTHLY = "mart_weekly_city_weather", "mart_monthly_city_weather"
# An hour of London that the archive has, and one where only the forecast has a UV index.
HOUR = "city_id = 'london' AND observed_at = '2026-03-28T05:00Z'"
DATE = "city_id = 'london' AND date = '2026-03-28'"
WEEK, MONTH = "city_id = 'london' AND period = '2026W13'", "city_id = 'london' AND period = '202603'"


def values(base, **changes):
    hours = range(HOURS)
    return {
        "temperature_2m": [round(base + hour / 10, 1) for hour in hours],
        "relative_humidity_2m": [40 + hour % 7 for hour in hours],
        "weather_code": [[0, 3, 61][hour % 3] for hour in hours],
        "precipitation": [0.1 * (hour % 2) for hour in hours],
        "wind_speed_10m": [5.5] * HOURS,
        "uv_index": [1.05] * HOURS,
        **changes,
    }


@pytest.fixture(scope="module")
def history(deployed, raw):
    """A forecast of all cities, a later one that repeats it, an archive of London with a null, and a run not loaded."""
    deployed.clear()
    cities = {city_id: values(10) for city_id in CITIES}
    archive = values(11, temperature_2m=[None, *values(11)["temperature_2m"][1:]])
    runs = {
        "forecast": store_run(raw, at(4), cities, run_id="forecast"),
        "repeated": store_run(raw, at(4.5), cities, run_id="repeated"),
        "archive": store_run(raw, at(3), {"london": archive}, "archive", run_id="archive"),
    }
    for stored in runs.values():
        load_run(deployed.emulator.database_url(), raw, stored)
    store_run(raw, at(6), {"london": values(30)}, run_id="not-loaded")
    return {name: stored.responses[0] for name, stored in runs.items()}


@pytest.fixture
def connection(deployed, history):
    """A connection whose changes are never committed."""
    with closing(deployed.connect()) as opened:
        yield opened


def verified(connection, raw, window=None, cities=None):
    return compared(connection, raw, window, cities, VerifyObserver())


@contextmanager
def changed_object(raw, key, body, **metadata):
    """The raw object with another body, or without one, until the end."""
    s3 = raw._client("s3")
    stored = s3.get_object(Bucket=raw.bucket, Key=key)
    before = stored["Body"].read()
    if body is None:
        s3.delete_object(Bucket=raw.bucket, Key=key)
    else:
        s3.put_object(Bucket=raw.bucket, Key=key, Body=body(before), Metadata={**stored["Metadata"], **metadata})
    try:
        yield
    finally:
        s3.put_object(Bucket=raw.bucket, Key=key, Body=before, Metadata=stored["Metadata"])


def test_a_loaded_warehouse_is_equal_to_its_raw_objects(connection, raw):
    found = verified(connection, raw)
    assert found.is_equal
    assert (found.responses, found.cities, found.hours, found.summaries) == (3, 3, 3 * HOURS, 3)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT (SELECT count(*) FROM {WEEKLY}) + (SELECT count(*) FROM {MONTHLY})")
        assert (found.periods,) == cursor.fetchone()
    assert found.responses_not_loaded >= 1


CHANGES = [
    (f"UPDATE {STAGING} SET temperature_c = temperature_c + 0.1 WHERE {HOUR}", "temperature_c"),
    (f"UPDATE {STAGING} SET temperature_c = 11.5000000000000000001 WHERE {HOUR}", "temperature_c"),
    (f"UPDATE {STAGING} SET temperature_c = 'NaN' WHERE city_id = 'apia' AND observed_at = '2026-03-28T05:00Z'",
     "temperature_c"),
    (f"UPDATE {STAGING} SET humidity = NULL WHERE {HOUR}", "humidity"),
    (f"UPDATE {STAGING} SET weather_code = 95 WHERE {HOUR}", "weather_code"),
    (f"UPDATE {STAGING} SET condition = 'Thunderstorm' WHERE {HOUR}", "condition"),
    (f"UPDATE {STAGING} SET condition = 'Raining frogs' WHERE {HOUR}", "condition"),
    (f"UPDATE {STAGING} SET precipitation_mm = 7 WHERE {HOUR}", "precipitation_mm"),
    (f"UPDATE {STAGING} SET wind_speed_kmh = 5.6 WHERE {HOUR}", "wind_speed_kmh"),
    (f"UPDATE {STAGING} SET uv_index = 1.06 WHERE {HOUR}", "uv_index"),
    (f"UPDATE {STAGING} SET source = 'forecast' WHERE {HOUR}", "source"),
    (f"UPDATE {STAGING} SET fetched_at = fetched_at + interval '1 microsecond' WHERE {HOUR}", "fetched_at"),
    (f"UPDATE {STAGING} SET run_id = 'forecast' WHERE {HOUR}", "run_id"),
    (f"UPDATE {STAGING} SET raw_key = replace(raw_key, '0000', '0001') WHERE {HOUR}", "raw_key"),
    # the whole origin of an hour changed to another loaded response
    (f"UPDATE {STAGING} AS a SET (source, fetched_at, run_id, raw_key) = (SELECT source, fetched_at, run_id, raw_key "
     f"FROM {STAGING} WHERE city_id = 'apia' LIMIT 1) WHERE {HOUR}", "raw_key"),
    (f"DELETE FROM {STAGING} WHERE {HOUR}", "row"),
    (f"INSERT INTO {STAGING} SELECT city_id, observed_at + interval '1 month', temperature_c, humidity, weather_code, "
     "condition, precipitation_mm, wind_speed_kmh, uv_index, source, fetched_at, run_id, raw_key "
     f"FROM {STAGING} WHERE {HOUR}", "row"),
    (f"UPDATE {STAGING} SET observed_at = observed_at + interval '1 minute' WHERE {HOUR}", "row"),
    *((f"UPDATE {DAILY} SET {column} = {column} + 1 WHERE {DATE}", column)
      for column in ("avg_temperature_c", "min_temperature_c", "max_temperature_c", "temperature_range_c",
                     "avg_humidity", "min_humidity", "max_humidity", "max_heat_index_c", "hours_heat_caution",
                     "hours_heat_extreme_caution", "hours_heat_danger", "hours_heat_extreme_danger", "hours_archive",
                     "precipitation_mm",
                     "max_wind_speed_kmh", "max_uv_index", "hours_observed", "hours_expected", "hours_forecast",
                     "hours_humidity", "population", "area_km2")),
    *((f"UPDATE {DAILY} SET {column} = 1 WHERE {DATE}", column)
      for column in ("rain_7_days_mm", "rain_30_days_mm", "rain_90_days_mm")),
    (f"UPDATE {DAILY} SET avg_temperature_c = avg_temperature_c + 0.0000000001 WHERE {DATE}", "avg_temperature_c"),
    (f"UPDATE {DAILY} SET dominant_condition = 'Fog' WHERE {DATE}", "dominant_condition"),
    (f"UPDATE {DAILY} SET city = 'Londres' WHERE {DATE}", "city"),
    (f"UPDATE {DAILY} SET run_id = 'unknown' WHERE {DATE}", "run_id"),
    (f"DELETE FROM {DAILY} WHERE {DATE}", "row"),
    (f"UPDATE {DAILY} SET date = '2026-05-01' WHERE {DATE}", "row"),
    *((f"UPDATE {SUMMARY} SET {column} = {column} + 1 WHERE city_id = 'london'", column)
      for column in ("total_days_recorded", "highest_temperature_c", "highest_temperature_date", "lowest_temperature_c",
                     "lowest_temperature_date", "average_humidity", "first_day", "last_day", "sum_humidity",
                     "hours_humidity")),
    (f"DELETE FROM {SUMMARY} WHERE city_id = 'london'", "row"),
    *((f"UPDATE {table} SET {column} = {column} + 1 WHERE {which}", column)
      for table, which, own in ((WEEKLY, WEEK, ["iso_year", "iso_week"]), (MONTHLY, MONTH, ["year", "month"]))
      for column in (*own, "start_date", "end_date", "avg_temperature_c", "min_temperature_c", "max_temperature_c",
                     "avg_max_temperature_c", "avg_min_temperature_c", "avg_temperature_range_c", "avg_humidity",
                     "min_humidity", "max_humidity", "precipitation_mm", "max_precipitation_1day_mm", "wettest_date",
                     "rain_days", "heavy_rain_days", "dry_spell_days", "wet_spell_days", "hot_days", "tropical_nights",
                     "max_wind_speed_kmh", "max_uv_index", "max_heat_index_c", "days_expected", "days_complete",
                     "hours_forecast")),
    *((f"UPDATE {table} SET {column} = NOT {column} WHERE {which}", column)
      for table, which, columns in (
          (WEEKLY, WEEK, ["is_complete"]),
          (MONTHLY, MONTH, ["is_complete", "is_rain_suitable", "is_temperature_suitable", "is_humidity_suitable",
                            "is_malaria_suitable"]))
      for column in columns),
    (f"UPDATE {WEEKLY} SET run_id = 'unknown' WHERE {WEEK}", "run_id"),
    (f"UPDATE {MONTHLY} SET period = '202613' WHERE {MONTH}", "row"),
    (f"DELETE FROM {WEEKLY} WHERE {WEEK}", "row"),
]  # fmt: skip


@pytest.mark.parametrize(("statement", "column"), CHANGES, ids=[change[:70] for change, _ in CHANGES])
def test_verify_finds_a_changed_value_a_missing_and_a_surplus_row(connection, raw, statement, column):
    with connection.cursor() as cursor:
        cursor.execute(statement)
        assert cursor.rowcount == 1
    found = verified(connection, raw)
    assert not found.is_equal
    assert not found.raw_problems
    assert found.differences == len(found.listed) <= 2
    table = next(name for name in (STAGING, DAILY, WEEKLY, MONTHLY, SUMMARY) if name in statement)
    difference = next(each for each in found.listed if each.column == column)
    assert difference.table == table
    assert difference.expected != difference.found
    assert verified(connection, raw, cities=["kolkata"]).is_equal


def test_verify_of_a_window_compares_its_local_days_only(connection, raw):
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {STAGING} SET humidity = 1 WHERE {HOUR}")
    assert verified(connection, raw, (date(2026, 3, 29), date(2026, 3, 30))).is_equal
    assert verified(connection, raw, (DAY, DAY)).differences == 1


def test_verify_of_a_window_compares_the_periods_that_are_wholly_in_it(connection, raw):
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {WEEKLY} SET rain_days = 99 WHERE {WEEK}")
        cursor.execute(f"UPDATE {MONTHLY} SET rain_days = 99 WHERE {MONTH}")
    assert verified(connection, raw, (date(2026, 3, 24), date(2026, 3, 31))).is_equal
    assert verified(connection, raw, (date(2026, 3, 23), date(2026, 3, 29))).differences == 1
    assert verified(connection, raw, (date(2026, 3, 1), date(2026, 3, 31))).differences == 2


def test_verify_finds_a_normal_and_a_threshold_that_no_whole_year_gives(connection, raw):
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO climate_normal (city_id, period_type, period_number, base_start, base_end, years_used, "
            "temperature_mean_c, temperature_p10_c, temperature_p50_c, temperature_p90_c) "
            "VALUES ('london', 'week', 13, 2026, 2026, 1, 9, 9, 9, 9)"
        )
        cursor.execute("INSERT INTO climate_threshold VALUES ('london', 'rain_3_days_p99_mm', 2026, 2026, 1, 3, 9)")
    assert [(each.table, each.row, each.expected, each.found) for each in verified(connection, raw).listed] == [
        ("climate_normal", "london week 13 2026 2026", "none", "a row"),
        ("climate_threshold", "london rain_3_days_p99_mm 2026 2026", "none", "a row"),
    ]
    assert verified(connection, raw, (DAY, DAY)).is_equal


def test_verify_of_a_window_and_trace_take_the_rain_of_the_days_before_from_the_mart(connection, raw):
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {DAILY} SELECT (jsonb_populate_record(mart, jsonb_build_object('date', date - n, "
            f"'precipitation_mm', n))).* FROM {DAILY} AS mart CROSS JOIN generate_series(1, 6) AS n WHERE {DATE}"
        )
        cursor.execute(f"UPDATE {DAILY} SET rain_7_days_mm = precipitation_mm + 21 WHERE {DATE}")
        assert verified(connection, raw, (DAY, DAY)).is_equal
        assert traced(connection, raw, "london", DAY, "rain_7_days_mm").is_equal
        cursor.execute(f"UPDATE {DAILY} SET rain_7_days_mm = precipitation_mm + 22 WHERE {DATE}")
    assert [each.column for each in verified(connection, raw, (DAY, DAY)).listed] == ["rain_7_days_mm"]
    assert not traced(connection, raw, "london", DAY, "rain_7_days_mm").is_equal


def test_verify_of_a_window_finds_a_surplus_row_that_no_response_has(connection, raw):
    window = date(2026, 5, 1), date(2026, 5, 2)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {STAGING} (city_id, observed_at, source, fetched_at, run_id, raw_key) "
            f"SELECT city_id, '2026-05-01T05:00Z', source, fetched_at, run_id, raw_key FROM {STAGING} WHERE {HOUR}"
        )
    found = verified(connection, raw, window)
    assert [(each.row, each.expected, each.found) for each in found.listed] == [
        ("london 2026-05-01T05:00Z", "none", "a row")
    ]
    # the row is of another local day
    assert verified(connection, raw, (date(2026, 5, 2), date(2026, 5, 2))).is_equal
    assert verified(connection, raw, (date(2026, 4, 30), date(2026, 4, 30))).is_equal


def test_a_local_day_without_hours_has_none_of_a_response(connection, raw):
    """Such as 2011-12-30 in Apia, whose zone moved over the date line."""
    response = loaded_responses(connection, raw, None).responses[0]
    assert overlaps(response, response.start_hour, [0])
    assert not overlaps(response, response.start_hour, [])


def test_verify_counts_all_differences_and_lists_the_first(connection, raw):
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {STAGING} (city_id, observed_at, source, fetched_at, run_id, raw_key) "
            "SELECT 'london', '2030-01-01T00:00Z'::timestamptz + n * interval '1 hour', 'archive', now(), 'x', 'y' "
            f"FROM generate_series(1, {MAX_LISTED + 5}) AS n"
        )
    found = verified(connection, raw)
    assert (found.differences, len(found.listed)) == (MAX_LISTED + 5, MAX_LISTED)


def test_verify_needs_a_loaded_run_and_known_cities(connection, raw):
    with pytest.raises(UserError, match="city atlantis: has no hour"):
        verified(connection, raw, cities=["atlantis"])
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE pipeline_run, {STAGING}, {DAILY}, {WEEKLY}, {MONTHLY}, {SUMMARY}")
    with pytest.raises(UserError, match="ikirere rebuild"):
        verified(connection, raw)


def test_a_run_whose_row_says_failed_counts_if_staging_has_its_hours(connection, raw):
    with connection.cursor() as cursor:
        cursor.execute("UPDATE pipeline_run SET status = 'failed' WHERE run_id IN ('archive', 'repeated')")
        assert verified(connection, raw).is_equal
        found = traced(connection, raw, "london", DAY, None)
        assert found.is_equal
        assert [each.run_id for each in found.responses] == ["archive", "repeated", "forecast"]
        # a run that failed before its load has a row and responses, but nothing in staging
        cursor.execute(
            "INSERT INTO pipeline_run (run_id, status, window_start, window_end, started_at, finished_at, objects) "
            "VALUES ('not-loaded', 'failed', '2026-03-28', '2026-03-29', now(), now(), %s)",
            (json.dumps([{"raw_key": "raw/source=forecast/date=2026-03-28/run=not-loaded/part-0000.json.gz"}]),),
        )
    assert verified(connection, raw).is_equal


def test_verify_finds_a_changed_digit_of_a_response_and_names_the_value(connection, raw, history):
    def change(packed):
        return gzip.compress(gzip.decompress(packed).replace(b"11.5", b"11.6", 1))

    with changed_object(raw, history["archive"].key, change):
        found = verified(connection, raw)
    (problem,) = found.raw_problems
    assert (problem.key, problem.kind) == (history["archive"].key, "changed")
    assert problem.expected == history["archive"].sha256 != problem.found.split()[0]
    (value,) = (each for each in found.listed if each.table == STAGING)
    assert (value.row, value.expected, value.found) == ("london 2026-03-28T05:00Z", "11.6", "11.5")


@pytest.mark.parametrize("place", [0, 10, 40, -9, -1])
def test_verify_finds_any_changed_byte_of_the_stored_object(connection, raw, history, place):
    def change(packed):
        changed = bytearray(packed)
        changed[place] ^= 0x55
        return bytes(changed)

    with changed_object(raw, history["archive"].key, change):
        assert [each.kind for each in verified(connection, raw).raw_problems] in (["unreadable"], ["changed"])
    assert verified(connection, raw).is_equal


def test_verify_finds_bytes_and_metadata_that_were_changed_together(connection, raw, history):
    with changed_object(raw, history["archive"].key, lambda packed: packed, sha256="0" * 64):
        assert "metadata" in verified(connection, raw).raw_problems[0].reason
    with changed_object(raw, history["archive"].key, lambda packed: packed, fetched_at=at(3.5).isoformat()):
        found = verified(connection, raw)
    assert {each.column for each in found.listed} == {"fetched_at"}


def test_a_raw_object_whose_metadata_were_changed_is_unreadable(connection, raw, history):
    for changed in ({"cities": "london", "status": "x"}, {"address": "http://metadata"}):
        with changed_object(raw, history["archive"].key, lambda packed: packed, **changed):
            assert [each.kind for each in verified(connection, raw).raw_problems] == ["unreadable"]


def test_verify_and_trace_find_a_missing_raw_object(connection, raw, history):
    with changed_object(raw, history["archive"].key, None):
        found = verified(connection, raw)
        traced_day = traced(connection, raw, "london", DAY, "max_temperature_c")
        other_city = traced(connection, raw, "kolkata", DAY, None)
    assert [(each.key, each.kind) for each in found.raw_problems] == [(history["archive"].key, "missing")]
    assert found.differences
    assert [each.kind for each in traced_day.problems] == ["missing"]
    assert not traced_day.is_equal
    # which cities the missing response had is not known
    assert all(each.is_equal for each in other_city.columns)


def test_trace_shows_the_response_of_a_value_and_what_the_others_have(connection, raw, history):
    found = traced(connection, raw, "london", DAY, "max_temperature_c")
    assert found.is_equal
    stored = [history[name] for name in ("archive", "repeated", "forecast")]
    assert [(each.raw_key, each.sha256, each.request, each.fetched_at) for each in found.responses] == [
        (each.key, each.sha256, each.address, each.fetched_at) for each in stored
    ]
    (column,) = found.columns
    assert (column.column, column.mart, column.recomputed) == ("max_temperature_c", Decimal("13.3"), Decimal("13.3"))
    first, second = found.values[:2]
    # the archive is null in the first hour, so the later forecast has the value
    assert (first.value, first.response, first.others) == (
        Decimal(10),
        2,
        [OtherValue(1, None), OtherValue(3, Decimal(10))],
    )
    assert (second.value, second.response, second.staged) == (Decimal("11.1"), 1, Decimal("11.1"))
    assert second.others == [OtherValue(2, Decimal("10.1")), OtherValue(3, Decimal("10.1"))]
    assert len(traced(connection, raw, "london", DAY, None).values) == 24 * 6


@pytest.fixture
def other_rules(monkeypatch):
    """A Python whose time zone data have another clock for London, and none for Kolkata."""

    def zone_of(name):
        if name == "Asia/Kolkata":
            raise ZoneInfoNotFoundError(name)
        return ZoneInfo("Europe/Paris" if name == "Europe/London" else name)

    monkeypatch.setattr("operations.lineage.clocks.ZoneInfo", zone_of)


@pytest.mark.usefixtures("other_rules")
def test_local_days_are_the_warehouses_and_other_rules_of_python_are_a_note(connection, raw):
    found = verified(connection, raw)
    assert found.is_equal
    assert found.notes == [
        "time zone Asia/Kolkata: Python does not know it; the local days are the warehouse's",
        "time zone Europe/London: from 2026-03-28T00:00Z the warehouse's time zone data have UTC+00:00, Python's "
        "UTC+01:00; the local days are the warehouse's",
    ]
    assert verified(connection, raw, cities=["apia"]).notes == []
    for day in (DAY, date(2026, 3, 29)):
        assert verified(connection, raw, (day, day)).is_equal
        one = traced(connection, raw, "london", day, None)
        assert one.is_equal
        assert len(one.values) == 6 * (24 if day == DAY else 23)
        assert [each.split(":")[0] for each in one.notes] == ["time zone Europe/London"]
    assert f"{one.values[-1].local_time:%Y-%m-%d %H:%M %z}" == "2026-03-29 23:00 +0100"


def test_without_other_rules_there_is_no_note(connection, raw):
    assert verified(connection, raw).notes == []
    assert traced(connection, raw, "london", DAY, None).notes == []


def test_trace_compares_mart_and_staging(connection, raw):
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {DAILY} SET max_temperature_c = 40 WHERE {DATE}")
        assert not traced(connection, raw, "london", DAY, "max_temperature_c").is_equal
        assert traced(connection, raw, "london", DAY, "min_temperature_c").is_equal
        cursor.execute(f"UPDATE {STAGING} SET humidity = 1 WHERE {HOUR}")
        assert traced(connection, raw, "london", DAY, "min_temperature_c").is_equal
        assert not traced(connection, raw, "london", DAY, "avg_humidity").is_equal
    with pytest.raises(UserError, match="has no hour of 2020-01-01"):
        traced(connection, raw, "london", date(2020, 1, 1), None)
    with pytest.raises(UserError, match="city atlantis: is not known"):
        traced(connection, raw, "atlantis", DAY, None)


@pytest.mark.parametrize(
    ("statement", "column"),
    [
        (f"UPDATE {STAGING} SET raw_key = replace(raw_key, '0000', '0001') WHERE {HOUR}", "raw_key"),
        (f"UPDATE {STAGING} SET run_id = 'forecast' WHERE {HOUR}", "run_id"),
        (f"UPDATE {STAGING} SET condition = 'Fog' WHERE {HOUR}", "condition"),
        (f"UPDATE {DAILY} SET population = 1 WHERE {DATE}", "population"),
        (f"UPDATE {DAILY} SET city = 'Londres' WHERE {DATE}", "city"),
    ],
)
def test_trace_compares_the_origin_and_the_columns_that_it_does_not_show(connection, raw, statement, column):
    with connection.cursor() as cursor:
        cursor.execute(statement)
    found = traced(connection, raw, "london", DAY, None)
    assert [each.column for each in found.differences] == [column]
    assert not found.is_equal
    # of one column, the origin of its hours counts
    of_column = traced(connection, raw, "london", DAY, "max_temperature_c")
    assert of_column.is_equal == (column not in ("raw_key", "run_id"))
    assert traced(connection, raw, "kolkata", DAY, None).is_equal

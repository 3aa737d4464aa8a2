"""The load rules, each on a real Postgres."""

import dataclasses
import io
import random
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loads import CITIES, CONDITIONS, MEASURES, Hour, Response, load_responses, rows_of

from functions.core.contracts import CityFailure
from functions.core.errors import InvalidInputError, LoadError, TransientError
from functions.model.migrations import migrate

FIRST = datetime(2026, 3, 1, tzinfo=UTC)
STAGED = (
    f"SELECT city_id, observed_at, {', '.join(MEASURES)}, condition, source, fetched_at < observed_at "
    "FROM staging_weather ORDER BY 1, 2"
)
MART_COLUMNS = (
    "city_id, city, date, avg_temperature_c, min_temperature_c, max_temperature_c, avg_humidity, precipitation_mm, "
    "max_wind_speed_kmh, max_uv_index, dominant_condition, hours_observed, hours_expected, hours_forecast, "
    "population, area_km2"
)
MART = f"SELECT {MART_COLUMNS} FROM mart_daily_city_weather ORDER BY city_id, date"
SUMMARY = "SELECT * FROM mart_city_weather_summary ORDER BY city_id"


@pytest.fixture
def warehouse(database_url):
    migrate({"dsn": database_url})
    return database_url


def at(hour: float) -> datetime:
    """A moment, in hours after the first hour of the window."""
    return FIRST + timedelta(hours=hour)


def response(run_id: str, fetched: float, values: list, source: str = "forecast", city: str = "kigali") -> Response:
    """A response with these temperatures, hour by hour from FIRST."""
    hours = tuple(Hour(city, at(n), temperature_c=value) for n, value in enumerate(values))
    return Response(run_id, at(fetched), hours, source)


def temperatures(warehouse) -> list:
    return [
        row[0] for row in rows_of(warehouse, "SELECT temperature_c FROM staging_weather ORDER BY city_id, observed_at")
    ]


def clear(warehouse) -> None:
    rows_of(
        warehouse,
        "TRUNCATE staging_weather, staging_coverage, mart_daily_city_weather, mart_city_weather_summary, pipeline_run",
    )


# ---------------------------------------------------------------- the rules one by one


def test_null_never_overwrites_a_value(warehouse):
    load_responses(warehouse, response("a", 100, [1, 2, 3]))
    result = load_responses(warehouse, response("b", 101, [1, None, 4]))
    assert temperatures(warehouse) == [1, 2, 4]
    assert (result.rows_loaded, result.rows_unchanged) == (1, 2)


def test_a_null_tail_is_filled_later(warehouse):
    load_responses(warehouse, response("a", 100, [1, None, None]))
    load_responses(warehouse, response("b", 101, [1, 2, None]))
    load_responses(warehouse, response("c", 102, [None, None, 3]))
    assert temperatures(warehouse) == [1, 2, 3]


def test_an_old_response_that_arrives_late_overwrites_nothing_newer(warehouse):
    load_responses(warehouse, response("b", 101, [5, None]))
    load_responses(warehouse, response("a", 100, [1, 2]))
    assert temperatures(warehouse) == [5, 2]


def test_archive_wins_over_a_later_forecast(warehouse):
    load_responses(warehouse, response("a", 100, [1, 2], source="archive"))
    load_responses(warehouse, response("b", 200, [8, 9]))
    assert temperatures(warehouse) == [1, 2]


def test_of_responses_fetched_at_once_the_greater_run_id_wins(warehouse):
    load_responses(warehouse, response("b", 100, [2]))
    load_responses(warehouse, response("B", 100, [9]))
    load_responses(warehouse, response("a", 100, [1]))
    assert temperatures(warehouse) == [2]


def test_a_response_that_only_repeated_the_values_still_outranks_an_older_one(warehouse):
    load_responses(warehouse, response("a", 100, [5]))
    assert load_responses(warehouse, response("c", 102, [5])).rows_unchanged == 1
    load_responses(warehouse, response("b", 101, [7]))
    assert temperatures(warehouse) == [5]


def test_an_unchanged_row_is_not_written(warehouse):
    load_responses(warehouse, response("a", 100, [1, 2]))
    versions = "SELECT xmin, ctid FROM {} ORDER BY 2"
    before = [
        rows_of(warehouse, versions.format(table))
        for table in ("staging_weather", "mart_daily_city_weather", "dim_city", "mart_city_weather_summary")
    ]
    result = load_responses(warehouse, response("b", 101, [1, 2]))
    after = [
        rows_of(warehouse, versions.format(table))
        for table in ("staging_weather", "mart_daily_city_weather", "dim_city", "mart_city_weather_summary")
    ]
    assert (result.rows_loaded, result.rows_unchanged, result.city_days_changed) == (0, 2, 0)
    assert after == before


def test_an_hour_that_has_passed_is_no_longer_a_forecast_though_its_values_stayed(warehouse):
    load_responses(warehouse, response("a", -1, [1, 2]))
    assert rows_of(warehouse, "SELECT hours_forecast FROM mart_daily_city_weather") == [(2,)]
    result = load_responses(warehouse, response("b", 0.5, [1, 2]))
    assert rows_of(warehouse, "SELECT hours_forecast FROM mart_daily_city_weather") == [(1,)]
    assert result.rows_loaded == 1


def test_a_replay_that_fills_more_counts_against_an_older_response_that_arrives_late(warehouse):
    load_responses(warehouse, response("b", 101, [None, 2, None]))
    load_responses(warehouse, response("b", 101, [1, 2, None]))
    load_responses(warehouse, response("a", 100, [7, 8, 9]))
    assert temperatures(warehouse) == [1, 2, 9]


def test_a_newer_response_without_the_value_does_not_make_a_forecast_an_observation(warehouse):
    load_responses(warehouse, response("a", -1, [25]))
    load_responses(warehouse, response("b", 100, [None], source="archive"))
    assert rows_of(warehouse, "SELECT source, run_id, raw_key FROM staging_weather") == [
        ("forecast", "a", "raw/a/part-0000.json.gz")
    ]
    assert rows_of(warehouse, "SELECT hours_observed, hours_forecast FROM mart_daily_city_weather") == [(1, 1)]


def test_the_origin_is_that_of_the_temperature_though_a_newer_response_has_another_value(warehouse):
    load_responses(warehouse, response("a", -1, [5]))
    load_responses(warehouse, Response("c", at(102), (Hour("kigali", at(0), humidity=50),)))
    load_responses(warehouse, response("b", 101, [5]))
    assert rows_of(warehouse, "SELECT humidity, run_id FROM staging_weather") == [(50, "b")]


def test_the_same_number_written_two_ways_is_one_value(warehouse):
    load_responses(warehouse, response("a", 100, ["5.0", "6"]))
    assert load_responses(warehouse, response("b", 101, ["5", "6.00"])).rows_loaded == 0
    assert [str(value) for value in temperatures(warehouse)] == ["5", "6"]


# ---------------------------------------------------------------- any loads in any order

VALUES = st.one_of(st.none(), st.integers(-5, 5))


@st.composite
def some_loads(draw):
    hours = st.builds(
        Hour,
        city_id=st.sampled_from(["kigali", "huye"]),
        observed_at=st.integers(18, 28).map(at),  # across a local midnight (22:00 UTC)
        temperature_c=VALUES,
        humidity=st.one_of(st.none(), st.integers(0, 3)),
        weather_code=st.one_of(st.none(), st.sampled_from(sorted(CONDITIONS))),
        precipitation_mm=st.one_of(st.none(), st.integers(0, 2)),
    )
    responses = []
    for n in range(draw(st.integers(1, 5))):
        chosen = draw(st.lists(hours, min_size=1, max_size=12, unique_by=lambda hour: (hour.city_id, hour.observed_at)))
        source = draw(st.sampled_from(["forecast", "archive"]))
        responses.append(Response(f"run-{n}", at(draw(st.integers(16, 30))), tuple(chosen), source))
    return responses


def expected_staging(responses):
    """The staged rows by the load rules, computed value by value in plain Python."""
    rows: dict = {}
    for each in sorted(responses, key=lambda a: a.precedence):
        for hour in each.hours:
            row = rows.setdefault((hour.city_id, hour.observed_at), dict.fromkeys((*MEASURES, "condition")))
            row |= {m: getattr(hour, m) for m in MEASURES if getattr(hour, m) is not None}
            row["condition"] = None if row["weather_code"] is None else CONDITIONS[row["weather_code"]]
            rank = 2 if hour.temperature_c is not None else any(getattr(hour, m) is not None for m in MEASURES)
            if rank >= row.get("rank", 0):
                row |= {"rank": rank, "source": each.source, "is_forecast": each.fetched_at < hour.observed_at}
    shown = (*MEASURES, "condition", "source", "is_forecast")
    return [(*key, *(row[name] for name in shown)) for key, row in sorted(rows.items())]


def expected_mart(staging):
    """The daily mart from the staged rows, in plain Python: (city, date) to the values of its columns."""
    days: dict = {}
    for (
        city_id,
        observed_at,
        temperature,
        humidity,
        code,
        rain,
        _wind,
        _uv,
        _condition,
        _source,
        is_forecast,
    ) in staging:
        local = observed_at.astimezone(ZoneInfo(CITIES[city_id].timezone)).date()
        days.setdefault((city_id, local), []).append((temperature, humidity, code, rain, is_forecast))
    mart = {}
    for key, hours in days.items():
        temperature, humidity, codes, rain = ([h[i] for h in hours if h[i] is not None] for i in range(4))
        frequent = Counter(codes)
        dominant = max(frequent, key=lambda code: (frequent[code], code)) if frequent else None
        mart[key] = (
            sum(map(Decimal, temperature)) / len(temperature) if temperature else None,
            min(temperature, default=None),
            max(temperature, default=None),
            sum(map(Decimal, humidity)) / len(humidity) if humidity else None,
            sum(rain) if rain else None,
            CONDITIONS[dominant] if dominant is not None else None,
            len(temperature),
            24,
            sum(h[4] for h in hours),
        )
    return mart


def thinned(response, chance):
    """The same response without some hours and some values."""
    hours = [
        dataclasses.replace(hour, **{measure: None for measure in MEASURES if chance.random() < 0.4})
        for hour in response.hours
        if chance.random() < 0.8
    ]
    return dataclasses.replace(response, hours=tuple(hours or response.hours))


def close(left, right):
    return left == right or (left is not None and right is not None and abs(left - right) < Decimal("1e-9"))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(responses=some_loads(), seed=st.integers(0, 99))
def test_tables_depend_only_on_what_was_loaded(warehouse, responses, seed):
    """The order, number and overlap of the loads have no effect, and the marts equal a full rebuild."""
    clear(warehouse)
    for each in responses:
        load_responses(warehouse, each)
    staging, mart, summary = rows_of(warehouse, STAGED), rows_of(warehouse, MART), rows_of(warehouse, SUMMARY)
    assert staging == expected_staging(responses)

    rebuilt = expected_mart(staging)
    assert {(row[0], row[2]) for row in mart} == set(rebuilt)
    for row in mart:
        shown = (*row[3:8], *row[10:14])
        assert all(close(a, b) for a, b in zip(shown, rebuilt[row[0], row[2]], strict=True)), row

    # some are loaded twice, once with fewer values: a replay after a fix of the transformation
    chance = random.Random(seed)
    again = [*responses, *(thinned(each, chance) for each in chance.choices(responses, k=3))]
    chance.shuffle(again)
    clear(warehouse)
    for each in again:
        load_responses(warehouse, each)
    assert (rows_of(warehouse, STAGED), rows_of(warehouse, MART), rows_of(warehouse, SUMMARY)) == (
        staging,
        mart,
        summary,
    )


# ---------------------------------------------------------------- local days


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Africa/Kigali", "2026-03-08", 24),
        ("Africa/Cairo", "2026-04-24", 23),  # the clock skips midnight itself
        ("Africa/Cairo", "2026-10-29", 25),
        ("America/Havana", "2026-11-01", 25),  # midnight happens twice
        ("America/Toronto", "2026-03-08", 23),
        ("Asia/Kathmandu", "2026-03-08", 24),  # 5:45 from UTC
        ("Pacific/Kiritimati", "2026-03-08", 24),  # 14 hours ahead
        ("Pacific/Pago_Pago", "2026-03-08", 24),  # 11 hours behind
    ],
)
def test_a_day_has_the_hours_its_clock_had(warehouse, zone, day, hours):
    cities = {"there": dataclasses.replace(CITIES["kigali"], city_id="there", timezone=zone)}
    noon = datetime.fromisoformat(day).replace(hour=12, tzinfo=ZoneInfo(zone))
    around = (noon.astimezone(UTC).replace(minute=0) + timedelta(hours=n) for n in range(-40, 40))
    inside = [hour for hour in around if hour.astimezone(ZoneInfo(zone)).date().isoformat() == day]
    observed = Response("a", at(0), tuple(Hour("there", hour, temperature_c=1) for hour in inside), "archive")
    load_responses(warehouse, observed, cities=cities)
    assert rows_of(warehouse, "SELECT date::text, hours_observed, hours_expected FROM mart_daily_city_weather") == [
        (day, hours, hours)
    ]


def test_the_dominant_condition_of_equally_frequent_ones_is_the_more_severe(warehouse):
    codes = [0, 0, 3, 3, 61, 61, 95]
    hours = tuple(Hour("kigali", at(n), weather_code=code) for n, code in enumerate(codes))
    load_responses(warehouse, Response("a", at(100), hours))
    assert rows_of(warehouse, "SELECT dominant_condition FROM mart_daily_city_weather") == [("Slight rain",)]


def test_the_summary_weighs_hours_not_days(warehouse):
    hours = tuple(Hour("kigali", at(n), temperature_c=n, humidity=50 if n < 20 else 90) for n in range(18, 24))
    load_responses(warehouse, Response("a", at(100), hours))
    assert rows_of(
        warehouse,
        "SELECT total_days_recorded, highest_temperature_c, highest_temperature_date::text, lowest_temperature_c, "
        "lowest_temperature_date::text, round(average_humidity, 6), first_day::text, last_day::text "
        "FROM mart_city_weather_summary",
    ) == [(2, 23, "2026-03-02", 18, "2026-03-01", Decimal("76.666667"), "2026-03-01", "2026-03-02")]


# ---------------------------------------------------------------- the city list changes


def test_all_days_of_a_changed_city_are_recomputed_and_a_new_zone_moves_its_hours(warehouse):
    load_responses(warehouse, response("a", 100, [1] * 24))
    moved = CITIES | {"kigali": dataclasses.replace(CITIES["kigali"], timezone="Asia/Tokyo", population=5)}
    load_responses(warehouse, response("b", 101, [1], city="huye"), cities=moved)
    assert rows_of(
        warehouse,
        "SELECT date::text, hours_observed, population FROM mart_daily_city_weather "
        "WHERE city_id = 'kigali' ORDER BY date",
    ) == [("2026-03-01", 15, 5), ("2026-03-02", 9, 5)]
    assert rows_of(warehouse, "SELECT last_day::text FROM mart_city_weather_summary WHERE city_id = 'kigali'") == [
        ("2026-03-02",)
    ]


def test_a_city_that_left_the_list_keeps_its_history_and_is_marked(warehouse):
    load_responses(warehouse, response("a", 100, [1], city="huye"))
    shorter = {city_id: city for city_id, city in CITIES.items() if city_id != "huye"}
    load_responses(warehouse, response("b", 101, [2]), cities=shorter)
    assert rows_of(warehouse, "SELECT active FROM dim_city WHERE city_id = 'huye'") == [(False,)]
    assert rows_of(warehouse, "SELECT count(*) FROM mart_daily_city_weather WHERE city_id = 'huye'") == [(1,)]


# ---------------------------------------------------------------- faults


def test_the_row_of_a_run_has_its_counts(warehouse):
    rejected = (CityFailure("huye", "No data is available for this location", "raw/x"),)
    result = load_responses(warehouse, response("a", 100, [1, 2]), failed_cities=rejected)
    assert result.status == "partial"
    assert rows_of(
        warehouse,
        "SELECT status, cities, rows_in, rows_loaded, rows_unchanged, rows_rejected, requests, "
        "failed_cities->0->>'city_id', objects->0->>'sha256', event->>'run_id', transform_seconds FROM pipeline_run",
    ) == [("partial", 3, 2, 2, 0, 0, 1, "huye", "0" * 64, "a", Decimal("0.5"))]


def contents(warehouse):
    tables = ("dim_city", "staging_weather", "staging_coverage", "mart_daily_city_weather", "pipeline_run")
    return [rows_of(warehouse, f"SELECT * FROM {table} ORDER BY 1, 2, 3") for table in tables]


class BrokenStream(io.BytesIO):
    """Returns its first bytes, then raises the error of a lost connection."""

    def read(self, _size=-1, /):
        if self.tell():
            raise ConnectionResetError("connection reset by peer")
        return super().read(40)


def test_an_interrupted_read_is_a_transient_error_and_nothing_is_written(warehouse):
    load_responses(warehouse, response("a", 100, [1, 2]))
    before = contents(warehouse)
    with pytest.raises(TransientError, match=r"processed/0\.csv\.gz: the read was interrupted"):
        load_responses(warehouse, response("b", 101, [3, 4]), stream=BrokenStream)
    assert contents(warehouse) == before


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>busy</html>",
        b"city_id,observed_at\nkigali,2026-03-01T00:00:00Z\n",
        response("b", 101, [3, 4]).csv().replace(b"humidity", b"moisture"),
        response("b", 101, [3, 4]).csv().replace(b"2026-03-01T01", b"2026-03-41T01"),
        response("b", 101, [3, 4]).csv().replace(b"T01:00", b"T00:00"),
        response("b", 101, [3, 4]).csv().replace(b"forecast", b"hearsay"),
    ],
    ids=["empty", "html", "few columns", "another column", "no such day", "an hour twice", "no such source"],
)
def test_an_invalid_processed_object_is_rejected_by_name_and_nothing_is_written(warehouse, body):
    before = contents(warehouse)
    with pytest.raises(LoadError, match=r"processed/0.csv.gz: |hearsay"):
        load_responses(warehouse, response("b", 101, [3, 4]), stream=lambda _: io.BytesIO(body))
    assert contents(warehouse) == before


def test_a_run_id_that_was_loaded_for_another_window_is_rejected_and_nothing_is_written(warehouse):
    load_responses(warehouse, response("a", 100, [1, 2]))
    before = contents(warehouse)
    with pytest.raises(InvalidInputError, match=r"run_id a: is taken by a run of .*forecast.*; choose another"):
        load_responses(warehouse, response("a", 101, [3, 4], source="archive"))
    assert contents(warehouse) == before


def test_an_object_with_fewer_rows_than_transform_reported_is_rejected(warehouse):
    with pytest.raises(LoadError, match=r"processed/0\.csv\.gz: has 2 rows, Transform reported 3"):
        load_responses(warehouse, response("a", 100, [1, 2]), rows=3)
    assert rows_of(warehouse, "SELECT count(*) FROM staging_weather") == [(0,)]


def test_an_unlisted_city_is_rejected_and_nothing_is_written(warehouse):
    unlisted = Response("a", at(100), (Hour("huye", at(0), temperature_c=1),))
    shorter = {city_id: city for city_id, city in CITIES.items() if city_id != "huye"}
    body = unlisted.csv()
    before = contents(warehouse)
    with pytest.raises(LoadError, match="huye"):
        load_responses(warehouse, response("a", 100, [1]), cities=shorter, stream=lambda _: io.BytesIO(body))
    assert contents(warehouse) == before


class SlowStream(io.BytesIO):
    """Stops in the middle until ``go_on`` is set."""

    def __init__(self, body: bytes, reached: threading.Event, go_on: threading.Event) -> None:
        super().__init__(body)
        self._reached, self._go_on = reached, go_on

    def read(self, _size=-1, /):
        if self.tell():
            self._reached.set()
            assert self._go_on.wait(30)
        return super().read(64)


def in_background(load):
    """Run a load in a thread; its result or error is appended to the returned list."""
    outcome: list = []

    def run() -> None:
        try:
            outcome.append(load())
        except Exception as error:  # noqa: BLE001  # handed to the test
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, outcome


def test_a_load_whose_server_process_is_killed_in_the_middle_writes_nothing_and_can_be_replayed(warehouse):
    load_responses(warehouse, response("a", 100, [1, 2]))
    before = contents(warehouse)
    reached, go_on = threading.Event(), threading.Event()
    late = response("b", 101, [3, 4])
    thread, outcome = in_background(
        lambda: load_responses(warehouse, late, stream=lambda body: SlowStream(body, reached, go_on))
    )
    assert reached.wait(30)
    rows_of(
        warehouse,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name = 'ikirere' AND datname = current_database()",
    )
    go_on.set()
    thread.join(30)
    assert isinstance(outcome[0], TransientError)
    assert contents(warehouse) == before
    assert load_responses(warehouse, late).rows_loaded == 2


def test_readers_see_all_of_a_load_or_none_of_it(warehouse):
    load_responses(warehouse, response("a", 100, [1] * 24))
    before = rows_of(warehouse, MART)
    reached, go_on = threading.Event(), threading.Event()
    later = response("b", 101, [2] * 24)
    thread, outcome = in_background(
        lambda: load_responses(warehouse, later, stream=lambda body: SlowStream(body, reached, go_on))
    )
    assert reached.wait(30)
    assert rows_of(warehouse, MART) == before
    go_on.set()
    reads = []
    while thread.is_alive():
        reads.append(rows_of(warehouse, MART))
        time.sleep(0.002)
    after = rows_of(warehouse, MART)
    assert outcome[0].rows_loaded == 24
    assert after != before
    assert all(rows in (before, after) for rows in reads)


def test_concurrent_loads_give_the_result_of_sequential_ones(warehouse):
    loads = [response(f"run-{n}", 100 + n, [n] * 48) for n in range(6)]
    running = [in_background(lambda each=each: load_responses(warehouse, each)) for each in loads]
    for thread, _ in running:
        thread.join(60)
    assert [type(outcome[0]).__name__ for _, outcome in running] == ["LoadResult"] * 6
    assert temperatures(warehouse) == [5] * 48
    assert rows_of(warehouse, "SELECT count(*) FROM pipeline_run WHERE status = 'succeeded'") == [(6,)]


def test_an_unreachable_warehouse_is_a_transient_error():
    with pytest.raises(TransientError, match=r"warehouse: .*refused"):
        load_responses("postgresql://nobody@127.0.0.1:1/none", response("a", 100, [1]))


def test_a_warehouse_without_its_schema_names_the_command_that_creates_it(database_url):
    with pytest.raises(LoadError, match=r"001_warehouse.*python -m functions.model.migrations"):
        load_responses(database_url, response("a", 100, [1]))


def test_a_wrong_password_is_not_a_transient_error(warehouse):
    parameters = psycopg2.extensions.parse_dsn(warehouse)
    wrong = psycopg2.extensions.make_dsn(**{**parameters, "user": "ikirere_nobody", "password": "wrong"})
    with pytest.raises(LoadError, match="warehouse: "):
        load_responses(wrong, response("a", 100, [1]))

"""The row of a run, loads that are rejected or interrupted, and loads at the same time."""

import io
import threading
import time
from decimal import Decimal

import psycopg2
import pytest
from loads import CITIES, MART, Hour, Response, at, load_responses, response, rows_of, temperatures

from functions.core.contracts import CityFailure
from functions.core.errors import InvalidInputError, LoadError, TransientError


def test_the_row_of_a_run_has_its_status_its_counts_and_its_failed_cities(warehouse):
    failed = (CityFailure("huye", "No data is available for this location", "raw/x"),)
    result = load_responses(warehouse, response("a", 100, [1, 2]), failed_cities=failed)
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
    with pytest.raises(TransientError, match=r"processed/b/part-0000\.csv\.gz: the read was interrupted"):
        load_responses(warehouse, response("b", 101, [3, 4]), stream=BrokenStream)
    assert contents(warehouse) == before


HOURS, COVERAGE = response("b", 101, [3, 4]).csv(), response("b", 101, [3, 4]).coverage()


@pytest.mark.parametrize("stored", [[], [1, 2]], ids=["new hours", "stored hours"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>busy</html>",
        b"city_id,observed_at\nkigali,2026-03-01T00:00:00Z\n",
        HOURS.replace(b"humidity", b"moisture"),
        HOURS.replace(b"2026-03-01T01", b"2026-03-41T01"),
        HOURS.replace(b"T01:00", b"T00:00"),
        HOURS.replace(b",4,", b",warm,"),
    ],
    ids=["empty", "html", "few columns", "another column", "no such day", "an hour twice", "no number"],
)
def test_an_invalid_processed_object_is_named_and_nothing_is_written(warehouse, body, stored):
    if stored:
        load_responses(warehouse, response("a", 100, stored))
    before = contents(warehouse)
    with pytest.raises(LoadError, match=r"processed/b/part-0000.csv.gz: |could not create unique"):
        load_responses(warehouse, response("b", 101, [3, 4]), stream=lambda _: io.BytesIO(body))
    assert contents(warehouse) == before


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "header"),
        (COVERAGE.replace(b"filled", b"full"), "header"),
        (COVERAGE.replace(b"T01:00", b"T05:00"), "has 6 hours, Transform reported 2"),
        (COVERAGE.replace(b"forecast", b"hearsay"), "another response than run b's"),
        (COVERAGE.replace(b",b,", b",c,"), "another response than run b's"),
        (COVERAGE.replace(b"raw/b", b"raw/c"), "another response than run b's"),
        (COVERAGE + COVERAGE.splitlines(keepends=True)[1], "another response than run b's"),
        (COVERAGE.replace(b"kigali", b"atlantis"), "city atlantis is not in the city list"),
    ],
    ids=["empty", "another column", "more hours", "another source", "another run", "another key", "twice", "unlisted"],
)
def test_an_invalid_coverage_object_is_rejected_and_nothing_is_written(warehouse, body, reason):
    before = contents(warehouse)
    with pytest.raises(LoadError, match=reason):
        load_responses(warehouse, response("b", 101, [3, 4]), coverage_stream=lambda _: io.BytesIO(body))
    assert contents(warehouse) == before


def test_a_run_id_loaded_from_another_source_is_rejected_and_nothing_is_written(warehouse):
    load_responses(warehouse, response("a", 100, [1, 2]))
    before = contents(warehouse)
    with pytest.raises(InvalidInputError, match=r"run_id a: is taken by a run of .*forecast.*; choose another"):
        load_responses(warehouse, response("a", 101, [3, 4], source="archive"))
    assert contents(warehouse) == before


def test_an_object_with_fewer_rows_than_transform_reported_is_rejected_and_nothing_is_written(warehouse):
    with pytest.raises(LoadError, match=r"processed/a/part-0000\.coverage\.csv\.gz: has 2 hours, Transform reported 3"):
        load_responses(warehouse, response("a", 100, [1, 2]), rows=3)
    assert rows_of(warehouse, "SELECT count(*) FROM staging_weather") == [(0,)]


def test_a_row_of_an_unlisted_city_is_rejected_and_nothing_is_written(warehouse):
    unlisted = Response("a", at(100), (Hour("huye", at(0), temperature_c=1),))
    shorter = {city_id: city for city_id, city in CITIES.items() if city_id != "huye"}
    before = contents(warehouse)
    with pytest.raises(LoadError, match="city huye is not in the city list"):
        load_responses(warehouse, unlisted, cities=shorter)
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


def test_a_load_whose_session_is_terminated_writes_nothing_and_can_be_repeated(warehouse):
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


def test_a_reader_sees_all_of_a_load_or_nothing_of_it(warehouse):
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


def test_concurrent_loads_have_the_result_of_sequential_loads(warehouse):
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


def test_the_error_for_a_warehouse_without_schema_names_the_command_that_creates_it(database_url):
    with pytest.raises(LoadError, match=r"001_warehouse.*python -m functions.model.migrations"):
        load_responses(database_url, response("a", 100, [1]))


def test_a_wrong_password_is_not_a_transient_error(warehouse):
    parameters = psycopg2.extensions.parse_dsn(warehouse)
    wrong = psycopg2.extensions.make_dsn(**{**parameters, "user": "ikirere_nobody", "password": "wrong"})
    with pytest.raises(LoadError, match="warehouse: "):
        load_responses(wrong, response("a", 100, [1]))

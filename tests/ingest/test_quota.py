"""The arithmetic of Open-Meteo's quota."""

import random
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.core.cities import City
from functions.core.quota import WINDOWS, exceeds, largest_batch, seconds_to_open, weight, window_start
from functions.core.run import MAX_DAYS, MAX_HOURS_PER_RESPONSE, Run
from functions.core.storage import METADATA_LIMIT, RawStore, StoredResponse
from functions.core.variables import variables_of
from functions.ingest.fetch import Fetch
from functions.ingest.open_meteo import OpenMeteo, request_address

cities, variables, days = st.integers(1, 300), st.integers(1, 20), st.integers(1, MAX_DAYS)
windows = st.sampled_from(sorted(WINDOWS))
moments = st.integers(946684800 * 10**6, 4102444800 * 10**6).map(
    lambda microseconds: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
)

NOON = datetime(2026, 3, 1, 12, 0, 20, tzinfo=UTC)


@pytest.mark.parametrize(
    ("cities", "variables", "days", "expected"),
    [
        (1, 3, 1, 1),
        (1, 3, 46, 1),
        (1, 3, 47, 3 / 10 * 47 / 14),
        (1, 3, 365, 7.82),
        (100, 5, 1826, 6521.4),
        (1, 20, 1, 2),
        (3, 6, 4, 3),
    ],
)
def test_the_weight_of_a_request_grows_with_cities_variables_and_days(cities, variables, days, expected):
    assert weight(cities, variables, days) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(("window", "seconds"), [("minutely", 41), ("hourly", 3581), ("daily", 43_181)])
def test_a_quota_window_opens_a_second_after_it_is_reset(window, seconds):
    assert seconds_to_open(window, NOON) == seconds


@pytest.mark.parametrize(
    ("window", "start"),
    [
        ("minutely", NOON.replace(second=0)),
        ("hourly", NOON.replace(second=0)),
        ("daily", NOON.replace(hour=0, minute=0, second=0)),
    ],
)
def test_a_quota_window_starts_with_its_minute_hour_or_day(window, start):
    assert window_start(window, NOON) == start
    assert window_start(window, start) == start


@pytest.mark.parametrize(("window", "limit"), [("minutely", 600), ("hourly", 5_000), ("daily", 10_000)])
def test_a_request_exceeds_a_window_of_whose_weight_too_much_is_used(window, limit):
    assert not exceeds(window, limit - 1, 1)
    assert exceeds(window, limit - 1, 1.5)


def test_an_unused_quota_window_accepts_a_request_of_any_weight():
    assert not exceeds("minutely", 0, 4_000)


@given(cities, cities, variables, days)
def test_the_weight_of_two_batches_is_that_of_one_with_the_cities_of_both(some, others, variables, days):
    assert weight(some, variables, days) + weight(others, variables, days) == pytest.approx(
        weight(some + others, variables, days)
    )
    assert weight(some, variables, days) >= some
    assert weight(some, variables, days) <= weight(some, variables + 1, days) <= weight(some, variables + 1, days + 1)


@given(variables, days)
def test_the_largest_batch_fits_into_a_minute_and_into_transform_and_fills_the_minute(variables, days):
    batch, (_, limit) = largest_batch(variables, days), WINDOWS["minutely"]
    assert batch == 1 or weight(batch, variables, days) <= limit
    assert 24 * days * batch <= MAX_HOURS_PER_RESPONSE
    # equal batches: the rest of a minute has less cities than there are batches
    cities = max(1, int(limit / weight(1, variables, days)))
    assert cities % batch <= cities // batch


@given(windows, moments)
def test_a_moment_is_in_one_window_and_the_next_one_opens_after_the_seconds_to_wait(window, moment):
    length = timedelta(seconds=WINDOWS[window][0])
    start = window_start(window, moment)
    assert start <= moment < start + length
    assert window_start(window, start - timedelta(microseconds=1)) == start - length
    wait = seconds_to_open(window, moment)
    assert wait >= 1
    assert window_start(window, moment + timedelta(seconds=wait)) == start + length


@given(windows, st.lists(st.floats(0.5, 20_000)))
def test_no_sequence_of_requests_uses_more_than_a_window_accepts(window, weights):
    """But for one that is larger than the window and finds it unused: the host serves it."""
    used = 0.0
    for each in weights:
        if not exceeds(window, used, each):
            assert used == 0 or used + each <= WINDOWS[window][1]
            used += each


@st.composite
def some_cities(draw):
    """Up to a hundred cities whose ids and coordinates have any number of characters."""
    chance = random.Random(draw(st.integers(0, 10**6)))
    ids = [f"{n}-".ljust(chance.randint(4, 63), "x") for n in range(draw(st.integers(0, 100)))]
    digits = draw(st.integers(0, 17))
    return {
        city_id: City(
            city_id, city_id, "X", round(chance.uniform(-90, 90), digits), round(chance.uniform(-180, 180), digits),
            "UTC", None, None,
        )
        for city_id in ids
    }  # fmt: skip


@given(some_cities(), st.sampled_from(["forecast", "archive"]), days)
def test_the_batches_of_a_run_have_each_city_once_and_fit_into_the_metadata_of_a_raw_object(cities, source, days):
    start = date(1990, 1, 1)
    end = start + timedelta(days=days - 1)
    run = Run("r" * 80, source, date(2026, 1, 1), start, end, variables_of(source), ())
    host = "https://customer-archive-api.open-meteo.com/v1/archive"
    fetch = Fetch(run, cities, host, RawStore("raw"), OpenMeteo(), is_free_host=True, seconds_left=lambda: 900.0)
    batches = fetch._batches(fetch._missing_city_ids())
    assert [city_id for batch in batches for city_id in batch] == sorted(cities)
    assert all(0 < len(batch) <= largest_batch(len(run.variables), run.days) for batch in batches)
    for batch in batches:
        address = request_address(host, run, [cities[city_id] for city_id in batch])
        response = StoredResponse("k", address, 200, NOON, "f" * 64, tuple(batch), weight(len(batch), 6, days))
        assert sum(len(name) + len(value) for name, value in response.metadata().items()) <= METADATA_LIMIT

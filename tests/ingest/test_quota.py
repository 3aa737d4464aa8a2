"""The arithmetic of Open-Meteo's quota."""

from datetime import UTC, datetime

import pytest

from functions.core.quota import exceeds, seconds_to_open, weight, window_start

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

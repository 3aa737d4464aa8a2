"""The arithmetic of Open-Meteo's quota."""

from datetime import UTC, datetime, timedelta

import pytest

from functions.ingest.quota import full_window, seconds_to_open, weight

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


def test_only_the_weight_of_the_current_quota_window_counts():
    assert full_window([(NOON - timedelta(seconds=30), 600.0)], 1, NOON) is None
    assert full_window([(NOON, 600.0)], 1, NOON) == "minutely"
    assert full_window([(NOON - timedelta(minutes=1, hours=1), 5000.0)], 1, NOON) is None
    assert full_window([(NOON.replace(hour=1), 9_999.5)], 1, NOON) == "daily"


def test_an_unused_quota_window_accepts_a_request_of_any_weight():
    assert full_window([], 4_000, NOON) is None

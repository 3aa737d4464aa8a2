"""What a backfill will cost: the free host's windows are filled and never exceeded."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.backfill.planner import cut
from functions.core import quota
from operations.estimates import estimate, free_host_seconds

TODAY = date(2026, 11, 24)
weights = st.lists(st.floats(1, 600), max_size=120)


@pytest.mark.parametrize(
    ("sent", "seconds"),
    [
        ([], 0),
        ([600], 0),
        ([600, 1], 60),
        ([300, 301], 60),
        ([600] * 8 + [200], 8 * 60),
        ([600] * 8 + [200, 1], 3600),
        ([600] * 8 + [200] + [600] * 8 + [200], 3600 + 8 * 60),
        (([600] * 8 + [200]) * 2 + [1], 86_400),
    ],
)
def test_a_request_waits_for_the_longest_window_that_it_exceeds(sent, seconds):
    assert free_host_seconds(sent) == seconds


@given(weights)
def test_no_window_takes_more_than_its_weight_at_the_estimated_times(sent):
    used = {}
    for n, weight in enumerate(sent):
        moment = free_host_seconds(sent[: n + 1])
        for window, (length, _) in quota.WINDOWS.items():
            key = (window, moment // length)
            used[key] = used.get(key, 0) + weight
    assert all(weight <= quota.WINDOWS[window][1] + 1e-6 for (window, _), weight in used.items())


@given(weights)
def test_a_further_request_is_never_earlier(sent):
    times = [free_host_seconds(sent[:n]) for n in range(len(sent) + 1)]
    assert times == sorted(times)


def test_five_years_of_a_hundred_cities():
    """facts: they cost about 6,500 of the 5,000 an hour and 10,000 a day that the free host accepts."""
    items = cut({(date(2020, 1, 1), date(2024, 12, 31)): [f"city-{n}" for n in range(100)]})
    cost = estimate(items, TODAY, parallel=5)
    # each year in batches of 22 or 23 cities, two of which fill a minute, and the rest
    assert (cost.items, cost.requests, cost.rows, cost.unsettled_days) == (5, 25, 100 * 1827 * 24, 0)
    assert cost.quota_weight == pytest.approx(6525)
    assert 1 < cost.free_host_hours < 2
    assert cost.paid_plan_hours < 0.1
    assert cost.warehouse_gb == pytest.approx(1.3, abs=0.1)


@pytest.mark.parametrize(
    ("start", "end", "days"),
    [("2026-11-01", "2026-11-16", 0), ("2026-11-01", "2026-11-17", 1), ("2026-11-23", "2026-11-24", 2)],
)
def test_the_days_of_the_last_week_are_not_settled(start, end, days):
    window = (date.fromisoformat(start), date.fromisoformat(end))
    assert estimate(cut({window: ["kigali"]}), TODAY).unsettled_days == days


def test_nothing_costs_nothing():
    assert (estimate([], TODAY).requests, estimate([], TODAY).free_host_hours) == (0, 0)

"""The planner: for any request, each city and day is in one item, and no item exceeds a limit."""

from collections import Counter
from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from states import STATE_BYTES, state_bytes

from functions.backfill import planner
from functions.backfill.planner import (
    MAX_ITEM_HOURS,
    WorkItem,
    cut,
    days_of,
    item_number,
    run_id_of_item,
    years,
)
from functions.core import quota
from functions.core.contracts import MAX_RESPONSES, REJECTED_COUNTS
from functions.core.errors import InvalidInputError
from functions.core.run import MAX_HOURS_PER_RESPONSE, MAX_NAMED_CITIES, Run
from functions.core.variables import variables_of

VARIABLES = len(variables_of("archive"))
days = st.dates(date(1940, 1, 1), date(2026, 11, 24))
windows = st.tuples(days, days).map(sorted).map(tuple)
counts = st.integers(1, 2_000)


def ids(count):
    return [f"a-city-whose-id-has-as-many-characters-as-an-id-may-have-{n:06d}" for n in range(count)]


@given(windows)
def test_the_years_of_a_window_are_the_window(window):
    cut_windows = years(window)
    assert cut_windows[0][0] == window[0]
    assert cut_windows[-1][1] == window[1]
    for before, after in pairwise(cut_windows):
        assert before[1] + timedelta(days=1) == after[0]
        assert (after[0].month, after[0].day) == (1, 1)
    assert all(days_of(each) <= 366 + 2 * 27 for each in cut_windows)
    assert len(cut_windows) == 1 or all(days_of(each) >= 28 for each in cut_windows)


@given(windows, counts)
def test_each_city_and_day_is_in_exactly_one_item(window, count):
    cities = ids(count)
    covered = {}
    for item in cut({window: cities}):
        covered.setdefault(item.window, []).extend(item.cities)
    assert sorted(covered) == years(window)
    assert all(each == cities for each in covered.values())


@st.composite
def gaps(draw):
    """Windows of some cities each, as the gaps of the mart are; those of one city do not overlap."""
    edges = sorted(draw(st.sets(st.dates(date(2019, 1, 1), date(2024, 12, 31)), min_size=2, max_size=12)))
    pairs = [(first, last - timedelta(days=1)) for first, last in pairwise(edges)]
    return {window: draw(st.lists(st.sampled_from(ids(9)), unique=True)) for window in draw(st.permutations(pairs))}


@given(gaps())
def test_the_items_of_gaps_have_each_wanted_city_and_day_once_and_no_other(wanted):
    days_of_city = Counter()
    for item in cut(wanted):
        for city_id in item.cities:
            days_of_city.update((city_id, item.window[0] + timedelta(days=n)) for n in range(item.days))
    assert days_of_city == Counter(
        (city_id, first + timedelta(days=n))
        for (first, last), cities in wanted.items()
        for city_id in cities
        for n in range((last - first).days + 1)
    )


@given(windows, counts)
def test_no_item_exceeds_what_its_run_can_do(window, count):
    for item in cut({window: ids(count)}):
        assert item.hours <= MAX_ITEM_HOURS
        assert len(item.cities) <= MAX_NAMED_CITIES
        # the worst case is a rejected response for each city
        assert REJECTED_COUNTS * len(item.cities) <= MAX_RESPONSES
        requests = item.requests(VARIABLES)
        assert sum(requests) == pytest.approx(quota.weight(len(item.cities), VARIABLES, item.days))
        assert max(requests) <= quota.WINDOWS["minutely"][1]
        # less than what a day has left for it, beside the daily run
        assert sum(requests) <= quota.WINDOWS["hourly"][1] / 3


@given(windows, counts)
def test_the_items_of_a_window_are_of_nearly_the_same_size(window, count):
    by_window = {}
    for item in cut({window: ids(count)}):
        by_window.setdefault(item.window, []).append(len(item.cities))
    assert all(max(sizes) - min(sizes) <= 1 for sizes in by_window.values())


def run_of(item):
    """The event of an item, with the longest ids, and the run that it means."""
    event = item.event(run_id_of_item("b" * 50, 10_000), date(2026, 11, 24))
    return event, Run.from_event(event, item.cities, run_id="x", started_at=None)


@given(windows, counts)
def test_no_item_exceeds_the_data_of_a_state_of_the_pipeline(window, count):
    """Each city causes at most one response, and its request may be rejected."""
    largest = max(cut({window: ids(count)}), key=lambda item: len(item.cities))
    event, run = run_of(largest)
    cities = len(largest.cities)
    assert all(state_bytes(event, run, cities - rejected, rejected) < STATE_BYTES for rejected in (0, cities - 1))


@pytest.mark.parametrize(
    ("cities", "start", "end", "items"),
    [
        (1, "1940-01-01", "2019-12-31", 80),
        (30_000, "2024-02-29", "2024-02-29", 100),
        (10_000, "2024-01-01", "2024-12-31", 89),
        # the most hours with the most cities
        (300, "2024-01-01", "2024-05-17", 1),
        (113, "2024-01-01", "2024-12-31", 1),
    ],
)
def test_the_extremes_keep_every_function_within_its_limits(cities, start, end, items):
    """The responses of an item, which bound Transform's memory; its hours, which bound Model's time; its events."""
    planned = cut({(date.fromisoformat(start), date.fromisoformat(end)): ids(cities)})
    assert len(planned) == items <= planner.MAX_ITEMS
    assert sum(len(item.cities) * item.days for item in planned) == cities * days_of(
        (date.fromisoformat(start), date.fromisoformat(end))
    )
    for item in planned:
        event, run = run_of(item)
        assert item.hours <= MAX_ITEM_HOURS
        assert 24 * run.days * quota.largest_batch(len(run.variables), run.days) <= MAX_HOURS_PER_RESPONSE
        assert len(item.requests(len(run.variables))) <= len(item.cities) <= MAX_RESPONSES / REJECTED_COUNTS
        assert state_bytes(event, run, 1, len(item.cities) - 1) < STATE_BYTES


def test_a_map_keeps_less_than_a_state_of_the_most_items():
    assert len(str(list(range(1, planner.MAX_ITEMS + 1)))) < STATE_BYTES / 3


def test_more_items_than_a_map_allows_are_rejected(monkeypatch):
    monkeypatch.setattr(planner, "MAX_ITEMS", 9)
    window = (date(2020, 1, 1), date(2024, 12, 31))
    assert len(cut({window: ids(100)})) == 5
    with pytest.raises(InvalidInputError, match="needs more than 9 work items; plan fewer years or cities at a time"):
        cut({window: ids(300)})


def test_a_hundred_cities_and_five_years_are_five_items_of_a_year():
    items = cut({(date(2020, 1, 1), date(2024, 12, 31)): ids(100)})
    assert [(item.window[0].year, item.days, len(item.cities)) for item in items] == [
        (2020, 366, 100),
        (2021, 365, 100),
        (2022, 365, 100),
        (2023, 365, 100),
        (2024, 366, 100),
    ]


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("2024-01-01", "2024-12-31", ["2024-01-01"]),
        ("2023-12-05", "2024-12-31", ["2023-12-05"]),
        ("2023-12-04", "2024-12-31", ["2023-12-04", "2024-01-01"]),
        ("2023-01-01", "2024-01-27", ["2023-01-01"]),
        ("2023-01-01", "2024-01-28", ["2023-01-01", "2024-01-01"]),
        ("2023-12-31", "2024-01-01", ["2023-12-31"]),
    ],
)
def test_a_rest_of_less_than_four_weeks_joins_the_year_beside_it(start, end, expected):
    """Up to 28 days five variables weigh as much as one day."""
    window = (date.fromisoformat(start), date.fromisoformat(end))
    assert [str(first) for first, _ in years(window)] == expected


def test_the_windows_of_gaps_are_items_of_their_own():
    march, may = (date(2024, 3, 3), date(2024, 3, 4)), (date(2024, 5, 1), date(2024, 5, 1))
    assert cut({may: ["kigali"], march: ["kigali", "huye"]}) == [
        WorkItem(march, ("kigali", "huye")),
        WorkItem(may, ("kigali",)),
    ]
    assert cut({}) == []


@given(st.integers(1, 99_999))
def test_the_run_id_of_an_item_tells_its_number(number):
    assert item_number(run_id_of_item("back-fill.1_x", number)) == number

"""The coverage rows of cities, and what a reader expands them to."""

from datetime import date, datetime, timedelta

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from functions.core.contracts import COVERAGE_COLUMNS
from functions.transform.coverage import bits, coverage_rows
from functions.transform.hours import Hours

DAY = date(2026, 2, 28)
ORIGIN = ("forecast", "2026-03-01T00:00:00+00:00", "r", "raw/k")


def hours_of(cities):
    """The hours of ``{hour: bits}`` for each city: 1 for a value, NaN for null."""
    cells = [(city, hour, found) for city, hours in enumerate(cities) for hour, found in sorted(hours.items())]
    city, hour, found = (np.array(column, dtype=np.intp) for column in zip(*cells, strict=True)) if cells else [
        np.zeros(0, np.intp)
    ] * 3  # fmt: skip
    values = np.where((found >> np.arange(6)[:, None]) & 1, 1.0, np.nan)
    return Hours(city, hour, values)


def rows_of(*cities):
    ids = [f"city{number}" for number in range(len(cities))]
    rows = coverage_rows(hours_of(cities), ids, DAY, ORIGIN)
    return [dict(zip(COVERAGE_COLUMNS, row, strict=True)) for row in rows]


def numbers(array):
    return [int(number) for number in array.strip("{}").split(",") if number]


def expanded(row):
    """The bits of each accepted hour that a row says, by hour of the window."""
    first, last = (
        round((datetime.fromisoformat(row[name]).replace(tzinfo=None) - datetime(2026, 2, 28)) / timedelta(hours=1))  # noqa: DTZ001
        for name in ("first_hour", "last_hour")
    )
    found = dict.fromkeys(range(first, last + 1), int(row["filled"]))
    for offset, gap in zip(numbers(row["gap_offsets"]), numbers(row["gap_filled"]), strict=True):
        assert found[first + offset] != gap
        found[first + offset] = gap
    return {hour: each for hour, each in found.items() if each != -1}


_city = st.dictionaries(st.integers(0, 47), st.one_of(st.integers(0, 63), st.sampled_from([31, 63])), max_size=48)


@given(st.lists(_city, min_size=1, max_size=4))
def test_a_coverage_row_expands_to_the_bits_of_every_accepted_hour(cities):
    rows = {row["city_id"]: row for row in rows_of(*cities)}
    for number, hours in enumerate(cities):
        row = rows.get(f"city{number}")
        assert (expanded(row) if row else {}) == hours
        if row:
            counts = [list(hours.values()).count(each) for each in range(64)]
            assert counts[int(row["filled"])] == max(counts)


@given(st.lists(_city, min_size=1, max_size=4))
def test_the_bits_of_an_hour_are_those_of_its_values(cities):
    assert bits(hours_of(cities)).tolist() == [found for hours in cities for _, found in sorted(hours.items())]


def test_a_city_of_a_whole_window_has_no_gaps():
    (row,) = rows_of(dict.fromkeys(range(48), 63))
    assert row == {
        "city_id": "city0",
        "source": "forecast",
        "fetched_at": "2026-03-01T00:00:00+00:00",
        "run_id": "r",
        "raw_key": "raw/k",
        "first_hour": "2026-02-28T00:00:00Z",
        "last_hour": "2026-03-01T23:00:00Z",
        "filled": "63",
        "gap_offsets": "{}",
        "gap_filled": "{}",
        "sha256": row["sha256"],
    }


def test_gaps_are_hours_with_other_bits_and_hours_without_a_row():
    (row,) = rows_of({2: 31, 3: 31, 4: 30, 6: 0, 7: 31})
    assert (row["first_hour"], row["last_hour"]) == ("2026-02-28T02:00:00Z", "2026-02-28T07:00:00Z")
    assert (row["filled"], row["gap_offsets"], row["gap_filled"]) == ("31", "{2,3,4}", "{30,-1,0}")


def test_a_city_without_accepted_hours_has_no_row():
    assert [row["city_id"] for row in rows_of({}, {0: 0}, {})] == ["city1"]
    assert rows_of({}, {}) == []


@given(st.lists(_city, min_size=1, max_size=4), st.data())
def test_the_hash_of_a_city_changes_with_each_value_and_each_hour_and_with_nothing_else(cities, data):
    hashes = {row["city_id"]: row["sha256"] for row in rows_of(*cities)}
    for number, hours in enumerate(cities):
        city = f"city{number}"
        if not hours:
            continue
        (alone,) = rows_of(hours)
        assert alone["sha256"] == hashes[city]
        hour = data.draw(st.sampled_from(sorted(hours)))
        (other_value,) = rows_of(hours | {hour: hours[hour] ^ 1})
        assert other_value["sha256"] != hashes[city]
        without = {each: value for each, value in hours.items() if each != hour}
        assert all(row["sha256"] != hashes[city] for row in rows_of(without))

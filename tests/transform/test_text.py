"""Numbers and rows as CSV text."""

import csv
import io
from datetime import date

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from functions.core.contracts import PROCESSED_COLUMNS
from functions.transform import text
from functions.transform.hours import Hours
from functions.transform.text import csv_lines, number_texts

# What a table of decimals must not change: numpy's shortest form.
_decimals = st.tuples(st.integers(-(10**8), 10**8), st.integers(0, 4)).map(lambda pair: pair[0] / 10 ** pair[1])


def texts(numbers):
    table, index = number_texts(np.array(numbers, dtype=float))
    return [found.decode() for found in table[index]]


def expected(number):
    return "" if np.isnan(number) else np.format_float_positional(number, trim="-")


@given(st.lists(st.one_of(_decimals, st.floats(-95, 500).map(lambda number: round(number, 1)), st.just(np.nan))))
@example([0.0, -0.0, np.nan])
@example([-0.0])
@example([0.30000000000000004, 0.3])
@example([99.9, 1e-4])
@example([])
def test_a_number_with_up_to_four_decimals_has_its_shortest_form(numbers):
    assert texts(numbers) == [expected(number) for number in numbers]


@given(st.lists(st.floats(allow_infinity=False)))
@example([1e300, 5e-324, -0.0])
@example([2**53 + 2.0, 0.1])
def test_any_number_has_its_shortest_form_without_exponent_and_reads_back_the_same(numbers):
    found = texts(numbers)
    assert found == [expected(number) for number in numbers]
    assert [float(each or "nan") for each in found] == pytest.approx(numbers, rel=0, abs=0, nan_ok=True)


@pytest.mark.parametrize("number", [15.2, 90.0, -0.1, 0.0001, 1.25])
def test_weather_values_have_the_form_of_their_decimals(number):
    assert texts([number]) == [f"{number:g}" if number != 0.0001 else "0.0001"]


def test_rows_are_the_same_whatever_number_is_made_at_once(monkeypatch):
    values = np.arange(6 * 60, dtype=float).reshape(6, 60) / 10
    values[2] = 3
    hours = Hours(np.repeat([0, 2], 30), np.tile(np.arange(30), 2), values)
    whole = b"".join(csv_lines(hours, ["kigali", "none", "huye"], date(2026, 2, 28)))
    monkeypatch.setattr(text, "_ROWS", 7)
    assert b"".join(csv_lines(hours, ["kigali", "none", "huye"], date(2026, 2, 28))) == whole
    rows = list(csv.reader(io.StringIO(whole.decode())))
    assert tuple(rows[0]) == PROCESSED_COLUMNS
    assert rows[1] == ["kigali", "2026-02-28T00:00:00Z", "0", "6", "3", "Overcast", "18", "24", "30"]
    assert rows[60][:2] == ["huye", "2026-03-01T05:00:00Z"]


def test_a_part_without_accepted_hours_is_a_header():
    none = Hours(np.zeros(0, np.intp), np.zeros(0, np.intp), np.zeros((6, 0)))
    assert b"".join(csv_lines(none, ["kigali"], date(2026, 2, 28))) == f"{','.join(PROCESSED_COLUMNS)}\n".encode()

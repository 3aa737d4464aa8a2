"""The fast path and the slow path give the same rows; an irregular city takes the slow path, and only it."""

import copy
import json
from datetime import date
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.core.errors import UpstreamContractError
from functions.core.run import Run
from functions.core.variables import VARIABLES
from functions.core.wmo import CONDITIONS
from functions.transform import irregular
from functions.transform.coverage import coverage_rows
from functions.transform.hours import Locations, joined
from functions.transform.irregular import irregular_hours
from functions.transform.response import hourly_block, locations
from functions.transform.text import csv_lines
from functions.transform.weather import transformed

ALL = tuple(VARIABLES)
DAY = date(2026, 3, 1)
TIMES = [f"2026-03-01T{hour:02d}:00" for hour in range(24)]
IDS = ("kigali", "musanze", "huye")
RUN = Run("r", "forecast", DAY, DAY, DAY, ALL, ())


def document(position=0, **columns):
    return {
        **({"location_id": position} if position else {}),
        "utc_offset_seconds": 0,
        "hourly_units": {"time": "iso8601", **{name: VARIABLES[name].unit for name in ALL}},
        "hourly": {"time": TIMES, **{name: columns.get(name, [1] * 24) for name in ALL}},
    }


def encoded(documents):
    return json.dumps(documents, separators=(",", ":")).encode()


def objects(hours, rejected):
    """What Transform writes of hours and rejected rows."""
    rows = b"".join(csv_lines(hours, IDS, DAY))
    return rows, list(coverage_rows(hours, IDS, DAY, ("a", "b", "c", "d"))), rejected


def by_both_paths(documents, run=RUN):
    body = encoded(documents)
    found = locations(body, "raw/k", len(documents))
    blocks = {n: hourly_block(each, n, "raw/k", run.variables, 24 * run.days) for n, each in enumerate(found)}
    ids = IDS[: len(found)]
    rejected = []
    fast = objects(transformed(found, run, ids, "raw/k", rejected.extend, Locations()), rejected)
    parts, rows = zip(*irregular_hours(blocks, IDS, run, "raw/k"), strict=True)
    return fast, objects(joined(parts), list(chain.from_iterable(rows)))


def slow_cities(monkeypatch, documents, run=RUN):
    """The positions of the cities that took the slow path."""
    taken = []
    original = irregular.irregular_hours
    monkeypatch.setattr(
        irregular, "irregular_hours", lambda blocks, *rest: taken.extend(blocks) or original(blocks, *rest)
    )
    transformed(
        locations(encoded(documents), "raw/k", len(documents)),
        run,
        IDS[: len(documents)],
        "raw/k",
        [].extend,
        Locations(),
    )
    return taken


def _possible(variable):
    numbers = [st.none(), st.integers(int(variable.low), int(variable.high)), st.floats(variable.low, variable.high)]
    if variable.name == "weather_code":
        numbers = [st.none(), st.sampled_from([*CONDITIONS, *map(float, CONDITIONS)])]
    return st.lists(st.one_of(*numbers), min_size=24, max_size=24)


_columns = st.fixed_dictionaries({name: _possible(variable) for name, variable in VARIABLES.items()})
_odd = st.one_of(
    st.text(max_size=3), st.booleans(), st.floats(), st.integers(), st.lists(st.integers(), max_size=1),
    st.sampled_from([1e400, -1e400, 10**400, -0.0, 3.5, 42, "-1", {}]),
)  # fmt: skip
_changes = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(["time", *ALL]), st.integers(0, 23), _odd | st.sampled_from(TIMES)),
    max_size=4,
)


@given(st.tuples(_columns, _columns, _columns), _changes)
def test_both_paths_give_the_same_rows_coverage_and_rejected_rows(columns, changes):
    documents = [copy.deepcopy(document(position, **each)) for position, each in enumerate(columns)]
    for city, name, hour, value in changes:
        documents[city]["hourly"][name][hour] = value
    fast, slow = by_both_paths(documents)
    # the text of a rejected NaN is not equal to itself
    assert repr(fast) == repr(slow)


@given(st.tuples(_columns, _columns, _columns))
def test_regular_cities_never_take_the_slow_path(columns):
    documents = [document(position, **each) for position, each in enumerate(columns)]
    with pytest.MonkeyPatch.context() as patch:
        assert slow_cities(patch, documents) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda hourly: hourly["time"].reverse(),
        lambda hourly: [column.append(column[-1]) for column in hourly.values()],
        lambda hourly: hourly["time"].__setitem__(3, TIMES[4]),
        lambda hourly: hourly["time"].__setitem__(3, "2026-03-02T00:00"),
        lambda hourly: hourly["time"].__setitem__(3, None),
        lambda hourly: hourly["temperature_2m"].__setitem__(3, "1"),
        lambda hourly: hourly["temperature_2m"].__setitem__(3, True),
        lambda hourly: hourly["temperature_2m"].__setitem__(3, float("nan")),
        lambda hourly: hourly["temperature_2m"].__setitem__(3, 65.1),
        lambda hourly: hourly["relative_humidity_2m"].__setitem__(3, -1),
        lambda hourly: hourly["uv_index"].__setitem__(3, 10**400),
        lambda hourly: hourly["weather_code"].__setitem__(3, 4),
        lambda hourly: hourly["weather_code"].__setitem__(3, 3.5),
    ],
)
def test_an_irregular_city_takes_the_slow_path_and_the_others_do_not(monkeypatch, change):
    documents = [copy.deepcopy(document(position)) for position in range(3)]
    change(documents[1]["hourly"])
    assert slow_cities(monkeypatch, documents) == [1]
    fast, slow = by_both_paths(documents)
    assert repr(fast) == repr(slow)
    assert fast[0].count(b"\n") > 48


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"location_id": 2}, "raw/k: musanze: is location 2, 1 was requested"),
        ({"location_id": None}, "is location None"),
        ({"error": True, "reason": "no"}, "is an error: no"),
        ({"utc_offset_seconds": 3600}, "utc_offset_seconds is 3600"),
        ({"utc_offset_seconds": None}, "utc_offset_seconds is None"),
        ({"hourly_units": {}}, "not a list of iso8601 times"),
        ({"hourly_units": document()["hourly_units"] | {"uv_index": "x"}}, "uv_index is in 'x'"),
        ({"hourly_units": document()["hourly_units"] | {"uv_index": "undefined"}}, "uv_index is in 'undefined'"),
        ({"hourly": document()["hourly"] | {"uv_index": [1] * 23}}, "uv_index has 23 values for 24 times"),
        ({"hourly": document()["hourly"] | {"uv_index": None}}, "requested variable uv_index is missing"),
        ({"hourly": document()["hourly"] | {"time": TIMES[1:]}}, "has 23 hours, 24 were requested"),
    ],
)
def test_a_city_that_is_not_what_was_requested_is_named_among_regular_ones(change, message):
    documents = [document(), document(1) | change, document(2)]
    with pytest.raises(UpstreamContractError, match=message):
        transformed(locations(encoded(documents), "raw/k", 3), RUN, IDS, "raw/k", [].extend, Locations())


def test_a_variable_that_is_undefined_and_null_everywhere_is_regular(monkeypatch):
    without = document(uv_index=[None] * 24)
    without["hourly_units"]["uv_index"] = "undefined"
    assert slow_cities(monkeypatch, [without]) == []


def test_a_variable_that_was_not_requested_is_null_though_the_response_has_it():
    run = Run("r", "forecast", DAY, DAY, DAY, ("temperature_2m",), ())
    fast, slow = by_both_paths([document()], run)
    assert fast == slow
    assert fast[0].splitlines()[1] == b"kigali,2026-03-01T00:00:00Z,1,,,,,,"


def test_irregular_cities_are_read_a_few_at_a_time_with_the_same_rows(monkeypatch):
    documents = [document(position, temperature_2m=[99, *range(23)]) for position in range(3)]
    whole, _ = by_both_paths(documents)
    monkeypatch.setattr("functions.transform.weather.IRREGULAR_HOURS", 48)
    assert by_both_paths(documents)[0] == whole
    assert len(whole[2]) == 3


@pytest.mark.parametrize("digits", [400, 5000], ids=["beyond a float", "beyond what Python converts"])
@pytest.mark.parametrize("beside", ["1", "NaN"])
def test_an_hour_with_a_number_of_thousands_of_digits_is_rejected_and_the_others_are_accepted(digits, beside):
    text = encoded([document(n) for n in range(3)]).decode()
    text = text.replace('"precipitation":[1', f'"precipitation":[{"9" * digits}', 1)
    text = text.replace('"uv_index":[1', f'"uv_index":[{beside}', 1)
    rejected = []
    hours = transformed(locations(text.encode(), "raw/k", 3), RUN, IDS, "raw/k", rejected.extend, Locations())
    assert len(hours) == 71
    (row,) = rejected
    assert (row[0], row[1], row[2].split(";")[0]) == ("kigali", TIMES[0], "precipitation cannot be read")
    assert len(row[3]) < 700


@pytest.mark.parametrize("text", ["x" * 7_340_032, "\x1b[31m\u202e\u2028\r\n\ud800" * 1000])
def test_a_rejected_row_is_an_excerpt_and_has_nothing_that_controls_a_terminal(text):
    changed = document(temperature_2m=[text, *[1] * 23]) | {}
    changed["hourly"] = changed["hourly"] | {"time": [text, *TIMES[1:]]}
    rejected = []
    transformed(locations(encoded(changed), "raw/k", 1), RUN, IDS[:1], "raw/k", rejected.extend, Locations())
    (row,) = rejected
    assert all(field.isprintable() for field in row)
    assert len(row[1]) <= 300
    assert row[3].endswith("characters; the raw object has it all)")
    assert len(row[3]) <= 3000

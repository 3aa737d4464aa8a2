"""The slow path: every hour is either accepted or rejected with its reason."""

import csv
import io
import json
import math
from datetime import date
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.core.run import Run
from functions.core.variables import VARIABLES
from functions.core.wmo import CONDITIONS
from functions.transform.hours import joined
from functions.transform.irregular import irregular_hours
from functions.transform.text import csv_lines

ALL = tuple(VARIABLES)
DAY = date(2026, 3, 1)
# The codes that https://open-meteo.com/en/docs lists, and those that its source emits.
EMITTED = [0, 1, 2, 3, 45, 48, 51, 53, 55, 56, 57, 61, 63, 65, 66, 67, 71, 73, 75, 77, 80, 81, 82, 85, 86, 95, 96, 99]


def block(times, **columns):
    return {"time": times, **{name: columns.get(name, [None] * len(times)) for name in ALL}}


def one(time="2026-03-01T05:00", **values):
    return block([time], **{name: [value] for name, value in values.items()})


def transformed(*blocks, variables=ALL):
    """The rows of kigali and, with a second block, huye, and the rejected rows."""
    run = Run("r", "forecast", DAY, DAY, DAY, variables, ())
    cities = ["kigali", "huye"][: len(blocks)]
    parts, rejected = zip(*irregular_hours(dict(enumerate(blocks)), cities, run, "raw/k"), strict=True)
    hours, rejected = joined(parts), list(chain.from_iterable(rejected))
    return list(csv.DictReader(io.StringIO(b"".join(csv_lines(hours, cities, DAY)).decode()))), rejected


def reasons(*blocks):
    return [reason for _, _, reason, _, _ in transformed(*blocks)[1]]


def test_an_hour_with_every_variable_becomes_a_typed_row_with_its_city_and_condition():
    (row,), rejected = transformed(
        one(
            temperature_2m=21.4,
            relative_humidity_2m=80,
            weather_code=96,
            precipitation=0.0,
            wind_speed_10m=7,
            uv_index=1.25,
        )
    )
    assert rejected == []
    assert row == {
        "city_id": "kigali",
        "observed_at": "2026-03-01T05:00:00Z",
        "temperature_c": "21.4",
        "humidity": "80",
        "weather_code": "96",
        "condition": "Thunderstorm with hail",
        "precipitation_mm": "0",
        "wind_speed_kmh": "7",
        "uv_index": "1.25",
    }


def test_every_weather_code_that_open_meteo_emits_has_a_condition_of_its_own():
    assert sorted(CONDITIONS) == EMITTED
    assert len(set(CONDITIONS.values())) == len(EMITTED)


@pytest.mark.parametrize("code", [3, 3.0])
def test_a_weather_code_may_be_an_integer_or_a_float(code):
    (row,), _ = transformed(one(weather_code=code))
    assert (row["weather_code"], row["condition"]) == ("3", "Overcast")


def test_a_null_stays_a_null():
    (row,), rejected = transformed(one())
    assert rejected == []
    assert all(row[variable.column] == "" for variable in VARIABLES.values())
    assert row["condition"] == ""


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"temperature_2m": 999.9}, "impossible temperature_2m"),
        ({"temperature_2m": -96}, "impossible temperature_2m"),
        ({"relative_humidity_2m": 101}, "impossible relative_humidity_2m"),
        ({"precipitation": -0.1}, "impossible precipitation"),
        ({"uv_index": 51}, "impossible uv_index"),
        ({"weather_code": 42}, "unknown weather code"),
        ({"weather_code": 3.5}, "unknown weather code"),
        ({"temperature_2m": "warm"}, "temperature_2m cannot be read"),
        ({"temperature_2m": "21.4"}, "temperature_2m cannot be read"),
        ({"temperature_2m": True}, "temperature_2m cannot be read"),
        ({"temperature_2m": [1]}, "temperature_2m cannot be read"),
        ({"temperature_2m": math.inf}, "temperature_2m cannot be read"),
        ({"temperature_2m": math.nan}, "temperature_2m cannot be read"),
        ({"temperature_2m": 10**400}, "temperature_2m cannot be read"),
        ({"temperature_2m": 99, "weather_code": 42}, "impossible temperature_2m; unknown weather code"),
        ({"time": "2026-03-02T00:00"}, "hour outside the window"),
        ({"time": "2026-02-28T23:00"}, "hour outside the window"),
        ({"time": "2026-03-01T05:30"}, "time is not on the hour"),
        ({"time": "2026-03-01"}, "time cannot be read"),
        ({"time": "2026-13-01T05:00"}, "time cannot be read"),
        ({"time": None}, "time cannot be read"),
        ({"time": 1772341200}, "time cannot be read"),
    ],
)
def test_an_invalid_hour_is_rejected_with_its_reason(values, reason):
    assert reasons(one(**values)) == [reason]


def test_of_a_repeated_hour_the_first_valid_row_is_accepted():
    times = ["2026-03-01T05:00"] * 3
    rows, rejected = transformed(block(times, temperature_2m=[999, 20.0, 21.0]))
    assert [row["temperature_c"] for row in rows] == ["20"]
    assert [reason for _, _, reason, _, _ in rejected] == ["impossible temperature_2m", "duplicate hour"]


def test_the_same_hour_of_two_cities_is_not_a_duplicate():
    rows, rejected = transformed(one(temperature_2m=1), one(temperature_2m=2))
    assert [(row["city_id"], row["temperature_c"]) for row in rows] == [("kigali", "1"), ("huye", "2")]
    assert rejected == []


def test_a_rejected_row_has_the_values_as_they_were_received():
    _, ((city_id, time, reason, row, raw_key),) = transformed(one(temperature_2m="warm", weather_code=3.0))
    assert (city_id, time, reason, raw_key) == (
        "kigali",
        "2026-03-01T05:00",
        "temperature_2m cannot be read",
        "raw/k",
    )
    assert json.loads(row)["temperature_2m"] == "warm"
    assert json.loads(row)["weather_code"] == 3.0


def test_a_response_without_hours_has_no_row():
    rows, rejected = transformed(block([]))
    assert rows == []
    assert rejected == []


def test_a_variable_that_was_not_requested_is_empty():
    (row,), _ = transformed(one(temperature_2m=20), variables=("temperature_2m",))
    assert (row["temperature_c"], row["humidity"], row["condition"]) == ("20", "", "")


def test_of_an_hour_that_is_repeated_much_later_the_first_valid_row_is_accepted(monkeypatch):
    """In parts of a few hours, so that the repeated hour is in another part."""
    times = [f"2026-03-01T{hour:02d}:00" for hour in range(5)] + ["2026-03-01T00:00", "2026-03-01T01:00"]
    values = [999, *range(1, 7)]
    sent = block(times, temperature_2m=values), block(times[:5], temperature_2m=values[:5])
    whole = transformed(*sent)
    monkeypatch.setattr("functions.transform.irregular.IRREGULAR_HOURS", 2)
    rows, rejected = transformed(*sent)
    assert (rows, rejected) == whole
    assert [(row["observed_at"][11:13], row["temperature_c"]) for row in rows[:5]] == [
        ("00", "5"), ("01", "1"), ("02", "2"), ("03", "3"), ("04", "4"),
    ]  # fmt: skip
    assert [reason for _, _, reason, _, _ in rejected] == [
        "impossible temperature_2m", "duplicate hour", "impossible temperature_2m",
    ]  # fmt: skip


def test_rows_are_ordered_by_time_within_a_city():
    rows, _ = transformed(block(["2026-03-01T07:00", "2026-03-01T05:00"], temperature_2m=[7, 5]))
    assert [row["temperature_c"] for row in rows] == ["5", "7"]


_json = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.lists(st.integers(), max_size=2)
)
_time = st.one_of(st.sampled_from([f"2026-03-01T{hour:02d}:00" for hour in range(24)]), _json)


@given(st.lists(st.tuples(_time, *([_json] * len(ALL))), max_size=12))
def test_every_hour_is_accepted_or_rejected_and_accepted_values_are_possible(sent):
    columns = dict(zip(("time", *ALL), map(list, zip(*sent, strict=True)), strict=True)) if sent else block([])
    rows, rejected = transformed(columns)
    assert len(rows) + len(rejected) == len(sent)
    assert all(reason for _, _, reason, _, _ in rejected)
    assert len({row["observed_at"] for row in rows}) == len(rows)
    for variable in VARIABLES.values():
        for value in filter(None, (row[variable.column] for row in rows)):
            assert variable.low <= float(value) <= variable.high


def test_an_hour_with_half_of_a_surrogate_pair_is_rejected():
    assert reasons(one(temperature_2m="\ud800")) == ["temperature_2m cannot be read"]

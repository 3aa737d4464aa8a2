"""The check of a response against its request, on real bodies."""

import copy
import json
from pathlib import Path

import pytest

from functions.core.errors import UpstreamContractError
from functions.transform.response import hourly_block, locations

RECORDED = Path(__file__).parents[1] / "recorded"
BERLIN = "forecast_berlin_41_hourly_variables.json"
ALL = ("temperature_2m", "relative_humidity_2m", "weather_code", "precipitation", "wind_speed_10m", "uv_index")


def body(name):
    return (RECORDED / name).read_bytes()


def berlin_with(change):
    document = json.loads(body(BERLIN))
    change(document)
    return json.dumps(document).encode()


def hourly_blocks(raw, raw_key, cities, variables, hours):
    return [
        hourly_block(location, position, f"{raw_key}: {city}", variables, hours)
        for position, (city, location) in enumerate(zip(cities, locations(raw, raw_key, len(cities)), strict=True))
    ]


def test_a_body_with_more_than_was_requested_is_accepted():
    requested = ("temperature_2m", "precipitation")
    (block,) = hourly_blocks(body(BERLIN), "raw/x", ["berlin"], requested, 168)
    assert len(block["time"]) == len(block["temperature_2m"]) == 168


def test_cities_are_matched_by_position_though_some_share_a_grid_cell():
    cities = [f"city{n}" for n in range(12)]
    documents = json.loads(body("forecast_multi_12cities_ecmwf.json"))
    cells = [(document["latitude"], document["longitude"]) for document in documents]
    assert len(set(cells)) < 12
    blocks = hourly_blocks(body("forecast_multi_12cities_ecmwf.json"), "raw/x", cities, ["temperature_2m"], 24)
    assert blocks == [document["hourly"] for document in documents]


@pytest.mark.parametrize("hours", [169, 24 * 8])
def test_a_response_with_fewer_hours_than_requested_is_rejected(hours):
    with pytest.raises(UpstreamContractError, match=f"raw/x: berlin: has 168 hours, {hours} were requested"):
        hourly_blocks(body(BERLIN), "raw/x", ["berlin"], ["temperature_2m"], hours)


def test_locations_in_another_order_are_rejected():
    documents = json.loads(body("forecast_multi_12cities_ecmwf.json"))
    documents[3], documents[7] = documents[7], documents[3]
    cities = [f"city{n}" for n in range(12)]
    with pytest.raises(UpstreamContractError, match="raw/x: city3: is location 7, 3 was requested"):
        hourly_blocks(json.dumps(documents).encode(), "raw/x", cities, ["temperature_2m"], 24)


@pytest.mark.parametrize(
    ("name", "variables", "message"),
    [
        ("forecast_egypt_7d_africa_cairo.json", ["temperature_2m"], "utc_offset_seconds is 10800"),
        ("forecast_toronto_dst_week.json", ["temperature_2m"], "utc_offset_seconds is -18000"),
        ("forecast_two_models.json", ["weather_code"], "requested variable weather_code is missing"),
        ("archive_adelaide_3d_halfhour_tz.json", ["temperature_2m"], "utc_offset_seconds is 34200"),
    ],
)
def test_a_recorded_body_of_another_request_is_rejected(name, variables, message):
    with pytest.raises(UpstreamContractError, match=f"raw/part.*: somewhere: {message}"):
        hourly_blocks(body(name), "raw/part", ["somewhere"], variables, 24)


def test_a_wind_speed_in_metres_per_second_is_rejected():
    document = json.loads(body("archive_adelaide_3d_halfhour_tz.json")) | {"utc_offset_seconds": 0}
    with pytest.raises(UpstreamContractError, match="wind_speed_10m is in 'm/s', 'km/h' was requested"):
        hourly_blocks(json.dumps(document).encode(), "raw/part", ["adelaide"], ["wind_speed_10m"], 24)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["hourly"]["temperature_2m"].pop(), "temperature_2m has 167 values for 168 times"),
        (lambda d: d["hourly_units"].update(temperature_2m="°F"), "temperature_2m is in '°F', '°C' was requested"),
        (lambda d: d["hourly"].pop("uv_index", None) or d["hourly"].pop("precipitation"), "missing"),
        (lambda d: d.pop("hourly_units"), "has no hourly and hourly_units"),
        (lambda d: d["hourly"].update(time="2025"), "not a list of iso8601 times"),
        (lambda d: d["hourly_units"].update(time="unixtime"), "not a list of iso8601 times"),
        (lambda d: d.update(error=True, reason="no"), "is an error: no"),
    ],
)
def test_each_breach_of_the_contract_is_named(change, message):
    with pytest.raises(UpstreamContractError, match=message):
        hourly_blocks(berlin_with(change), "raw/part", ["berlin"], ["temperature_2m", "precipitation"], 168)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"<html></html>", "is not JSON"),
        (b'"text"', "neither an object nor a list but str"),
        (b"[1]", "berlin: is not an object but int"),
        (b"[]", "has 0 locations, 1 were requested"),
        (b"[" * 100_000, "is not JSON"),
        (b'[{"hourly": {"time": ["2026', "is not JSON"),
        ('{"a": "\u00b0"}'.encode("latin-1"), "is not JSON"),
    ],
)
def test_a_body_that_does_not_hold_the_requested_locations_is_rejected_and_its_object_named(raw, message):
    with pytest.raises(UpstreamContractError, match=f"raw/part: .*{message}|raw/part: {message}"):
        hourly_blocks(raw, "raw/part", ["berlin"], ["temperature_2m"], 24)


@pytest.mark.parametrize(
    "change",
    [
        lambda d, text: d["hourly_units"].update(temperature_2m=text),
        lambda d, text: d.update(error=True, reason=text),
        lambda d, text: d.update(utc_offset_seconds=text),
        lambda d, text: d.update(location_id=text),
        lambda d, text: d.update(location_id={text: [text] * 3}),
    ],
    ids=["unit", "reason", "offset", "location", "nested"],
)
@pytest.mark.parametrize("text", ["x" * 7_340_032, "\x1b[31m\u202e\u2028\n" * 400])
def test_a_breach_of_the_contract_is_named_with_an_excerpt(change, text):
    with pytest.raises(UpstreamContractError, match=r"raw/part: berlin: .*; the raw object has it all") as raised:
        hourly_blocks(berlin_with(lambda d: change(d, text)), "raw/part", ["berlin"], ["temperature_2m"], 168)
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 400


def test_the_unit_of_a_variable_may_be_undefined_when_all_its_values_are_null():
    def undefined(values):
        def change(document):
            document["hourly"]["precipitation"] = values
            document["hourly_units"]["precipitation"] = "undefined"

        return change

    assert hourly_blocks(berlin_with(undefined([None] * 168)), "raw/part", ["berlin"], ["precipitation"], 168)
    with pytest.raises(UpstreamContractError, match="'undefined'"):
        hourly_blocks(berlin_with(undefined([1.0] + [None] * 167)), "raw/part", ["berlin"], ["precipitation"], 168)


def test_the_values_of_a_body_are_not_changed():
    document = json.loads(body(BERLIN))
    original = copy.deepcopy(document["hourly"]["temperature_2m"])
    (block,) = hourly_blocks(body(BERLIN), "raw/x", ["berlin"], ["temperature_2m"], 168)
    assert block["temperature_2m"] == original


@pytest.mark.parametrize(
    "form", [json.dumps([{"a": float("nan")}]).encode(), b'[{"a": "\\ud800"}]', b"\xef\xbb\xbf[{}]"]
)
def test_a_body_that_only_pythons_json_decodes_has_its_locations(form):
    (location,) = locations(form, "raw/x", 1)
    assert repr(json.loads(bytes(location))) == repr(json.loads(form)[0])

"""The Open-Meteo stand-in against recorded responses of the real host: the same keys, types and reasons."""

import csv
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread

import pytest
import requests

from functions.core.cities import load_cities
from open_meteo_stand_in import faults
from open_meteo_stand_in.faults import Fault
from open_meteo_stand_in.server import StandIn

RECORDED = Path(__file__).parents[1] / "recorded"
RWANDA = Path(__file__).parents[2] / "open_meteo_stand_in" / "recorded" / "rwanda_2025-11-19_hourly.csv"
TODAY = datetime.now(UTC).date()
KIGALI = {"latitude": "-1.95", "longitude": "30.0588"}
DAY = {"start_date": str(TODAY), "end_date": str(TODAY)}
TOP = (
    "latitude",
    "longitude",
    "generationtime_ms",
    "utc_offset_seconds",
    "timezone",
    "timezone_abbreviation",
    "elevation",
    "location_id",
    "hourly_units",
    "hourly",
)
OFFERED = ("temperature_2m", "relative_humidity_2m", "weather_code", "precipitation", "wind_speed_10m", "uv_index")


@pytest.fixture
def host():
    with StandIn("synthetic") as stand_in:
        yield stand_in


@pytest.fixture
def recorded():
    with StandIn("recorded") as stand_in:
        yield stand_in


def get(host, path="/v1/forecast", **parameters):
    return requests.get(f"{host.url}{path}", params={**KIGALI, **DAY, **parameters}, timeout=10)


def types_of(values):
    return {type(value) for value in values}


@pytest.mark.parametrize(
    ("name", "extra"),
    [
        ("forecast_berlin_41_hourly_variables.json", {}),
        ("forecast_egypt_7d_africa_cairo.json", {"timezone": "Africa/Cairo"}),
        ("forecast_adelaide_3d.json", {"timezone": "Australia/Adelaide", "wind_speed_unit": "ms"}),
        ("archive_adelaide_3d_halfhour_tz.json", {"timezone": "Australia/Adelaide", "wind_speed_unit": "ms"}),
        (
            "forecast_toronto_dst_week.json",
            {"temperature_unit": "fahrenheit", "wind_speed_unit": "mph", "precipitation_unit": "inch"},
        ),
        ("forecast_current_minutely_hourly_daily.json", {}),
    ],
)
def test_a_response_has_the_recorded_keys_in_order_and_the_recorded_types(host, name, extra):
    real = json.loads((RECORDED / name).read_bytes())
    names = [each for each in real["hourly"] if each in OFFERED]
    path = "/v1/archive" if name.startswith("archive") else "/v1/forecast"
    response = get(host, path, hourly=",".join(names), **extra)
    ours = response.json()
    assert list(ours) == [key for key in real if key in TOP]
    assert {key: type(value) for key, value in ours.items()} == {key: type(real[key]) for key in ours}
    assert list(ours["hourly"]) == ["time", *names]
    assert ours["hourly_units"] == {key: real["hourly_units"][key] for key in ours["hourly_units"]}
    for key in ours["hourly"]:
        assert types_of(ours["hourly"][key]) == types_of(real["hourly"][key]), key
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d", ours["hourly"]["time"][0])
    assert response.headers["Content-Type"] == "application/json; charset=utf-8"


def test_several_locations_give_a_list_and_all_but_the_first_have_an_id(host):
    real = json.loads((RECORDED / "forecast_multi_12cities_ecmwf.json").read_bytes())
    ours = get(
        host, latitude=",".join(["-1.9"] * 12), longitude=",".join(["30"] * 12), hourly="temperature_2m"
    ).json()  # fmt: skip
    assert [list(document) for document in ours] == [list(document) for document in real]
    assert [document.get("location_id") for document in ours] == [document.get("location_id") for document in real]


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("error_400_bad_unit.json", {"temperature_unit": "asdfsfd"}),
        ("error_400_bad_variable.json", {"hourly": "lksdfj"}),
        ("error_400_counts.json", {"latitude": "1,2"}),
        ("error_400_date_range.json", {"start_date": "1999-01-01", "end_date": "1999-01-02"}),
        ("error_400_latitude.json", {"latitude": "91"}),
        ("error_400_timezone.json", {"timezone": "Mars/Olympus"}),
        ("error_400_too_many_locations.json", {"latitude": "1," * 1000 + "1", "longitude": "1," * 1000 + "1"}),
        (
            "error_400_too_much_data.json",
            {"latitude": "1," * 999 + "1", "longitude": "1," * 999 + "1", "hourly": ",".join(OFFERED)}
            | {"start_date": str(TODAY - timedelta(days=90)), "end_date": str(TODAY + timedelta(days=16))}
            | {"hourly": ",".join([*OFFERED, "rain", "showers", "snowfall", "cloud_cover"])},
        ),
    ],
)
def test_a_wrong_request_is_rejected_with_the_recorded_reason(host, name, parameters):
    real = json.loads((RECORDED / "errors" / name).read_bytes())
    query = {**KIGALI, **DAY, "hourly": "temperature_2m", **parameters}
    response = requests.post(f"{host.url}/v1/forecast", data=query, timeout=10)
    assert response.status_code == 400
    ours = response.json()
    assert {key: type(value) for key, value in ours.items()} == {key: type(value) for key, value in real.items()}
    assert re.sub(r"\d{4}-\d\d-\d\d", "DAY", ours["reason"]) == re.sub(r"\d{4}-\d\d-\d\d", "DAY", real["reason"])


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("minutely", "error_429_minutely.json"),
        ("hourly", "error_429_hourly.json"),
        ("daily", "error_429_daily.json"),
        ("concurrent", "error_429_concurrent.json"),
        ("overloaded", "error_503_overloaded.json"),
        ("no_data", "error_400_no_data.json"),
        ("bad_key", "error_400_bad_key.json"),
        ("no_key", "error_401_customer_no_key.json"),
        ("plan", "error_403_plan.json"),
        ("too_much_data", "error_400_too_much_data.json"),
    ],
)
def test_a_fault_returns_the_recorded_body_and_status(host, kind, name):
    host.faults = [Fault(kind)]
    response = get(host, hourly="temperature_2m")
    assert str(response.status_code) == name.split("_")[1]
    assert response.json() == json.loads((RECORDED / "errors" / name).read_bytes())
    assert get(host, hourly="temperature_2m").status_code == 200


def test_a_truncated_stream_ends_as_recorded(host):
    host.faults = [Fault("truncated")]
    body = get(host, hourly="temperature_2m").text
    assert body.endswith(faults.STREAM_BROKE)
    assert (RECORDED / "errors" / "stream_error_200_truncated.txt").read_text().rstrip().endswith(faults.STREAM_BROKE)


def test_uv_index_is_not_on_the_archive_host(host):
    response = get(host, "/v1/archive", hourly="uv_index")
    assert response.status_code == 400
    assert "invalid String value uv_index" in response.json()["reason"]


def test_synthetic_weather_is_deterministic(host):
    first, second = (get(host, hourly="temperature_2m,weather_code").json()["hourly"] for _ in range(2))
    assert first == second
    other = get(host, latitude="10", hourly="temperature_2m").json()["hourly"]
    assert other["temperature_2m"] != first["temperature_2m"]


def test_a_used_up_quota_window_rejects_requests_as_the_host_does(host):
    many = {"latitude": ",".join(["1"] * 601), "longitude": ",".join(["1"] * 601)}
    assert get(host, hourly="temperature_2m", **many).status_code == 200
    rejected = get(host, hourly="temperature_2m")
    assert rejected.status_code == 429
    assert rejected.json()["reason"].startswith("Minutely API request limit exceeded")
    assert "Retry-After" not in rejected.headers


def test_a_sixth_concurrent_request_is_rejected(host):
    host.faults = [Fault("slow", times=5, seconds=1.0)]
    statuses = []
    threads = [Thread(target=lambda: statuses.append(get(host, hourly="temperature_2m").status_code)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] * 5 + [429]


def test_recorded_weather_equals_the_recording(recorded):
    cities = load_cities().values()
    response = get(
        recorded,
        latitude=",".join(str(city.latitude) for city in cities),
        longitude=",".join(str(city.longitude) for city in cities),
        hourly="temperature_2m,relative_humidity_2m,weather_code,precipitation",
        start_date="2025-11-19",
        end_date="2025-11-20",
    ).json()
    with RWANDA.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    for city, document in zip(cities, response, strict=True):
        hourly = document["hourly"]
        of_city = [row for row in rows if row["city"] == city.city]
        assert hourly["time"] == [row["time"][:16].replace(" ", "T") for row in of_city]
        assert hourly["temperature_2m"] == [float(row["temperature_2m"]) for row in of_city]
        assert hourly["weather_code"] == [int(row["weathercode"]) for row in of_city]
        assert hourly["precipitation"] == [None] * 48


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"start_date": "2025-11-18", "end_date": "2025-11-20"}, "'start_date' is out of allowed range"),
        ({"latitude": "52.5", "start_date": "2025-11-19", "end_date": "2025-11-20"}, "No data is available"),
    ],
)
def test_a_request_outside_the_recording_is_rejected_as_the_host_does(recorded, parameters, reason):
    response = get(recorded, hourly="temperature_2m", **parameters)
    assert response.status_code == 400
    assert reason in response.json()["reason"]


def test_faults_can_be_set_over_http(host):
    created = requests.post(f"{host.url}/_standin/faults", json=[{"kind": "html", "times": None}], timeout=10)
    assert created.json()[0]["kind"] == "html"
    assert get(host).text.startswith("<html>")
    requests.delete(f"{host.url}/_standin/faults", timeout=10)
    assert get(host, hourly="temperature_2m").status_code == 200
    rejected = requests.post(f"{host.url}/_standin/faults", json=[{"kind": "earthquake"}], timeout=10)
    assert (rejected.status_code, "earthquake" in rejected.text) == (400, True)

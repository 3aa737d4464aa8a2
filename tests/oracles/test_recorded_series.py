"""Real recorded hours through a load: each new value of their days against MetPy and pandas, of their weeks and months
against xclim.

``make test-oracles`` runs these tests: MetPy and xclim are in no requirement of the project.
"""

import csv
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from loads import Hour, Response, load_responses, rows_of
from test_period_indices import INDICES, PERIODS

from functions.core.cities import City
from functions.model.migrations import migrate

calc = pytest.importorskip("metpy.calc")
np = pytest.importorskip("numpy")
pd = pytest.importorskip("pandas")
xr = pytest.importorskip("xarray")

TESTS = Path(__file__).parents[1]
RWANDA = TESTS.parent / "open_meteo_stand_in" / "recorded" / "rwanda_2025-11-19_hourly.csv"
# The recording, the city's zone, and the hours by which the recording is ahead of UTC. Adelaide's half hour is left
# out, since the product requests whole hours of UTC; Toronto's values are in °F and inches.
RECORDINGS = {
    "berlin": ("forecast_berlin_41_hourly_variables", "Europe/Berlin", 0),
    "cairo": ("forecast_egypt_7d_africa_cairo", "Africa/Cairo", 3),
    "toronto": ("forecast_toronto_dst_week", "America/Toronto", -5),
    "adelaide": ("archive_adelaide_3d_halfhour_tz", "Australia/Brisbane", 10),
}
RWANDAN = ("Kigali", "Musanze", "Huye")
ZONES = {city: zone for city, (_, zone, _) in RECORDINGS.items()} | dict.fromkeys(
    map(str.lower, RWANDAN), "Africa/Kigali"
)
CITIES = {city: City(city, city.title(), "Test", 0.0, 0.0, zone, None, None) for city, zone in ZONES.items()}
DAILY = ("avg_temperature_c", "min_temperature_c", "max_temperature_c", "temperature_range_c", "avg_humidity",
         "min_humidity", "max_humidity", "max_heat_index_c", "precipitation_mm", "max_wind_speed_kmh", "max_uv_index",
         "hours_heat_caution", "hours_heat_extreme_caution", "hours_heat_danger", "hours_heat_extreme_danger",
         "hours_archive", "rain_7_days_mm")  # fmt: skip
LATE = datetime(2030, 1, 1, tzinfo=UTC)


def recorded_hours():
    """The hours of every recording: city, UTC time, temperature, humidity, precipitation, UV index."""
    for city, (name, _, ahead) in RECORDINGS.items():
        body = json.loads((TESTS / "recorded" / f"{name}.json").read_text(encoding="utf-8"))
        hourly = body["hourly"]
        names = ("temperature_2m", "relative_humidity_2m", "precipitation", "uv_index")
        columns = [hourly.get(name, [None] * len(hourly["time"])) for name in names]
        if city == "toronto":
            columns[0] = [round((value - 32) / 1.8, 1) for value in columns[0]]
            columns[2] = [round(value * 25.4, 2) for value in columns[2]]
        for time, *values in zip(hourly["time"], *columns, strict=True):
            yield city, datetime.fromisoformat(time).replace(tzinfo=UTC) - timedelta(hours=ahead), *values
    with RWANDA.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            time = datetime.fromisoformat(row["time"]).replace(tzinfo=UTC)
            yield row["city"].lower(), time, float(row["temperature_2m"]), int(row["relative_humidity_2m"]), None, None


@pytest.fixture(scope="module")
def warehouse(new_database):
    url = new_database()
    migrate({"dsn": url})
    hours = tuple(
        Hour(city, time, temperature_c=temperature, humidity=humidity, precipitation_mm=rain, uv_index=uv)
        for city, time, temperature, humidity, rain, uv in recorded_hours()
    )
    load_responses(url, Response("recorded", LATE, hours, "archive"), cities=CITIES)
    return url


@pytest.fixture(scope="module")
def days():
    """The days of the recordings by city and local day, from pandas and MetPy."""
    from metpy.units import units

    names = ["city_id", "time", "temperature", "humidity", "rain", "uv"]
    frame = pd.DataFrame(recorded_hours(), columns=names).astype(dict.fromkeys(names[2:], float))
    frame["day"] = pd.NaT
    for city, zone in ZONES.items():
        own = frame["city_id"] == city
        frame.loc[own, "day"] = frame.loc[own, "time"].dt.tz_convert(zone).dt.tz_localize(None).dt.normalize()
    heat = calc.heat_index(
        frame["temperature"].to_numpy() * units.degC, frame["humidity"].to_numpy() * units.percent, False
    )
    # MetPy needs no humidity below 40 °F, the mart does
    is_known = frame["humidity"].notna()
    frame["heat_c"] = pd.Series(heat.to("degC").magnitude).where(is_known)
    frame["heat_f"] = pd.Series(heat.to("degF").magnitude).where(is_known)
    found = frame.groupby(["city_id", "day"])
    daily = pd.DataFrame(
        {
            f"{aggregate.replace('mean', 'avg')}_{column}": found[name].agg(aggregate)
            for name, column in (("temperature", "temperature_c"), ("humidity", "humidity"))
            for aggregate in ("mean", "min", "max")
        }
    )
    daily["temperature_range_c"] = daily["max_temperature_c"] - daily["min_temperature_c"]
    daily["max_heat_index_c"] = found["heat_c"].max().round(1)
    daily["precipitation_mm"] = found["rain"].sum(min_count=1)
    daily["max_wind_speed_kmh"] = np.nan
    daily["max_uv_index"] = found["uv"].max()
    for limit, column in ((80, "caution"), (90, "extreme_caution"), (103, "danger"), (125, "extreme_danger")):
        daily[f"hours_heat_{column}"] = found["heat_f"].agg(lambda values, limit=limit: (values >= limit).sum())
    daily["hours_archive"] = found["time"].count()
    daily["rain_7_days_mm"] = daily.groupby("city_id")["precipitation_mm"].transform(lambda rain: rain.rolling(7).sum())
    return daily


def test_each_value_of_each_recorded_day_is_that_of_metpy_and_pandas(warehouse, days):
    rows = rows_of(warehouse, f"SELECT city_id, date, {', '.join(DAILY)} FROM mart_daily_city_weather ORDER BY 1, 2")
    assert [row[:2] for row in rows] == [(city, day.date()) for city, day in days.index]
    np.testing.assert_allclose(
        np.array([row[2:] for row in rows], dtype=float), days[list(DAILY)].to_numpy(float), rtol=0, atol=1e-9
    )
    # the recordings are warm, dry and rainy enough to say something
    assert days["hours_heat_extreme_caution"].sum() > 10
    assert days["rain_7_days_mm"].notna().any()


@pytest.mark.parametrize("table", PERIODS)
def test_each_measure_of_each_recorded_week_and_month_is_that_of_xclim(warehouse, days, table):
    freq, compared = PERIODS[table], 0
    for city_id in ZONES:
        own = days.loc[city_id]
        calendar = pd.date_range(
            own.index[0] - pd.Timedelta(days=40), own.index[-1] + pd.Timedelta(days=40), name="time"
        )
        daily = {
            name: xr.DataArray(
                own[name].reindex(calendar),
                dims=("time",),
                attrs={"units": "degC" if name.endswith("_c") else "mm/day" if name.endswith("_mm") else "1"},
            )
            for name in DAILY
        }
        for column, (index, source) in INDICES.items():
            rows = rows_of(
                warehouse, f"SELECT end_date, {column} FROM {table} WHERE city_id = %s ORDER BY 1", (city_id,)
            )
            wanted = index(daily, freq).where(daily[source].resample(time=freq).count() > 0).to_series()
            expected = wanted.reindex(pd.to_datetime([day for day, _ in rows])).to_numpy(float)
            found = np.array([value for _, value in rows], dtype=float)
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9, err_msg=f"{city_id} {column}")
            compared += np.isfinite(found).sum()
    assert compared > 100

"""The weekly and monthly marts of 20 cities and 30 years against xclim, which has the indices of ETCCDI.

``make test-oracles`` runs these tests: xclim is in no requirement of the project.
"""

import math
import random
from datetime import date, timedelta

import psycopg2
import pytest
from loads import rows_of
from psycopg2.extras import execute_values

from functions.model import migrations
from functions.model.migrations import migrate

xclim = pytest.importorskip("xclim")
np = pytest.importorskip("numpy")
pd = pytest.importorskip("pandas")
xr = pytest.importorskip("xarray")

CITIES = [f"city-{n:02d}" for n in range(20)]
FIRST, LAST = date(1991, 1, 1), date(2020, 12, 31)
DAILY = ("avg_temperature_c", "min_temperature_c", "max_temperature_c", "avg_humidity", "min_humidity", "max_humidity",
         "precipitation_mm", "max_wind_speed_kmh", "max_uv_index", "max_heat_index_c")  # fmt: skip
# Labelled by their last day.
PERIODS = {"mart_weekly_city_weather": "W-SUN", "mart_monthly_city_weather": "ME"}


def days_of(chance, city_id):
    """Daily rows of a city with a season, spells, values at the thresholds, days without rain value and without row."""
    rows, is_wet = [], False
    for n in range((LAST - FIRST).days + 1):
        day = FIRST + timedelta(n)
        is_wet = chance.random() < (0.75 if is_wet else 0.2)
        if chance.random() < 0.03:
            continue
        low = round(chance.choice([20.0, chance.gauss(17 + 5 * math.sin(n / 58), 3)]), 1)
        high = round(max(low, chance.choice([30.0, low + chance.uniform(3, 14)])), 1)
        rain = round(chance.choice([1.0, 20.0, chance.expovariate(0.1)]) if is_wet else chance.choice([0, 0, 0.9]), 1)
        humidity = chance.randint(30, 90)
        values = [
            round((low + high) / 2 + chance.uniform(-1, 1), 14),
            low,
            high,
            round(humidity + chance.random(), 14),
            humidity - 20,
            humidity + 9,
            None if chance.random() < 0.04 else rain,
            round(chance.uniform(3, 60), 1),
            round(chance.uniform(0, 13), 2),
            round(high + chance.uniform(-1, 6), 1),
        ]
        rows.append((city_id, city_id, day, *(None if chance.random() < 0.01 else value for value in values)))
    return rows


@pytest.fixture(scope="module")
def warehouse(new_database):
    """A warehouse that had 20 cities and 30 years of daily rows before it got weeks and months."""
    url, chance, shipped = new_database(), random.Random(20), migrations.migrations()
    (number,) = (each.version for each in shipped if each.name == "periods")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migrations, "migrations", lambda: shipped[: number - 1])
        migrate({"dsn": url})
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        cities = [(city_id, city_id, "Test", 0, 0, "UTC") for city_id in CITIES]
        execute_values(
            cursor, "INSERT INTO dim_city (city_id, city, country, latitude, longitude, timezone) VALUES %s", cities
        )
        counts = "0, 0, 0, 0, 0, 24, 24, 0, 24, 'seed'"
        execute_values(
            cursor,
            f"INSERT INTO mart_daily_city_weather (city_id, city, date, {', '.join(DAILY)}, hours_heat_caution, "
            "hours_heat_extreme_caution, hours_heat_danger, hours_heat_extreme_danger, hours_archive, hours_observed, "
            "hours_expected, hours_forecast, hours_humidity, run_id) VALUES %s",
            [row for city_id in CITIES for row in days_of(chance, city_id)],
            template=f"(%s, %s, %s, {', '.join(['%s'] * len(DAILY))}, {counts})",
            page_size=5000,
        )
        cursor.execute("UPDATE mart_daily_city_weather SET temperature_range_c = max_temperature_c - min_temperature_c")
    connection.close()
    migrate({"dsn": url})
    return url


@pytest.fixture(scope="module")
def daily(warehouse):
    """The daily mart as arrays of city and day with units, on a calendar of whole weeks and months without gaps."""
    names = [*DAILY, "temperature_range_c"]
    rows = rows_of(warehouse, f"SELECT city_id, date, {', '.join(names)} FROM mart_daily_city_weather")
    calendar = pd.date_range("1990-12-31", "2021-01-31", name="time")
    frame = pd.DataFrame(rows, columns=["city_id", "time", *names])
    frame["time"] = pd.to_datetime(frame["time"])
    frame = frame.set_index(["time", "city_id"]).astype(float)
    arrays = {name: frame[name].unstack("city_id").reindex(calendar)[CITIES] for name in names}
    units = {"_c": "degC", "_mm": "mm/day"}
    return {
        name: xr.DataArray(
            array,
            dims=("time", "city_id"),
            attrs={"units": next((unit for end, unit in units.items() if name.endswith(end)), "1")},
        )
        for name, array in arrays.items()
    }


def plain(name, aggregate):
    """A measure that xclim has no function for: xarray's own mean, lowest or highest value."""
    return lambda day, freq: getattr(day[name].resample(time=freq), aggregate)()


def indices(name):
    return getattr(xclim.indices, name)


# The column, the index, and the daily column whose values it is over: null if the period has none.
INDICES = {
    "avg_temperature_c": (lambda d, freq: indices("tg_mean")(d["avg_temperature_c"], freq), "avg_temperature_c"),
    "min_temperature_c": (lambda d, freq: indices("tn_min")(d["min_temperature_c"], freq), "min_temperature_c"),
    "max_temperature_c": (lambda d, freq: indices("tx_max")(d["max_temperature_c"], freq), "max_temperature_c"),
    "avg_max_temperature_c": (lambda d, freq: indices("tx_mean")(d["max_temperature_c"], freq), "max_temperature_c"),
    "avg_min_temperature_c": (lambda d, freq: indices("tn_mean")(d["min_temperature_c"], freq), "min_temperature_c"),
    "avg_temperature_range_c": (
        lambda d, freq: indices("daily_temperature_range")(d["min_temperature_c"], d["max_temperature_c"], freq),
        "temperature_range_c",
    ),
    "avg_humidity": (plain("avg_humidity", "mean"), "avg_humidity"),
    "min_humidity": (plain("min_humidity", "min"), "min_humidity"),
    "max_humidity": (plain("max_humidity", "max"), "max_humidity"),
    "precipitation_mm": (lambda d, freq: indices("prcptot")(d["precipitation_mm"], freq=freq), "precipitation_mm"),
    "max_precipitation_1day_mm": (
        lambda d, freq: indices("max_1day_precipitation_amount")(d["precipitation_mm"], freq),
        "precipitation_mm",
    ),
    "rain_days": (lambda d, freq: indices("wetdays")(d["precipitation_mm"], "1 mm/day", freq), "precipitation_mm"),
    "heavy_rain_days": (
        lambda d, freq: indices("wetdays")(d["precipitation_mm"], "20 mm/day", freq),
        "precipitation_mm",
    ),
    "dry_spell_days": (
        lambda d, freq: indices("maximum_consecutive_dry_days")(d["precipitation_mm"], "1 mm/day", freq=freq),
        "precipitation_mm",
    ),
    "wet_spell_days": (
        lambda d, freq: indices("maximum_consecutive_wet_days")(d["precipitation_mm"], "1 mm/day", freq=freq),
        "precipitation_mm",
    ),
    "hot_days": (
        lambda d, freq: indices("tx_days_above")(d["max_temperature_c"], "30 degC", freq, ">="),
        "max_temperature_c",
    ),
    "tropical_nights": (
        lambda d, freq: indices("tn_days_above")(d["min_temperature_c"], "20 degC", freq, ">="),
        "min_temperature_c",
    ),
    "max_wind_speed_kmh": (plain("max_wind_speed_kmh", "max"), "max_wind_speed_kmh"),
    "max_uv_index": (plain("max_uv_index", "max"), "max_uv_index"),
    "max_heat_index_c": (plain("max_heat_index_c", "max"), "max_heat_index_c"),
}


@pytest.mark.parametrize("table", PERIODS)
@pytest.mark.parametrize("column", INDICES)
def test_a_measure_of_each_period_is_that_of_xclim(warehouse, daily, table, column):
    freq = PERIODS[table]
    index, source = INDICES[column]
    wanted = index(daily, freq).where(daily[source].resample(time=freq).count() > 0)
    found = by_period(warehouse, table, column)
    # no week and no month of these years is without a day
    assert len(found) == (1566 if freq == "W-SUN" else 360)
    expected = wanted.transpose("time", "city_id").to_pandas().reindex(found.index)[CITIES]
    np.testing.assert_allclose(found.astype(float).to_numpy(), expected.to_numpy(), rtol=0, atol=1e-9)


@pytest.mark.parametrize("table", PERIODS)
def test_the_wettest_day_is_the_first_one_with_the_most_rain(warehouse, daily, table):
    rain = daily["precipitation_mm"].to_pandas()
    found = by_period(warehouse, table, "wettest_date")
    for city_id in CITIES:
        expected = rain[city_id].resample(PERIODS[table]).agg(lambda its: its.idxmax() if its.max() > 0 else pd.NaT)
        assert found[city_id].astype(str).tolist() == expected.reindex(found.index).astype(str).tolist()


def by_period(warehouse, table, column):
    """A column of a mart, by the last day of the period and the city."""
    rows = rows_of(warehouse, f"SELECT end_date, city_id, {column} FROM {table}")
    frame = pd.DataFrame(rows, columns=["end_date", "city_id", column])
    frame["end_date"] = pd.to_datetime(frame["end_date"])
    return frame.pivot(index="end_date", columns="city_id", values=column)[CITIES]

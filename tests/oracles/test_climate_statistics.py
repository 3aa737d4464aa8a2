"""Normals, thresholds and anomalies of 20 cities and up to 31 years against xclim, numpy and scipy, from the days.

``make test-oracles`` runs these tests: xclim is in no requirement of the project.
"""

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
stats = pytest.importorskip("scipy.stats")

# First and last day of each city, and the base period that follows.
SPANS = {f"city-{n:02d}": (date(1991, 1, 1), date(2021, 6, 30), (1991, 2020)) for n in range(17)} | {
    "city-17": (date(2005, 3, 1), date(2021, 12, 31), (1991, 2020)),
    "city-18": (date(2014, 1, 1), date(2021, 12, 31), (2014, 2021)),
    "city-19": (date(1975, 1, 1), date(1995, 12, 31), (1975, 1995)),
}
# Its days lack an hour now and then, so that weeks, months and years are not complete.
WITH_GAPS = ("city-03", "city-17")
FREQUENCIES = {"week": "W-SUN", "month": "ME"}
STATISTICS = {
    "mean": np.mean,
    "sd": lambda values: np.std(values, ddof=1) if len(values) > 1 else np.nan,
    "p10": lambda values: np.percentile(values, 10),
    "p50": lambda values: np.percentile(values, 50),
    "p90": lambda values: np.percentile(values, 90),
}


def days_of(city_id):
    chance, (first, last, _) = random.Random(city_id), SPANS[city_id]
    for n in range((last - first).days + 1):
        day = first + timedelta(n)
        rain = 0 if day.month == 7 or chance.random() < 0.6 else round(chance.expovariate(0.2))
        mean = round(18 + chance.gauss(0, 3), 14)
        observed = 23 if city_id in WITH_GAPS and chance.random() < 0.0004 else 24
        yield city_id, city_id, day, mean, round(mean + chance.uniform(2, 9), 1), rain, observed


@pytest.fixture(scope="module")
def warehouse(new_database):
    """A warehouse that had these days before it got weeks, months and normals."""
    url, shipped = new_database(), migrations.migrations()
    (number,) = (each.version for each in shipped if each.name == "periods")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migrations, "migrations", lambda: shipped[: number - 1])
        migrate({"dsn": url})
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        cities = [(city_id, city_id, "Test", 0, 0, "UTC") for city_id in SPANS]
        execute_values(
            cursor, "INSERT INTO dim_city (city_id, city, country, latitude, longitude, timezone) VALUES %s", cities
        )
        execute_values(
            cursor,
            "INSERT INTO mart_daily_city_weather (city_id, city, date, avg_temperature_c, max_temperature_c, "
            "precipitation_mm, hours_observed, hours_expected, hours_forecast, hours_humidity, hours_heat_caution, "
            "hours_heat_extreme_caution, hours_heat_danger, hours_heat_extreme_danger, hours_archive, run_id) "
            "VALUES %s",
            [row for city_id in SPANS for row in days_of(city_id)],
            template="(%s, %s, %s, %s, %s, %s, %s, 24, 0, 24, 0, 0, 0, 0, 24, 'seed')",
            page_size=5000,
        )
    connection.close()
    migrate({"dsn": url})
    return url


@pytest.fixture(scope="module", params=SPANS)
def city(request):
    """A city, with its days as a frame."""
    frame = pd.DataFrame(days_of(request.param), columns=["city_id", "city", "time", "mean", "high", "rain", "hours"])
    frame["time"] = pd.to_datetime(frame["time"])
    return request.param, frame.set_index("time")


def periods_of(frame, period_type):
    """The weeks or months of a city by xclim: temperature, rain, year, number, and whether each day is complete."""
    freq = FREQUENCIES[period_type]

    def array(name, unit):
        return xr.DataArray(frame[name].astype(float), dims=("time",), attrs={"units": unit})

    temperature = xclim.indices.tg_mean(array("mean", "degC"), freq).to_series()
    rain = xclim.indices.prcptot(array("rain", "mm/day"), freq=freq).to_series()
    found = pd.DataFrame({"temperature": temperature, "precipitation": rain})
    ends = found.index
    whole = (frame["hours"] == 24).resample(freq).sum()
    iso = ends.isocalendar()
    is_week = period_type == "week"
    found["is_complete"] = whole.to_numpy() == (7 if is_week else ends.days_in_month)
    found["year"] = (iso["year"] if is_week else pd.Series(ends.year, ends)).astype(int)
    found["number"] = (iso["week"] if is_week else pd.Series(ends.month, ends)).astype(int)
    return found


def base_rows(city_id, frame, period_type):
    found = periods_of(frame, period_type)
    base = SPANS[city_id][2]
    return found, found[found["is_complete"] & found["year"].between(*base)]


@pytest.mark.parametrize("period_type", FREQUENCIES)
def test_normals_are_those_of_numpy(warehouse, city, period_type):
    city_id, frame = city
    _, in_base = base_rows(city_id, frame, period_type)
    columns = [f"{measure}_{name}_{unit}" for measure, unit in (("temperature", "c"), ("precipitation", "mm"))
               for name in STATISTICS]  # fmt: skip
    rows = rows_of(
        warehouse,
        f"SELECT period_number, base_start, base_end, years_used, {', '.join(columns)} FROM climate_normal "
        "WHERE city_id = %s AND period_type = %s ORDER BY 1",
        (city_id, period_type),
    )
    samples = in_base.groupby("number")
    assert [row[:4] for row in rows] == [(n, *SPANS[city_id][2], len(its)) for n, its in samples]
    expected = [
        [statistic(its[measure].to_numpy()) for measure in ("temperature", "precipitation")
         for statistic in STATISTICS.values()]
        for _, its in samples
    ]  # fmt: skip
    np.testing.assert_allclose(np.array([row[4:] for row in rows], dtype=float), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("period_type", FREQUENCIES)
def test_anomalies_are_those_of_numpy_and_scipy(warehouse, city, period_type):
    city_id, frame = city
    every, in_base = base_rows(city_id, frame, period_type)
    samples = dict(iter(in_base.groupby("number")))
    columns = ("temperature_anomaly_c", "temperature_standardised", "temperature_percentile",
               "precipitation_anomaly_mm", "precipitation_percent_of_normal", "precipitation_standardised",
               "precipitation_percentile")  # fmt: skip
    rows = rows_of(
        warehouse,
        f"SELECT {', '.join(columns)} FROM mart_{period_type}ly_city_anomaly WHERE city_id = %s ORDER BY start_date",
        (city_id,),
    )
    expected = []
    for row in every.itertuples():
        its = samples.get(row.number)
        if not row.is_complete or its is None or len(its) < 10:
            expected.append([np.nan] * len(columns))
            continue
        values = []
        for measure in ("temperature", "precipitation"):
            # whole values of rain; means of days that are equal differ in the last digits of a double only
            sample, value = its[measure].to_numpy().round(9), np.round(getattr(row, measure), 9)
            difference, deviation = value - sample.mean(), sample.std(ddof=1)
            values += [difference]
            values += [100 * value / sample.mean() if sample.mean() else np.nan] * (measure == "precipitation")
            values += [difference / deviation if deviation else np.nan]
            values += [stats.percentileofscore(sample, value, kind="mean")]
        expected.append(values)
    np.testing.assert_allclose(np.array(rows, dtype=float), expected, rtol=1e-7, atol=1e-7)


def test_thresholds_are_percentiles_of_numpy(warehouse, city):
    city_id, frame = city
    first, last = SPANS[city_id][2]
    months = periods_of(frame, "month")
    whole = months[months["is_complete"]].groupby("year").size()
    years = [year for year in whole[whole == 12].index if first <= year <= last]
    own = frame[frame.index.year.isin(years)]
    sums = own["rain"].reindex(pd.date_range(own.index[0], own.index[-1])).rolling(3).sum().dropna()
    rows = rows_of(
        warehouse,
        "SELECT measure, years_used, days_used, value FROM climate_threshold WHERE city_id = %s ORDER BY 1",
        (city_id,),
    )
    assert [row[:3] for row in rows] == [
        ("max_temperature_p95_c", len(years), len(own)),
        ("rain_3_days_p99_mm", len(years), len(sums)),
    ]
    expected = [np.percentile(own["high"], 95), np.percentile(sums, 99)]
    np.testing.assert_allclose([float(row[3]) for row in rows], expected, rtol=0, atol=1e-9)

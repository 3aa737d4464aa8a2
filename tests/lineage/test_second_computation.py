"""Any responses in any order: the tables of the SQL load equal those that are computed from the raw objects."""

from collections import Counter
from contextlib import closing
from datetime import date
from decimal import Decimal

import numpy as np
import pytest
from histories import CITIES, HOURS, at, load_run, store_run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from functions.core.variables import VARIABLES, variables_of
from functions.core.wmo import CONDITIONS
from operations.lineage import days
from operations.lineage.verification import VerifyObserver, compared

# few values, so that responses are often equal, and every kind of decimal; an impossible one is a rejected row
NUMBERS = {
    "temperature_2m": [-3, 0, 0.1, 21.55, 21.0001, 1e-07, 99],
    "relative_humidity_2m": [0, 33, 34, 101],
    "weather_code": [0, 3, 61, 95, 4],
    "precipitation": [0, 0.1, 0.2, 2.25],
    "wind_speed_10m": [0, 3.6],
    "uv_index": [0, 1.05],
}


@st.composite
def histories(draw):
    """Loads of some cities each: every hour null but for some stretches."""
    loads = []
    for _ in range(draw(st.integers(1, 5))):
        source = draw(st.sampled_from(["forecast", "archive"]))
        cities = {}
        for city_id in draw(st.lists(st.sampled_from(sorted(CITIES)), min_size=1, unique=True)):
            values = {name: [None] * HOURS for name in variables_of(source)}
            for _ in range(draw(st.integers(0, 4))):
                name = draw(st.sampled_from(list(values)))
                first, last = sorted(draw(st.tuples(st.integers(0, HOURS), st.integers(0, HOURS))))
                values[name][first:last] = [draw(st.sampled_from([None, *NUMBERS[name]]))] * (last - first)
            cities[city_id] = values
        loads.append((source, draw(st.integers(0, HOURS)), cities))
    return loads


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=histories(), order=st.randoms(use_true_random=False))
def test_staging_and_marts_are_what_the_raw_objects_give(deployed, raw, history, order):
    deployed.clear()
    url = deployed.emulator.database_url()
    stored = [store_run(raw, at(fetched), cities, source) for source, fetched, cities in history]
    loads = [*stored, *order.choices(stored, k=1)]
    order.shuffle(loads)
    for each in loads:
        load_run(url, raw, each)
    with closing(deployed.connect()) as connection:
        found = compared(connection, raw, None, None, VerifyObserver())
        assert found.listed == []
        assert found.is_equal
        assert found.city_days == len(deployed.rows("SELECT FROM mart_daily_city_weather"))
        one_day = compared(connection, raw, (date(2026, 3, 29), date(2026, 3, 29)), None, VerifyObserver())
        assert one_day.is_equal
        assert (
            one_day.hours
            == deployed.rows(
                "SELECT count(*) AS hours FROM staging_weather JOIN dim_city USING (city_id) "
                "WHERE (observed_at AT TIME ZONE timezone)::date = '2026-03-29'"
            )[0]["hours"]
        )


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/London", date(2026, 3, 29), 23),
        ("Europe/London", date(2026, 10, 25), 25),
        ("Asia/Kolkata", date(2026, 3, 29), 24),
        # the zone moved over the date line: the day did not exist
        ("Pacific/Apia", date(2011, 12, 30), 0),
        ("Australia/Lord_Howe", date(2026, 4, 5), 25),
    ],
)
def test_a_local_day_has_the_hours_of_its_time_zone(zone, day, hours):
    assert days.hours_expected(zone, day) == hours


@given(
    codes=st.lists(st.sampled_from([np.nan, *map(float, CONDITIONS)]), min_size=1, max_size=24),
    rain=st.lists(st.sampled_from([np.nan, 0.0, 0.1, 0.2, 0.0001, 0.30000000000000004]), min_size=24, max_size=24),
)
def test_the_dominant_condition_is_the_most_frequent_and_the_sum_of_the_rain_is_exact(codes, rain):
    values = np.full((len(VARIABLES), 24), np.nan)
    values[list(VARIABLES).index("weather_code"), : len(codes)] = codes
    values[list(VARIABLES).index("precipitation")] = rain
    city = {"city": "X", "timezone": "UTC", "population": None, "area_km2": None}
    row = days.daily_rows(city, values, np.ones(24, dtype=bool), *np.zeros((2, 24), dtype=bool), 0)[date(1970, 1, 1)]
    counts = Counter(int(code) for code in codes if not np.isnan(code))
    most = max(counts, key=lambda code: (counts[code], code), default=None)
    assert row["dominant_condition"] == (None if most is None else CONDITIONS[most])
    known = [Decimal(repr(value)) for value in rain if not np.isnan(value)]
    assert row["precipitation_mm"] == (sum(known) if known else None)

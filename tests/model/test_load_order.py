"""Any responses in any order: the tables against the load rules written in plain Python."""

import dataclasses
import random
from collections import Counter
from decimal import Decimal
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loads import CITIES, CONDITIONS, MART, MEASURES, Hour, Response, at, load_responses, rows_of
from pipeline import CLEAR

STAGED = (
    f"SELECT city_id, observed_at, {', '.join(MEASURES)}, condition, source, fetched_at < observed_at "
    "FROM staging_weather ORDER BY 1, 2"
)
SUMMARY = "SELECT * FROM mart_city_weather_summary ORDER BY city_id"
EXTREMES = (
    "SELECT city_id, total_days_recorded, highest_temperature_c, highest_temperature_date, lowest_temperature_c, "
    "lowest_temperature_date, first_day, last_day FROM mart_city_weather_summary ORDER BY city_id"
)
VALUES = st.one_of(st.none(), st.integers(-5, 5))


def clear(warehouse) -> None:
    rows_of(warehouse, CLEAR)


@st.composite
def some_loads(draw):
    hours = st.builds(
        Hour,
        city_id=st.sampled_from(["kigali", "huye"]),
        # across local midnights (22:00 UTC) of three days
        observed_at=st.one_of(st.integers(18, 28), st.integers(44, 48)).map(at),
        **{
            **dict.fromkeys(MEASURES, VALUES),
            "humidity": st.one_of(st.none(), st.integers(0, 3)),
            "weather_code": st.one_of(st.none(), st.sampled_from(sorted(CONDITIONS))),
            "precipitation_mm": st.one_of(st.none(), st.integers(0, 2)),
        },
    )
    responses = []
    for n in range(draw(st.integers(1, 5))):
        chosen = draw(st.lists(hours, min_size=1, max_size=12, unique_by=lambda hour: (hour.city_id, hour.observed_at)))
        source = draw(st.sampled_from(["forecast", "archive"]))
        responses.append(Response(f"run-{n}", at(draw(st.integers(16, 30))), tuple(chosen), source))
    return responses


def expected_staging(responses):
    """The staged rows by the load rules, computed value by value in plain Python."""
    rows: dict = {}
    for each in sorted(responses, key=lambda each: each.precedence):
        for hour in each.hours:
            row = rows.setdefault((hour.city_id, hour.observed_at), dict.fromkeys((*MEASURES, "condition")))
            row |= {m: getattr(hour, m) for m in MEASURES if getattr(hour, m) is not None}
            row["condition"] = None if row["weather_code"] is None else CONDITIONS[row["weather_code"]]
            rank = 2 if hour.temperature_c is not None else any(getattr(hour, m) is not None for m in MEASURES)
            if rank >= row.get("rank", 0):
                row |= {"rank": rank, "source": each.source, "is_forecast": each.fetched_at < hour.observed_at}
    shown = (*MEASURES, "condition", "source", "is_forecast")
    return [(*key, *(row[name] for name in shown)) for key, row in sorted(rows.items())]


def expected_mart(staging):
    """The daily mart from the staged rows, in plain Python: (city, date) to the values of its columns."""
    days: dict = {}
    for city_id, observed_at, temperature, humidity, code, rain, *_, is_forecast in staging:
        local = observed_at.astimezone(ZoneInfo(CITIES[city_id].timezone)).date()
        days.setdefault((city_id, local), []).append((temperature, humidity, code, rain, is_forecast))
    mart = {}
    for key, hours in days.items():
        temperature, humidity, codes, rain = ([h[i] for h in hours if h[i] is not None] for i in range(4))
        frequent = Counter(codes)
        dominant = max(frequent, key=lambda code: (frequent[code], code)) if frequent else None
        mart[key] = (
            sum(map(Decimal, temperature)) / len(temperature) if temperature else None,
            min(temperature, default=None),
            max(temperature, default=None),
            sum(map(Decimal, humidity)) / len(humidity) if humidity else None,
            sum(rain) if rain else None,
            CONDITIONS[dominant] if dominant is not None else None,
            len(temperature),
            24,
            sum(h[4] for h in hours),
        )
    return mart


def expected_extremes(mart):
    """The summary from the rows of the daily mart, in plain Python; of equal extremes the first day's."""
    summary = []
    for city_id in sorted({row[0] for row in mart}):
        days = sorted((row[2], row[4], row[5], row[11]) for row in mart if row[0] == city_id)
        observed = [date for date, _, _, hours in days if hours]
        highest = max(((high, -date.toordinal(), date) for date, _, high, _ in days if high is not None), default=None)
        lowest = min(((low, date) for date, low, _, _ in days if low is not None), default=None)
        summary.append(
            (
                city_id,
                len(observed),
                *((highest[0], highest[2]) if highest else (None, None)),
                *(lowest or (None, None)),
                min(observed, default=None),
                max(observed, default=None),
            )
        )
    return summary


def thinned(response, chance):
    """The same response without some hours and some values."""
    hours = [
        dataclasses.replace(hour, **{measure: None for measure in MEASURES if chance.random() < 0.4})
        for hour in response.hours
        if chance.random() < 0.8
    ]
    return dataclasses.replace(response, hours=tuple(hours or response.hours))


def close(left, right):
    return left == right or (left is not None and right is not None and abs(left - right) < Decimal("1e-9"))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(responses=some_loads(), seed=st.integers(0, 99))
def test_staging_and_marts_depend_on_the_loaded_responses_and_not_on_the_order_of_loads(warehouse, responses, seed):
    """Staging is the result of the load rules, the marts equal a full rebuild, and loading again changes neither."""
    clear(warehouse)
    for each in responses:
        load_responses(warehouse, each)
    staging, mart, summary = rows_of(warehouse, STAGED), rows_of(warehouse, MART), rows_of(warehouse, SUMMARY)
    assert staging == expected_staging(responses)

    rebuilt = expected_mart(staging)
    assert {(row[0], row[2]) for row in mart} == set(rebuilt)
    for row in mart:
        shown = (*row[3:8], *row[10:14])
        assert all(close(a, b) for a, b in zip(shown, rebuilt[row[0], row[2]], strict=True)), row
    assert rows_of(warehouse, EXTREMES) == expected_extremes(mart)

    # some are loaded twice, once with fewer values: a replay after a fix of the transformation
    chance = random.Random(seed)
    again = [*responses, *(thinned(each, chance) for each in chance.choices(responses, k=3))]
    chance.shuffle(again)
    clear(warehouse)
    for each in again:
        load_responses(warehouse, each)
    assert (rows_of(warehouse, STAGED), rows_of(warehouse, MART), rows_of(warehouse, SUMMARY)) == (
        staging,
        mart,
        summary,
    )

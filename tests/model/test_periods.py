"""The weekly and monthly marts: their periods, measures and completeness, and what a load writes of them."""

import dataclasses
import random
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import psycopg2
import pytest
from faults.oracle import rules as oracle
from loads import CITIES, Hour, Response, load_responses, rows_of
from psycopg2.extras import RealDictCursor

from functions.model import migrations
from functions.model.migrations import migrate

LATE = datetime(2030, 1, 1, tzinfo=UTC)
TABLES = ("mart_weekly_city_weather", "mart_monthly_city_weather")
HOUR = timedelta(hours=1)


def there(zone, city_id="there", name="There"):
    return dataclasses.replace(CITIES["kigali"], city_id=city_id, city=name, timezone=zone)


def hours_of(first, last, zone="UTC", city_id="there", **measures):
    """All hours of the local days from ``first`` to ``last``; a measure is a value or a function of the local time."""
    place = ZoneInfo(zone)
    moment = datetime(first.year, first.month, first.day, tzinfo=UTC) - 14 * HOUR
    found = []
    while (local := moment.astimezone(place)).date() <= last:
        if local.date() >= first:
            values = {name: value(local) if callable(value) else value for name, value in measures.items()}
            found.append(Hour(city_id, moment, **values))
        moment += HOUR
    return tuple(found)


def rain_of(first, amounts, **measures):
    """All hours of consecutive days (UTC) with these sums of rain; None: the day has no row, "null": no rain known."""
    found = ()
    for n, amount in enumerate(amounts):
        day = first + timedelta(n)
        if amount is not None:
            known = None if amount == "null" else lambda local, amount=amount: amount if local.hour == 12 else 0
            found += hours_of(day, day, precipitation_mm=known, **({"temperature_c": 20} | measures))
    return found


def archive(run_id, hours, fetched_at=LATE):
    return Response(run_id, fetched_at, hours, "archive")


def load_hours(warehouse, *hours, zone="UTC", run_id="a", **options):
    return load_responses(warehouse, archive(run_id, hours, **options), cities={"there": there(zone)})


def table(url, name):
    """The rows of a table by their key, each as a mapping."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(f"SELECT *, xmin::text AS written FROM {name}")
        return {(row["city_id"], row.get("period") or row.get("date")): dict(row) for row in cursor}


def week(url, period):
    return table(url, "mart_weekly_city_weather")["there", period]


def month(url, period):
    return table(url, "mart_monthly_city_weather")["there", period]


# ------------------------------------------------------------------ the periods


@pytest.mark.parametrize(
    ("day", "period", "iso_year", "iso_week", "start", "end"),
    [
        ("2020-12-28", "2020W53", 2020, 53, "2020-12-28", "2021-01-03"),
        ("2021-01-03", "2020W53", 2020, 53, "2020-12-28", "2021-01-03"),
        ("2021-01-04", "2021W01", 2021, 1, "2021-01-04", "2021-01-10"),
        ("2026-11-22", "2026W47", 2026, 47, "2026-11-16", "2026-11-22"),
        ("2027-01-01", "2026W53", 2026, 53, "2026-12-28", "2027-01-03"),
        ("2027-01-04", "2027W01", 2027, 1, "2027-01-04", "2027-01-10"),
        ("2024-12-30", "2025W01", 2025, 1, "2024-12-30", "2025-01-05"),
        ("1995-01-01", "1994W52", 1994, 52, "1994-12-26", "1995-01-01"),
    ],
)
def test_a_day_belongs_to_its_iso_week_written_as_dhis2_does(warehouse, day, period, iso_year, iso_week, start, end):
    one = date.fromisoformat(day)
    load_hours(warehouse, *hours_of(one, one, temperature_c=1))
    assert rows_of(
        warehouse,
        "SELECT period, iso_year, iso_week, start_date::text, end_date::text, days_expected "
        "FROM mart_weekly_city_weather",
    ) == [(period, iso_year, iso_week, start, end, 7)]


@pytest.mark.parametrize(
    ("day", "period", "end", "days"),
    [
        ("2024-02-29", "202402", "2024-02-29", 29),
        ("2026-02-01", "202602", "2026-02-28", 28),
        ("1900-02-10", "190002", "1900-02-28", 28),
        ("2026-12-31", "202612", "2026-12-31", 31),
    ],
)
def test_a_month_has_its_days_in_a_leap_year_too(warehouse, day, period, end, days):
    one = date.fromisoformat(day)
    load_hours(warehouse, *hours_of(one, one, temperature_c=1))
    assert rows_of(
        warehouse, "SELECT period, year, month, end_date::text, days_expected FROM mart_monthly_city_weather"
    ) == [(period, one.year, one.month, end, days)]


@pytest.mark.parametrize(
    ("zone", "monday", "hours"),
    [
        ("Pacific/Kiritimati", date(2026, 12, 28), 168),  # 14 hours ahead, over a year's end
        ("Pacific/Honolulu", date(2026, 12, 28), 168),  # 10 hours behind
        ("Europe/London", date(2026, 3, 23), 167),
        ("Europe/London", date(2026, 10, 19), 169),
        ("Africa/Cairo", date(2026, 4, 20), 167),  # the clock skips midnight
    ],
)
def test_a_week_is_complete_with_the_hours_of_its_local_days_and_not_without_one_of_them(
    warehouse, zone, monday, hours
):
    all_hours = hours_of(monday, monday + timedelta(6), zone, temperature_c=20)
    assert len(all_hours) == hours
    load_hours(warehouse, *all_hours[:-1], zone=zone)
    (row,) = table(warehouse, "mart_weekly_city_weather").values()
    assert (row["start_date"], row["days_complete"], row["is_complete"]) == (monday, 6, False)
    load_hours(warehouse, *all_hours, zone=zone, run_id="b")
    (row,) = table(warehouse, "mart_weekly_city_weather").values()
    assert (row["start_date"], row["days_complete"], row["is_complete"]) == (monday, 7, True)


def test_a_period_with_a_forecast_hour_is_not_complete_until_the_archive_replaces_it(warehouse):
    monday = date(2026, 11, 16)
    hours = hours_of(monday, monday + timedelta(6), temperature_c=20)
    fetched = datetime(2026, 11, 22, 20, 30, tzinfo=UTC)
    load_responses(warehouse, Response("a", fetched, hours, "forecast"), cities={"there": there("UTC")})
    row = week(warehouse, "2026W47")
    assert (row["days_complete"], row["hours_forecast"], row["is_complete"]) == (6, 3, False)
    load_hours(warehouse, *hours, run_id="b")
    row = week(warehouse, "2026W47")
    assert (row["days_complete"], row["hours_forecast"], row["is_complete"], row["run_id"]) == (7, 0, True, "b")


# ------------------------------------------------------------------ the measures


def test_the_measures_of_a_week_are_those_of_its_days(warehouse):
    monday = date(2026, 11, 16)
    lows, highs = [20, 19.9, 21, 15, 20, 18, 18], [30, 29.9, 31, 25, 26, 27, 28]
    hours = ()
    for n, (low, high) in enumerate(zip(lows, highs, strict=True)):
        day = monday + timedelta(n)
        hours += hours_of(
            day,
            day,
            # half of the hours at either end: the mean of the day is halfway
            temperature_c=lambda local, low=low, high=high: low if local.hour % 2 else high,
            humidity=lambda local, n=n: 40 + n if local.hour % 2 else 90 - n,
            precipitation_mm=lambda local, n=n: (0, 20, 1, 0.9, 19.9, 20, 0)[n] if local.hour == 5 else 0,
            wind_speed_kmh=lambda local, n=n: n,
            uv_index=lambda local, n=n: n / 2,
        )
    load_hours(warehouse, *hours)
    row = week(warehouse, "2026W47")
    means = [(Decimal(str(low)) + Decimal(str(high))) / 2 for low, high in zip(lows, highs, strict=True)]
    assert row["avg_temperature_c"] == pytest.approx(sum(means) / 7, abs=Decimal("1e-12"))
    assert {name: row[name] for name in row if name in EXPECTED} == EXPECTED


EXPECTED = {
    "min_temperature_c": 15,
    "max_temperature_c": 31,
    "avg_humidity": 65,
    "min_humidity": 40,
    "max_humidity": 90,
    "precipitation_mm": Decimal("61.8"),
    "max_precipitation_1day_mm": 20,
    "wettest_date": date(2026, 11, 17),
    "rain_days": 4,
    "heavy_rain_days": 2,
    "dry_spell_days": 1,
    "wet_spell_days": 2,
    "hot_days": 2,
    "tropical_nights": 3,
    "max_wind_speed_kmh": 6,
    "max_uv_index": 3,
    "days_expected": 7,
    "days_complete": 7,
    "hours_forecast": 0,
    "is_complete": True,
}

DRY, WET = 0.9, 1


@pytest.mark.parametrize(
    ("amounts", "dry", "wet"),
    [
        ([DRY] * 7, 7, 0),
        ([WET] * 7, 0, 7),
        ([DRY, DRY, WET, DRY, DRY, DRY, WET], 3, 1),
        ([DRY, DRY, None, DRY, DRY, DRY, DRY], 4, 0),  # a day without a row ends a spell
        ([DRY, DRY, "null", DRY, DRY, DRY, DRY], 4, 0),  # so does a day whose rain is not known
        ([WET, WET, "null", WET, None, WET, WET], 0, 2),
        (["null", "null", DRY, "null", "null", "null", "null"], 1, 0),
        (["null"] * 7, None, None),
    ],
)
def test_a_day_that_is_missing_or_has_no_rain_value_ends_a_spell(warehouse, amounts, dry, wet):
    load_hours(warehouse, *rain_of(date(2026, 11, 16), amounts))
    row = week(warehouse, "2026W47")
    assert (row["dry_spell_days"], row["wet_spell_days"]) == (dry, wet)


def test_a_spell_is_counted_within_its_period(warehouse):
    load_hours(warehouse, *rain_of(date(2026, 11, 26), [DRY] * 10))
    dry = {period: row["dry_spell_days"] for name in TABLES for (_, period), row in table(warehouse, name).items()}
    assert dry == {"2026W48": 4, "2026W49": 6, "202611": 5, "202612": 5}


def test_a_measure_that_no_day_has_is_null_and_a_period_without_rain_has_no_wettest_day(warehouse):
    load_hours(warehouse, *rain_of(date(2026, 11, 16), [0, 0]), *hours_of(date(2026, 11, 23), date(2026, 11, 23)))
    row = week(warehouse, "2026W47")
    assert (row["precipitation_mm"], row["max_precipitation_1day_mm"], row["wettest_date"]) == (0, 0, None)
    assert (row["rain_days"], row["heavy_rain_days"], row["max_uv_index"]) == (0, 0, None)
    row = week(warehouse, "2026W48")
    counts = {"days_expected": 7, "days_complete": 0, "hours_forecast": 0, "is_complete": False}
    names = {"city_id", "city", "period", "iso_year", "iso_week", "start_date", "end_date", "updated_at", "run_id"}
    assert {name: value for name, value in row.items() if name not in {*names, "written"}} == {
        **dict.fromkeys(row.keys() - names - {"written"}),
        **counts,
    }


@pytest.mark.parametrize(
    ("rain", "temperature", "humidity", "expected"),
    [
        (80, 18, 60, (True, True, True, True)),
        (80, 32, 100, (True, True, True, True)),
        (79.9, 18, 60, (False, True, True, False)),
        (80, 17.9, 60, (True, False, True, False)),
        (80, 32.1, 60, (True, False, True, False)),
        (80, 18, 59, (True, True, False, False)),
        ("null", 17.9, 60, (None, False, True, None)),
        (80, None, 60, (True, None, True, None)),
        (80, 18, None, (True, True, None, None)),
    ],
)
def test_a_month_is_suitable_for_malaria_if_rain_temperature_and_humidity_are(
    warehouse, rain, temperature, humidity, expected
):
    load_hours(warehouse, *rain_of(date(2026, 11, 1), [rain], temperature_c=temperature, humidity=humidity))
    row = month(warehouse, "202611")
    names = ("is_rain_suitable", "is_temperature_suitable", "is_humidity_suitable", "is_malaria_suitable")
    assert tuple(row[name] for name in names) == expected


def test_a_mean_of_quotients_meets_the_threshold_that_it_is_equal_to(warehouse):
    # the means of the days are 59 1/3, 60 1/3 and 60 1/3: their digits add up to less than 180, their mean is 60 again
    days = [(59, 59, 60), (60, 60, 61), (60, 60, 61)]
    hours = [
        Hour("there", datetime(2026, 11, 1 + n, hour, tzinfo=UTC), temperature_c=20, humidity=value)
        for n, values in enumerate(days)
        for hour, value in enumerate(values)
    ]
    load_hours(warehouse, *hours)
    assert month(warehouse, "202611")["is_humidity_suitable"] is True


def test_weeks_with_the_same_sum_of_temperatures_have_the_same_mean(warehouse):
    # the tenths by which each day's 24 hours add up to more than 480 °C; the means of the days are rounded differently
    days = [0, 0, 0, 0, 0, 0, 11, 0, 0, 0, 0, 0, 1, 10]
    hours = [
        Hour("there", datetime(2026, 11, 2 + day, n, tzinfo=UTC), temperature_c=20.1 if n < tenths else 20)
        for day, tenths in enumerate(days)
        for n in range(24)
    ]
    load_hours(warehouse, *hours)
    assert week(warehouse, "2026W45")["avg_temperature_c"] == week(warehouse, "2026W46")["avg_temperature_c"]


def random_hours(chance, first, days, city_ids, zones):
    """Hours of several cities with every kind of gap, few values and spells."""
    hours = []
    for city_id in city_ids:
        for n in range(days):
            day, fate = first + timedelta(n), chance.random()
            if fate < 0.08:
                continue
            rain = chance.choice([0, 0, 0.4, 1, 7.3, 20, 33.4]) if fate < 0.9 else None
            base = chance.choice([14, 18.5, 20, 27])
            day_hours = hours_of(
                day,
                day,
                zones[city_id],
                city_id,
                temperature_c=lambda local, base=base: base + local.hour % 5 * 0.7,
                humidity=lambda local: None if local.hour == 3 else chance.randint(30, 99),
                precipitation_mm=lambda local, rain=rain: rain if local.hour in (0, 17) else rain and 0,
                wind_speed_kmh=lambda local: chance.randint(0, 30),
            )
            hours += day_hours[: None if chance.random() < 0.8 else chance.randint(1, 20)]
    return tuple(hours)


def assert_equal_to_the_oracle(url):
    days = table(url, "mart_daily_city_weather")
    cities = rows_of(url, "SELECT city_id, city, timezone, population, area_km2 FROM dim_city")
    places = {row[0]: oracle.Place(*row) for row in cities}
    for name, expected in zip(TABLES, (oracle.weeks(days, places), oracle.months(days, places)), strict=True):
        found = table(url, name)
        assert found.keys() == expected.keys()
        for key, row in expected.items():
            for column, value in row.items():
                is_number = isinstance(value, Decimal)
                wanted = pytest.approx(value, abs=Decimal("1e-12")) if is_number else value
                assert found[key][column] == wanted, (key, column)


@pytest.mark.parametrize("seed", range(3))
def test_after_any_loads_weeks_and_months_are_those_of_the_daily_mart(warehouse, seed):
    chance = random.Random(seed)
    zones = {"east": "Pacific/Kiritimati", "west": "Pacific/Honolulu", "north": "Europe/London"}
    cities = {city_id: there(zone, city_id) for city_id, zone in zones.items()}
    for number in range(4):
        first = date(2020, 2, 20) + timedelta(chance.randint(0, 300) if number else 0)
        hours = random_hours(chance, first, chance.choice([1, 3, 10, 75]), chance.sample(sorted(cities), 2), zones)
        fetched_at = LATE + timedelta(hours=chance.randint(-5, 5))
        load_responses(warehouse, archive(f"run-{number}", hours, fetched_at), cities=cities)
        assert_equal_to_the_oracle(warehouse)


# ------------------------------------------------------------------ what a load writes


def written(url):
    """When each row was last written, by table and key."""
    names = ("mart_daily_city_weather", *TABLES)
    return {(name, *key): row["written"] for name in names for key, row in table(url, name).items()}


def test_a_late_correction_of_one_hour_changes_its_day_week_and_month_and_a_rerun_nothing(warehouse):
    hours = hours_of(date(1995, 2, 20), date(1995, 4, 20), temperature_c=20, precipitation_mm=0.1)
    load_hours(warehouse, *hours)
    before = written(warehouse)
    corrected = Hour("there", datetime(1995, 3, 15, 7, tzinfo=UTC), temperature_c=21, precipitation_mm=0.1)
    for run_id in ("b", "b"):
        load_hours(warehouse, corrected, run_id=run_id, fetched_at=LATE + HOUR)
        after = written(warehouse)
        assert {key[2] for key in before if before[key] != after[key]} == {date(1995, 3, 15), "1995W11", "199503"}
        assert after.keys() == before.keys()
    assert week(warehouse, "1995W11")["run_id"] == "b"
    again = written(warehouse)
    load_hours(warehouse, *hours, run_id="c", fetched_at=LATE - HOUR)
    assert written(warehouse) == again


def test_a_change_of_a_day_that_changes_no_measure_of_its_periods_leaves_them(warehouse):
    monday = date(2026, 11, 16)
    load_hours(warehouse, *hours_of(monday, monday, temperature_c=20, weather_code=0))
    before = written(warehouse)
    load_hours(
        warehouse, *hours_of(monday, monday, temperature_c=20, weather_code=95), run_id="b", fetched_at=LATE + HOUR
    )
    after = written(warehouse)
    assert {key[0] for key in before if before[key] != after[key]} == {"mart_daily_city_weather"}


def test_a_city_with_another_name_has_it_in_all_its_periods(warehouse):
    load_hours(warehouse, *hours_of(date(2026, 10, 1), date(2026, 11, 20), temperature_c=20))
    other = {"there": there("UTC", name="Elsewhere")}
    load_responses(
        warehouse, archive("b", hours_of(date(2026, 11, 20), date(2026, 11, 20), temperature_c=20)), cities=other
    )
    for name in TABLES:
        assert {row["city"] for row in table(warehouse, name).values()} == {"Elsewhere"}


def test_a_period_that_has_lost_its_last_day_has_no_row(warehouse):
    # Sunday evening, the last of November, is Monday morning further east
    hour = Hour("there", datetime(2025, 11, 30, 20, tzinfo=UTC), temperature_c=20)
    other_city = Hour("kigali", datetime(2025, 11, 30, 20, tzinfo=UTC), temperature_c=20)
    cities = {"there": there("UTC"), "kigali": dataclasses.replace(CITIES["kigali"], timezone="UTC")}
    load_responses(warehouse, archive("a", (hour, other_city)), cities=cities)
    cities["there"] = there("Pacific/Kiritimati")
    load_responses(warehouse, archive("b", (hour,)), cities=cities)
    assert [key for name in TABLES for key in sorted(table(warehouse, name))] == [
        ("kigali", "2025W48"),
        ("there", "2025W49"),
        ("kigali", "202511"),
        ("there", "202512"),
    ]
    assert_equal_to_the_oracle(warehouse)


# ------------------------------------------------------------------ the migration


def test_the_migration_makes_the_periods_of_a_filled_warehouse_as_loads_do(warehouse, new_database, monkeypatch):
    zones = {"east": "Pacific/Kiritimati", "north": "Europe/London"}
    cities = {city_id: there(zone, city_id) for city_id, zone in zones.items()}
    chance = random.Random(7)
    for number in range(2):
        hours = random_hours(chance, date(2020, 12, 1 + 20 * number), 60, sorted(cities), zones)
        load_responses(warehouse, archive(f"run-{number}", hours, LATE + number * HOUR), cities=cities)
    shipped = migrations.migrations()
    (number,) = (each.version for each in shipped if each.name == "periods")
    older = new_database()
    monkeypatch.setattr(migrations, "migrations", lambda: shipped[: number - 1])
    migrate({"dsn": older})
    for name in ("dim_city", "mart_daily_city_weather"):
        copy(warehouse, older, name)
    monkeypatch.setattr(migrations, "migrations", lambda: shipped[:number])
    assert migrate({"dsn": older}) == ["007_periods"]
    for name in TABLES:
        made, loaded = table(older, name), table(warehouse, name)
        assert made.keys() == loaded.keys()
        for key in loaded:
            ignored = dict.fromkeys(("updated_at", "written", "run_id"))
            assert made[key] | ignored == loaded[key] | ignored
            assert made[key]["run_id"] in ("run-0", "run-1")


def copy(source, target, name):
    """Copy the columns of a table that both databases have."""
    columns = [
        column
        for (column,) in rows_of(
            target, "SELECT column_name FROM information_schema.columns WHERE table_name = %s ORDER BY 1", [name]
        )
    ]
    listed = ", ".join(columns)
    for row in rows_of(source, f"SELECT {listed} FROM {name}"):
        places = ", ".join(["%s"] * len(columns))
        rows_of(target, f"INSERT INTO {name} ({listed}) VALUES ({places})", row)

"""What the tables must be, in plain Python from the stored responses: it shares no code with the product.

The rules are those of DESIGN.md, written a second time: columns, limits and conditions, the contract of a response, the
precedence of a value, local days by zoneinfo, the dominant condition. Numbers are exact decimals.
"""

import gzip
import hashlib
import json
from calendar import monthrange
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from itertools import groupby
from typing import Any
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

# Open-Meteo's name: column, unit, least and greatest possible value.
COLUMNS = {
    "temperature_2m": ("temperature_c", "°C", -95, 65),
    "relative_humidity_2m": ("humidity", "%", 0, 100),
    "weather_code": ("weather_code", "wmo code", 0, 99),
    "precipitation": ("precipitation_mm", "mm", 0, 500),
    "wind_speed_10m": ("wind_speed_kmh", "km/h", 0, 450),
    "uv_index": ("uv_index", "", 0, 50),
}
MEASURES = tuple(column for column, *_ in COLUMNS.values())
# https://open-meteo.com/en/docs, WMO weather interpretation codes
CONDITIONS = {
    0: "Clear sky", 1: "Mainly clear", 2: "Partly cloudy", 3: "Overcast", 45: "Fog", 48: "Depositing rime fog",
    51: "Light drizzle", 53: "Moderate drizzle", 55: "Dense drizzle", 56: "Light freezing drizzle",
    57: "Dense freezing drizzle", 61: "Slight rain", 63: "Moderate rain", 65: "Heavy rain", 66: "Light freezing rain",
    67: "Heavy freezing rain", 71: "Slight snow fall", 73: "Moderate snow fall", 75: "Heavy snow fall",
    77: "Snow grains", 80: "Slight rain showers", 81: "Moderate rain showers", 82: "Violent rain showers",
    85: "Slight snow showers", 86: "Heavy snow showers", 95: "Thunderstorm", 96: "Thunderstorm with hail",
    99: "Thunderstorm with heavy hail",
}  # fmt: skip
_HOUR = timedelta(hours=1)

Key = tuple[str, datetime]
Values = dict[str, Decimal | None]
Row = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """A city as the city list has it."""

    city_id: str
    city: str
    timezone: str
    population: int
    area_km2: float


@dataclass(frozen=True)
class Response:
    """One stored response: what it says of each city and hour, or why it cannot be loaded."""

    key: str
    run_id: str
    source: str
    fetched_at: datetime
    status: int
    cities: tuple[str, ...]
    hours: Mapping[Key, Values]
    rejected: int
    error_hours: int
    broken: str | None

    @property
    def precedence(self) -> tuple[bool, datetime, bytes]:
        return self.source == "archive", self.fetched_at, self.run_id.encode()

    @property
    def rows_in(self) -> int:
        return len(self.hours) + self.rejected


def read_response(key: str, stored: bytes, metadata: Mapping[str, str]) -> Response:
    """Return what a raw object says. Raises AssertionError if its bytes are not those that its metadata names."""
    body = gzip.decompress(stored)
    assert hashlib.sha256(body).hexdigest() == metadata["sha256"], f"{key}: other bytes than its metadata says"
    parts = dict(part.split("=", 1) for part in key.split("/") if "=" in part)
    query = {name: values[0] for name, values in parse_qs(urlsplit(metadata["address"]).query).items()}
    cities = tuple(metadata["cities"].split(","))
    hours: dict[Key, Values] = {}
    fetched_at = datetime.fromisoformat(metadata["fetched_at"])
    rejected, error_hours, broken = 0, 0, None
    if metadata["status"] == "200":
        try:
            hours, rejected, error_hours = _hours(json.loads(body, parse_float=Decimal), cities, query)
            if parts["source"] == "forecast":
                error_hours += _stale_hours(hours, cities, query, fetched_at)
        except _BrokenError as error:
            broken = str(error)
    return Response(
        key, parts["run"], parts["source"], fetched_at, int(metadata["status"]),
        cities, hours, rejected, error_hours, broken,
    )  # fmt: skip


class _BrokenError(Exception):
    """The response breaks Open-Meteo's contract."""


def _hours(answer: Any, cities: tuple[str, ...], query: Mapping[str, str]) -> tuple[dict[Key, Values], int, int]:
    documents = answer if isinstance(answer, list) else [answer]
    if len(documents) != len(cities):
        raise _BrokenError("number of locations")
    names = query["hourly"].split(",")
    first = datetime.fromisoformat(query["start_date"]).replace(tzinfo=UTC)
    end = datetime.fromisoformat(query["end_date"]).replace(tzinfo=UTC) + timedelta(days=1)
    hours: dict[Key, Values] = {}
    rejected = impossible = 0
    for city_id, document in zip(cities, documents, strict=True):
        block, units = document["hourly"], document["hourly_units"]
        if document["utc_offset_seconds"] != 0:
            raise _BrokenError("zone")
        if len(block["time"]) < (end - first) // _HOUR:
            raise _BrokenError("too few hours")
        for name in names:
            if len(block.get(name, ())) != len(block["time"]):
                raise _BrokenError(f"{name}: number of values")
            # "undefined" is the unit of a variable that the model lacks
            is_absent = units[name] == "undefined" and all(value is None for value in block[name])
            if units[name] != COLUMNS[name][1] and not is_absent:
                raise _BrokenError(f"{name}: unit")
        for n, time in enumerate(block["time"]):
            moment = datetime.fromisoformat(time).replace(tzinfo=UTC)
            values = {COLUMNS[name][0]: block[name][n] for name in names}
            is_possible = all(_possible(name, block[name][n]) for name in names)
            impossible += not is_possible
            is_valid = first <= moment < end and is_possible
            if not is_valid or (city_id, moment) in hours:
                rejected += 1
            else:
                hours[city_id, moment] = dict.fromkeys(MEASURES) | {
                    column: None if value is None else Decimal(value) for column, value in values.items()
                }
    return hours, rejected, impossible


def _stale_hours(
    hours: Mapping[Key, Values], cities: Iterable[str], query: Mapping[str, str], fetched_at: datetime
) -> int:
    """The hours since the newest temperature, of the cities for which these are more than 24.

    Only of a window that has the time of the fetch and 24 hours before it.
    """
    first = datetime.fromisoformat(query["start_date"]).replace(tzinfo=UTC)
    end = datetime.fromisoformat(query["end_date"]).replace(tzinfo=UTC) + timedelta(days=1)
    now = fetched_at.replace(minute=0, second=0, microsecond=0)
    if "temperature_2m" not in query["hourly"].split(",") or not first + timedelta(hours=24) < now < end:
        return 0
    found = 0
    for city_id in cities:
        observed = [
            moment
            for (city, moment), values in hours.items()
            if city == city_id and moment <= now and values["temperature_c"] is not None
        ]
        missing = (now - max(observed, default=first - _HOUR)) // _HOUR
        found += missing if missing > 24 else 0
    return found


def is_partial(responses: Sequence[Response]) -> bool:
    """Whether a run with these responses is partial: a city was rejected, or more than 5 % of the hours have an error.

    The values of a history are never the same for 24 hours, so frozen series are not looked for.
    """
    served = [each for each in responses if each.status == 200]
    errors = sum(each.error_hours for each in served)
    return len(served) < len(responses) or 20 * errors > sum(each.rows_in for each in served)


def _possible(name: str, value: Any) -> bool:
    _, _, low, high = COLUMNS[name]
    if value is None:
        return True
    if isinstance(value, (bool, str)) or not low <= value <= high:
        return False
    return name != "weather_code" or value in CONDITIONS


def staging(responses: Iterable[Response]) -> dict[Key, Row]:
    """Return the staged rows; ``origins`` are the responses that may be a row's origin: (fetched_at, run_id, raw_key).

    Of several responses with the temperature that won, the same source and the hour on the same side of ``fetched_at``,
    each may be the origin: it depends on the order of loads (docs/decisions/0002-precedence-of-values.md).
    """
    by_hour: dict[Key, list[Response]] = defaultdict(list)
    for response in sorted(responses, key=lambda each: each.precedence):
        for key in response.hours:
            by_hour[key].append(response)
    rows = {}
    for key, covering in by_hour.items():
        row: Row = dict.fromkeys(MEASURES)
        for response in covering:
            row |= {name: value for name, value in response.hours[key].items() if value is not None}
        code = row["weather_code"]
        row["condition"] = None if code is None else CONDITIONS[int(code)]

        def has_value(response: Response, key: Key = key) -> bool:
            return any(value is not None for value in response.hours[key].values())

        with_temperature = [each for each in covering if each.hours[key]["temperature_c"] is not None]
        candidates = with_temperature or [each for each in covering if has_value(each)] or covering
        winner = candidates[-1]
        temperature = winner.hours[key]["temperature_c"]
        row["source"] = winner.source
        row["is_forecast"] = key[1] > winner.fetched_at
        row["origins"] = {
            (each.fetched_at, each.run_id, each.key)
            for each in candidates
            if each.hours[key]["temperature_c"] == temperature
            and each.source == winner.source
            and (key[1] > each.fetched_at) == row["is_forecast"]
        }
        rows[key] = row
    return rows


def shown(row: Row) -> Row:
    """A staged row without its possible origins: what decides whether a load writes it."""
    return {name: value for name, value in row.items() if name != "origins"}


def mart(rows: Mapping[Key, Row], places: Mapping[str, Place]) -> dict[tuple[str, date], Row]:
    """Return the daily mart of staged rows, by city and local day."""
    days: dict[tuple[str, date], list[Row]] = defaultdict(list)
    for (city_id, moment), row in rows.items():
        days[city_id, moment.astimezone(ZoneInfo(places[city_id].timezone)).date()].append(row)
    found = {key: _day(places[key[0]], key[1], hours) for key, hours in days.items()}
    for (city_id, day), row in found.items():
        for length in (7, 30, 90):
            before = [found.get((city_id, day - timedelta(days=n)), {}).get("precipitation_mm") for n in range(length)]
            row[f"rain_{length}_days_mm"] = None if None in before else sum(before, Decimal())
    return found


def _day(place: Place, day: date, hours: list[Row]) -> Row:
    def of(column: str) -> list[Decimal]:
        return [row[column] for row in hours if row[column] is not None]

    pairs = [(row["temperature_c"], row["humidity"]) for row in hours]
    indices = [heat_index(*pair) for pair in pairs if None not in pair]
    temperatures, humidities, codes = of("temperature_c"), of("humidity"), Counter(map(int, of("weather_code")))
    most = max(codes.values(), default=0)
    # of several equally frequent codes the most severe, which is the greatest
    dominant = max((code for code, count in codes.items() if count == most), default=None)
    return {
        "city": place.city,
        "avg_temperature_c": _average(temperatures),
        "min_temperature_c": min(temperatures, default=None),
        "max_temperature_c": max(temperatures, default=None),
        "temperature_range_c": max(temperatures) - min(temperatures) if temperatures else None,
        "avg_humidity": _average(humidities),
        "min_humidity": min(humidities, default=None),
        "max_humidity": max(humidities, default=None),
        "max_heat_index_c": _tenths((max(indices) - 32) / Decimal("1.8")) if indices else None,
        "hours_heat_caution": sum(index >= 80 for index in indices),
        "hours_heat_extreme_caution": sum(index >= 90 for index in indices),
        "hours_heat_danger": sum(index >= 103 for index in indices),
        "hours_heat_extreme_danger": sum(index >= 125 for index in indices),
        "precipitation_mm": sum(of("precipitation_mm")) if of("precipitation_mm") else None,
        "max_wind_speed_kmh": max(of("wind_speed_kmh"), default=None),
        "max_uv_index": max(of("uv_index"), default=None),
        "dominant_condition": None if dominant is None else CONDITIONS[dominant],
        "hours_observed": len(temperatures),
        "hours_expected": _hours_of(day, place.timezone),
        "hours_forecast": sum(row["is_forecast"] for row in hours),
        "hours_archive": sum(row["source"] == "archive" for row in hours),
        "population": place.population,
        "area_km2": place.area_km2,
    }


def weeks(days: Mapping[tuple[str, date], Row], places: Mapping[str, Place]) -> dict[tuple[str, str], Row]:
    """Return the weekly mart of the daily one, by city and period: ISO weeks, as DHIS2 writes them."""
    found = {}
    for city_id, monday in {(city_id, day - timedelta(day.weekday())) for city_id, day in days}:
        year, week, _ = monday.isocalendar()
        row = _period(days, places[city_id], [monday + timedelta(n) for n in range(7)])
        found[city_id, f"{year}W{week:02d}"] = {"iso_year": year, "iso_week": week, **row}
    return found


def months(days: Mapping[tuple[str, date], Row], places: Mapping[str, Place]) -> dict[tuple[str, str], Row]:
    """Return the monthly mart of the daily one, by city and period, with the climate's suitability for malaria."""
    found = {}
    for city_id, year, month in {(city_id, day.year, day.month) for city_id, day in days}:
        row = _period(days, places[city_id], [date(year, month, n + 1) for n in range(monthrange(year, month)[1])])
        rain, temperature, humidity = (row[name] for name in ("precipitation_mm", "avg_temperature_c", "avg_humidity"))
        suitable = {
            "is_rain_suitable": None if rain is None else rain >= 80,
            "is_temperature_suitable": None if temperature is None else 18 <= round(temperature, 12) <= 32,
            "is_humidity_suitable": None if humidity is None else round(humidity, 12) >= 60,
        }
        verdict = None if None in suitable.values() else all(suitable.values())
        found[city_id, f"{year}{month:02d}"] = {
            "year": year, "month": month, **row, **suitable, "is_malaria_suitable": verdict
        }  # fmt: skip
    return found


def _period(days: Mapping[tuple[str, date], Row], place: Place, dates: list[date]) -> Row:
    rows = [days.get((place.city_id, day)) for day in dates]
    known = [row for row in rows if row]

    def of(column: str) -> list[Decimal]:
        return [row[column] for row in known if row[column] is not None]

    rain, highs, lows = of("precipitation_mm"), of("max_temperature_c"), of("min_temperature_c")
    by_day = [None if row is None else row["precipitation_mm"] for row in rows]
    complete = [row for row in known if row["hours_observed"] == row["hours_expected"] and not row["hours_forecast"]]
    return {
        "city": place.city,
        "start_date": dates[0],
        "end_date": dates[-1],
        "avg_temperature_c": _average(of("avg_temperature_c")),
        "min_temperature_c": min(lows, default=None),
        "max_temperature_c": max(highs, default=None),
        "avg_max_temperature_c": _average(highs),
        "avg_min_temperature_c": _average(lows),
        "avg_temperature_range_c": _average(of("temperature_range_c")),
        "avg_humidity": _average(of("avg_humidity")),
        "min_humidity": min(of("min_humidity"), default=None),
        "max_humidity": max(of("max_humidity"), default=None),
        "precipitation_mm": sum(rain) if rain else None,
        "max_precipitation_1day_mm": max(rain, default=None),
        # the first of several days; none if it did not rain
        "wettest_date": dates[by_day.index(max(rain))] if any(rain) else None,
        "rain_days": sum(value >= 1 for value in rain) if rain else None,
        "heavy_rain_days": sum(value >= 20 for value in rain) if rain else None,
        "dry_spell_days": _longest(value is not None and value < 1 for value in by_day) if rain else None,
        "wet_spell_days": _longest(value is not None and value >= 1 for value in by_day) if rain else None,
        "hot_days": sum(value >= 30 for value in highs) if highs else None,
        "tropical_nights": sum(value >= 20 for value in lows) if lows else None,
        "max_wind_speed_kmh": max(of("max_wind_speed_kmh"), default=None),
        "max_uv_index": max(of("max_uv_index"), default=None),
        "max_heat_index_c": max(of("max_heat_index_c"), default=None),
        "days_expected": len(dates),
        "days_complete": len(complete),
        "hours_forecast": sum(row["hours_forecast"] for row in known),
        "is_complete": len(complete) == len(dates),
    }


def _longest(flags: Iterable[bool]) -> int:
    """The length of the longest run of true ones."""
    return max((len(list(run)) for is_set, run in groupby(flags) if is_set), default=0)


def heat_index(celsius: Decimal, humidity: Decimal) -> Decimal:
    """The heat index in °F: https://doi.org/10.1289/ehp.1206273, figure 3, with MetPy's order of the adjustments."""
    t, r = celsius * 9 / 5 + 32, humidity
    if t <= 40:
        return t
    index = (61 + (t - 68) * Decimal("1.2") + r * Decimal("0.094") + t) / 2
    if index >= 79:
        terms = {
            "-42.379": 1, "2.04901523": t, "10.14333127": r, "-0.22475541": t * r, "-0.00683783": t**2,
            "-0.05481717": r**2, "0.00122874": t**2 * r, "0.00085282": t * r**2, "-0.00000199": t**2 * r**2,
        }  # fmt: skip
        index = sum((Decimal(factor) * term for factor, term in terms.items()), Decimal())
    if r < 13 and 80 <= t <= 112:
        index -= (13 - r) / 4 * ((17 - abs(t - 95)) / 17).sqrt()
    elif r > 85 and 80 <= t <= 87:
        index += (r - 85) / 10 * ((87 - t) / 5)
    return index


def _tenths(value: Decimal) -> Decimal:
    return value.quantize(Decimal("0.1"), ROUND_HALF_UP)


def _average(values: list[Decimal]) -> Decimal | None:
    return sum(values, Decimal()) / len(values) if values else None


@cache
def _hours_of(day: date, timezone: str) -> int:
    """The UTC hours that begin on a local day."""
    zone, start = ZoneInfo(timezone), datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(days=1)
    return sum((start + n * _HOUR).astimezone(zone).date() == day for n in range(72))


def summary(
    rows: Mapping[Key, Row], days: Mapping[tuple[str, date], Row], places: Mapping[str, Place]
) -> dict[str, Row]:
    """Return the summary of each city with a staged row."""
    found = {}
    for city_id in {city_id for city_id, _ in days}:
        own = {day: row for (city, day), row in sorted(days.items()) if city == city_id}
        observed = [day for day, row in own.items() if row["hours_observed"]]
        highest = max((row["max_temperature_c"] for row in own.values() if row["hours_observed"]), default=None)
        lowest = min((row["min_temperature_c"] for row in own.values() if row["hours_observed"]), default=None)
        humidities = [row["humidity"] for (city, _), row in rows.items() if city == city_id]
        found[city_id] = {
            "city": places[city_id].city,
            "total_days_recorded": len(observed),
            "highest_temperature_c": highest,
            # the first of several days
            "highest_temperature_date": min(
                (day for day in observed if own[day]["max_temperature_c"] == highest), default=None
            ),
            "lowest_temperature_c": lowest,
            "lowest_temperature_date": min(
                (day for day in observed if own[day]["min_temperature_c"] == lowest), default=None
            ),
            "average_humidity": _average([value for value in humidities if value is not None]),
            "first_day": min(observed, default=None),
            "last_day": max(observed, default=None),
        }  # fmt: skip
    return found


def forecast_days(
    responses: Mapping[str, Iterable[Response]], places: Mapping[str, Place]
) -> dict[tuple[str, date, int], Row]:
    """Return what was forecast, by city, local day and lead, from the responses that count for each city."""
    best: dict[tuple[str, date, int], tuple[tuple[int, datetime, bytes], Row]] = {}
    for city_id, own in responses.items():
        place = places[city_id]
        zone = ZoneInfo(place.timezone)
        for response in own:
            days: dict[date, list[Values]] = defaultdict(list)
            for (city, moment), values in response.hours.items():
                if city == city_id and response.source == "forecast":
                    days[moment.astimezone(zone).date()].append(values)
            for day, hours in days.items():
                lead = (day - response.fetched_at.astimezone(zone).date()).days
                temperatures = [values["temperature_c"] for values in hours]
                rains = [values["precipitation_mm"] for values in hours]
                known = [None not in measure for measure in (temperatures, rains)]
                if lead not in range(8) or len(hours) != _hours_of(day, place.timezone) or not any(known):
                    continue
                row: Row = {"fetched_at": response.fetched_at, "run_id": response.run_id}
                row["avg_temperature_c"] = _average(temperatures) if known[0] else None  # type: ignore[arg-type]
                row["min_temperature_c"] = min(temperatures) if known[0] else None  # type: ignore[type-var]
                row["max_temperature_c"] = max(temperatures) if known[0] else None  # type: ignore[type-var]
                row["precipitation_mm"] = sum(rains) if known[1] else None  # type: ignore[arg-type]
                rank = sum(known), response.fetched_at, response.run_id.encode()
                key = (city_id, day, lead)
                if key not in best or rank >= best[key][0]:
                    best[key] = rank, row
    return {key: row for key, (_, row) in best.items()}


def forecast_skill(
    forecasts: Mapping[tuple[str, date, int], Row],
    rows: Mapping[Key, Row],
    days: Mapping[tuple[str, date], Row],
    places: Mapping[str, Place],
) -> dict[tuple[str, str, int], Row]:
    """Return the scores of the forecasts, by city, variable and lead, against days that the archive has whole."""
    archive = Counter(
        (city_id, moment.astimezone(ZoneInfo(places[city_id].timezone)).date())
        for (city_id, moment), row in rows.items()
        if row["source"] == "archive" and row["temperature_c"] is not None
    )
    pairs: dict[tuple[str, str, int], list[tuple[Decimal, Decimal]]] = defaultdict(list)
    for (city_id, day, lead), forecast in forecasts.items():
        if (city_id, day) in days and archive[city_id, day] == _hours_of(day, places[city_id].timezone):
            for variable in ("avg_temperature_c", "min_temperature_c", "max_temperature_c", "precipitation_mm"):
                pair = forecast[variable], days[city_id, day][variable]
                if None not in pair:
                    pairs[city_id, variable, lead].append(pair)
    return {key: _scores(places[key[0]], key[1] == "precipitation_mm", found) for key, found in pairs.items()}


def _scores(place: Place, is_rain: bool, pairs: list[tuple[Decimal, Decimal]]) -> Row:
    errors = [forecast - observed for forecast, observed in pairs]
    row: Row = {
        "city": place.city,
        "days": len(pairs),
        "bias": _average(errors),
        "mean_absolute_error": _average([abs(error) for error in errors]),
    }
    table = Counter((forecast >= 1, observed >= 1) for forecast, observed in pairs)
    hits, misses, false, correct = (
        table[case] for case in ((True, True), (False, True), (True, False), (False, False))
    )
    counts = {"hits": hits, "misses": misses, "false_alarms": false, "correct_negatives": correct}
    rates = {
        "hit_rate": Decimal(hits) / (hits + misses) if hits + misses else None,
        "false_alarm_rate": Decimal(false) / (false + correct) if false + correct else None,
    }
    return row | {name: value if is_rain else None for name, value in (counts | rates).items()}

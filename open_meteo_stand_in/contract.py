"""The API's contract: the accepted parameters, the reasons of rejections, and the shape of responses.

The reasons come from Open-Meteo's source (tests/recorded/errors), the shapes from recorded responses.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from open_meteo_stand_in.weather import Values, Weather

Json = dict[str, Any]

MAX_LOCATIONS = 1000
TOO_MUCH_DATA = (
    "Your API call requests too much data. Please reduce the number of variables, locations and/or weather models."
)
MAX_WEIGHT = 5000
_UNITS = {
    "temperature_2m": "°C",
    "relative_humidity_2m": "%",
    "weather_code": "wmo code",
    "precipitation": "mm",
    "wind_speed_10m": "km/h",
    "uv_index": "",
    # the host has these variables, the stand-in has no values for them: null
    "dew_point_2m": "°C",
    "apparent_temperature": "°C",
    "precipitation_probability": "%",
    "rain": "mm",
    "showers": "mm",
    "snowfall": "cm",
    "cloud_cover": "%",
    "pressure_msl": "hPa",
    "surface_pressure": "hPa",
    "visibility": "m",
    "et0_fao_evapotranspiration": "mm",
    "wind_direction_10m": "°",
    "wind_gusts_10m": "km/h",
    "is_day": "",
    "sunshine_duration": "s",
}
_ALIASES = {
    "weathercode": "weather_code",
    "windspeed_10m": "wind_speed_10m",
    "relativehumidity_2m": "relative_humidity_2m",
    "winddirection_10m": "wind_direction_10m",
    "windgusts_10m": "wind_gusts_10m",
}
_FORECAST_ONLY = ("uv_index", "precipitation_probability", "visibility")
# unit parameter: (the units that it converts, {its value: (unit, factor, offset)})
_UNIT_PARAMETERS: dict[str, tuple[tuple[str, ...], dict[str, tuple[str, float, float]]]] = {
    "temperature_unit": (("°C",), {"celsius": ("°C", 1, 0), "fahrenheit": ("°F", 1.8, 32)}),
    "wind_speed_unit": (
        ("km/h",),
        {
            "kmh": ("km/h", 1, 0),
            "ms": ("m/s", 1 / 3.6, 0),
            "mph": ("mp/h", 1 / 1.609344, 0),
            "kn": ("kn", 1 / 1.852, 0),
        },
    ),
    "precipitation_unit": (("mm",), {"mm": ("mm", 1, 0), "inch": ("inch", 1 / 25.4, 0)}),
}
_UNIT_TYPES = {
    "temperature_unit": "TemperatureUnit",
    "wind_speed_unit": "WindspeedUnit",
    "precipitation_unit": "PrecipitationUnit",
}
_KNOWN_PARAMETERS = {"latitude", "longitude", "elevation", "hourly", "start_date", "end_date", "past_days", "forecast_days", "timezone", "models", "apikey", *_UNIT_PARAMETERS}  # fmt: skip  # noqa: E501


class RejectedError(Exception):
    """The host rejects the request with this status and reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@dataclass(frozen=True, slots=True)
class WeatherRequest:
    """A request whose parameters were accepted."""

    places: tuple[tuple[float, float], ...]
    variables: tuple[str, ...]
    start: date
    end: date
    zone: ZoneInfo
    archive: bool
    units: Mapping[str, tuple[str, float, float]]

    @property
    def weight(self) -> float:
        """The request's quota weight: https://open-meteo.com/en/pricing."""
        variables = len(self.variables)
        days = (self.end - self.start).days + 1
        return len(self.places) * max(1.0, variables / 10, variables / 10 * days / 14)


def parse_request(parameters: Mapping[str, str], archive: bool, weather: Weather, today: date) -> WeatherRequest:
    """Return the checked request. Raises RejectedError for what the host rejects."""
    unknown = [name for name in parameters if name not in _KNOWN_PARAMETERS]
    if unknown:
        raise RejectedError(400, f"Unknown parameter '{unknown[0]}'")
    places = _places(parameters)
    variables = tuple(name for name in parameters.get("hourly", "").split(",") if name)
    for name in variables:
        canonical = _ALIASES.get(name, name)
        if canonical not in _UNITS or (archive and canonical in _FORECAST_ONLY):
            kind = "SurfaceAndPressureVariable<ForecastSurfaceVariable, ForecastPressureVariable>"
            raise RejectedError(400, f"Cannot initialize {kind} from invalid String value {name} for key ")
    units: dict[str, tuple[str, float, float]] = {}
    for parameter, (converted, choices) in _UNIT_PARAMETERS.items():
        chosen = parameters.get(parameter)
        if chosen is not None and chosen not in choices:
            raise RejectedError(
                400,
                f"Cannot initialize {_UNIT_TYPES[parameter]} from invalid String value {chosen} for key {parameter}",
            )
        if chosen is not None:
            units |= dict.fromkeys(converted, choices[chosen])
    try:
        zone = ZoneInfo({"GMT": "UTC"}.get(parameters.get("timezone", "GMT"), parameters.get("timezone", "GMT")))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise RejectedError(400, "Invalid timezone") from None
    start, end = _window(parameters, weather.window(archive, today), today)
    request = WeatherRequest(places, variables, start, end, zone, archive, units)
    if request.weight > MAX_WEIGHT:
        raise RejectedError(400, TOO_MUCH_DATA)
    if not all(weather.has_data(*place) for place in places):
        raise RejectedError(400, "No data is available for this location")
    return request


def _places(parameters: Mapping[str, str]) -> tuple[tuple[float, float], ...]:
    numbers = {}
    for name in ("latitude", "longitude"):
        value = parameters.get(name, "")
        try:
            numbers[name] = [float(each) for each in value.split(",")]
        except ValueError:
            raise RejectedError(400, f"Data corrupted at path ''. Cannot convert '{value}'") from None
    if len(numbers["latitude"]) != len(numbers["longitude"]):
        raise RejectedError(400, "Parameter 'latitude' and 'longitude' must have the same number of elements")
    if len(numbers["latitude"]) > MAX_LOCATIONS:
        raise RejectedError(400, f"Only up to {MAX_LOCATIONS} locations can be requested at once")
    for latitude in numbers["latitude"]:
        if not -90 <= latitude <= 90:
            raise RejectedError(400, f"Latitude must be in range of -90 to 90°. Given: {latitude}.")
    for longitude in numbers["longitude"]:
        if not -180 <= longitude <= 180:
            raise RejectedError(400, f"Longitude must be in range of -180 to 180°. Given: {longitude}.")
    return tuple(zip(numbers["latitude"], numbers["longitude"], strict=True))


def _window(parameters: Mapping[str, str], allowed: tuple[date, date], today: date) -> tuple[date, date]:
    days = {}
    for name in ("start_date", "end_date"):
        try:
            days[name] = date.fromisoformat(parameters[name]) if name in parameters else None
        except ValueError:
            raise RejectedError(400, f"Invalid date format. Make sure to use 'YYYY-MM-DD' for '{name}'") from None
    start, end = days["start_date"], days["end_date"]
    if (start is None) != (end is None):
        raise RejectedError(400, "Both 'start_date' and 'end_date' must be set")
    if start is None or end is None:
        past, ahead = int(parameters.get("past_days", "0")), int(parameters.get("forecast_days", "7"))
        return max(allowed[0], today - timedelta(days=past)), min(allowed[1], today + timedelta(days=max(ahead, 1) - 1))
    if "past_days" in parameters or "forecast_days" in parameters:
        raise RejectedError(400, "Parameter 'past_days' and 'start_date' are mutually exclusive")
    for name, day in (("start_date", start), ("end_date", end)):
        if not allowed[0] <= day <= allowed[1]:
            raise RejectedError(400, f"Parameter '{name}' is out of allowed range from {allowed[0]} to {allowed[1]}")
    if end < start:
        raise RejectedError(400, "End-date must be larger or equals than start-date")
    return start, end


def response_documents(request: WeatherRequest, weather: Weather) -> list[Json]:
    """Return one response document for each place."""
    # the current offset for the whole series: the host does the same across a clock change
    offset = datetime.now(request.zone).utcoffset() or timedelta()
    count = 24 * ((request.end - request.start).days + 1)
    first = datetime.combine(request.start, datetime.min.time(), tzinfo=UTC)
    local = [first + timedelta(hours=n) for n in range(count)]
    utc = [(moment - offset).replace(minute=0) for moment in local]
    times = [moment.strftime("%Y-%m-%dT%H:%M") for moment in local]
    minutes = int(offset.total_seconds()) // 60
    name = "GMT" if str(request.zone) == "UTC" else str(request.zone)
    documents = []
    for position, place in enumerate(request.places):
        started = time.perf_counter()
        hourly: Json = {"time": times}
        units = {"time": "iso8601"}
        for requested in request.variables:
            variable = _ALIASES.get(requested, requested)
            values = weather.hourly(variable, place, utc, request.archive)
            units[requested], hourly[requested] = _converted(_UNITS[variable], values, request.units)
        documents.append(
            {
                # of the grid cell, not of the place
                "latitude": round(place[0] * 8) / 8 + 0.0,
                "longitude": round(place[1] * 8) / 8 + 0.0,
                "generationtime_ms": (time.perf_counter() - started) * 1000,
                "utc_offset_seconds": minutes * 60,
                "timezone": name,
                "timezone_abbreviation": _abbreviation(minutes),
                "elevation": float(math.floor(abs(place[0] * 131 + place[1] * 57) % 2000)),
                **({"location_id": position} if position else {}),
                "hourly_units": units,
                "hourly": hourly,
            }
        )
    return documents


def _converted(unit: str, values: Values, units: Mapping[str, tuple[str, float, float]]) -> tuple[str, Values]:
    target, factor, offset = units.get(unit, (unit, 1, 0))
    if target == unit:
        return unit, values
    return target, [None if value is None else round(value * factor + offset, 2) for value in values]


def _abbreviation(minutes: int) -> str:
    """GMT, GMT+2, GMT+9:30."""
    if not minutes:
        return "GMT"
    hours, rest = divmod(abs(minutes), 60)
    return f"GMT{'+' if minutes > 0 else '-'}{hours}{f':{rest:02d}' if rest else ''}"

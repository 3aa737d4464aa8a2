"""The hourly variables that the pipeline loads: their names at Open-Meteo and their warehouse columns."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Variable:
    """One hourly variable.

    ``low`` and ``high`` bound the physically possible values, a little beyond the records of the WMO
    archive of weather extremes (https://wmo.asu.edu/): a value outside is rejected, never clipped.
    ``sources`` are the hosts that have the variable (https://open-meteo.com/en/docs and
    https://open-meteo.com/en/docs/historical-weather-api, read 2026-11).
    """

    name: str
    column: str
    unit: str
    low: float
    high: float
    sources: tuple[str, ...] = ("forecast", "archive")


# The unit of a variable that Open-Meteo's model lacks; it has no values then.
UNDEFINED = "undefined"

VARIABLES: dict[str, Variable] = {
    variable.name: variable
    for variable in (
        Variable("temperature_2m", "temperature_c", "°C", -95, 65),
        Variable("relative_humidity_2m", "humidity", "%", 0, 100),
        Variable("weather_code", "weather_code", "wmo code", 0, 99),
        Variable("precipitation", "precipitation_mm", "mm", 0, 500),
        Variable("wind_speed_10m", "wind_speed_kmh", "km/h", 0, 450),
        Variable("uv_index", "uv_index", "", 0, 50, sources=("forecast",)),
    )
}


def variables_of(source: str) -> tuple[str, ...]:
    """Return the names of the variables that ``source`` has, in the order of the warehouse's columns."""
    return tuple(v.name for v in VARIABLES.values() if source in v.sources)

"""The quality rules: what each finding means, how severe it is, and where its threshold comes from.

A finding concerns one city and one local day; its count is of hours. Rules of the stage ``transform`` judge a response
by itself, so their findings do not depend on the order of loads. Rules of the stage ``model`` compare it with what is
stored. ``docs/quality.md`` has the table of the rules; a test compares it with this module.
"""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["info", "warning", "error"]
Stage = Literal["transform", "model"]

# A run is partial if more than this share of its hours has a finding of severity error.
ERROR_SHARE = 0.05

# The greatest change from one hour to the next: MADIS allows 35 °F (19.4 °C) and 50 % an hour. It has no such limit of
# the hourly wind: 20 m/s (72 km/h) is the project's own, beyond the front of a severe storm.
LARGEST_STEPS = {"temperature_2m": 19.4, "relative_humidity_2m": 50.0, "wind_speed_10m": 72.0}
# So many equal hours in a row are a frozen series. Humidity stays at 100 % and rain, UV index and codes at 0 for days:
# they are not judged.
FROZEN_HOURS = 24
FROZEN_VARIABLES = ("temperature_2m", "wind_speed_10m")
# The newest observed temperature of a forecast is at most so many hours old when it is fetched.
STALE_HOURS = 24
# The difference of an archive value from the forecast value that it replaces, by column.
LARGEST_DIFFERENCES = {"temperature_c": 8, "humidity": 40, "wind_speed_kmh": 30}

_MADIS = "https://madis.ncep.noaa.gov/madis_sfc_qc_notes.shtml"
_HADISD = "Dunn et al. 2012, streak check, https://doi.org/10.5194/cp-8-1649-2012"
_OPEN_METEO = "https://open-meteo.com/en/docs"
_OWN = "the project's own"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: its ``meaning`` says what the counted hours have; ``source`` is that of its threshold."""

    name: str
    meaning: str
    severity: Severity
    stage: Stage
    source: str


RULES: dict[str, Rule] = {
    rule.name: rule
    for rule in (
        Rule(
            "impossible_value",
            "hours rejected for a value that is outside the limits of its variable, no number, or an unknown code",
            "error",
            "transform",
            "WMO archive of weather extremes, https://wmo.asu.edu/",
        ),
        Rule(
            "frozen_series",
            f"hours in a row, {FROZEN_HOURS} or more, with the same temperature or the same wind speed",
            "error",
            "transform",
            _HADISD,
        ),
        Rule(
            "stale",
            f"hours before the fetch without a temperature, more than {STALE_HOURS}, in a forecast that reaches "
            "the time of its fetch",
            "error",
            "transform",
            _OWN,
        ),
        Rule("wrong_time", "hours rejected for their time: unreadable, not on the hour, outside the window", "warning",
             "transform", _OPEN_METEO),
        Rule("duplicate_hour", "hours rejected because the response has them twice", "warning", "transform",
             _OPEN_METEO),
        Rule("undefined_unit", "hours of a requested variable without unit and values: the model lacks it", "warning",
             "transform", _OPEN_METEO),
        Rule(
            "large_step",
            "hours that differ from the hour before by more than "
            f"{LARGEST_STEPS['temperature_2m']:g} °C, {LARGEST_STEPS['relative_humidity_2m']:g} % humidity or "
            f"{LARGEST_STEPS['wind_speed_10m']:g} km/h wind",
            "warning",
            "transform",
            f"{_MADIS}; wind: {_OWN}",
        ),
        Rule(
            "incomplete_day",
            "hours without a temperature of a local day that was over when the run was fetched",
            "warning",
            "model",
            _OWN,
        ),
        Rule(
            "grid_cell_moved",
            "1: latitude, longitude or elevation of the city's grid cell differ from the last known ones of the source",
            "warning",
            "model",
            _OWN,
        ),
        Rule(
            "archive_difference",
            "hours of the archive that differ from the forecast they replace by more than "
            f"{LARGEST_DIFFERENCES['temperature_c']} °C, {LARGEST_DIFFERENCES['humidity']} % humidity or "
            f"{LARGEST_DIFFERENCES['wind_speed_kmh']} km/h wind",
            "info",
            "model",
            _OWN,
        ),
    )
}  # fmt: skip

SEVERITIES: dict[str, Severity] = {rule.name: rule.severity for rule in RULES.values()}


def is_partial(error_hours: int, hours: int) -> bool:
    """Return whether a run of so many hours is partial because of the hours with findings of severity error."""
    return error_hours > ERROR_SHARE * hours


def names_of(stage: Stage) -> list[str]:
    """Return the names of a stage's rules."""
    return [rule.name for rule in RULES.values() if rule.stage == stage]

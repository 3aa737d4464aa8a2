"""Failures of the real host, on demand: each fault is a name, and a test sets how often it occurs."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from open_meteo_stand_in.contract import TOO_MUCH_DATA
from open_meteo_stand_in.limits import REASONS

Json = dict[str, Any]

NGINX = "<html>\r\n<head><title>{0}</title></head>\r\n<body>\r\n<center><h1>{0}</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"  # noqa: E501
STREAM_BROKE = "Unexpected error while streaming data: timeoutReached"

# A reason that is too long to repeat, and one that would control a terminal: colour, title, direction, new lines.
LONG, CONTROLLING = "x" * 7_340_032, "\x1b[31mred\x1b]0;title\x07 \u202etxt.exe \u2028\r\nforged line \x9b2J \x00"

# status and reason of the faults that return an error body
ERRORS: dict[str, tuple[int, str]] = {
    "minutely": (429, REASONS["Minutely"]),
    "hourly": (429, REASONS["Hourly"]),
    "daily": (429, REASONS["Daily"]),
    "concurrent": (429, REASONS["Concurrent"]),
    "overloaded": (503, "The service is overloaded"),
    "no_data": (400, "No data is available for this location"),
    "bad_key": (400, "The supplied API key is invalid."),
    "no_key": (401, "API key required. Please add &apikey= to the URL."),
    "plan": (403, "This API endpoint requires the API Professional or Enterprise plan"),
    "too_much_data": (400, TOO_MUCH_DATA),
    "uri_too_long": (414, "URI Too Long"),
    **{f"long_{status}": (status, LONG) for status in (400, 401, 414, 418, 429, 503)},
    **{f"controlling_{status}": (status, CONTROLLING) for status in (400, 401, 414, 418, 429, 503)},
}
# status and body of the faults that return another body
BODIES: dict[str, tuple[int, str]] = {
    "bad_gateway": (502, NGINX.format("502 Bad Gateway")),
    "gateway_timeout": (504, NGINX.format("504 Gateway Time-out")),
    "html": (200, NGINX.format("Welcome")),
    "empty": (200, ""),
    "null": (200, "null"),
    "teapot": (418, "short and stout"),
}
# faults in how the response is sent
TRANSPORT = ("truncated", "reset", "slow", "trickle")


def _each_value(change: Callable[[Any], Any]) -> Callable[[Json], None]:
    def apply(document: Json) -> None:
        for name, values in document["hourly"].items():
            if name != "time":
                document["hourly"][name] = [change(value) for value in values]

    return apply


def _of(name: str, change: Callable[[list[Any]], list[Any]]) -> Callable[[Json], None]:
    def apply(document: Json) -> None:
        if name in document["hourly"]:
            document["hourly"][name] = change(list(document["hourly"][name]))

    return apply


def _null_tail(document: Json) -> None:
    for name, values in document["hourly"].items():
        if name != "time":
            document["hourly"][name] = [*values[:-6], *[None] * min(6, len(values))]


def _missing_variable(document: Json) -> None:
    document["hourly"].pop("temperature_2m", None)


def _fewer_hours(document: Json) -> None:
    for name, values in document["hourly"].items():
        document["hourly"][name] = values[:5]


def _wrong_unit(document: Json) -> None:
    document["hourly_units"]["temperature_2m"] = "°F"


def _long_unit(document: Json) -> None:
    document["hourly_units"]["temperature_2m"] = LONG


def _controlling_unit(document: Json) -> None:
    document["hourly_units"]["temperature_2m"] = CONTROLLING


def _other_zone(document: Json) -> None:
    document["utc_offset_seconds"] = 7200


# faults in the content: each changes one location's document in place
DOCUMENT: dict[str, Callable[[Json], None]] = {
    "all_null": _each_value(lambda _: None),
    "null_tail": _null_tail,
    "float_codes": _of("weather_code", lambda values: [None if v is None else float(v) for v in values]),
    "unknown_code": _of("weather_code", lambda values: [42, *values[1:]]),
    "impossible_value": _of("temperature_2m", lambda values: [999.9, *values[1:]]),
    "unparsable": _of("temperature_2m", lambda values: ["warm", *values[1:]]),
    "short_array": _of("temperature_2m", lambda values: values[:-1]),
    "duplicate_hour": _of("time", lambda times: [times[0], times[0], *times[2:]]),
    "outside_hour": _of("time", lambda times: ["1999-12-31T23:00", *times[1:]]),
    "fewer_hours": _fewer_hours,
    "missing_variable": _missing_variable,
    "wrong_unit": _wrong_unit,
    "other_zone": _other_zone,
    "long_unit": _long_unit,
    "controlling_unit": _controlling_unit,
    "long_value": _of("temperature_2m", lambda values: [LONG, *values[1:]]),
    "controlling_value": _of("temperature_2m", lambda values: [CONTROLLING, *values[1:]]),
}
KINDS = (*ERRORS, *BODIES, *TRANSPORT, *DOCUMENT, "wrong_count")


@dataclass
class Fault:
    """One of KINDS. It occurs ``times`` times (None: always); with ``latitude`` only in requests for that latitude."""

    kind: str
    times: int | None = 1
    latitude: float | None = None
    seconds: float = field(default=2.0)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"fault {self.kind!r} is not one of {', '.join(KINDS)}")

    def occurs(self, latitudes: list[float]) -> bool:
        """Return whether it occurs in a request for these latitudes; each occurrence is counted."""
        if self.times == 0 or (self.latitude is not None and self.latitude not in latitudes):
            return False
        if self.times is not None:
            self.times -= 1
        return True

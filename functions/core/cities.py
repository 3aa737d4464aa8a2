"""The city list: read and checked completely before anything is requested or written."""

import csv
import io
import re
import unicodedata
import zoneinfo
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

from functions.core.errors import InvalidInputError
from functions.core.text import JOINERS, excerpt, quoted

CITY_LIST = Path(__file__).parent / "data" / "cities.csv"
COLUMNS = ("city_id", "city", "country", "latitude", "longitude", "timezone", "population", "area_km2")

# S3 metadata (ASCII) holds the ids joined by commas.
_CITY_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
# A spreadsheet evaluates a cell that starts with one of these as a formula; some evaluate their wide forms too.
FORMULA_STARTS = ("=", "+", "-", "@")
# Letters and symbols without ink: the fillers of Hangul and the empty Braille pattern.
_BLANKS = "\u115f\u1160\u3164\uffa0\u2800"
# The longest name of a place has 170.
_NAME_LENGTH = 200
_REPORTED_PROBLEMS = 10
# The longest part of a line in a message, which can name ten.
_REPORTED_LENGTH = 100

_Number = TypeVar("_Number", int, float)


@dataclass(frozen=True, slots=True)
class City:
    """One city. Coordinates in degrees (WGS 84), area in square kilometres; ``None`` where unknown."""

    city_id: str
    city: str
    country: str
    latitude: float
    longitude: float
    timezone: str
    population: int | None
    area_km2: float | None


def load_cities(path: Path = CITY_LIST) -> dict[str, City]:
    """Read the city list at ``path``. Return its cities by id, in the order of the file.

    Raises InvalidInputError with each invalid line (up to ten) and its reason.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InvalidInputError(
            f"city list {excerpt(path)}: cannot be read: {error.strerror}; name a CSV file that this user can read"
        ) from error
    except UnicodeDecodeError as error:
        raise InvalidInputError(
            f"city list {excerpt(path)}: is not UTF-8 (byte {error.start}); save it as UTF-8"
        ) from error
    return parse_cities(text, str(path))


def parse_cities(text: str, name: str = "cities.csv") -> dict[str, City]:
    """Parse the text of a city list; messages refer to it as ``name``. Raises InvalidInputError."""
    name = excerpt(name)
    rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    cities: dict[str, City] = {}
    first_line: dict[str, int] = {}
    problems: list[str] = []
    try:
        missing = [column for column in COLUMNS if column not in (rows.fieldnames or ())]
        if not rows.fieldnames:
            raise InvalidInputError(f"city list {name}: is empty; its first line must be {','.join(COLUMNS)}")
        if missing:
            raise InvalidInputError(
                f"city list {name}: line 1: missing column {', '.join(missing)}; the columns are {','.join(COLUMNS)}"
            )
        repeated = [column for column in COLUMNS if list(rows.fieldnames).count(column) > 1]
        if repeated:
            raise InvalidInputError(
                f"city list {name}: line 1: repeated column {', '.join(repeated)}; remove all but one"
            )
        for row in rows:
            line = rows.line_num
            try:
                city = _city(row)
            except ValueError as error:
                problems.append(f"line {line}: {error}")
                continue
            if city.city_id in cities:
                problems.append(
                    f"line {line}: duplicate city_id '{city.city_id}' (first on line {first_line[city.city_id]})"
                )
                continue
            cities[city.city_id] = city
            first_line[city.city_id] = line
    except csv.Error as error:
        problems.append(f"line {rows.reader.line_num}: not valid CSV: {excerpt(error)}")
    if not cities and not problems:
        problems.append("line 2: there is no city after the header")
    if problems:
        shown = "; ".join(problems[:_REPORTED_PROBLEMS])
        more = f"; and {len(problems) - _REPORTED_PROBLEMS} more" if len(problems) > _REPORTED_PROBLEMS else ""
        raise InvalidInputError(f"city list {name}: {shown}{more}; correct the list")
    return cities


def _city(row: Mapping[str | None, str | list[str] | None]) -> City:
    if None in row:
        raise ValueError("more fields than the header has")
    absent = [column for column in COLUMNS if row[column] is None]
    if absent:
        raise ValueError(f"fewer fields than the header has ({', '.join(absent)} missing)")
    text = {column: str(row[column]).strip() for column in COLUMNS}
    if not _CITY_ID.fullmatch(text["city_id"]):
        raise ValueError(
            f"city_id {_reported(text['city_id'])} must be 1 to 63 letters, digits, '.', '_' or '-', "
            "the first a letter or digit"
        )
    for column in ("city", "country"):
        _check_name(column, str(row[column]))
    if text["timezone"] not in _timezones():
        raise ValueError(
            f"unknown timezone {_reported(text['timezone'])} (expected an IANA name of a place, such as Africa/Kigali)"
        )
    return City(
        city_id=text["city_id"],
        city=text["city"],
        country=text["country"],
        latitude=_number("latitude", text["latitude"], float, -90, 90),
        longitude=_number("longitude", text["longitude"], float, -180, 180),
        timezone=text["timezone"],
        population=_number("population", text["population"], int, 0, 10**9) if text["population"] else None,
        area_km2=_number("area_km2", text["area_km2"], float, 0, 10**7) if text["area_km2"] else None,
    )


@cache
def _timezones() -> set[str]:
    """Return the IANA zones that are named after a place, and UTC. Cached: they are read from hundreds of files.

    Postgres reads other names (CET, localtime) as abbreviations without daylight saving time, or does not know them.
    """
    return {name for name in zoneinfo.available_timezones() if "/" in name or name == "UTC"}


def _check_name(column: str, value: str) -> None:
    if not value.strip():
        raise ValueError(f"{column} is empty")
    if len(value) > _NAME_LENGTH:
        raise ValueError(f"{column} {_reported(value)} is longer than {_NAME_LENGTH} characters")
    if any(
        unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp") and character not in JOINERS for character in value
    ):
        raise ValueError(f"{column} {_reported(value)} contains a control character")
    first = next((character for character in value if _is_visible(character)), None)
    if first is None:
        raise ValueError(f"{column} {_reported(value)} has no visible character")
    if unicodedata.normalize("NFKC", first).startswith(FORMULA_STARTS):
        raise ValueError(f"{column} {_reported(value)} starts like a spreadsheet formula ({first})")


def _is_visible(character: str) -> bool:
    """Return whether a reader sees the character by itself: not a control, space or mark, nor unassigned."""
    return unicodedata.category(character)[0] not in "CZM" and character not in _BLANKS


def _reported(value: str) -> str:
    return quoted(value, _REPORTED_LENGTH)


def _number(column: str, text: str, kind: Callable[[str], _Number], low: float, high: float) -> _Number:
    try:
        # Python accepts more than a spreadsheet does: 1_000, and the digits of every script
        if not text.isascii() or "_" in text:
            raise ValueError
        value = kind(text)
    except ValueError:
        raise ValueError(f"{column} {_reported(text)} is not a number") from None
    if not low <= value <= high:  # also rejects nan
        raise ValueError(f"{column} {excerpt(text, _REPORTED_LENGTH)} is outside {low} to {high}")
    return value

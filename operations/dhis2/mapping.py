"""The mapping file: which org unit of DHIS2 a city is, and which data element a measure is.

It is TOML. ``template`` writes one to fill in; an entry that is still empty is not exported.
"""

import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from deployment.errors import UserError
from functions.core.cities import City
from functions.core.text import escaped, excerpt, quoted

PeriodType = Literal["weekly", "monthly"]
PERIOD_TYPES: tuple[PeriodType, ...] = get_args(PeriodType)
# https://docs.dhis2.org/en/develop/using-the-api/dhis-core-version-master/metadata.html: 11 letters and digits
_UID = re.compile(r"[A-Za-z][A-Za-z0-9]{10}")
_DATA_ELEMENT_KEYS = ("data_element", "category_option_combo", "attribute_option_combo")
_REPORTED_PROBLEMS = 10
_REPORTED_LENGTH = 100

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class DataElement:
    """Where a measure goes: UIDs of DHIS2; None stands for the default combination."""

    uid: str
    category_option_combo: str | None = None
    attribute_option_combo: str | None = None


@dataclass(frozen=True, slots=True)
class DataMapping:
    """The mapping for one period type. ``org_units`` is by city id, ``data_elements`` by measure, as in the file."""

    name: str
    period_type: PeriodType
    data_set: str | None
    org_units: dict[str, str]
    data_elements: dict[str, DataElement]

    def check(self, cities: Iterable[str], measures: Iterable[str]) -> None:
        """Raise UserError with each mapped city or measure that there is not."""
        known_cities, known_measures = set(cities), set(measures)
        problems = [
            f"[org_units]: the city list has no city {_reported(city)}"
            for city in self.org_units
            if city not in known_cities
        ]
        problems += [
            f"[{self.period_type}.data_elements]: the {self.period_type} marts have no measure {_reported(measure)}"
            for measure in self.data_elements
            if measure not in known_measures
        ]
        _raise(self.name, problems)


def read(path: Path, period_type: PeriodType | None = None) -> DataMapping:
    """Return the mapping of a file for a period type; the only one that it maps if None.

    Raises UserError with each wrong entry, up to ten, and its reason.
    """
    name = f"mapping {excerpt(path)}"
    document = _document(path, name)
    problems = [
        f"unknown key {_reported(key)}; it has org_units, weekly and monthly"
        for key in document
        if key not in ("org_units", *PERIOD_TYPES)
    ]
    org_units = _uids(_table(document, "org_units", problems), "[org_units]", problems)
    sections = {each: _table(document, each, problems) for each in PERIOD_TYPES if each in document}
    elements = {
        each: _data_elements(_table(section, "data_elements", problems), f"[{each}.data_elements]", problems)
        for each, section in sections.items()
    }
    for each, section in sections.items():
        _check_section(each, section, problems)
    _raise(name, problems)
    problems = _repeated(org_units, "[org_units]", "org unit")
    for each in sections:
        problems += _repeated(elements[each], f"[{each}.data_elements]", "data element")
    _raise(name, problems)
    chosen = _chosen(name, period_type, [each for each in sections if elements[each]])
    if not org_units:
        raise UserError(f"{name}: maps no city; write the UID of an org unit beside a city of [org_units]")
    data_set = sections[chosen].get("data_set") or None
    return DataMapping(name, chosen, data_set, org_units, elements[chosen])


def template(cities: Mapping[str, City], measures: Mapping[PeriodType, Mapping[str, str]]) -> str:
    """Return a mapping file to fill in: every city, and every measure with its description."""
    lines = [
        "# Mapping for `ikirere export dhis2 --mapping`. Write the UIDs of your DHIS2 between the quotes: 11 letters",
        "# and digits, the first a letter. What stays empty is not exported.",
        "",
        "[org_units]",
    ]
    lines += [_entry(city.city_id, f"{city.city}, {city.country}") for city in cities.values()]
    for period_type, described in measures.items():
        lines += [
            "",
            f"[{period_type}]",
            f'data_set = ""  # optional: the {period_type} data set that the data elements below belong to',
            "",
            f"[{period_type}.data_elements]",
            '# with a category: measure = {data_element = "", category_option_combo = "", attribute_option_combo = ""}',
        ]
        lines += [_entry(measure, description) for measure, description in described.items()]
    return "\n".join(lines) + "\n"


def _entry(name: str, description: str) -> str:
    # the ids of cities may have dots, which TOML reads as tables
    key = name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name)
    said = escaped(" ".join(description.split()), keep="")
    return f'{key} = ""{f"  # {said}" if said else ""}'


def _document(path: Path, name: str) -> Json:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(
            f"{name}: cannot be read: {error.strerror}; `ikirere export dhis2 --template FILE` writes one to fill in"
        ) from error
    except UnicodeDecodeError as error:
        raise UserError(f"{name}: is no UTF-8 text (byte {error.start}); save the mapping as UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{name}: is not TOML: {excerpt(error)}; correct the mapping") from error


def _table(parent: Json, key: str, problems: list[str]) -> Json:
    found = parent.get(key, {})
    if isinstance(found, dict):
        return found
    problems.append(f"{key} must be a table of TOML")
    return {}


def _check_section(period_type: str, section: Json, problems: list[str]) -> None:
    problems += [
        f"[{period_type}]: unknown key {_reported(key)}; it has data_set and data_elements"
        for key in section
        if key not in ("data_set", "data_elements")
    ]
    if section.get("data_set", "") != "":
        _check_uid(section["data_set"], f"[{period_type}]: data_set", problems)


def _uids(table: Json, place: str, problems: list[str]) -> dict[str, str]:
    """Return the entries that are filled in."""
    for key, value in table.items():
        if value != "":
            _check_uid(value, f"{place}: {_reported(key)}", problems)
    return {key: value for key, value in table.items() if value != ""}


def _data_elements(table: Json, place: str, problems: list[str]) -> dict[str, DataElement]:
    found = {}
    for measure, value in table.items():
        entry = value if isinstance(value, dict) else {"data_element": value}
        unknown = [key for key in entry if key not in _DATA_ELEMENT_KEYS]
        if unknown:
            allowed = ", ".join(_DATA_ELEMENT_KEYS)
            problems.append(f"{place}: {_reported(measure)}: unknown key {_reported(unknown[0])}; it has {allowed}")
        filled = {key: entry[key] for key in _DATA_ELEMENT_KEYS if entry.get(key, "") != ""}
        if "data_element" not in filled:
            continue
        for key, uid in filled.items():
            _check_uid(uid, f"{place}: {_reported(measure)}: {key}", problems)
        found[measure] = DataElement(
            filled["data_element"], filled.get("category_option_combo"), filled.get("attribute_option_combo")
        )
    return found


def _check_uid(value: object, place: str, problems: list[str]) -> None:
    if not (isinstance(value, str) and _UID.fullmatch(value)):
        problems.append(f"{place}: {_reported(value)} is no UID of DHIS2 (11 letters and digits, the first a letter)")


def _repeated(entries: Mapping[str, object], place: str, what: str) -> list[str]:
    """Return a problem for each two entries whose values DHIS2 could not tell apart."""
    first: dict[object, str] = {}
    problems = []
    for key, value in entries.items():
        other = first.setdefault(value, key)
        if other != key:
            problems.append(
                f"{place}: {_reported(other)} and {_reported(key)} have the same {what}; each needs its own"
            )
    return problems


def _chosen(name: str, wanted: PeriodType | None, mapped: Sequence[PeriodType]) -> PeriodType:
    if wanted and wanted in mapped:
        return wanted
    if wanted or not mapped:
        section = wanted or "weekly"
        raise UserError(
            f"{name}: maps no {f'{wanted} ' if wanted else ''}measure; write the UID of a data element beside a "
            f"measure of [{section}.data_elements]"
        )
    if len(mapped) > 1:
        raise UserError(f"{name}: maps weekly and monthly measures; choose one with --period-type")
    return mapped[0]


def _raise(name: str, problems: Sequence[str]) -> None:
    if problems:
        more = f"; and {len(problems) - _REPORTED_PROBLEMS} more" if len(problems) > _REPORTED_PROBLEMS else ""
        raise UserError(f"{name}: {'; '.join(problems[:_REPORTED_PROBLEMS])}{more}; correct the mapping")


def _reported(value: object) -> str:
    return quoted(value, _REPORTED_LENGTH)

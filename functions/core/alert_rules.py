"""The rules of the weather alerts, from ``data/alert_rules.toml``.

Each table of the file is a rule, by its name. Its keys:

- ``kind``: what its days have. ``heat``: the highest temperature is at least the threshold (°C). ``heavy_rain``: the
  rain of the day and the two before it is more than the threshold (mm). ``dry_spell``: the rain is less than the
  threshold (mm). ``data_missing``: no hour is observed.
- ``threshold``, or ``percentile``: the percentile of the city's own days that ``climate_threshold`` has; then ``years``
  is the least number of whole years that it must be made of. ``data_missing`` has none of them.
- ``days``: so many days in a row make an event.
- ``meaning`` and ``source``: texts for readers.
"""

import math
import re
import tomllib
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from functions.core.errors import InvalidInputError
from functions.core.text import excerpt, quoted

FILE = Path(__file__).parent / "data" / "alert_rules.toml"
# The unit of an event's value and threshold, by kind.
UNITS = {"heat": "°C", "heavy_rain": "mm", "dry_spell": "days", "data_missing": "days"}
# The percentiles that climate_threshold has, by kind.
PERCENTILES = {"heat": 95, "heavy_rain": 99}
# A load reads so many days more on both sides of those that it changes.
LONGEST = 366
_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")


@dataclass(frozen=True, slots=True)
class AlertRule:
    """One rule; ``unit`` is that of the value and the threshold of its events."""

    rule: str
    kind: str
    days: int
    threshold: float | None
    percentile: int | None
    years: int | None
    unit: str
    meaning: str
    source: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@cache
def alert_rules() -> tuple[AlertRule, ...]:
    """Return the rules of the package. Raises InvalidInputError."""
    return parse_rules(FILE.read_text(encoding="utf-8"))


def parse_rules(text: str) -> tuple[AlertRule, ...]:
    """Return the rules of a file, by name. Raises InvalidInputError with the line or the key, and the reason."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidInputError(f"alert rules: no TOML: {excerpt(error)}; correct the file") from error
    return tuple(_rule(name, table) for name, table in sorted(tables.items()))


def _rule(name: str, table: Any) -> AlertRule:
    reason = _defect(name, table)
    if reason:
        raise InvalidInputError(f"alert rules: {excerpt(name)}: {reason}; correct the file")
    return AlertRule(
        rule=name,
        kind=table["kind"],
        days=table["days"],
        threshold=table.get("threshold"),
        percentile=table.get("percentile"),
        years=table.get("years"),
        unit=UNITS[table["kind"]],
        meaning=table["meaning"],
        source=table["source"],
    )


def _defect(name: str, table: Any) -> str | None:
    """Return what is wrong with a rule, or None."""
    if not _NAME.fullmatch(name) or not isinstance(table, dict):
        return "must be a table, its name small letters, digits and _"
    kind = table.get("kind")
    if kind not in UNITS:
        return f"kind {quoted(kind)} must be one of {', '.join(UNITS)}"
    has_percentile = "percentile" in table and kind in PERCENTILES
    needed = {"kind", "days", "meaning", "source"}
    if kind != "data_missing":
        needed |= {"percentile", "years"} if has_percentile else {"threshold"}
    for key in sorted(table.keys() - needed):
        return f"{excerpt(key)} is not a key {'beside percentile' if has_percentile else 'of this kind'}"
    for key in sorted(needed - table.keys()):
        return f"{key} is missing"
    for key in ("meaning", "source"):
        if not isinstance(table[key], str) or not table[key].strip() or excerpt(table[key]) != table[key]:
            return f"{key} must be a text of one line, at most 300 bytes"
    for key in sorted(needed & {"days", "years"}):
        if type(table[key]) is not int or not 1 <= table[key] <= LONGEST:
            return f"{key} {quoted(table[key])} must be a whole number from 1 to {LONGEST}"
    if has_percentile and table["percentile"] != PERCENTILES[kind]:
        return f"percentile {quoted(table['percentile'])} must be {PERCENTILES[kind]}, which climate_threshold has"
    if "threshold" in needed and not _is_number(table["threshold"]):
        return f"threshold {quoted(table['threshold'])} must be a number"
    return None


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)

"""The data dictionary: the meaning, unit and source of every table and column, from ``data/dictionary/TABLE.toml``.

Comments of the warehouse, Metabase's descriptions, ``docs/data-dictionary.md`` and exports repeat it. The handlers of
the pipeline do not import this module.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

DICTIONARY = Path(__file__).parent / "data" / "dictionary"
# What a column has that is no quantity; "1" is the unit of counts, ratios and indices.
KINDS = ("text", "date", "time", "boolean", "code", "JSON")
# The words of Open-Meteo's licence that every copy of the data carries (https://open-meteo.com/en/licence).
CREDIT = (
    "Weather data by Open-Meteo.com (https://open-meteo.com/), CC BY 4.0; "
    "values of a day and longer were computed from its hours."
)


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    ``unit`` is a unit of measurement, or one of ``KINDS`` for what is no quantity. ``standard`` is the name of the same
    measure elsewhere (an index of ETCCDI or ECA&D, a code table), ``source`` the address of its definition; both are
    empty where there is none.
    """

    name: str
    description: str
    unit: str
    standard: str = ""
    source: str = ""

    @property
    def is_quantity(self) -> bool:
        return self.unit not in KINDS

    @property
    def comment(self) -> str:
        """The column in one line: description, unit and name elsewhere."""
        unit = f" Unit: {self.unit}." if self.is_quantity else ""
        return f"{self.description}{unit}{f' {self.standard}.' if self.standard else ''}"


@dataclass(frozen=True, slots=True)
class Table:
    """One table or view.

    ``key`` names the key columns of a view; those of a table are in the schema. ``is_for_readers``: metabase_reader
    reads it.
    """

    name: str
    description: str
    columns: Mapping[str, Column]
    key: tuple[str, ...] = ()
    is_for_readers: bool = True


@cache
def tables() -> dict[str, Table]:
    """Return the tables by name. Raises ValueError with the file and what is wrong with it."""
    return {path.stem: _table(path) for path in sorted(DICTIONARY.glob("*.toml"))}


def _table(path: Path) -> Table:
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
        columns = {name: Column(name, **each) for name, each in found.pop("columns").items()}
        readers, key = found.pop("readers", True), tuple(found.pop("key", ()))
        table = Table(path.stem, found.pop("description"), columns, key, readers)
    except (tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"data dictionary {path.name}: {error!r}") from error
    for what, text in (("description", table.description), *_texts(columns)):
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"data dictionary {path.name}: {what} is empty")
    if unknown := [*found, *(name for name in key if name not in columns)]:
        raise ValueError(f"data dictionary {path.name}: unknown {', '.join(unknown)}")
    return table


def _texts(columns: Mapping[str, Column]) -> list[tuple[str, Any]]:
    return [
        text
        for each in columns.values()
        for text in ((f"description of {each.name}", each.description), (f"unit of {each.name}", each.unit))
    ]

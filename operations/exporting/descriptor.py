"""``datapackage.json``: the Data Package and Table Schema of an export, version 1.

https://specs.frictionlessdata.io/data-package/ and https://specs.frictionlessdata.io/table-schema/ define it; ``unit``,
``standard``, ``source``, ``rows`` and ``runs`` are properties of our own, which they permit.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from functions.core.dictionary import CREDIT
from operations.exporting.copying import TIME_FORMAT
from operations.exporting.selection import Column, Rows, Selection

Json = dict[str, Any]

FILE: Final = "datapackage.json"
# By Postgres's type; any other one (JSON, arrays) is text in a CSV file.
_TYPES: Final = {
    "smallint": "integer",
    "integer": "integer",
    "bigint": "integer",
    "numeric": "number",
    "double precision": "number",
    "boolean": "boolean",
    "date": "date",
    "timestamp with time zone": "datetime",
}
_LICENCE: Final = {
    "name": "CC-BY-4.0",
    "path": "https://creativecommons.org/licenses/by/4.0/",
    "title": "Creative Commons Attribution 4.0",
}


def descriptor(selection: Selection, resources: Sequence[Json], created: datetime, notice: str) -> Json:
    """Return the package of some resources; ``notice`` says which of the weather is not measured."""
    return {
        "profile": "tabular-data-package",
        "name": "ikirere",
        "title": "City weather from Open-Meteo, by Ikirere",
        "description": f"{notice} {CREDIT}".strip(),
        "created": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "licenses": [_LICENCE],
        "sources": [{"title": "Open-Meteo", "path": "https://open-meteo.com/"}],
        "selection": {
            "start": selection.start and selection.start.isoformat(),
            "end": selection.end and selection.end.isoformat(),
            "cities": selection.cities and list(selection.cities),
        },
        "resources": list(resources),
    }


def resource(rows: Rows, path: str, *, count: int, size: int, sha256: str, runs: Sequence[str]) -> Json:
    """Return the description of the CSV file at ``path``; ``runs`` are those that wrote its ``count`` rows."""
    schema: Json = {"fields": [_field(column) for column in rows.columns], "missingValues": [""]}
    if rows.key:
        schema["primaryKey"] = list(rows.key)
    return {
        "profile": "tabular-data-resource",
        "name": rows.table.name,
        "path": path,
        "description": rows.table.description,
        "format": "csv",
        "mediatype": "text/csv",
        "encoding": "utf-8",
        "dialect": {"delimiter": ",", "quoteChar": '"', "doubleQuote": True, "lineTerminator": "\n", "header": True},
        "bytes": size,
        "hash": f"sha256:{sha256}",
        "rows": count,
        "runs": list(runs),
        "schema": schema,
    }


def _field(column: Column) -> Json:
    meaning = column.meaning
    found: Json = {
        "name": column.name,
        "type": _TYPES.get(column.type, "string"),
        "description": meaning.description,
        "unit": meaning.unit,
    }
    if found["type"] == "datetime":
        found["format"] = TIME_FORMAT
    if meaning.standard:
        found["standard"] = meaning.standard
    if meaning.source:
        found["source"] = meaning.source
    if column.is_required:
        found["constraints"] = {"required": True}
    return found

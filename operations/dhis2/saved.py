"""Named exports, in a TOML file that people may edit: what is sent or written again for the newest complete periods."""

import json
import os
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deployment.errors import UserError
from functions.core.text import excerpt, quoted
from operations.dhis2.mapping import PERIOD_TYPES, PeriodType
from operations.exporting.files import new_file

# In the working directory: `ikirere reset` deletes the state folder.
DEFAULT_FILE = "exports.toml"
# Periods that a saved export repeats: the archive completes and corrects weeks for some time.
DEFAULT_LAST = 8
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_KINDS: dict[str, type] = {
    "mapping": str, "period_type": str, "last": int, "with_incomplete": bool, "post": str, "output": str,
}  # fmt: skip
_MOST_PERIODS = 10_000

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SavedExport:
    """A named export: it posts to an address, or writes a file. It has no token."""

    mapping: Path
    period_type: PeriodType | None = None
    last: int = DEFAULT_LAST
    with_incomplete: bool = False
    post: str | None = None
    output: Path | None = None


def save(path: Path, name: str, export: SavedExport) -> None:
    """Add a named export to the file. Raises UserError if it has that name already, StorageError."""
    _check_name(name)
    if name in _exports(path, must_exist=False):
        raise UserError(f"{excerpt(path)}: has an export {quoted(name)} already; edit it there or choose another name")
    entries: dict[str, str | int | None] = {
        "mapping": _relative(export.mapping, path),
        "period_type": export.period_type,
        "last": export.last,
        "with_incomplete": export.with_incomplete or None,
        "post": export.post,
        "output": None if export.output is None else _relative(export.output, path),
    }
    lines = [f"[exports.{name}]", *(f"{key} = {_toml(value)}" for key, value in entries.items() if value is not None)]
    with new_file(path, is_forced=True) as made:
        before = path.read_text(encoding="utf-8").rstrip("\n") + "\n\n" if path.exists() else ""
        made.write_text(before + "\n".join(lines) + "\n", encoding="utf-8")


def find(path: Path, name: str) -> SavedExport:
    """Return the named export of the file; paths in it are relative to the file. Raises UserError."""
    exports = _exports(path, must_exist=True)
    if name not in exports:
        raise UserError(
            f"{excerpt(path)}: has no export {quoted(name)}; it has {excerpt(', '.join(exports)) or 'none'}"
        )
    entry = exports[name]
    place = f"{excerpt(path)}: [exports.{excerpt(name)}]"
    for key, value in entry.items():
        if key not in _KINDS:
            raise UserError(f"{place}: unknown key {quoted(key)}; it has {', '.join(_KINDS)}")
        if type(value) is not _KINDS[key]:
            raise UserError(f"{place}: {key} must be of the type {_KINDS[key].__name__}; correct it there")
    if "mapping" not in entry or ("post" in entry) == ("output" in entry):
        raise UserError(f"{place}: must have a mapping, and either post or output; correct it there")
    if entry.get("period_type", "weekly") not in PERIOD_TYPES:
        raise UserError(f"{place}: period_type must be weekly or monthly; correct it there")
    last = entry.get("last", DEFAULT_LAST)
    if not 0 < last <= _MOST_PERIODS:
        raise UserError(f"{place}: last must be 1 to {_MOST_PERIODS:,} periods; correct it there")
    folder = path.parent
    output = entry.get("output")
    return SavedExport(
        mapping=folder / entry["mapping"],
        period_type=entry.get("period_type"),
        last=last,
        with_incomplete=entry.get("with_incomplete", False),
        post=entry.get("post"),
        output=folder / output if output else None,
    )


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise UserError(
            f"--save {quoted(name)}: must be 1 to 63 letters, digits, '_' or '-', the first a letter or digit"
        )


def _exports(path: Path, *, must_exist: bool) -> dict[str, Json]:
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        if not must_exist:
            return {}
        raise UserError(
            f"{excerpt(path)}: is not there; save an export with --save, or name its file with --exports"
        ) from error
    except OSError as error:
        raise UserError(
            f"{excerpt(path)}: saved exports cannot be read: {error.strerror}; name another file with --exports"
        ) from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{excerpt(path)}: is not TOML: {excerpt(error)}; correct the saved exports there") from error
    exports = found.get("exports", {})
    if not isinstance(exports, dict) or not all(isinstance(each, dict) for each in exports.values()):
        raise UserError(f"{excerpt(path)}: exports must be tables of TOML, [exports.NAME]; correct it there")
    return exports


def _relative(path: Path, file: Path) -> str:
    """The path from the folder of the file: both can be moved together."""
    return os.path.relpath(path.absolute(), file.absolute().parent)


def _toml(value: str | int) -> str:
    """The value in TOML, whose strings in quotes escape as JSON's do but for the character DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")

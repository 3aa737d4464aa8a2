"""The command export: tables of the warehouse as files for other programs."""

from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from pathlib import Path
from typing import Self

from command_line import dhis2, tables
from command_line.parsing import Commands, emulator_of
from command_line.terminal import ProgressLine, write
from operations.exporting.export import (
    DEFAULT_TABLE,
    Export,
    ExportObserver,
    export_package,
    export_table,
    tables_for_readers,
)
from operations.exporting.selection import Selection


def add_commands(commands: Commands) -> None:
    forms = commands.group("export", "write tables of the warehouse to files, for other programs", "FORM")
    for form, summary in (("csv", "write one table as CSV"), ("parquet", "write one table as Parquet")):
        file = forms.add(form, _table, summary)
        file.add_argument("--table", default=DEFAULT_TABLE, metavar="NAME", help=f"default: {DEFAULT_TABLE}")
        file.set_defaults(form=form)
        add_selection(file)
        _add_output(file, "FILE")
    package = forms.add("package", _package, "write tables as a Frictionless Data Package, with their units and credit")
    package.add_argument(
        "--table", action="append", metavar="NAME", help="again for more (default: all that are for readers)"
    )
    add_selection(package)
    _add_output(package, "FOLDER")
    dhis2.add_command(forms)


def add_selection(parser: ArgumentParser) -> None:
    """Add the options that say which rows are exported."""
    parser.add_argument(
        "--start", metavar="YYYY-MM-DD", help="first local day, of periods the first that begins then or later"
    )
    parser.add_argument("--end", metavar="YYYY-MM-DD", help="last local day, of periods the last that begins by then")
    parser.add_argument("--city", action="append", metavar="ID", help="a city, again for more (default: all)")


def _add_output(parser: ArgumentParser, kind: str) -> None:
    parser.add_argument("--output", required=True, metavar=kind, help=f"the {kind.lower()} to write")
    parser.add_argument("--force", action="store_true", help="replace it if it is there already")
    parser.add_argument("--json", action="store_true", help="as one JSON object")


def _table(arguments: Namespace) -> int:
    selection = Selection.of([arguments.table], arguments.start, arguments.end, arguments.city)
    with _Printer() as printer:
        made = export_table(
            emulator_of(arguments),
            arguments.form,
            selection,
            Path(arguments.output),
            printer,
            is_forced=arguments.force,
        )
    return _print(made, as_json=arguments.json)


def _package(arguments: Namespace) -> int:
    chosen = arguments.table or tables_for_readers()
    selection = Selection.of(chosen, arguments.start, arguments.end, arguments.city)
    with _Printer() as printer:
        made = export_package(
            emulator_of(arguments), selection, Path(arguments.output), printer, is_forced=arguments.force
        )
    return _print(made, as_json=arguments.json)


def _print(made: Export, *, as_json: bool) -> int:
    if as_json:
        write(tables.json_object(asdict(made)))
        return 0
    for file in made.files:
        write(
            f"{file.path}: {file.rows:,} row{'' if file.rows == 1 else 's'}, {file.bytes:,} bytes, sha256 {file.sha256}"
        )
    for line in (made.notice, f"Where you show or pass it on: {made.credit}"):
        if line:
            write(line)
    return 0


class _Printer(ExportObserver):
    """Prints the progress, and nothing of it is left at the end."""

    def __init__(self) -> None:
        self._line = ProgressLine()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._line.write("")

    def progress(self, table: str, rows: int) -> None:
        self._line.write(f"{table}: {rows:,} rows")

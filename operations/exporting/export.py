"""Export: one snapshot of the warehouse as a CSV file, a Parquet file or a data package."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from dashboards.warehouse import reading
from emulator.emulator import Emulator
from functions.core.dictionary import CREDIT, tables
from operations import report
from operations.exporting import descriptor
from operations.exporting.csv_files import write_csv
from operations.exporting.files import new_file, new_folder, sha256_of
from operations.exporting.selection import Selection

DEFAULT_TABLE = "mart_daily_city_weather"
# The folder of the tables in a data package.
_DATA = "data"


class ExportObserver:
    """Receives the progress of an export; this one ignores it."""

    def progress(self, table: str, rows: int) -> None:
        """So many rows of a table are written."""


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """One written file: its place, table, number of rows, bytes and SHA-256."""

    path: str
    table: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Export:
    """What an export wrote. ``credit`` is what a copy of the data must carry; ``notice`` says what is not measured."""

    output: str
    files: list[ExportedFile] = field(default_factory=list)
    credit: str = CREDIT
    notice: str = ""


def tables_for_readers() -> list[str]:
    """The tables of a data package, unless others are named."""
    return [table.name for table in tables().values() if table.is_for_readers]


def export_table(
    emulator: Emulator, form: str, selection: Selection, output: Path, observer: ExportObserver, *, is_forced: bool
) -> Export:
    """Write the one table of ``selection`` as ``csv`` or ``parquet`` to the file ``output``.

    Raises UserError, StorageError and psycopg2.Error; then ``output`` is as it was.
    """
    notice = report.notice(emulator)
    with new_file(output, is_forced=is_forced) as made, reading(emulator.reading_url()) as connection:
        (rows,) = selection.rows(connection)
        progress = partial(observer.progress, rows.table.name)
        if form == "csv":
            count = write_csv(connection, rows, made, progress)
        else:
            # not above: it takes a fifth of a second, and no other command needs it
            from operations.exporting.parquet_files import write_parquet

            about = {"title": rows.table.name, "licence": "CC-BY-4.0", "credit": CREDIT, "notice": notice}
            count = write_parquet(connection, rows, made, about, progress)
        file = ExportedFile(str(output), rows.table.name, count, made.stat().st_size, sha256_of(made))
    return Export(str(output), [file], notice=notice)


def export_package(
    emulator: Emulator, selection: Selection, output: Path, observer: ExportObserver, *, is_forced: bool
) -> Export:
    """Write the tables of ``selection`` as a data package to the folder ``output``.

    Raises UserError, StorageError and psycopg2.Error; then ``output`` is as it was.
    """
    made = Export(str(output), notice=report.notice(emulator))
    resources = []
    with (
        new_folder(output, descriptor.FILE, (_DATA, f"{_DATA}/*.csv"), is_forced=is_forced) as folder,
        reading(emulator.reading_url()) as connection,
    ):
        (folder / _DATA).mkdir()
        for rows in selection.rows(connection):
            name = rows.table.name
            path = f"{_DATA}/{name}.csv"
            count = write_csv(connection, rows, folder / path, partial(observer.progress, name))
            size, sha256 = (folder / path).stat().st_size, sha256_of(folder / path)
            made.files.append(ExportedFile(str(output / path), name, count, size, sha256))
            runs = rows.runs(connection)
            resources.append(descriptor.resource(rows, path, count=count, size=size, sha256=sha256, runs=runs))
        package = descriptor.descriptor(selection, resources, datetime.now(UTC), made.notice)
        (folder / descriptor.FILE).write_text(
            json.dumps(package, ensure_ascii=False, indent=2) + "\n", encoding="utf-8", newline="\n"
        )
    return made

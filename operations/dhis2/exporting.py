"""Export to DHIS2: the mapping template, a file with a data value set, and a post that is tried before it is made."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from psycopg2.extensions import connection as Connection  # noqa: N812  # a class that psycopg2 names in lower case

from dashboards.warehouse import reading
from deployment.errors import UserError
from emulator.emulator import Emulator
from operations.dhis2 import mapping as mappings
from operations.dhis2 import values
from operations.dhis2.import_summary import ImportSummary
from operations.dhis2.mapping import PERIOD_TYPES, DataMapping
from operations.dhis2.server import Dhis2
from operations.dhis2.values import DataValue, Selection
from operations.exporting.files import new_file

# Values of one request: about 600 KB, which DHIS2 imports in seconds.
BATCH_VALUES = 5000


@dataclass(frozen=True, slots=True)
class Posted:
    """What a post did. ``imported`` is None if nothing was imported: after a dry run, or one with conflicts."""

    dry_run: ImportSummary
    imported: ImportSummary | None

    @property
    def is_accepted(self) -> bool:
        """Whether DHIS2 refused nothing."""
        return self.dry_run.is_accepted and (self.imported is None or self.imported.is_accepted)


class PostObserver:
    """Receives the progress of a post; this one ignores it."""

    def sent(self, values: int, *, is_dry_run: bool) -> None:
        """Of the dry run, or of the import, so many values were sent."""


def write_template(emulator: Emulator, path: Path, *, is_forced: bool) -> None:
    """Write a mapping file to fill in. Raises UserError without a warehouse, StorageError, psycopg2.Error."""
    with reading(emulator.reading_url()) as connection:
        measures = {each: values.measures(connection, each) for each in PERIOD_TYPES}
    with new_file(path, is_forced=is_forced) as made:
        made.write_text(mappings.template(emulator.cities(), measures), encoding="utf-8")


def write_file(emulator: Emulator, mapping: DataMapping, selection: Selection, path: Path, *, is_forced: bool) -> int:
    """Write the data value set to a file; the number of values. Raises UserError, StorageError, psycopg2.Error."""
    with new_file(path, is_forced=is_forced) as made, made.open("w", encoding="utf-8") as file:
        return write(emulator, mapping, selection, file.write)


def write(emulator: Emulator, mapping: DataMapping, selection: Selection, put: Callable[[str], object]) -> int:
    """Put the data value set as JSON, a line for each value; their number. Raises UserError, psycopg2.Error."""
    count = 0
    with _checked(emulator, mapping) as connection:
        put(f'{{"dataSet": "{mapping.data_set}", "dataValues": [\n' if mapping.data_set else '{"dataValues": [\n')
        end = ""
        for value in values.stream(connection, mapping, selection):
            put(f"{end}{json.dumps(value.document())}")
            count, end = count + 1, ",\n"
        put("\n]}\n")
    return count


def post(
    emulator: Emulator,
    mapping: DataMapping,
    selection: Selection,
    server: Dhis2,
    *,
    only_dry_run: bool = False,
    accepts_partial: bool = False,
    observer: PostObserver | None = None,
) -> Posted:
    """Try the import of all values, and make it if DHIS2 refuses none, or if a part is accepted. Raises UserError.

    Both read one snapshot of the warehouse, so that what is imported was tried.
    """
    observer = observer or PostObserver()
    with _checked(emulator, mapping) as connection:
        send = partial(_send, server, mapping.data_set, observer)
        read = partial(values.stream, connection, mapping, selection)
        dry_run = send(read(), is_dry_run=True)
        if only_dry_run or not dry_run.values or not (dry_run.is_accepted or accepts_partial):
            return Posted(dry_run, None)
        return Posted(dry_run, send(read(), is_dry_run=False))


def _send(
    server: Dhis2, data_set: str | None, observer: PostObserver, found: Iterator[DataValue], *, is_dry_run: bool
) -> ImportSummary:
    summary = ImportSummary()
    for batch in values.batches(found, BATCH_VALUES):
        try:
            document = server.import_values(batch, data_set, is_dry_run=is_dry_run)
        except UserError as error:
            if is_dry_run or not summary.values:
                raise
            raise UserError(
                f"{error}; {summary.values:,} values were sent before, a repeat does not change them"
            ) from error
        summary.add(document, batch, server.said)
        observer.sent(summary.values, is_dry_run=is_dry_run)
    return summary


@contextmanager
def _checked(emulator: Emulator, mapping: DataMapping) -> Iterator[Connection]:
    """A connection to the warehouse, which has the mapped cities and measures. Raises UserError, psycopg2.Error."""
    with reading(emulator.reading_url()) as connection:
        mapping.check(emulator.cities(), values.measures(connection, mapping.period_type))
        yield connection

"""The command export dhis2: data value sets as a file or to a server, the mapping template, and named exports."""

import os
from argparse import Namespace
from dataclasses import asdict, replace
from pathlib import Path

from command_line import tables
from command_line.parsing import Commands, emulator_of, positive
from command_line.terminal import ProgressLine, write, write_bytes
from deployment.errors import UserError
from emulator.emulator import Emulator
from functions.core.text import quoted
from operations import report
from operations.dhis2 import exporting, mapping, saved
from operations.dhis2.exporting import Posted, PostObserver
from operations.dhis2.import_summary import Conflict, ImportSummary
from operations.dhis2.mapping import PERIOD_TYPES, DataMapping
from operations.dhis2.saved import SavedExport
from operations.dhis2.server import TOKEN_VARIABLE, Dhis2
from operations.dhis2.values import Selection
from operations.exporting import selection

_REFUSED = 1
# Conflicts that are printed, and names in each; --json has all of both.
_SHOWN_CONFLICTS, _SHOWN_NAMES = 20, 6
_LINES_AT_A_TIME = 1000


def add_command(forms: Commands) -> None:
    dhis2 = forms.add("dhis2", _dhis2, "write or send DHIS2 data value sets of the weekly or monthly marts")
    what = dhis2.add_mutually_exclusive_group(required=True)
    what.add_argument("--mapping", metavar="FILE", help="org units of the cities and data elements of the measures")
    what.add_argument("--template", metavar="FILE", help="write a mapping to fill in, from the city list")
    what.add_argument("--run", metavar="NAME", help="repeat a saved export for its newest complete periods")
    dhis2.add_argument("--period-type", choices=PERIOD_TYPES, help="needed if the mapping has both")
    dhis2.add_argument("--start", metavar="YYYY-MM-DD", help="no period that begins before (default: all)")
    dhis2.add_argument("--end", metavar="YYYY-MM-DD", help="no period that begins later (default: all)")
    dhis2.add_argument("--last", type=positive, metavar="N", help="only the N newest periods of these")
    dhis2.add_argument(
        "--include-incomplete", action="store_true", help="periods too that have missing or forecast hours"
    )
    dhis2.add_argument("--output", metavar="FILE", help="default: standard output")
    dhis2.add_argument("--force", action="store_true", help="replace a file that is there")
    dhis2.add_argument(
        "--post", metavar="URL", help=f"send to this server with the token in {TOKEN_VARIABLE}; a dry run comes first"
    )
    dhis2.add_argument("--dry-run", action="store_true", help="with --post or --run: import nothing")
    dhis2.add_argument(
        "--accept-partial", action="store_true", help="with --post: import the rest if DHIS2 refuses some values"
    )
    dhis2.add_argument("--save", metavar="NAME", help="save this export for --run, instead of running it")
    dhis2.add_argument(
        "--exports", metavar="FILE", default=saved.DEFAULT_FILE, help=f"saved exports (default: {saved.DEFAULT_FILE})"
    )
    dhis2.add_argument("--json", action="store_true", help="the result as one JSON object")


def _dhis2(arguments: Namespace) -> int:
    _check(arguments)
    if arguments.template is not None:
        exporting.write_template(emulator_of(arguments), Path(arguments.template), is_forced=arguments.force)
        write(f"{arguments.template}: write the UIDs of your DHIS2 between its quotes")
        return 0
    if arguments.run is not None:
        export = saved.find(Path(arguments.exports), arguments.run)
        chosen = Selection(last=export.last, with_incomplete=export.with_incomplete)
        # a saved file is the one of the run before
        return _export(arguments, export, chosen, replaces=True)
    export = SavedExport(
        mapping=Path(arguments.mapping),
        period_type=arguments.period_type,
        last=arguments.last or saved.DEFAULT_LAST,
        with_incomplete=arguments.include_incomplete,
        post=arguments.post,
        output=None if arguments.output is None else Path(arguments.output),
    )
    if arguments.save is not None:
        return _save(arguments, export)
    days = selection.Selection.of([], arguments.start, arguments.end, None)
    chosen = Selection(days.start, days.end, arguments.last, arguments.include_incomplete)
    return _export(arguments, export, chosen, replaces=arguments.force)


def _check(arguments: Namespace) -> None:
    """Raise UserError for options that contradict each other."""
    has_result = arguments.run is not None or ((arguments.post or arguments.output) and arguments.save is None)
    if arguments.json and not has_result:
        raise UserError("--json is for the result of --output or --post: without them standard output has the values")
    choices = ("period_type", "start", "end", "last", "post", "output", "save", "include_incomplete")
    given = any(getattr(arguments, each) for each in choices)
    if arguments.template is not None and (given or arguments.dry_run or arguments.accept_partial):
        raise UserError("--template only writes a mapping to fill in; leave out the other options")
    if arguments.post is not None and arguments.output is not None:
        raise UserError("--post sends the values and --output writes them; give one of both")
    if arguments.mapping is not None and arguments.post is None and (arguments.dry_run or arguments.accept_partial):
        raise UserError("--dry-run and --accept-partial are for a post; add --post URL")
    if arguments.run is not None and given:
        raise UserError(f"--run repeats an export as it is saved; change it in {arguments.exports}")
    if arguments.save is not None and (arguments.start or arguments.end):
        raise UserError("--save is for the newest periods, however many --last says; leave out --start and --end")
    if arguments.save is not None and (arguments.dry_run or arguments.accept_partial):
        raise UserError("--save does not keep --dry-run and --accept-partial; give --dry-run to --run")
    if arguments.save is not None and arguments.post is None and arguments.output is None:
        raise UserError("--save needs --post URL or --output FILE, which the saved export repeats")


def _save(arguments: Namespace, export: SavedExport) -> int:
    period_type = mapping.read(export.mapping, export.period_type).period_type
    if export.output is not None and export.output.exists() and not arguments.force:
        raise UserError(
            f"export: {export.output} is there already, and --run would replace it; name another --output, or permit "
            "it with --force"
        )
    if export.post is not None:
        # checks the address only: the token is not saved, and may be missing now
        Dhis2(export.post, "unused")
    saved.save(Path(arguments.exports), arguments.save, replace(export, period_type=period_type))
    write(f"saved in {arguments.exports}; repeat it with: ikirere export dhis2 --run {arguments.save}")
    return 0


def _export(arguments: Namespace, export: SavedExport, chosen: Selection, *, replaces: bool) -> int:
    emulator = emulator_of(arguments)
    mapped = mapping.read(export.mapping, export.period_type)
    # standard output may be the values
    if notice := report.notice(emulator):
        write(notice, error=True)
    if export.post is not None:
        posted = exporting.post(
            emulator,
            mapped,
            chosen,
            Dhis2(export.post, os.environ.get(TOKEN_VARIABLE)),
            only_dry_run=arguments.dry_run,
            accepts_partial=arguments.accept_partial,
            observer=_PostPrinter(),
        )
        _print_posted(posted, as_json=arguments.json)
        return 0 if posted.is_accepted else _REFUSED
    if arguments.dry_run or arguments.accept_partial:
        raise UserError(f"--dry-run and --accept-partial are for a post, and {quoted(arguments.run)} writes a file")
    if export.output is None:
        _print_values(emulator, mapped, chosen)
        return 0
    values = exporting.write_file(emulator, mapped, chosen, export.output, is_forced=replaces)
    if arguments.json:
        write(tables.json_object({"file": str(export.output), "values": values}))
    else:
        write(f"{export.output}: {_count(values, 'value')}")
    return 0


def _print_values(emulator: Emulator, mapped: DataMapping, chosen: Selection) -> None:
    """Write the data value set to standard output, in pieces of some size."""
    lines: list[str] = []

    def put(line: str) -> None:
        lines.append(line)
        if len(lines) == _LINES_AT_A_TIME:
            write_bytes("".join(lines).encode())
            lines.clear()

    exporting.write(emulator, mapped, chosen, put)
    write_bytes("".join(lines).encode())


def _print_posted(posted: Posted, *, as_json: bool) -> None:
    if as_json:
        made = {"dry_run": _json(posted.dry_run), "imported": posted.imported and _json(posted.imported)}
        write(tables.json_object({**made, "is_accepted": posted.is_accepted}))
        return
    if not posted.dry_run.values:
        write("no complete period with a value: nothing to send")
        return
    _print_summary("dry run", posted.dry_run)
    if posted.imported is not None:
        _print_summary("import", posted.imported)
    elif not posted.is_accepted:
        write("Nothing was imported: correct what DHIS2 refuses, or import the rest with --accept-partial.")


def _print_summary(what: str, summary: ImportSummary) -> None:
    write(
        f"{what}: {_count(summary.values, 'value')}: {summary.imported:,} imported, {summary.updated:,} updated, "
        f"{summary.ignored:,} ignored, {summary.deleted:,} deleted"
    )
    unchanged = summary.ignored - summary.refused
    if unchanged > 0:
        write(f"  {_count(unchanged, 'value')} unchanged: ignored because DHIS2 has it already")
    if summary.not_counted:
        write(f"  {_count(summary.not_counted, 'zero')} not stored: the data element needs 'Store zero data values'")
    if summary.refused:
        write(f"  refused: {_count(summary.refused, 'value')}")
    conflicts = list(summary.conflicts.values())
    for conflict in conflicts[:_SHOWN_CONFLICTS]:
        write(f"  {_names(conflict)}{conflict.reason}")
    more = len(conflicts) - _SHOWN_CONFLICTS + summary.conflicts_not_listed
    if more > 0:
        write(f"  and {more:,} more conflicts: --json lists them")


def _names(conflict: Conflict) -> str:
    parts = [_few(list(part)) for part in (conflict.cities, conflict.measures, conflict.periods) if part]
    if not parts and conflict.values:
        parts = [_count(conflict.values, "value")]
    return f"{'; '.join(parts)}: " if parts else ""


def _few(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN_NAMES:,} more" if len(names) > _SHOWN_NAMES else ""
    return f"{', '.join(names[:_SHOWN_NAMES])}{more}"


def _json(summary: ImportSummary) -> dict[str, object]:
    made = asdict(summary)
    made["conflicts"] = [
        {key: list(value) if isinstance(value, dict) else value for key, value in each.items()}
        for each in made["conflicts"].values()
    ]
    return made


class _PostPrinter(PostObserver):
    def __init__(self) -> None:
        self._line = ProgressLine()

    def sent(self, values: int, *, is_dry_run: bool) -> None:
        self._line.write(f"{'dry run' if is_dry_run else 'import'}: {_count(values, 'value')} sent")


def _count(number: int, one: str) -> str:
    return f"{number:,} {one}{'' if number == 1 else 's'}"

"""The commands that read the warehouse: sql, report."""

import webbrowser
from argparse import Namespace
from pathlib import Path

from command_line import tables
from command_line.parsing import Commands, emulator_of
from command_line.terminal import write, write_bytes
from deployment.errors import UserError
from functions.core.storage import csv_text
from operations import marts, report


def add_commands(commands: Commands) -> None:
    sql = commands.add("sql", _sql, "query the warehouse; reads only")
    sql.add_argument("statement", help='such as "SELECT * FROM mart_city_weather_summary"')
    form = sql.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="as a JSON list")
    form.add_argument("--csv", action="store_true", help="as CSV")

    html = commands.add("report", _report, "write the HTML report of the mart")
    html.add_argument("--output", metavar="FILE", help="default: report.html in the state folder")
    html.add_argument("--open", action="store_true", help="open it in a browser")


def _sql(arguments: Namespace) -> int:
    columns, rows = marts.query_result(emulator_of(arguments), arguments.statement)
    if arguments.json:
        if len(set(columns)) < len(columns):
            raise UserError(f"--json: columns of one name ({', '.join(columns)}); name them with AS")
        write(tables.json_text([dict(zip(columns, row, strict=True)) for row in rows]))
    elif arguments.csv:
        write_bytes(csv_text([columns, *rows]).encode(errors="backslashreplace"))
    elif rows:
        tables.print_result_set(columns, rows)
        write(f"{len(rows)} row{'' if len(rows) == 1 else 's'}")
    else:
        write("no rows")
    return 0


def _report(arguments: Namespace) -> int:
    path = report.write(emulator_of(arguments), Path(arguments.output) if arguments.output else None)
    write(path)
    if arguments.open:
        webbrowser.open(path.absolute().as_uri())
    return 0

"""The command export: tables of the warehouse as files for other programs."""

from argparse import ArgumentParser, Namespace

from command_line import dhis2
from command_line.parsing import Commands
from deployment.errors import UserError


def add_commands(commands: Commands) -> None:
    forms = commands.group("export", "write tables of the warehouse to files, for other programs", "FORM")
    add_selection(forms.add("csv", _export, "write one table as CSV"))
    add_selection(forms.add("parquet", _export, "write one table as Parquet"))
    add_selection(forms.add("package", _export, "write tables as a Frictionless Data Package, with units and credit"))
    dhis2.add_command(forms)


def add_selection(parser: ArgumentParser) -> None:
    """Add the options that say which rows are exported, and how the result is printed."""
    parser.add_argument("--start", metavar="YYYY-MM-DD", help="first day (default: all)")
    parser.add_argument("--end", metavar="YYYY-MM-DD", help="last day (default: all)")
    parser.add_argument("--city", action="append", metavar="ID", help="a city, again for more (default: all)")
    parser.add_argument("--json", action="store_true", help="as one JSON object")


def _export(_arguments: Namespace) -> int:
    raise UserError("export: not here yet")

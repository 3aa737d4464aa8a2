"""Parts that several commands share: the list of commands, groups of options, argument types."""

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable
from typing import Any, NoReturn

from emulator.emulator import Emulator
from emulator.state import State
from emulator.weather import CHOICES
from functions.core.text import excerpt, quoted

_MAX_DIGITS = 8
_REPORTED_LENGTH = 100
# A command takes its parsed arguments and returns an exit code.
Command = Callable[[Namespace], int]


class Parser(ArgumentParser):
    """A parser whose messages repeat an excerpt of a wrong argument; argparse itself repeats all of it."""

    def error(self, message: str) -> NoReturn:
        super().error(excerpt(message))


class Commands:
    """The commands of a parser, to which each group of commands adds its own."""

    def __init__(self, parser: ArgumentParser, metavar: str = "COMMAND") -> None:
        self._parsers: Any = parser.add_subparsers(title=f"{metavar.lower()}s", metavar=metavar, required=True)

    def add(self, name: str, run: Command, summary: str) -> ArgumentParser:
        """Add a command; its parser."""
        description = f"{summary[0].upper()}{summary[1:]}."
        parser: ArgumentParser = self._parsers.add_parser(name, help=summary, description=description)
        parser.set_defaults(command=run)
        return parser

    def group(self, name: str, summary: str, metavar: str) -> "Commands":
        """Add a command that only has commands of its own, which ``metavar`` calls; these."""
        parser: ArgumentParser = self._parsers.add_parser(
            name, help=summary, description=f"{summary[0].upper()}{summary[1:]}."
        )
        return Commands(parser, metavar)


def emulator_of(arguments: Namespace) -> Emulator:
    """The emulator of the state folder that the arguments name."""
    return Emulator(State.find(arguments.state))


def add_state_option(parser: ArgumentParser) -> None:
    parser.add_argument("--state", metavar="FOLDER", help="the state folder (default: .ikirere, or IKIRERE_HOME)")


def add_weather_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--weather",
        metavar="SOURCE",
        help=f"{CHOICES}; stored until changed. The first is auto: live where Open-Meteo can be reached, else recorded",
    )
    parser.add_argument(
        "--cities", metavar="FILE", help="a city list instead of functions/core/data/cities.csv; stored until changed"
    )


def add_waiting_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--timeout", type=positive, default=3600, metavar="SECONDS", help="how long to wait (default: 3600)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")


def port(text: str) -> int:
    """A port number. Raises ArgumentTypeError."""
    if not (text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS and 0 < int(text) < 65536):
        raise ArgumentTypeError(f"{_reported(text)} is not a port number (1 to 65535)")
    return int(text)


def positive(text: str) -> int:
    """A whole number above 0. Raises ArgumentTypeError."""
    if not (text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS and int(text)):
        raise ArgumentTypeError(f"{_reported(text)} is not a whole number above 0 of at most {_MAX_DIGITS} digits")
    return int(text)


def _reported(text: str) -> str:
    return quoted(text, _REPORTED_LENGTH)

"""The command ``ikirere``: its parser, and its exit codes.

0 succeeded, 1 the run failed, a file cannot be written or what was compared is not equal, 2 wrong usage or an
environment that does not let it work, 130 interrupted.
"""

import argparse
import sys
from collections.abc import Sequence
from contextlib import suppress

from botocore.exceptions import BotoCoreError, ClientError
from psycopg2 import Error as DatabaseError

from command_line import backfills, data, exports, inspection, runs, services
from command_line.parsing import Commands, Parser, add_state_option
from command_line.terminal import give_up, write
from deployment.errors import StorageError, UserError, failure_of
from functions.core.text import LINES, MESSAGE_LENGTH, excerpt, quoted

_USAGE, _INTERRUPTED = 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    made = parser()
    given = sys.argv[1:] if arguments is None else arguments
    if strange := [argument for argument in given if any(map(_is_surrogate, argument))]:
        made.error(f"{quoted(strange[0])} is not UTF-8 text")
    parsed = made.parse_args(given)
    try:
        return _exit_code(parsed)
    except KeyboardInterrupt:
        write("\nikirere: interrupted; what runs goes on (`ikirere history`, `ikirere down`)", error=True)
        return _INTERRUPTED
    except BrokenPipeError:
        give_up()
        return _USAGE
    except OSError as error:
        # of standard output: what a command writes elsewhere is a StorageError with its place
        where = error.filename or "the output"
        with suppress(OSError):
            write(f"ikirere: {StorageError.of(where, error)}", error=True)
        give_up()
        return StorageError.exit_code


def _is_surrogate(character: str) -> bool:
    """Return whether it stands for a byte of an argument that is not UTF-8."""
    return "\ud800" <= character <= "\udfff"


def _exit_code(parsed: argparse.Namespace) -> int:
    """Run one command and report its error. Raises OSError, KeyboardInterrupt."""
    try:
        return int(parsed.command(parsed))
    except UserError as error:
        failure = error
    except DatabaseError as error:
        failure = failure_of("database", excerpt(str(error).strip(), MESSAGE_LENGTH, keep=LINES))
    except (BotoCoreError, ClientError) as error:
        failure = failure_of("AWS services", f"{excerpt(error)}; `ikirere up` repairs what does not run")
    write(f"ikirere: {failure}", error=True)
    return failure.exit_code


def parser() -> argparse.ArgumentParser:
    """The parser of every command."""
    made = Parser(
        prog="ikirere",
        description="The weather pipeline on this machine: the real template, functions and state machine, "
        "with no Docker and no account.",
        epilog="Exit codes: 0 succeeded, 1 the run failed, a file cannot be written or what was compared is not equal, "
        "2 wrong usage or an "
        "environment that does not let it work, 130 interrupted. "
        "All state is in .ikirere/ and survives `ikirere down`. A Postgres of your own: set DATABASE_URL.",
    )
    add_state_option(made)
    commands = Commands(made)
    for group in (services, runs, backfills, inspection, data, exports):
        group.add_commands(commands)
    return made

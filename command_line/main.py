"""The command ``ikirere``: its parser, and its exit codes.

0 succeeded, 1 the run failed or what was compared is not equal, 2 wrong usage or an environment that does not let it
work, 130 interrupted.
"""

import argparse
import sys
from collections.abc import Sequence

from botocore.exceptions import BotoCoreError, ClientError
from psycopg2 import Error as DatabaseError

from command_line import backfills, data, inspection, runs, services
from command_line.parsing import Commands, add_state_option
from deployment.errors import UserError

_USAGE, _INTERRUPTED = 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    parsed = parser().parse_args(arguments)
    try:
        return int(parsed.command(parsed))
    except UserError as error:
        print(f"ikirere: {error}", file=sys.stderr)
    except DatabaseError as error:
        print(f"ikirere: database: {str(error).strip()}", file=sys.stderr)
    except (BotoCoreError, ClientError) as error:
        print(f"ikirere: AWS services: {error}; `ikirere up` repairs what does not run", file=sys.stderr)
    except KeyboardInterrupt:
        print("\nikirere: interrupted; what runs goes on (`ikirere history`, `ikirere down`)", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
    return _USAGE


def parser() -> argparse.ArgumentParser:
    """The parser of every command."""
    made = argparse.ArgumentParser(
        prog="ikirere",
        description="The weather pipeline on this machine: the real template, functions and state machine, "
        "with no Docker and no account.",
        epilog="Exit codes: 0 succeeded, 1 the run failed or what was compared is not equal, 2 wrong usage or an "
        "environment that does not let it work, 130 interrupted. "
        "All state is in .ikirere/ and survives `ikirere down`. A Postgres of your own: set DATABASE_URL.",
    )
    add_state_option(made)
    commands = Commands(made)
    for group in (services, runs, backfills, inspection, data):
        group.add_commands(commands)
    return made

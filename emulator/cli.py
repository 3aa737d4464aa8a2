"""The command line ``ikirere``: what can be asked, and the exit codes.

0 succeeded, 1 the run failed, 2 wrong usage or an environment that does not let it work.
"""

import argparse
import sys
from collections.abc import Callable, Sequence

from botocore.exceptions import BotoCoreError, ClientError
from psycopg2 import Error as DatabaseError

from emulator import commands, inspection
from emulator.logs import FUNCTIONS
from emulator.refusal import RefusalError
from emulator.weather import CHOICES

USAGE = 2
_MOST_DIGITS = 8


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    parsed = _parser().parse_args(arguments)
    try:
        return int(parsed.command(parsed))
    except RefusalError as error:
        print(f"ikirere: {error}", file=sys.stderr)
    except DatabaseError as error:
        print(f"ikirere: database: {str(error).strip()}", file=sys.stderr)
    except (BotoCoreError, ClientError) as error:
        print(f"ikirere: AWS services: {error}; `ikirere up` repairs what does not run", file=sys.stderr)
    except KeyboardInterrupt:
        print("\nikirere: interrupted; what runs goes on (`ikirere history`, `ikirere down`)", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
    return USAGE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ikirere",
        description="The weather pipeline on this machine: the real template, functions and state machine, "
        "with no Docker and no account.",
        epilog="Exit codes: 0 succeeded, 1 the run failed, 2 wrong usage or an environment that does not let it work, "
        "130 interrupted. "
        "Everything it keeps lies in .ikirere/ and survives `ikirere down`. A Postgres of your own: set DATABASE_URL.",
    )
    parser.add_argument(
        "--state", metavar="FOLDER", help="where to keep everything (default: .ikirere, or IKIRERE_HOME)"
    )
    commands_of = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, run: Callable[[argparse.Namespace], int], summary: str) -> argparse.ArgumentParser:
        made = commands_of.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        made.set_defaults(command=run)
        return made

    up = command("up", commands.up, "start, repair and deploy; does nothing when all is well")
    _add_world(up)
    up.add_argument(
        "--schedule", metavar="WHEN", help='"rate(1 minute)", "cron(0 4 * * ? *)" (UTC) or off; kept until changed'
    )
    up.add_argument("--port", type=_port, help="of the AWS endpoint (default: 4566 if free, else a free one)")
    up.add_argument("--postgres-port", type=_port, help="of Postgres (default: 54320 if free, else a free one)")

    run = command("run", commands.run, "run the pipeline and show the mart; starts what is not up")
    _add_world(run)
    run.add_argument(
        "--source", choices=("forecast", "archive"), help="which of Open-Meteo's hosts (default: forecast)"
    )
    run.add_argument("--start", metavar="YYYY-MM-DD", help="first UTC day (default: two days ago)")
    run.add_argument("--end", metavar="YYYY-MM-DD", help="last UTC day (default: tomorrow)")
    run.add_argument("--city", action="append", metavar="ID", help="a city of the list, again for more (default: all)")
    run.add_argument(
        "--variable", action="append", metavar="NAME", help="an hourly variable, again for more (default: all)"
    )
    run.add_argument("--run-id", metavar="ID", help="default: the execution's name")
    run.add_argument("--event", metavar="JSON", help="the whole pipeline event as JSON, instead of the options above")
    _add_waiting(run)

    replay = command(
        "replay", commands.replay, "run a run again from the answers it kept; asks only for what it has no answer to"
    )
    replay.add_argument("--run", required=True, metavar="ID", help="a run of `ikirere history`")
    _add_waiting(replay)

    status = command("status", inspection.status, "what runs, and where")
    status.add_argument("--json", action="store_true", help="as one JSON object")

    history = command("history", inspection.history, "the latest runs, newest first, scheduled ones included")
    history.add_argument("-n", type=_positive, default=20, metavar="N", help="how many (default: 20)")
    history.add_argument("--json", action="store_true", help="as a JSON list")

    logs = command("logs", inspection.logs, "what the functions logged")
    logs.add_argument("--run", metavar="ID", help="only this run")
    logs.add_argument("--function", choices=FUNCTIONS, help="only this function")
    logs.add_argument("--follow", action="store_true", help="go on until interrupted")

    invoke = command("invoke", commands.invoke, "call one function and print its answer")
    invoke.add_argument("function", choices=FUNCTIONS)
    invoke.add_argument(
        "--event", default="{}", metavar="JSON", help="JSON, @FILE, or - for standard input (default: {})"
    )

    show = command("show", inspection.show, "look at a run, the mart, the rejected rows, or a raw answer")
    show.add_argument(
        "what", choices=("run", "mart", "summary", "rejected", "raw"), nargs="?", default="run", help="default: run"
    )
    show.add_argument("key", nargs="?", help="of a raw answer (show raw KEY)")
    show.add_argument("--run", metavar="ID", help="of this run (default: the latest)")
    show.add_argument("--city", metavar="ID", help="of this city")

    query = command("sql", inspection.sql, "ask the warehouse; reads only")
    query.add_argument("statement", help='such as "SELECT * FROM mart_city_weather_summary"')
    form = query.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="as a JSON list")
    form.add_argument("--csv", action="store_true", help="as CSV")

    report = command("report", inspection.report, "write the HTML report of the mart")
    report.add_argument("--output", metavar="FILE", help="default: report.html in the state folder")
    report.add_argument("--open", action="store_true", help="open it in a browser")

    command("down", commands.down, "stop everything; what it keeps stays")
    reset = command(
        "reset", commands.reset, "stop everything and delete all that is kept: warehouse, answers, settings"
    )
    reset.add_argument("--yes", action="store_true", help="do not ask")
    return parser


def _add_world(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--weather",
        metavar="SOURCE",
        help=f"{CHOICES}; kept until changed. The first is auto: live where Open-Meteo can be reached, else recorded",
    )
    parser.add_argument(
        "--cities", metavar="FILE", help="a city list instead of functions/core/data/cities.csv; kept until changed"
    )


def _add_waiting(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--timeout", type=_positive, default=3600, metavar="SECONDS", help="how long to wait (default: 3600)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is no port (1 to 65535)")
    return int(text)


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0 of at most {_MOST_DIGITS} digits")
    return int(text)

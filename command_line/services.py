"""The commands that start, stop and describe the emulator: up, down, reset, status."""

import json
import sys
from argparse import Namespace
from collections.abc import Callable

from command_line.parsing import Commands, add_weather_options, emulator_of, port
from command_line.terminal import write, write_over
from deployment.errors import UserError
from emulator.emulator import Emulator, Options
from emulator.warehouse import without_password
from functions.core.text import excerpt


def add_commands(commands: Commands) -> None:
    up = commands.add("up", _up, "start, repair and deploy; does nothing when all is well")
    add_weather_options(up)
    up.add_argument(
        "--schedule", metavar="WHEN", help='"rate(1 minute)", "cron(0 4 * * ? *)" (UTC) or off; stored until changed'
    )
    up.add_argument("--port", type=port, help="of the AWS endpoint (default: 4566 if free, else a free one)")
    up.add_argument("--postgres-port", type=port, help="of Postgres (default: 54320 if free, else a free one)")
    status = commands.add("status", _status, "list the services and their addresses")
    status.add_argument("--json", action="store_true", help="as one JSON object")
    commands.add("down", _down, "stop everything; the state folder remains")
    reset = commands.add("reset", _reset, "stop everything and delete the state: warehouse, raw objects, settings")
    reset.add_argument("--yes", action="store_true", help="do not ask")


def _up(arguments: Namespace) -> int:
    emulator = emulator_of(arguments)
    options = Options(
        weather=arguments.weather,
        cities=arguments.cities,
        schedule=arguments.schedule,
        port=arguments.port,
        postgres_port=arguments.postgres_port,
    )
    source = emulator.up(options, startup_line())
    write(f"Up. Weather: {source.notice}.")
    _print_status(emulator)
    return 0


def _status(arguments: Namespace) -> int:
    emulator = emulator_of(arguments)
    if arguments.json:
        write(json.dumps(emulator.status(), indent=2))
    else:
        _print_status(emulator)
    return 0


def _down(arguments: Namespace) -> int:
    emulator = emulator_of(arguments)
    if emulator.state.exists:
        emulator.down()
        write("Down. The state is still there: `ikirere up` goes on with it.")
    else:
        write(f"Nothing runs: there is no state in {emulator.state.folder}.")
    return 0


def _reset(arguments: Namespace) -> int:
    emulator = emulator_of(arguments)
    folder = emulator.state.folder
    if not emulator.state.exists:
        # Never delete a folder that is not the emulator's own.
        write(f"There is no state in {folder}.")
        return 0
    if not arguments.yes:
        if not sys.stdin.isatty():
            raise UserError(f"reset deletes everything in {folder}; repeat with --yes")
        if input(f"Delete everything in {excerpt(folder)}, the warehouse too? [y/N] ").strip().lower() not in (
            "y",
            "yes",
        ):
            return 0
    emulator.down()
    emulator.state.delete()
    write(f"Deleted {folder}.")
    return 0


def startup_line() -> Callable[[str], None]:
    """A printer of the services that start, on one line that is wiped at the end; silent where nobody watches."""
    if not sys.stderr.isatty():
        return lambda _: None
    return lambda text: write_over(f"Starting: {text}", error=True, end="\r")


def _print_status(emulator: Emulator) -> None:
    status = emulator.status()
    status["services"] = ", ".join(
        f"{name} {f'(pid {pid})' if pid else 'is down'}"
        for name, pid in status["services"].items()
        if name != "open-meteo" or emulator.uses_stand_in
    )
    if url := status["database_url"]:
        status["database_url"] = f"{without_password(url)}  (with its password: ikirere status --json)"
    for key, value in status.items():
        write(f"{key:17} {'-' if value is None else value}")

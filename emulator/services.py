"""The emulator as a whole: what runs, in which order it starts, how it ends."""

import os
import re
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg2

from emulator import deploy, processes, weather
from emulator.cloud import Cloud
from emulator.database import said, shown
from emulator.openmeteo.weather import RECORDED_END, RECORDED_START
from emulator.postgres import Postgres
from emulator.refusal import RefusalError
from emulator.state import State
from emulator.weather import Weather
from functions.core.cities import CITY_LIST, City, load_cities
from functions.core.errors import InvalidInputError, LoadError, TransientError
from functions.model.database import checked_address
from functions.model.logins import set_passwords
from functions.model.migrations import migrate

_DATABASE_SECONDS = 5
_OFF = "off"
# Whom the commands that only look sign in as.
_INSPECTOR = "ikirere_inspector"
# What EventBridge Scheduler takes: https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
_RATE = re.compile(r"rate\((1 (minute|hour|day)|([2-9]|[1-9]\d+) (minutes|hours|days))\)")
_CRON = re.compile(r"cron\((\S+) (\S+) (\S+) (\S+) (\S+) (\S+)\)")
_CRON_FIELD = re.compile(r"[\d,*/?LW#A-Z-]+")
# the largest number of each field: minutes, hours, day of month, month, day of week, year
_CRON_MOST = (59, 23, 31, 12, 7, 2199)

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Options:
    """What ``up`` and ``run`` can be told; None leaves what was told before."""

    weather: str | None = None
    cities: str | None = None
    schedule: str | None = None
    port: int | None = None
    postgres_port: int | None = None


class Emulator:
    """Postgres, ministack and the stand-in of one state folder, with the template deployed."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.cloud = Cloud(state)
        self.postgres = Postgres(state)

    def up(self, options: Options, say: Say = lambda _: None) -> Weather:
        """Start what is not running, repair what broke, deploy what changed.

        Options are checked first and kept for the next time. Raises RefusalError; what had started goes on running.
        """
        self.check(options)
        with self.state.lock():
            self._check_ports(options)
            settings = self.state.remember(
                **{
                    name: value
                    for name, value in (
                        ("weather", options.weather),
                        ("cities", options.cities and str(Path(options.cities).absolute())),
                        ("schedule", options.schedule),
                    )
                    if value is not None
                }
            )
            # a server that is not the one that was noted down would be in the way of the new one
            processes.stop_strays(self.state)
            say("Postgres ...")
            loader_url = self._warehouse(options.postgres_port)
            say("AWS services ...")
            self.cloud.start(options.port)
            say("weather ...")
            source = weather.resolve(self.state, settings.get("weather", "auto"))
            self.state.remember(weather_now={"kind": source.kind, "notice": source.notice, "url": source.forecast_url})
            say("template ...")
            deploy.deploy(self.cloud, self.state, self._parameters(source, settings), loader_url, self.city_list())
        return source

    def check(self, options: Options) -> None:
        """Refuse wrong options before anything is started or written."""
        if options.weather is not None:
            weather.check(options.weather)
        if options.schedule not in (None, _OFF) and not _is_schedule(str(options.schedule)):
            raise RefusalError(
                f'--schedule {options.schedule!r}: is none of "rate(1 minute)", "cron(0 4 * * ? *)", off'
            )
        self.cities(options.cities)
        _own_database()

    def _check_ports(self, options: Options) -> None:
        """Refuse a port that somebody else holds before anything is started."""
        for service, wanted, what in (
            ("postgres", options.postgres_port, "Postgres"),
            ("aws", options.port, "AWS endpoint"),
        ):
            if wanted is not None and processes.running(self.state, service) is None:
                processes.choose_port(wanted, wanted, what)

    def down(self) -> None:
        """End everything that runs, children and what killed servers left behind included."""
        with self.state.lock():
            weather.stop(self.state)
            self.cloud.stop()
            self.postgres.stop()
            processes.stop_strays(self.state)

    def status(self) -> dict[str, Any]:
        """What ``ikirere status --json`` prints; addresses that nothing answers at are None."""
        settings = self.state.settings()
        running = {name: processes.running(self.state, name) for name in ("postgres", "aws", "open-meteo")}
        services = {name: process.pid if process else None for name, process in running.items()}
        stack = deploy.outputs(self.cloud) if services["aws"] else {}
        now = settings.get("weather_now", {})
        return {
            "state": str(self.state.folder),
            "services": services,
            "aws_endpoint_url": self.cloud.endpoint if services["aws"] else None,
            "database_url": self.database_url(),
            "raw_bucket": stack.get("RawBucket"),
            "processed_bucket": stack.get("ProcessedBucket"),
            "pipeline_arn": stack.get("PipelineArn"),
            "backfill_arn": stack.get("BackfillArn"),
            "open_meteo_url": now.get("url"),
            "weather": now.get("notice"),
            "schedule": settings.get("schedule", _OFF),
            "cities": str(self.city_list()),
            "report": str(self.report) if self.report.exists() else None,
        }

    def is_up(self) -> bool:
        return self.cloud.answers() and bool(self.database_url()) and bool(deploy.outputs(self.cloud))

    def database_url(self) -> str | None:
        """The owner's address, if there is a database."""
        if own := _own_address():
            return own
        return self.postgres.url() if processes.running(self.state, "postgres") else None

    def reading_url(self) -> str | None:
        """The address of one who may read everything and write nothing; of a database of one's own the owner's."""
        url = self.database_url()
        if url is None or _own_address():
            return url
        return self.postgres.url(_INSPECTOR, self.state.secret(f"{_INSPECTOR}_password"))

    @property
    def report(self) -> Path:
        return self.state.path("report.html")

    def city_list(self) -> Path:
        return Path(self.state.settings().get("cities") or CITY_LIST)

    def cities(self, path: str | None = None) -> dict[str, City]:
        """The city list in use, or the one at ``path``. Raises RefusalError with line and reason."""
        try:
            return load_cities(self.city_list() if path is None else Path(path))
        except InvalidInputError as error:
            raise RefusalError(str(error)) from error

    def _warehouse(self, port: int | None) -> str:
        """Have a migrated database; the address that Model uses."""
        own = _own_database()
        owner = own or self.postgres.start(port)
        try:
            migrate({"dsn": owner})
            return owner if own else self._logins(owner)
        except (LoadError, TransientError) as error:
            raise RefusalError(f"database {shown(owner)}: {error}") from error

    def _logins(self, owner: str) -> str:
        """Let loader, reader and inspector log in to the embedded server; the loader's address."""
        with closing(psycopg2.connect(owner)) as connection, connection, connection.cursor() as cursor:
            cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", (_INSPECTOR,))
            if not cursor.rowcount:
                cursor.execute(f"CREATE ROLE {_INSPECTOR} IN ROLE pg_read_all_data")
        roles = ("ikirere_loader", "metabase_reader", _INSPECTOR)
        passwords = {role: self.state.secret(f"{role}_password") for role in roles}
        set_passwords({"dsn": owner}, passwords)
        return self.postgres.url("ikirere_loader", passwords["ikirere_loader"])

    @staticmethod
    def _parameters(source: Weather, settings: dict[str, Any]) -> dict[str, str]:
        schedule = settings.get("schedule", _OFF)
        window = f'{{"start": "{RECORDED_START}", "end": "{RECORDED_END}"}}' if source.window else "{}"
        return {
            "OpenMeteoForecastUrl": source.forecast_url,
            "OpenMeteoArchiveUrl": source.archive_url,
            "ScheduleState": "DISABLED" if schedule == _OFF else "ENABLED",
            "ScheduleInput": window,
            **({} if schedule == _OFF else {"ScheduleExpression": schedule}),
        }


def _is_schedule(text: str) -> bool:
    if _RATE.fullmatch(text):
        return True
    if cron := _CRON.fullmatch(text):
        return all(
            _CRON_FIELD.fullmatch(field) and all(int(number) <= most for number in re.findall(r"\d+", field))
            for field, most in zip(cron.groups(), _CRON_MOST, strict=True)
        )
    try:
        datetime.strptime(text, "at(%Y-%m-%dT%H:%M:%S)")  # noqa: DTZ007  # UTC, as every schedule
    except ValueError:
        return False
    return True


def _own_address() -> str | None:
    """DATABASE_URL, if it is set. Raises RefusalError, without repeating it, when it is no address."""
    url = os.environ.get("DATABASE_URL")
    try:
        return checked_address(url, "DATABASE_URL") if url else None
    except InvalidInputError as error:
        raise RefusalError(str(error)) from error


def _own_database() -> str | None:
    """DATABASE_URL, if it is set and answers. Raises RefusalError when it does not."""
    url = _own_address()
    if not url:
        return None
    try:
        with closing(psycopg2.connect(url, connect_timeout=_DATABASE_SECONDS)) as connection:
            version = connection.server_version
    except psycopg2.Error as error:
        raise RefusalError(
            f"DATABASE_URL {shown(url)}: does not answer ({said(error)}); start that server, or unset DATABASE_URL "
            "to use the embedded one"
        ) from error
    if version < 150000:
        raise RefusalError(f"DATABASE_URL {shown(url)}: is Postgres {version // 10000}; 15 or later is needed")
    return url

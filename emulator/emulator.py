"""The emulator as a whole: which services it consists of, in which order they start, how they stop."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deployment import stack
from deployment.errors import UserError
from deployment.packages import source_package
from deployment.template import packaged_template
from emulator import processes, schedule, warehouse, weather
from emulator.ministack import Ministack
from emulator.postgres import Postgres
from emulator.state import State
from emulator.weather import Weather
from functions.core.cities import CITY_LIST, City, load_cities
from functions.core.errors import InvalidInputError
from open_meteo_stand_in.weather import RECORDED_END, RECORDED_START

# ministack's Python executor reports every error as Runtime.HandlerError, which no Retry by name matches; with
# AWS's own runtime client in a custom runtime the names are right.
_RUNTIME = "provided.al2023"

Json = dict[str, Any]
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of the emulator that a command can change; None leaves a setting as it is."""

    weather: str | None = None
    cities: str | None = None
    schedule: str | None = None
    parallel: int | None = None
    port: int | None = None
    postgres_port: int | None = None


class Emulator:
    """Postgres, ministack and the stand-in of one state folder, with the template deployed."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.aws = Ministack(state)
        self.postgres = Postgres(state)

    def check(self, options: Options) -> None:
        """Raises UserError for wrong options, before anything is started or written."""
        if options.weather is not None:
            weather.check(options.weather)
        if options.schedule is not None:
            schedule.check(options.schedule)
        self.cities(options.cities)
        warehouse.check_own_database()

    def up(self, options: Options, progress: Progress = lambda _: None) -> Weather:
        """Start what is not running, repair what broke, deploy what changed; the weather in use.

        Options are checked first and stored for the next time. Raises UserError; what had started goes on running.
        """
        self.check(options)
        with self.state.lock():
            self._check_ports(options)
            settings = self._store(options)
            # A process that the settings do not name would hold a port or a folder of the new one.
            processes.stop_strays(self.state)
            progress("Postgres ...")
            loader_url = warehouse.prepare(self.state, self.postgres, options.postgres_port, progress)
            progress("AWS services ...")
            self.aws.start(options.port)
            progress("weather ...")
            source = weather.resolve(self.state, settings.get("weather", "auto"))
            self.state.remember(weather_now={"kind": source.kind, "notice": source.notice, "url": source.forecast_url})
            progress("template ...")
            parameters = _parameters(source, settings.get("schedule", schedule.OFF))
            outputs = self._deploy(parameters, loader_url, settings.get("parallel", 1))
            self.aws.record_interrupted(outputs["PipelineArn"], outputs["RecorderArn"])
        return source

    def down(self) -> None:
        """Stop everything that runs, children and leftovers of killed servers included."""
        with self.state.lock(writes=False):
            weather.stop(self.state)
            self.aws.stop()
            self.postgres.stop()
            processes.stop_strays(self.state)
            self.state.delete_temporary_files()

    def status(self) -> Json:
        """The object that ``ikirere status --json`` prints; the address of a service that is down is None."""
        settings = self.state.settings()
        running = {name: processes.running(self.state, name) for name in ("postgres", "aws", "open-meteo")}
        services = {name: process.pid if process else None for name, process in running.items()}
        outputs = self.outputs() if services["aws"] else {}
        now = settings.get("weather_now", {})
        return {
            "state": str(self.state.folder),
            "services": services,
            "aws_endpoint_url": self.aws.endpoint if services["aws"] else None,
            "database_url": self.database_url(),
            "raw_bucket": outputs.get("RawBucket"),
            "processed_bucket": outputs.get("ProcessedBucket"),
            "pipeline_arn": outputs.get("PipelineArn"),
            "backfill_arn": outputs.get("BackfillArn"),
            "open_meteo_url": now.get("url"),
            "weather": now.get("notice"),
            "schedule": settings.get("schedule", schedule.OFF),
            "cities": str(self.city_list()),
            "report": str(self.report) if self.report.exists() else None,
        }

    def require_up(self) -> None:
        """Raises UserError unless every service runs and the template is deployed."""
        if not (self.aws.is_healthy() and self.database_url() and self.outputs()):
            raise UserError("nothing runs; `ikirere up` starts it with its stored state")

    def outputs(self) -> dict[str, str]:
        """The outputs of the deployed stack; empty when it is not deployed."""
        return stack.outputs(self.aws.client)

    def database_url(self) -> str | None:
        """The owner's address, or None while there is no database."""
        if own := warehouse.own_address():
            return own
        return self.postgres.url() if processes.running(self.state, "postgres") else None

    def reading_url(self) -> str:
        """The address of a role that cannot write. Raises UserError while there is no database."""
        if self.database_url() is None:
            raise UserError("the warehouse does not run; `ikirere up` starts it with its stored state")
        return warehouse.reader_address(self.state, self.postgres)

    @property
    def uses_stand_in(self) -> bool:
        """Whether the weather in use comes from the stand-in."""
        return self.state.settings().get("weather_now", {}).get("kind") in weather.STAND_IN_KINDS

    @property
    def report(self) -> Path:
        """Where the HTML report is written."""
        return self.state.path("report.html")

    def city_list(self) -> Path:
        """The city list in use."""
        return Path(self.state.settings().get("cities") or CITY_LIST)

    def cities(self, path: str | None = None) -> dict[str, City]:
        """The cities of the list in use, or of the list at ``path``. Raises UserError with line and reason."""
        try:
            return load_cities(self.city_list() if path is None else Path(path))
        except InvalidInputError as error:
            raise UserError(str(error)) from error

    def _check_ports(self, options: Options) -> None:
        """Raises UserError for a requested port that another process holds, before anything is started."""
        for service, wanted, what in (
            ("postgres", options.postgres_port, "Postgres"),
            ("aws", options.port, "AWS endpoint"),
        ):
            if wanted is not None and processes.running(self.state, service) is None:
                processes.choose_port(wanted, wanted, what)

    def _store(self, options: Options) -> Json:
        given = {
            "weather": options.weather,
            "cities": options.cities and str(Path(options.cities).absolute()),
            "schedule": options.schedule,
            "parallel": options.parallel,
        }
        return self.state.remember(**{name: value for name, value in given.items() if value is not None})

    def _deploy(self, parameters: Json, loader_url: str, parallel: int) -> dict[str, str]:
        """Bring the stack to the current template, code, city list and parameters; its outputs.

        ministack ignores the path of a Map's concurrency, so the definition has the number itself.
        """
        template, artifacts = packaged_template(source_package, _RUNTIME, parallel)
        cities = self.city_list()
        if cities != CITY_LIST:
            parameters["CitiesUri"] = stack.put_city_list(self.aws.client, cities.read_bytes())
        parameters["DatabaseSecret"] = stack.put_database_secret(self.aws.client, loader_url)
        content = json.dumps([template, parameters], sort_keys=True)
        fingerprint = hashlib.sha256(content.encode()).hexdigest()
        outputs = self.outputs()
        if not outputs or self.state.settings().get("deployed") != fingerprint:
            outputs = stack.apply(self.aws.client, template, artifacts, parameters)
            self.state.remember(deployed=fingerprint)
        stack.adopt_orphaned_buckets(self.aws.client, outputs)
        return outputs


def _parameters(source: Weather, when: str) -> Json:
    """The template's parameters for this weather and schedule.

    The schedules' inputs do not name the scheduled time: ministack does not replace its placeholder. It delivers each
    time once and within seconds, so the day of the start is that of the schedule.
    """
    window = {"start": str(RECORDED_START), "end": str(RECORDED_END)} if source.window else {}
    expressions = {} if when == schedule.OFF else {"ScheduleExpression": when, "ArchiveScheduleExpression": when}
    return {
        "OpenMeteoForecastUrl": source.forecast_url,
        "OpenMeteoArchiveUrl": source.archive_url,
        "ScheduleState": "DISABLED" if when == schedule.OFF else "ENABLED",
        "ScheduleInput": json.dumps(window),
        "ArchiveScheduleInput": json.dumps({"source": "archive", **window}),
        **expressions,
    }

"""The AWS services of the laptop: ministack as a process, and clients that can reach nothing else."""

import json
import os
import sys
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from deployment.errors import UserError, writing
from deployment.stack import REGION, local_client
from deployment.template import ROOT
from emulator import processes
from emulator.state import State

NAME = "aws"
_SERVICE = processes.Service(NAME, "AWS endpoint", "aws_port", 4566)
# The end of the name of the file beside an object's bytes that has its metadata.
_METADATA = ".meta.json"
# The error that ministack gives to an execution that ran when its process ended.
_INTERRUPTED = "States.ServiceRestart"
# The setting that is true from a start until the executions that ran before it have their records.
_MAY_HAVE_INTERRUPTED = "may_have_interrupted"
# Variables of the user's environment that a function needs to reach Open-Meteo from here.
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
              "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")  # fmt: skip


class Ministack:
    """ministack with its state in ``aws/`` of a state folder."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._clients: dict[str, Any] = {}

    def start(self, port: int | None = None) -> None:
        """Start it unless it runs. Raises UserError when it does not start."""
        if self.is_healthy():
            if port is not None and port != self._state.settings().get("aws_port"):
                raise UserError(f"the AWS endpoint is on another port than {port} already; `ikirere down` first")
            return
        processes.stop(self._state, NAME)
        self._clients.clear()
        self._state.remember(**{_MAY_HAVE_INTERRUPTED: True})
        _repair_objects(self._state.path("aws", "s3"))
        processes.start_service(
            self._state,
            _SERVICE,
            port,
            lambda _: [sys.executable, "-m", "emulator.servers.ministack"],
            self._environment,
            ROOT,
            self.is_healthy,
        )

    def stop(self) -> None:
        """Stop it with SIGTERM, after which its state is preserved."""
        processes.stop(self._state, NAME)

    @property
    def endpoint(self) -> str:
        """The address of every service."""
        return f"http://127.0.0.1:{self._state.settings().get(_SERVICE.port_setting, _SERVICE.preferred_port)}"

    def is_healthy(self) -> bool:
        """Whether it runs and responds; another emulator on the same port does not count."""
        if processes.running(self._state, NAME) is None:
            return False
        try:
            with urllib.request.urlopen(f"{self.endpoint}/_ministack/health", timeout=2) as response:  # noqa: S310  # of this module
                return bool(response.status == 200)
        except OSError:
            return False

    def client(self, service: str) -> Any:
        """A boto3 client of this endpoint, made once."""
        if service not in self._clients:
            self._clients[service] = local_client(self.endpoint, service)
        return self._clients[service]

    def record_interrupted(self, machine: str, recorder: str) -> None:
        """Start the recorder for the executions of ``machine`` that ended with an earlier process, and once more for
        each of which the last record ended so too. After the first call that succeeds nothing is done until a start.

        ministack marks them as failed when it starts, and sends no event of that.
        """
        if not self._state.settings().get(_MAY_HAVE_INTERRUPTED):
            return
        events: dict[str, str] = {}
        for ended in self._executions(machine, statusFilter="FAILED"):
            if ended.get("error") == _INTERRUPTED:
                detail = {key: ended.get(key) for key in ("executionArn", "name", "input", "error", "cause")}
                detail |= {"status": "ABORTED", "startDate": ended["startDate"].isoformat()}
                events[ended["executionArn"]] = json.dumps({"detail": detail})
        # the last record of an execution decides
        for record in sorted(self._executions(recorder), key=lambda each: each["startDate"]):
            with suppress(ValueError, KeyError, TypeError):  # it was started by hand
                recorded = json.loads(record["input"])["detail"]["executionArn"]
                if record.get("error") == _INTERRUPTED:
                    events[recorded] = record["input"]
                else:
                    events.pop(recorded, None)
        for event in events.values():
            self.client("stepfunctions").start_execution(stateMachineArn=recorder, input=event)
        self._state.remember(**{_MAY_HAVE_INTERRUPTED: False})

    def _executions(self, machine: str, **options: Any) -> list[Any]:
        """Return the descriptions of a state machine's executions."""
        client = self.client("stepfunctions")
        pages = client.get_paginator("list_executions").paginate(stateMachineArn=machine, **options)
        arns = [each["executionArn"] for page in pages for each in page["executions"]]
        return [client.describe_execution(executionArn=arn) for arn in arns]

    def _environment(self) -> Mapping[str, str]:
        folder = self._state.path("aws")
        with writing(folder):
            for name in ("state", "s3"):
                (folder / name).mkdir(parents=True, exist_ok=True)
        return {
            **{name: os.environ[name] for name in _PASSED_ON if name in os.environ},
            # the default is every interface
            "BIND_HOST": "127.0.0.1",
            # its MQTT listener ignores BIND_HOST and binds to every interface
            "IOT_MTLS_ENABLED": "0",
            "GATEWAY_PORT": str(self._state.settings()[_SERVICE.port_setting]),
            "LAMBDA_EXECUTOR": "local",
            "PERSIST_STATE": "1",
            "STATE_DIR": str(folder / "state"),
            "S3_PERSIST": "1",
            "S3_DATA_DIR": str(folder / "s3"),
            "TMPDIR": str(self._state.path("tmp")),
            "SFN_WAIT_SCALE": os.environ.get("SFN_WAIT_SCALE", "1"),
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
            "IKIRERE_PYTHON": sys.executable,
        }


def _repair_objects(folder: Path) -> None:
    """Repair what a kill leaves between the two files of an object: ministack writes its bytes, then ``.meta.json``.

    Neither write was confirmed to a client. A new object without metadata would make every later run of its key fail,
    so it is deleted. The metadata of a replaced object would not fit its bytes: without size, ETag and checksums
    ministack computes them again.
    """
    # .versions has the bytes of replaced objects, whose metadata is that of the key
    for path in (path for account in folder.glob("[!.]*") for path in account.rglob("*")):
        if path.name.endswith(_METADATA) or not path.is_file():
            continue
        if path.name.endswith(".tmp"):
            path.unlink()
            continue
        metadata = path.with_name(path.name + _METADATA)
        stored = _read_metadata(metadata)
        if stored is None:
            path.unlink()
        elif metadata.stat().st_mtime_ns < path.stat().st_mtime_ns:
            for name in ("size", "etag", "checksums"):
                stored.pop(name, None)
            draft = metadata.with_name(metadata.name + ".tmp")
            draft.write_text(json.dumps(stored))
            draft.replace(metadata)


def _read_metadata(path: Path) -> dict[str, Any] | None:
    """Return None for a file that does not exist or that a power loss left without its content."""
    try:
        stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return stored

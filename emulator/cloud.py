"""The AWS services of the laptop: ministack as a process, and clients that can reach nothing else."""

import os
import sys
import urllib.request
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from emulator import processes
from emulator.refusal import RefusalError
from emulator.stack import REGION, local_client
from emulator.state import ROOT, State

NAME = "aws"
PREFERRED_PORT = 4566
_START_SECONDS = 60
# What a function may need of the user's environment to reach Open-Meteo from here.
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
              "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")  # fmt: skip


class Cloud:
    """ministack with its state in ``aws/`` of a state folder."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._clients: dict[str, Any] = {}

    def start(self, port: int | None = None) -> None:
        """Start it, or find it running. Raises RefusalError when it does not start."""
        if self.answers():
            if port is not None and port != self._state.settings().get("aws_port"):
                raise RefusalError(f"the AWS endpoint is on another port than {port} already; `ikirere down` first")
            return
        processes.stop(self._state, NAME)
        kept = self._state.settings().get("aws_port")
        chosen = processes.choose_port(port, kept or PREFERRED_PORT, "AWS endpoint")
        self._state.remember(aws_port=chosen)
        self.__dict__.pop("endpoint", None)
        self._clients.clear()
        command = [sys.executable, "-m", "ministack"]
        processes.start(self._state, NAME, command, self._environment(), cwd=ROOT)
        alive = lambda: processes.running(self._state, NAME) is not None  # noqa: E731
        if not processes.wait_until(self.answers, _START_SECONDS, alive):
            raise RefusalError(f"ministack did not start:\n{processes.log_tail(self._state, NAME)}")

    def stop(self) -> None:
        """End it; asked nicely it keeps its state."""
        processes.stop(self._state, NAME)

    @cached_property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._state.settings().get('aws_port', PREFERRED_PORT)}"

    def answers(self) -> bool:
        """Whether it runs and answers; another emulator on the same port is not it."""
        if processes.running(self._state, NAME) is None:
            return False
        try:
            with urllib.request.urlopen(f"{self.endpoint}/_ministack/health", timeout=2) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except OSError:
            return False

    def client(self, service: str) -> Any:
        """A boto3 client of this endpoint, made once."""
        if service not in self._clients:
            self._clients[service] = local_client(self.endpoint, service)
        return self._clients[service]

    def _environment(self) -> Mapping[str, str]:
        folder = self._state.path("aws")
        for name in ("state", "s3"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        return {
            **{name: os.environ[name] for name in _PASSED_ON if name in os.environ},
            # the default is every interface
            "BIND_HOST": "127.0.0.1",
            # its MQTT listener binds to every interface whatever BIND_HOST says
            "IOT_MTLS_ENABLED": "0",
            "GATEWAY_PORT": str(self._state.settings()["aws_port"]),
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

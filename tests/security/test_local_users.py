"""Other users of this machine: they read no file of the emulator, sign in nowhere and call none of its services."""

import asyncio
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from pipeline import YESTERDAY

from emulator.processes import MARK
from emulator.servers import ministack as guarded
from emulator.servers.ministack import for_user
from emulator.state import State

_ASK = """
import sys, urllib.error, urllib.request
try:
    urllib.request.urlopen(sys.argv[1], timeout=3)
    print("served")
except urllib.error.HTTPError as error:
    print(error.code, error.read().decode())
except OSError as error:
    print(type(error).__name__)
"""
_NOBODY = 65534
is_linux = pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="only Linux tells the user of a connection")


def servers(pipeline):
    """The processes of the emulator, functions included."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == str(pipeline.emulator.state.folder):
                found.append(process)
        except psutil.Error:
            continue
    assert len(found) > 1
    return found


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_state_folder_that_was_open_to_others_is_closed(tmp_path):
    folder = tmp_path / "state"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    state = State(folder)
    with state.lock():
        state.secret("password")
    assert mode(folder) == 0o700
    assert mode(folder / "settings.json") == 0o600


def test_the_folder_of_an_emulator_is_closed_to_others(pipeline):
    folder = pipeline.emulator.state.folder
    assert mode(folder) == 0o700
    assert mode(folder / "settings.json") == 0o600
    assert mode(folder / "postgres") == 0o700


def test_no_service_listens_beyond_this_machine(pipeline):
    listening = [
        each.laddr for process in servers(pipeline) for each in process.net_connections() if each.status == "LISTEN"
    ]
    assert len({each.port for each in listening}) >= 2
    assert {each.ip for each in listening} == {"127.0.0.1"}


def test_no_command_line_has_a_secret(pipeline):
    settings = pipeline.emulator.state.settings()
    secrets = [value for name, value in settings.items() if name.endswith("password")]
    assert len(secrets) == 4
    for process in servers(pipeline):
        shown = " ".join(process.cmdline())
        assert not [secret for secret in secrets if secret in shown]


async def _served(scope, receive, send):
    await send({"served": True})


def responses(user, scope):
    """What the guarded application sends."""
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(for_user(_served, user)(scope, None, send))
    return sent


@pytest.fixture(params=[socket.AF_INET, socket.AF_INET6])
def connection(request):
    """A client of a local server, which may reach it by its mapped address too, and the scope of its request."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        client = socket.socket(request.param)
        mapped = "::ffff:127.0.0.1" if request.param == socket.AF_INET6 else "127.0.0.1"
        client.connect((mapped, server.getsockname()[1]))
        accepted, _ = server.accept()
        with accepted, client:
            yield client, {"type": "http", "client": accepted.getpeername(), "server": accepted.getsockname()}


@pytest.fixture(params=["asked", "listed"])
def source(request, monkeypatch):
    """Whether the kernel is asked for the socket, or its tables are read where it does not respond."""
    if request.param == "listed":
        monkeypatch.setattr(guarded, "_asked", lambda *_: None)
    else:
        monkeypatch.setattr(guarded, "_listed", lambda *_: None)


@is_linux
@pytest.mark.usefixtures("source")
def test_aws_serves_the_user_who_started_it_and_no_other(connection):
    _, scope = connection
    assert responses(os.geteuid(), scope) == [{"served": True}]
    (start, _) = responses(os.geteuid() + 1, scope)
    assert start["status"] == 403
    assert responses(os.geteuid() + 1, scope | {"type": "websocket"}) == [{"type": "websocket.close", "code": 1008}]
    assert responses(os.geteuid() + 1, {"type": "lifespan"}) == [{"served": True}]


@is_linux
@pytest.mark.usefixtures("source")
@pytest.mark.parametrize("user", [0, os.geteuid()])
def test_a_client_that_has_closed_its_connection_is_nobody(connection, user):
    client, scope = connection
    client.close()
    assert responses(user, scope)[0]["status"] == 403


@is_linux
@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="only root can become another user")
def test_another_user_cannot_call_aws_nor_read_a_file(pipeline, tmp_path):
    def as_nobody(*command):
        done = subprocess.run(
            ["setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups", *command],
            capture_output=True, text=True, cwd="/", check=False,
        )  # fmt: skip
        return done.stdout + done.stderr

    address = f"{pipeline.emulator.aws.endpoint}/_ministack/health"
    python = os.path.realpath(sys.executable)
    as_self = subprocess.run([python, "-c", _ASK, address], capture_output=True, text=True, check=True)
    assert as_self.stdout == "served\n"
    assert as_nobody(python, "-c", _ASK, address).startswith("403 this AWS endpoint serves only the user")
    # the servers that give the functions their events
    assert pipeline.run(**YESTERDAY).execution == "SUCCEEDED"
    aws = psutil.Process(pipeline.emulator.status()["services"]["aws"])
    others = {each.laddr.port for each in aws.net_connections() if each.status == "LISTEN"} - {urlsplit(address).port}
    for port in others:
        events = f"http://127.0.0.1:{port}/2018-06-01/runtime/invocation/next"
        assert as_nobody(python, "-c", _ASK, events).strip() == "RemoteDisconnected"
    assert others
    assert pipeline.run(**YESTERDAY).execution == "SUCCEEDED"
    folder = pipeline.emulator.state.folder
    settings = folder / "settings.json"
    assert json.loads(settings.read_text())["postgres_password"]
    assert "Permission denied" in as_nobody("cat", str(settings))
    assert "Permission denied" in as_nobody("ls", str(folder))

"""``ikirere up``, ``down`` and ``reset``: several at once, killed, on busy ports."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from command import ROOT, CommandLine


@pytest.mark.parametrize("seconds", [0.4, 1.2, 2.5])
def test_up_killed_while_it_starts_is_repaired_by_the_next(ikirere, seconds):
    starting = subprocess.Popen(
        [sys.executable, "-m", "command_line", "up", "--weather", "recorded"],
        cwd=ROOT, env=ikirere.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    time.sleep(seconds)
    starting.send_signal(signal.SIGKILL)
    starting.wait()
    assert ikirere.json("run")["rows_loaded"] == 144
    assert not list((ikirere.state / "tmp").glob("initdb-*"))


def test_down_deletes_the_temporary_files_of_killed_commands_and_servers(tmp_path):
    command = CommandLine(tmp_path / "state")
    (tmp_path / "state" / "tmp" / "initdb-1").mkdir(parents=True)
    (tmp_path / "state" / "settings.json").write_text("{}")
    (tmp_path / "state" / "tmp" / "settings-1.json").write_text("{}")
    command("down")
    assert not list((tmp_path / "state" / "tmp").iterdir())


def test_two_ups_at_once_end_with_one_emulator(ikirere):
    command = [sys.executable, "-m", "command_line", "up", "--weather", "recorded"]
    both = [
        subprocess.Popen(command, cwd=ROOT, env=ikirere.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for _ in range(2)
    ]
    assert [process.wait(timeout=120) for process in both] == [0, 0]
    servers = [process.name() for process in ikirere.processes() if "ministack" in " ".join(process.cmdline())]
    assert len(servers) == 1


def test_a_busy_port_is_rejected_with_its_holder(ikirere):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        rejected = ikirere("up", "--port", str(port), expect=2)
        assert f"port {port} (AWS endpoint): is held by process {os.getpid()}" in rejected.stderr
        rejected = ikirere("up", "--postgres-port", str(port), expect=2)
        assert f"port {port} (Postgres): is held by process {os.getpid()}" in rejected.stderr
        assert ikirere.processes() == []


def test_down_and_reset_without_a_state_folder_change_nothing(tmp_path):
    command = CommandLine(tmp_path / "state")
    command("down")
    command("reset", "--yes")
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "mine.txt").write_text("keep")
    command("reset", "--yes")
    assert (tmp_path / "state" / "mine.txt").exists()


def test_reset_needs_a_confirmation_and_deletes_the_state(ikirere):
    ikirere("up", "--weather", "recorded")
    assert "repeat with --yes" in ikirere("reset", expect=2).stderr
    ikirere("reset", "--yes")
    assert not ikirere.state.exists()
    assert ikirere.processes() == []

"""Emulators of the command-line tests: a new one for a test, or one with two runs for a module."""

import pytest
from command import CommandLine


@pytest.fixture
def ikirere(tmp_path):
    command = CommandLine(tmp_path / "state")
    yield command
    command("down")
    assert command.processes() == []


@pytest.fixture(scope="module")
def up(tmp_path_factory):
    """An emulator with one good run (good) and one that failed (bad)."""
    command = CommandLine(tmp_path_factory.mktemp("up") / "state")
    command("run", "--weather", "recorded", "--run-id", "good")
    command("run", "--run-id", "bad", "--start", "2024-01-01", "--end", "2024-01-02", expect=1)
    yield command
    command("down")
    assert command.processes() == []

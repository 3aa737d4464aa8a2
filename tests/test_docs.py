"""Every command in the README is run, in the order it stands there."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from emulator.cli import _parser

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands():
    return [line.split("  #")[0].split(" # ")[0].strip() for block in blocks("sh") for line in block.splitlines()]


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    kept = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "MAKEFLAGS", "MAKELEVEL")}
    return kept | {
        "IKIRERE_HOME": str(tmp_path_factory.mktemp("readme") / "state"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }


def test_the_readme_begins_with_what_it_is_a_picture_and_two_commands():
    assert commands()[:2] == ["make run", "make test"]
    before = README.split("```sh")[0]
    (picture,) = re.findall(r"!\[.+?\]\((.+?)\)", before)
    assert (ROOT / picture).stat().st_size > 10_000


@pytest.mark.parametrize("command", commands(), ids=str)
def test_a_command_of_the_readme_works(command, environment):
    # make test would run this test again: make itself tells whether it would know what to do
    asked = ["make", "-n", "test"] if command == "make test" else shlex.split(command)
    done = subprocess.run(asked, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_readme_names_every_command_there_is():
    actions = [action for action in _parser()._actions if action.choices]
    for command in actions[0].choices:
        assert f"ikirere {command}" in README, command


@pytest.mark.parametrize(
    "path", sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]), ids=lambda p: p.name
)
def test_every_link_to_a_file_leads_somewhere(path):
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (path.parent / target).exists(), target

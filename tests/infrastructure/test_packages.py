"""A function's package contains what its code imports, by the code and the package's lock file."""

import ast
import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest

from deployment.packages import source_package
from functions import package

ROOT = Path(__file__).parents[2]
FUNCTIONS = ("ingest", "transform", "model", "backfill")


def modules(function):
    return [*(ROOT / "functions" / "core").rglob("*.py"), *(ROOT / "functions" / function).rglob("*.py")]


def imports(path):
    """Yield the full names of the modules that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute, from the root"
            yield node.module


def shipped(function):
    """Return the distributions in a package's lock file."""
    text = (ROOT / "functions" / function / "requirements.txt").read_text(encoding="utf-8")
    return {name.lower().replace("_", "-") for name in re.findall(r"^([\w.-]+)==", text, re.MULTILINE)}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_package_ships_what_it_imports(function):
    distributions = importlib.metadata.packages_distributions()
    for path in modules(function):
        for name in imports(path):
            top = name.split(".")[0]
            if top == "functions":
                assert name.split(".")[1:2] in ([], ["core"], [function]), f"{path} imports {name}"
            elif top not in sys.stdlib_module_names:
                names = {each.lower().replace("_", "-") for each in distributions[top]}
                assert names & shipped(function), f"{path} imports {name}, which functions/{function} does not ship"


@pytest.mark.parametrize("function", ["ingest", "model", "backfill"])
def test_only_transform_ships_pandas(function):
    assert not {"pandas", "numpy"} & shipped(function)
    assert {"pandas", "numpy"} <= shipped("transform")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_packages_ship_the_versions_that_were_tested(function):
    pins = re.compile(r"^([\w.-]+==[\w.]+)", re.MULTILINE)
    tested = set(pins.findall((ROOT / "requirements.txt").read_text(encoding="utf-8")))
    assert set(pins.findall((ROOT / "functions" / function / "requirements.txt").read_text(encoding="utf-8"))) <= tested


def test_the_makefile_builds_each_function_of_the_template():
    template = (ROOT / "template.yaml").read_text(encoding="utf-8")
    makefile = (ROOT / "functions" / "Makefile").read_text(encoding="utf-8")
    functions = re.findall(r"^  (\w+):\n    Type: AWS::Serverless::Function", template, re.MULTILINE)
    built = dict(re.findall(r"^build-(\w+):[^\n]*\n\t\$\(PYTHON\) package.py (\w+) ", makefile, re.MULTILINE))
    assert sorted(built) == sorted(functions)
    assert set(built.values()) == set(FUNCTIONS)


def test_a_package_is_built_again_only_when_its_sources_changed(tmp_path, monkeypatch):
    (tmp_path / package._STAMP).write_text(package._digest("ingest"))
    (tmp_path / "mine").touch()
    assert package.build("ingest", tmp_path) is False
    assert (tmp_path / "mine").exists()
    monkeypatch.setattr("sys.implementation.cache_tag", "cpython-99")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: None)
    assert package.build("ingest", tmp_path) is True
    assert not (tmp_path / "mine").exists()
    assert package.build("ingest", tmp_path) is False


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_emulators_package_is_deterministic(function):
    assert source_package(function) == source_package(function)

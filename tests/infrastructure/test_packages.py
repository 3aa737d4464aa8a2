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


@pytest.mark.parametrize("function", ["ingest", "transform"])
def test_a_handler_does_not_import_pandas(function):
    """Transform imports it for irregular responses only: it costs more than all other imports together."""
    code = f"import sys, functions.{function}.handler; sys.exit('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("function", FUNCTIONS)
def test_packages_ship_the_versions_that_were_tested(function):
    pins = re.compile(r"^([\w.-]+==[\w.]+)", re.MULTILINE)
    tested = set(pins.findall((ROOT / "requirements.txt").read_text(encoding="utf-8")))
    assert set(pins.findall((ROOT / "functions" / function / "requirements.txt").read_text(encoding="utf-8"))) <= tested


def test_the_makefile_builds_each_function_of_the_template():
    template = (ROOT / "template.yaml").read_text(encoding="utf-8")
    makefile = (ROOT / "functions" / "Makefile").read_text(encoding="utf-8")
    functions = re.findall(r"^  (\w+):\n    Type: AWS::Serverless::Function", template, re.MULTILINE)
    built = dict(re.findall(r"^build-(\w+):[^\n]*\n\t\"\$\(INTERPRETER\)\" package.py (\w+) ", makefile, re.MULTILINE))
    assert sorted(built) == sorted(functions)
    assert set(built.values()) == set(FUNCTIONS)


def interpreter(path, version):
    """Write a script that runs as Python of that version; return its path."""
    code = f"import sys; sys.version_info = {version}; sys.executable = '{path}'; exec(sys.argv[1])"
    return script(path, f'exec {sys.executable} -c "{code}" "$2"')


def script(path, line):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)
    return path


def make_packages(tmp_path, target, **environment):
    variables = {"PATH": f"{tmp_path}/shims:/usr/bin:/bin", "HOME": str(tmp_path), "PYENV_ROOT": f"{tmp_path}/pyenv"}
    command = ["make", "--silent", "-C", str(ROOT / "functions"), target]
    return subprocess.run(command, env=variables | environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("line", ["echo is not installed; exit 127", "echo is not installed >&2; exit 127"])
def test_a_shim_that_does_not_run_is_not_the_packages_interpreter(tmp_path, line):
    script(tmp_path / "shims" / "python3.13", line)
    expected = interpreter(tmp_path / "pyenv" / "versions" / "3.13.1" / "bin" / "python3.13", (3, 13, 1))
    assert make_packages(tmp_path, "print-python").stdout == f"{expected}\n"


def test_a_shim_that_runs_as_another_version_is_not_the_packages_interpreter(tmp_path):
    interpreter(tmp_path / "shims" / "python3.13", (3, 12, 9))
    expected = interpreter(tmp_path / "pyenv" / "versions" / "3.13.1" / "bin" / "python3.13", (3, 13, 1))
    assert make_packages(tmp_path, "print-python").stdout == f"{expected}\n"


def test_the_variable_python_does_not_decide_the_packages_interpreter(tmp_path):
    expected = interpreter(tmp_path / "shims" / "python3.13", (3, 13, 0))
    other = interpreter(tmp_path / "python", (3, 13, 5))
    assert make_packages(tmp_path, "print-python", PYTHON=str(other)).stdout == f"{expected}\n"
    assert make_packages(tmp_path, "print-python", PYTHON313=str(other)).stdout == f"{other}\n"


@pytest.mark.parametrize("target", ["print-python", "build-ModelFunction"])
def test_a_named_interpreter_of_another_version_is_rejected_with_what_to_set(tmp_path, target):
    interpreter(tmp_path / "shims" / "python3.13", (3, 13, 0))
    other = interpreter(tmp_path / "python", (3, 12, 9))
    made = make_packages(tmp_path, target, PYTHON313=str(other))
    assert made.returncode != 0
    assert not made.stdout
    for text in (f"PYTHON313={other} ", "make packages PYTHON313=", "PYTHON313=/path/to/python3.13 sam build"):
        assert text in made.stderr


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

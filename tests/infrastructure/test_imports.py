"""The import contracts of pyproject.toml reject each import that docs/architecture.md forbids, tried in a copy."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
CONTRACTS = {contract["name"]: contract for contract in CONFIG["contracts"]}
FOLDERS = CONFIG["root_packages"]
SCRIPTS = ("compose", "localstack", "events", "benchmarks")
# The first words of the contract's name, and for each package that must not import another: the two.
VIOLATIONS = [
    *(("Imports go down", "functions.model", folder) for folder in FOLDERS if folder != "functions"),
    *(("Imports go down", folder, "command_line") for folder in (*SCRIPTS, "operations")),
    ("Imports go down", "emulator", "dashboards"),
    ("Imports go down", "dashboards", "emulator"),
    ("Imports go down", "deployment", "open_meteo_stand_in"),
    *(("Functions import neither", f"functions.{name}", "functions.package") for name in ("core", "ingest", "model")),
    ("Functions import neither", "functions.transform", "functions.package"),
    ("Functions import neither", "functions.ingest", "functions.transform"),
    ("Functions import neither", "functions.core", "functions.model"),
    ("The stand-in is independent", "open_meteo_stand_in", "functions.core"),
    ("Dashboards read a warehouse", "dashboards", "deployment"),
    ("Dashboards read a warehouse", "dashboards", "open_meteo_stand_in"),
    ("Only the command line parses", "operations", "argparse"),
    ("Nothing imports the tests", "functions.core", "tests"),
    ("No import cycle", "operations", "operations.imported"),
]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copy(ROOT / "pyproject.toml", folder)
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def broken_contracts(checkout):
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    environment = os.environ | {"COLUMNS": "300"}
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
    broken = [line.removesuffix(" BROKEN") for line in done.stdout.splitlines() if line.endswith(" BROKEN")]
    assert "Contracts: " in done.stdout, done.stdout + done.stderr
    assert done.returncode == bool(broken)
    return broken


def test_the_contracts_accept_the_imports_of_the_code(checkout):
    assert not broken_contracts(checkout)


@pytest.mark.parametrize(("contract", "importer", "imported"), VIOLATIONS)
def test_a_contract_rejects(contract, importer, imported, checkout):
    folder = checkout.joinpath(*importer.split("."))
    # of the two modules, the second is for the contract about cycles
    files = {folder / "importer.py": imported, folder / "imported.py": f"{importer}.importer"}
    try:
        for path, module in files.items():
            path.write_text(f"import {module}\n")
        assert [name.startswith(contract) for name in broken_contracts(checkout)].count(True) == 1
    finally:
        for path in files:
            path.unlink()


def test_each_contract_has_a_violation_here():
    for name in CONTRACTS:
        assert any(name.startswith(contract) for contract, *_ in VIOLATIONS), name


def test_every_folder_is_in_the_contracts_about_tests_and_cycles():
    assert set(CONTRACTS["Nothing imports the tests"]["source_modules"]) == set(FOLDERS)
    assert set(CONTRACTS["No import cycle inside a package"]["ancestors"]) == set(FOLDERS) - set(SCRIPTS)

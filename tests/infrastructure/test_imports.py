"""The import contracts of pyproject.toml reject what docs/architecture.md forbids: one violation at a time, in a copy."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
CONTRACTS = {contract["name"].split(":")[0]: contract["name"] for contract in CONFIG["contracts"]}
DOWN, FUNCTIONS = "Imports go down", "Functions import neither each other nor the builder of their packages; the core imports none of them"
# The contract, a module, and what it must not import.
VIOLATIONS = [
    *((DOWN, "functions.model", folder) for folder in CONFIG["root_packages"] if folder != "functions"),
    *((DOWN, folder, "command_line") for folder in CONFIG["root_packages"] if folder not in ("command_line", "functions")),
    (DOWN, "emulator", "dashboards"),
    (DOWN, "dashboards", "emulator"),
    (DOWN, "deployment", "open_meteo_stand_in"),
    *((FUNCTIONS, f"functions.{name}", "functions.package") for name in ("core", "ingest", "transform", "model")),
    (FUNCTIONS, "functions.ingest", "functions.transform"),
    (FUNCTIONS, "functions.core", "functions.model"),
    ("The stand-in is independent of the code that it tests", "open_meteo_stand_in", "functions.core"),
    ("Dashboards read a warehouse, however it was deployed", "dashboards", "deployment"),
    ("Dashboards read a warehouse, however it was deployed", "dashboards", "open_meteo_stand_in"),
    ("Only the command line parses arguments of ikirere", "operations", "argparse"),
    *(("Nothing imports the tests", folder, "tests.pipeline") for folder in CONFIG["root_packages"]),
    ("No import cycle inside a package", "operations.violation", "operations.violation.second"),
]

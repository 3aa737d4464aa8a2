"""The packages as they were built: imported with nothing beside them, and no larger than promised.

Runs where PACKAGES names the folder of the built packages: ``make test-packages``.
"""

import os
import subprocess
from pathlib import Path

import pytest

# Unzipped megabytes, boto3 and what it brings aside for those without pandas.
LIMITS = {
    "Ingest": (30, ("boto3", "botocore", "s3transfer")),
    "Transform": (130, ()),
    "Model": (30, ("boto3", "botocore", "s3transfer")),
}
# Nothing but the package and Python's own library: what Lambda has in /var/runtime is not for a package to lean on.
IMPORT = """
import importlib, sys
sys.path[:] = [sys.argv[1], *(path for path in sys.path if "site-packages" not in path)]
module = importlib.import_module(sys.argv[2])
print(module.__file__, callable(module.lambda_handler))
"""

pytestmark = pytest.mark.skipif("PACKAGES" not in os.environ, reason="needs built packages: make test-packages")


def package(function):
    return Path(os.environ["PACKAGES"]).absolute() / f"{function}Function"


@pytest.mark.parametrize("handler", ["ingest.handler", "transform.handler", "model.handler", "model.prepare"])
def test_a_package_imports_with_nothing_beside_it(handler, tmp_path):
    folder = package(handler.split(".")[0].title())
    python = [os.environ["PACKAGE_PYTHON"], "-I", "-B", "-c", IMPORT, str(folder), f"functions.{handler}"]
    done = subprocess.run(
        python, cwd=tmp_path, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == [str(folder / "functions" / f"{handler.replace('.', '/')}.py"), "True"], done.stderr


@pytest.mark.parametrize("function", LIMITS)
def test_a_package_is_no_larger_than_promised_and_ships_compiled(function):
    most, aside = LIMITS[function]
    files = [path for path in package(function).rglob("*") if path.is_file()]
    size = sum(
        path.stat().st_size for path in files if path.relative_to(package(function)).parts[0].split("-")[0] not in aside
    )
    assert size < most * 1_000_000
    sources = {path for path in files if path.suffix == ".py"}
    compiled = {path.parents[1] / f"{path.name.split('.')[0]}.py" for path in files if path.suffix == ".pyc"}
    assert len(sources - compiled) < len(sources) / 100, sorted(sources - compiled)[:5]

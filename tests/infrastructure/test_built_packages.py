"""The built packages: each imports without other packages, and is below its size limit.

Needs PACKAGES, the folder of the built packages: ``make test-packages``.
"""

import os
import subprocess
from pathlib import Path

import pytest

# The limit in unzipped megabytes, and the distributions that do not count.
LIMITS = {
    "Ingest": (30, ("boto3", "botocore", "s3transfer")),
    "Transform": (130, ()),
    "Model": (30, ("boto3", "botocore", "s3transfer")),
}
# Only the package and Python's standard library: a package must not depend on what Lambda has in /var/runtime.
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
def test_a_package_imports_without_other_packages(handler, tmp_path):
    folder = package(handler.split(".")[0].title())
    python = [os.environ["PACKAGE_PYTHON"], "-I", "-B", "-c", IMPORT, str(folder), f"functions.{handler}"]
    done = subprocess.run(
        python, cwd=tmp_path, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == [str(folder / "functions" / f"{handler.replace('.', '/')}.py"), "True"], done.stderr


@pytest.mark.parametrize("function", LIMITS)
def test_a_package_is_below_its_size_limit_and_ships_compiled(function):
    limit, extra = LIMITS[function]
    files = [path for path in package(function).rglob("*") if path.is_file()]
    size = sum(
        path.stat().st_size for path in files if path.relative_to(package(function)).parts[0].split("-")[0] not in extra
    )
    assert size < limit * 1_000_000
    sources = {path for path in files if path.suffix == ".py"}
    compiled = {path.parents[1] / f"{path.name.split('.')[0]}.py" for path in files if path.suffix == ".pyc"}
    assert len(sources - compiled) < len(sources) / 100, sorted(sources - compiled)[:5]

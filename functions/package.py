"""One function's Lambda package: ``python package.py ingest FOLDER`` in this folder, with the runtime's interpreter.

The package holds the function, the core, the dependencies of the function's lock file, and nothing else. On a machine
that is not Linux on x86_64 let SAM do it in a container: ``sam build --use-container``.
"""

import compileall
import py_compile
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
# What a running function never reads.
_LEFT_OUT_FOLDERS = ("__pycache__", "tests", "bin", "f2py", "swagger_ui")
_LEFT_OUT_FILES = (".pyi", ".pxd", ".pyx", ".h", ".a")


def build(function: str, target: Path) -> None:
    """Fill ``target``. Raises CalledProcessError when a dependency cannot be installed."""
    sources = target / "functions"
    sources.mkdir(parents=True, exist_ok=True)
    shutil.copy(HERE / "__init__.py", sources)
    for folder in ("core", function):
        shutil.copytree(HERE / folder, sources / folder, dirs_exist_ok=True)
    subprocess.run(
        [
            sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
            "--root-user-action=ignore", "--require-hashes", "--only-binary", ":all:", "--no-compile",
            "--requirement", str(HERE / function / "requirements.txt"), "--target", str(target),
        ],
        check=True,
    )  # fmt: skip
    for path in sorted(target.rglob("*"), reverse=True):
        if path.is_dir() and path.name in _LEFT_OUT_FOLDERS:
            shutil.rmtree(path)
        elif path.is_file() and path.suffix in _LEFT_OUT_FILES:
            path.unlink()
    # /var/task is read-only, so what is not compiled here is compiled at each cold start. A zip file changes the
    # times by which Python would tell whether a compiled file is stale: these are not checked.
    compileall.compile_dir(target, quiet=2, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)


if __name__ == "__main__":
    if len(sys.argv) != 3 or not (HERE / sys.argv[1] / "handler.py").is_file():
        sys.exit("usage: python package.py ingest|transform|model FOLDER")
    build(sys.argv[1], Path(sys.argv[2]))

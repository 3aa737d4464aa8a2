"""Builds the package of one function: ``python package.py ingest FOLDER`` here, with the runtime's interpreter.

The package has the function, the core and the dependencies of the function's lock file, and nothing else. A folder
that has the package of these sources already is not changed. On a machine that is not Linux on x86_64 build in a
container: ``sam build --use-container``.
"""

import compileall
import hashlib
import py_compile
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
# Folders and files that a running function never reads.
_EXCLUDED_FOLDERS = ("__pycache__", "tests", "bin", "f2py", "swagger_ui")
_EXCLUDED_SUFFIXES = (".pyi", ".pxd", ".pyx", ".h", ".a")
# Written last: a package without it is incomplete.
_STAMP = "built-from.sha256"


def build(function: str, target: Path) -> bool:
    """Build the package in ``target``; return False if it is up to date. Raises CalledProcessError if pip fails."""
    stamp, digest = target / _STAMP, _digest(function)
    if stamp.is_file() and stamp.read_text(encoding="ascii") == digest:
        return False
    shutil.rmtree(target, ignore_errors=True)
    sources = target / "functions"
    sources.mkdir(parents=True, exist_ok=True)
    shutil.copy(HERE / "__init__.py", sources)
    for folder in ("core", function):
        shutil.copytree(HERE / folder, sources / folder)
    subprocess.run(
        [
            sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
            "--root-user-action=ignore", "--require-hashes", "--only-binary", ":all:", "--no-compile",
            "--requirement", str(HERE / function / "requirements.txt"), "--target", str(target),
        ],
        check=True,
    )  # fmt: skip
    for path in sorted(target.rglob("*"), reverse=True):
        if path.is_dir() and path.name in _EXCLUDED_FOLDERS:
            shutil.rmtree(path)
        elif path.is_file() and path.suffix in _EXCLUDED_SUFFIXES:
            path.unlink()
    # /var/task is read-only, so a file that is not compiled here is compiled at each cold start. A zip file changes
    # the times that Python compares to find stale compiled files, so the check is off.
    compileall.compile_dir(target, quiet=2, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    stamp.write_text(digest, encoding="ascii")
    return True


def _digest(function: str) -> str:
    """Return the digest of the package's inputs: sources, lock file, this file and the interpreter's version."""
    digest = hashlib.sha256(str(sys.implementation.cache_tag).encode())
    files = [HERE / "__init__.py", HERE / "package.py"]
    for folder in ("core", function):
        files += [each for each in (HERE / folder).rglob("*") if each.is_file() and "__pycache__" not in each.parts]
    for path in sorted(files):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(HERE).as_posix()} {len(content)}\n".encode() + content)
    return digest.hexdigest()


if __name__ == "__main__":
    if len(sys.argv) != 3 or not (HERE / sys.argv[1] / "handler.py").is_file():
        sys.exit("usage: python package.py ingest|transform|model|backfill FOLDER")
    is_built = build(sys.argv[1], Path(sys.argv[2]))
    print(f"{sys.argv[2]}: {'built' if is_built else 'is up to date'}")  # noqa: T201  # a command line prints

"""One function's Lambda package: ``python package.py ingest FOLDER`` in this folder, with the runtime's interpreter.

The package holds the function, the core, the dependencies of the function's lock file, and nothing else. A folder that
holds the package of these sources already is left as it is. On a machine that is not Linux on x86_64 let SAM build in a
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
# What a running function never reads.
_LEFT_OUT_FOLDERS = ("__pycache__", "tests", "bin", "f2py", "swagger_ui")
_LEFT_OUT_FILES = (".pyi", ".pxd", ".pyx", ".h", ".a")
# Written last: a package without it was not finished.
_STAMP = "built-from.sha256"


def build(function: str, target: Path) -> bool:
    """Make ``target`` the function's package; False when it was. Raises CalledProcessError when pip fails."""
    stamp, made_from = target / _STAMP, _digest(function)
    if stamp.is_file() and stamp.read_text(encoding="ascii") == made_from:
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
        if path.is_dir() and path.name in _LEFT_OUT_FOLDERS:
            shutil.rmtree(path)
        elif path.is_file() and path.suffix in _LEFT_OUT_FILES:
            path.unlink()
    # /var/task is read-only, so what is not compiled here is compiled at each cold start. A zip file changes the
    # times by which Python would tell whether a compiled file is stale: these are not checked.
    compileall.compile_dir(target, quiet=2, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    stamp.write_text(made_from, encoding="ascii")
    return True


def _digest(function: str) -> str:
    """What the package is made from: the sources, the lock file, this file and the interpreter's version."""
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
        sys.exit("usage: python package.py ingest|transform|model FOLDER")
    made = build(sys.argv[1], Path(sys.argv[2]))
    print(f"{sys.argv[2]}: {'built' if made else 'is up to date'}")  # noqa: T201  # a command line prints

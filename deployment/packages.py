"""Lambda packages for a local endpoint: the code alone for ministack, the built package for LocalStack."""

import io
import zipfile

from deployment.errors import UserError
from deployment.template import ROOT

# Not the interpreter as shebang: a kernel limits its length, and a checkout's path may be long.
_BOOTSTRAP = '#!/bin/sh\nexec "$IKIRERE_PYTHON" -m awslambdaric "$_HANDLER"\n'


def source_package(function: str) -> bytes:
    """A function's package: the core and its own folder, imported from the repository's root. Deterministic."""
    sources = ROOT / "functions"
    files = {"functions/__init__.py": sources / "__init__.py"}
    for folder in (sources / "core", sources / function):
        files |= {
            path.relative_to(ROOT).as_posix(): path
            for path in folder.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name), files[name].read_bytes(), zipfile.ZIP_DEFLATED)
        bootstrap = zipfile.ZipInfo("bootstrap")
        bootstrap.external_attr = 0o755 << 16
        archive.writestr(bootstrap, _BOOTSTRAP)
    return package.getvalue()


def built_package(function: str) -> bytes:
    """A function's package as a zip file: what ``make packages`` or ``sam build`` built. Raises UserError."""
    folder = ROOT / ".aws-sam" / "build" / f"{function.title()}Function"
    if not (folder / "functions").is_dir():
        raise UserError(f"{folder}: has no package; run `make packages` first")
    built = io.BytesIO()
    with zipfile.ZipFile(built, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                # a fixed time: the same files make the same package
                archive.writestr(zipfile.ZipInfo(path.relative_to(folder).as_posix()), path.read_bytes())
    return built.getvalue()

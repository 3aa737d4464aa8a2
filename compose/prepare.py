"""Before anything else starts: the secrets, made once and kept in ``.env``, and the functions' packages."""

import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_PASSWORDS = (
    "POSTGRES_PASSWORD",
    "LOADER_PASSWORD",
    "READER_PASSWORD",
    "METABASE_STATE_PASSWORD",
    "METABASE_PASSWORD",
)


def make_secrets(path: Path) -> None:
    """Add to the file what it lacks; what stands in it stays. It is its folder's owner's alone."""
    kept = (
        path.read_text(encoding="utf-8") if path.exists() else "# Made by compose/prepare.py; not for the repository.\n"
    )
    names = {line.split("=", 1)[0] for line in kept.splitlines()}
    added = [f"{name}={secrets.token_urlsafe(24)}\n" for name in _PASSWORDS if name not in names]
    added += ["METABASE_EMAIL=admin@ikirere.example\n"] if "METABASE_EMAIL" not in names else []
    if not added:
        return
    draft = path.with_name(f"{path.name}.draft")
    draft.touch(mode=0o600)
    draft.write_text(kept + "".join(added), encoding="utf-8")
    owner = path.parent.stat()
    os.chown(draft, owner.st_uid, owner.st_gid)
    draft.replace(path)


def build_packages(folder: Path) -> None:
    """The three Lambda packages, anew. Raises CalledProcessError."""
    for function in ("ingest", "transform", "model"):
        target = folder / f"{function.title()}Function"
        shutil.rmtree(target, ignore_errors=True)
        subprocess.run([sys.executable, str(ROOT / "functions" / "package.py"), function, str(target)], check=True)


if __name__ == "__main__":
    make_secrets(ROOT / ".env")
    build_packages(ROOT / ".aws-sam" / "build")

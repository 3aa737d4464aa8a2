"""The first compose service: creates the secrets in ``.env`` (once) and builds the functions' packages."""

import os
import secrets
import tempfile
from pathlib import Path

from functions.package import build

ROOT = Path(__file__).resolve().parents[1]
_PASSWORDS = (
    "POSTGRES_PASSWORD",
    "LOADER_PASSWORD",
    "READER_PASSWORD",
    "METABASE_STATE_PASSWORD",
    "METABASE_PASSWORD",
)


def make_secrets(path: Path) -> None:
    """Add the missing secrets to the file, with permissions for its owner only; present lines are unchanged."""
    present = (
        path.read_text(encoding="utf-8") if path.exists() else "# Made by compose/prepare.py; not for the repository.\n"
    )
    present += "" if present.endswith("\n") else "\n"
    names = {line.removeprefix("export ").split("=", 1)[0].strip() for line in present.splitlines()}
    added = [f"{name}={secrets.token_urlsafe(24)}\n" for name in _PASSWORDS if name not in names]
    added += ["METABASE_EMAIL=admin@ikirere.example\n"] if "METABASE_EMAIL" not in names else []
    if not added:
        return
    draft = path.with_name(f"{path.name}.draft")
    draft.touch(mode=0o600)
    draft.write_text(present + "".join(added), encoding="utf-8")
    draft.replace(path)


def main() -> None:
    """Create secrets and packages as the owner of the checkout, because a container starts as root."""
    owner = ROOT.stat()
    if os.geteuid() == 0 != owner.st_uid:
        os.setgid(owner.st_gid)
        os.setuid(owner.st_uid)
        os.environ["HOME"] = tempfile.gettempdir()
    make_secrets(ROOT / ".env")
    for function in ("ingest", "transform", "model"):
        folder = ROOT / ".aws-sam" / "build" / f"{function.title()}Function"
        print(f"{folder.name}: {'built' if build(function, folder) else 'is up to date'}", flush=True)


if __name__ == "__main__":
    main()

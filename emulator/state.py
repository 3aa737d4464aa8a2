"""The state folder: everything that the emulator stores, and the lock on it."""

import fcntl
import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deployment.errors import StorageError, UserError, writing
from deployment.template import ROOT
from functions.core.text import excerpt


class State:
    """``.ikirere`` under the checkout, or the folder that IKIRERE_HOME names.

    ``settings.json`` holds the options of the last ``up``, the ports and the passwords in use; it is written whole or
    not at all.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()

    @classmethod
    def find(cls, folder: str | None = None) -> "State":
        return cls(Path(folder or os.environ.get("IKIRERE_HOME") or ROOT / ".ikirere"))

    def _prepare(self) -> None:
        """Make the folder. Raises StorageError where it cannot be written."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # a folder that was there before may be open to other users
            if stat.S_IMODE(self.folder.stat().st_mode) & 0o077:
                self.folder.chmod(0o700)
            for name in ("tmp", "logs"):
                (self.folder / name).mkdir(exist_ok=True)
            probe = self.folder / "tmp" / f"probe-{os.getpid()}"
            try:
                # not empty: a full disk accepts a file without content
                probe.write_text("probe")
            finally:
                probe.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(
                f"state folder {excerpt(self.folder)}: cannot be written ({error.strerror}); free space there or make "
                "it writable, or name another with --state or IKIRERE_HOME"
            ) from error

    @property
    def exists(self) -> bool:
        return (self.folder / "settings.json").exists()

    def path(self, *parts: str) -> Path:
        return self.folder.joinpath(*parts)

    def settings(self) -> dict[str, Any]:
        """The stored settings; empty before the first ``up``. Raises UserError for a damaged file."""
        path = self.path("settings.json")
        try:
            stored = json.loads(path.read_text())
        except OSError:
            return {}
        except ValueError:
            stored = None
        if not isinstance(stored, dict):
            raise UserError(
                f"{excerpt(path)}: is damaged, and with it the warehouse's passwords; put it back, or end the "
                f"processes that carry IKIRERE_STATE={self.folder} and delete that folder"
            )
        return stored

    def remember(self, **changes: Any) -> dict[str, Any]:
        """Store these settings beside the others; all of them. Raises StorageError."""
        settings = {**self.settings(), **changes}
        draft = self.path("tmp", f"settings-{os.getpid()}.json")
        with writing(self.path("settings.json")):
            try:
                draft.write_text(json.dumps(settings, indent=1))
                draft.chmod(0o600)
                draft.replace(self.path("settings.json"))
            finally:
                draft.unlink(missing_ok=True)
        return settings

    def secret(self, name: str) -> str:
        """A random password, made once."""
        stored = self.settings().get(name)
        return str(stored) if stored else str(self.remember(**{name: secrets.token_urlsafe(24)})[name])

    @contextmanager
    def lock(self, *, writes: bool = True) -> Iterator[None]:
        """One command at a time starts, stops or deploys; the lock ends with the process, however that ends.

        Without ``writes`` the folder must exist and is not written: a full disk does not prevent a stop.
        """
        if writes:
            self._prepare()
        place = self.folder / "lock"
        with writing(place):
            handle = place.open("w" if writes or not place.exists() else "r")
        with handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def delete_temporary_files(self) -> None:
        """Empty ``tmp``: drafts of killed commands and servers, and the functions' code that ministack extracted."""
        for path in self.path("tmp").iterdir():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def delete(self) -> None:
        """Delete the folder. Raises StorageError if some of it remains."""
        with writing(self.folder):
            shutil.rmtree(self.folder)

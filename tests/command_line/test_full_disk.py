"""A disk that takes no more: one sentence with what failed, where and what to do, exit code 1, and no traceback."""

import errno
import os
import resource
import subprocess
import sys

import pytest
from command import ROOT

from deployment.errors import StorageError, UserError, failure_of, writing

BACKFILL = ("backfill", "--start", "2024-01-01", "--end", "2024-01-02")


def on_full_disk(environment, *arguments, output=subprocess.PIPE):
    """Run a command that may not write a byte to a file: EFBIG, as a full disk is ENOSPC."""
    return subprocess.run(
        [sys.executable, "-m", "command_line", *arguments],
        cwd=ROOT, env=environment, stdout=output, stderr=subprocess.PIPE, text=True, timeout=180, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
    )  # fmt: skip


def assert_is_one_sentence(done, *parts):
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("ikirere: ")
    for part in (*parts, "cannot be written (File too large); free space"):
        assert part in done.stderr


@pytest.mark.parametrize("arguments", [("up",), ("run",), BACKFILL], ids=lambda arguments: arguments[0])
def test_a_command_that_starts_the_emulator_names_the_state_folder(tmp_path, arguments):
    environment = {**os.environ, "IKIRERE_HOME": str(tmp_path / "state")}
    environment.pop("DATABASE_URL", None)
    done = on_full_disk(environment, *arguments)
    assert_is_one_sentence(done, f"state folder {tmp_path / 'state'}", "or name another with --state")
    assert not (tmp_path / "state" / "settings.json").exists()


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        (("up",), "state folder "),
        (("run",), "state folder "),
        (BACKFILL, "state folder "),
        (("report",), "report "),
        (("report", "--output", "here.html"), "report here.html"),
    ],
    ids=" ".join,
)
def test_a_command_of_a_running_emulator_names_what_it_cannot_write(up, arguments, where):
    assert_is_one_sentence(on_full_disk(up.environment, *arguments), where)
    assert not (ROOT / "here.html").exists()


@pytest.mark.parametrize(
    "arguments", [("status",), ("history",), ("show",), ("show", "mart"), ("logs",), ("sql", "SELECT 1")], ids=" ".join
)
def test_a_command_that_only_reads_needs_no_space(up, arguments):
    done = on_full_disk(up.environment, *arguments)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_output_that_takes_no_more_is_named(up):
    with open("/dev/full", "w") as full:  # noqa: PTH123  # a device
        done = subprocess.run(
            [sys.executable, "-m", "command_line", "status"],
            cwd=ROOT, env=up.environment, stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == (
        "ikirere: the output: cannot be written (No space left on device); free space there or make it writable, "
        "then repeat\n"
    )


def test_down_stops_an_emulator_whose_disk_is_full(ikirere):
    ikirere("up", "--weather", "recorded")
    done = on_full_disk(ikirere.environment, "down")
    assert (done.returncode, done.stderr) == (0, "")
    assert ikirere.processes() == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO])
def test_each_reason_of_the_system_is_a_sentence_with_the_place(tmp_path, code):
    with pytest.raises(StorageError) as raised, writing(tmp_path / "settings.json"):
        raise OSError(code, os.strerror(code))
    assert str(raised.value) == (
        f"{tmp_path}/settings.json: cannot be written ({os.strerror(code)}); free space there or make it writable, "
        "then repeat"
    )


def test_a_service_that_reports_a_full_disk_is_a_storage_error_with_the_line_that_says_so():
    said = f"starting\nFATAL: could not write: {os.strerror(errno.ENOSPC)}\nremoving"
    error = failure_of("Postgres did not start", said)
    assert isinstance(error, StorageError)
    assert str(error).startswith("Postgres did not start: FATAL: could not write: No space left on device; free space")
    assert type(failure_of("Postgres did not start", "port in use")) is UserError

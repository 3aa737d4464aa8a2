"""The errors that a user can correct, and the exit code of each."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from functions.core.text import LINES, MESSAGE_LENGTH, excerpt

# How the servers of the emulator, which are other programs, report a disk that is full or read-only.
_STORAGE_REASONS = tuple(os.strerror(code) for code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS))


class UserError(Exception):
    """A command is used wrongly, or this machine does not let it work.

    Its message names what failed, where, and what to do next; it is escaped and bounded, whatever it was made from.
    """

    exit_code = 2

    def __init__(self, message: str) -> None:
        super().__init__(excerpt(message, MESSAGE_LENGTH, keep=LINES))


class StorageError(UserError):
    """A file cannot be read or written: the disk is full, or the system does not permit it."""

    exit_code = 1

    @classmethod
    def of(cls, where: object, error: OSError) -> "StorageError":
        """Return the error of a file or folder, from that of the system."""
        reason = error.strerror or type(error).__name__
        return cls(f"{excerpt(where)}: cannot be written ({reason}); free space there or make it writable, then repeat")


def failure_of(what: str, text: str) -> UserError:
    """Return the error for ``what`` failed, with a service's own text: a StorageError if that says it cannot write."""
    for line in text.splitlines():
        if any(reason in line for reason in _STORAGE_REASONS):
            return StorageError(f"{what}: {excerpt(line.strip())}; free space or make the folder writable, then repeat")
    return UserError(f"{what}: {text}")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise StorageError with ``path`` where the system rejects a write: its own error often does not name the file."""
    try:
        yield
    except OSError as error:
        raise StorageError.of(path, error) from error

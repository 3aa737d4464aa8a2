"""Files that appear whole or not at all."""

import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path

from deployment.errors import UserError, writing

_READ = 1 << 20
# A file name has at most 255 bytes, a character up to 4.
_NAME = 40


@contextmanager
def new_file(path: Path, *, is_forced: bool) -> Iterator[Path]:
    """Yield a temporary file beside ``path``, which is renamed to it at the end, or removed after an error.

    Raises UserError if something is at ``path`` that is no file or that ``is_forced`` does not permit to replace, and
    StorageError if the system rejects a write.
    """
    with _new(path, lambda: _check_file(path, is_forced=is_forced)) as made:
        yield made


@contextmanager
def new_folder(path: Path, mark: str, others: Sequence[str], *, is_forced: bool) -> Iterator[Path]:
    """As ``new_file``, with a folder.

    One that is there already is replaced only if it contains the file ``mark``, and besides it nothing whose path in
    the folder matches none of the patterns ``others``: somebody may have put a file of their own there.
    """
    with _new(path, lambda: _check_folder(path, mark, others, is_forced=is_forced)) as made:
        made.mkdir()
        yield made


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_READ):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def _new(path: Path, check: Callable[[], None]) -> Iterator[Path]:
    if not path.name:
        raise UserError(f"export: {path} is no name for a file; name another --output")
    made = path.with_name(f".{path.name[:_NAME]}.{secrets.token_hex(4)}.partial")
    with writing(path):
        check()
        try:
            yield made
            for each in made.rglob("*") if made.is_dir() else [made]:
                _flush(each)
            # again: something may have been made there meanwhile
            check()
            _put(made, path)
        finally:
            _remove(made)


def _check_file(path: Path, *, is_forced: bool) -> None:
    _check(path, is_forced=is_forced)
    if path.exists() and not path.is_file():
        raise UserError(f"export: {path} is no file; name another --output")


def _check_folder(path: Path, mark: str, others: Sequence[str], *, is_forced: bool) -> None:
    _check(path, is_forced=is_forced)
    if path.exists() and not (path / mark).is_file():
        raise UserError(f"export: {path} is no data package, so --force does not replace it; name another --output")
    for name in (each.relative_to(path).as_posix() for each in sorted(path.rglob("*"))):
        if not any(fnmatchcase(name, pattern) for pattern in (mark, *others)):
            raise UserError(
                f"export: {path} has {name}, which is no file of an export, so --force does not replace it; move that "
                "away, or name another --output"
            )


def _check(path: Path, *, is_forced: bool) -> None:
    if not is_forced and (path.exists() or path.is_symlink()):
        raise UserError(f"export: {path} is there already; name another --output, or replace it with --force")


def _flush(path: Path) -> None:
    """Write a file or folder from memory to the disk: some disks report only then that they are full."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _put(made: Path, path: Path) -> None:
    """Rename to ``path``; a folder that is there already is removed after it."""
    if not path.is_dir():
        made.replace(path)
        return
    old = made.with_suffix(".old")
    path.rename(old)
    try:
        made.rename(path)
    except OSError:
        old.rename(path)
        raise
    _remove(old)


def _remove(path: Path) -> None:
    with suppress(OSError):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()

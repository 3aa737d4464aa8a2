"""Files of an export, which are there whole or not at all."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from deployment.errors import UserError, writing
from functions.core.text import excerpt


@contextmanager
def whole_file(path: Path, *, replaces: bool) -> Iterator[Callable[[str], None]]:
    """A function that adds text to a draft beside ``path``, which takes its place at the end, but not after an error.

    Raises UserError if the file is there and is not to be replaced, StorageError.
    """
    if path.exists() and not replaces:
        raise UserError(f"{excerpt(path)}: is there already; name another file, or replace it with --force")
    draft = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        with writing(path):
            file = draft.open("w", encoding="utf-8")
        with file:

            def put(text: str) -> None:
                with writing(path):
                    file.write(text)

            yield put
            with writing(path):
                file.flush()
        with writing(path):
            draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)

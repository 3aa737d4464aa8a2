"""Where every line of a command goes: standard output and standard error, which no text from outside controls."""

import os
import shutil
import sys
from contextlib import suppress

from functions.core.text import LINES, escaped


def write(text: object = "", *, error: bool = False) -> None:
    """Print a text of one or more lines, with what is not visible escaped; on standard error if ``error``."""
    stream = sys.stderr if error else sys.stdout
    stream.write(f"{escaped(str(text), keep=LINES)}\n")
    stream.flush()


def write_over(text: str, *, error: bool = False, end: str = "") -> None:
    """Print a text over the line of a terminal; ``end`` is printed after it."""
    stream = sys.stderr if error else sys.stdout
    width = shutil.get_terminal_size().columns - 1
    stream.write(f"\r{escaped(text):{width}.{width}}{end}")
    stream.flush()


def write_bytes(body: bytes) -> None:
    """Write the exact bytes to a file or another program; a terminal shows them as text, escaped."""
    if sys.stdout.isatty():
        write(body.decode(errors="backslashreplace").removesuffix("\n"))
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(body)
    sys.stdout.buffer.flush()


class ProgressLine:
    """One line of progress on standard error, written over and over; none where nobody watches."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()

    def write(self, text: str) -> None:
        if self._is_terminal:
            write_over(text, error=True, end="\r")


def give_up() -> None:
    """Send what is not yet written, to an output that accepts nothing more, nowhere: the end would fail again."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
            continue
        with suppress(OSError, ValueError):
            os.dup2(nowhere, stream.fileno())

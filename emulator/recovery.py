"""Waiting for a Postgres that accepts no connections yet: it recovers what it had not saved when it was killed."""

import time
from collections.abc import Callable
from typing import TypeVar

import psycopg2

_T = TypeVar("_T")

# The longest wait. A server recovers at most the gigabyte of its log that a checkpoint leaves: seconds, minutes on a
# slow disk. Your own server can have been told to leave more.
SECONDS = 600
_PAUSE_SECONDS = 0.1
# A start without recovery takes less, and is not worth a line.
_UNMENTIONED_SECONDS = 1
# The messages of SQLSTATE 57P03, which libpq does not report for a rejected connection. Each is written by
# src/backend/tcop/backend_startup.c of Postgres (postmaster.c before 17).
_MESSAGES = (
    "the database system is starting up",
    "the database system is not yet accepting connections",
    "the database system is not accepting connections",
    "the database system is in recovery mode",
)


def recovers(error: psycopg2.Error) -> bool:
    """Return whether a server rejected a connection because it recovers or starts."""
    return any(message in str(error) for message in _MESSAGES)


def after_recovery(
    connect: Callable[[], _T], goes_on: Callable[[psycopg2.Error], bool], progress: Callable[[str], None]
) -> _T:
    """Return what ``connect`` returns, tried again while it fails with an error of which ``goes_on`` is true.

    Raises the last psycopg2.Error, after SECONDS at the latest.
    """
    began = time.monotonic()
    while True:
        try:
            return connect()
        except psycopg2.Error as error:
            seconds = time.monotonic() - began
            if seconds >= SECONDS or not goes_on(error):
                raise
        if seconds >= _UNMENTIONED_SECONDS:
            progress(f"Postgres recovers, {seconds:.0f} of at most {SECONDS} s ...")
        time.sleep(_PAUSE_SECONDS)

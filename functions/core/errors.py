"""The errors that a function may raise. The class of an error decides what the state machine does with it.

Step Functions matches an error by its class name, so these names are part of the contract with
``statemachine/*.asl.json``; a test compares both.
"""


class TransientError(Exception):
    """A fault that may pass: the state machine retries it, with backoff, a cap and full jitter."""


class InvalidInputError(Exception):
    """Wrong input (event, city list, setting). Never retried: it would fail again."""


class UpstreamContractError(Exception):
    """A response of Open-Meteo that breaks its contract. The raw bytes are stored; never retried."""


class LoadError(Exception):
    """The warehouse rejected the load or is not in the state that the load needs. Never retried."""


def missing_or_wrong(error: Exception) -> str:
    """Return why reading a JSON object failed: the missing key, or else the error's message."""
    return f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
